"""A factorization of the matrix of ratings."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_SPREAD = 0.1


class Factorization(nn.Module):
    """Predict mean + b_u + b_i + p_u·q_i for user u and item i (Koren, Bell and Volinsky 2009, formula 4).

    Biases begin at 0, and factors are normal with deviation 0.1. User and item 0 stand for those that are
    not known: their biases and factors are zeros and are not trained. All weights are embeddings, so that an
    optimizer for sparse gradients alone can train them.

    Args:
        users: U, the number of known users, which are 1 to U.
        items: I, the number of known items, which are 1 to I.
        factors: The length of p_u and q_i.
        mean: The mean rating.
        sparse: Whether gradients hold only the rows of a batch.
    """

    mean: Tensor

    def __init__(self, users: int, items: int, factors: int, mean: float, sparse: bool) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.user_bias, self.item_bias = (_embedding(count, 1, 0.0, sparse) for count in (users, items))
        self.user_factors, self.item_factors = (
            _embedding(count, factors, _SPREAD, sparse) for count in (users, items)
        )

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """Return predicted ratings, [B], of users, int64[B], for items, int64[B]."""
        biases = self.user_bias(users) + self.item_bias(items)  # (B, 1)
        product = self.user_factors(users) * self.item_factors(items)  # (B, factors)
        predicted: Tensor = self.mean + biases.squeeze(-1) + product.sum(-1)
        return predicted


def _embedding(count: int, width: int, spread: float, sparse: bool) -> nn.Embedding:
    table = nn.Embedding(count + 1, width, padding_idx=0, sparse=sparse)
    with torch.no_grad():
        table.weight.normal_(0.0, spread) if spread else table.weight.zero_()
        table.weight[0] = 0.0
    return table
