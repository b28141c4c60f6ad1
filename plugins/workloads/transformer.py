"""A small causal transformer."""

import torch
from torch import Tensor, nn


class Transformer(nn.Module):
    """Map character codes int64[B, T] to scores [B, T, V] of the next ones.

    Layer norms precede the parts of a block (Radford et al. 2019); position embeddings are learned. The names
    of the attributes are part of checkpoints and fingerprints, so they stay as they are.
    """

    def __init__(self, vocabulary: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(0.02 * torch.randn(context, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, codes: Tensor) -> Tensor:
        x: Tensor = self.characters(codes) + self.places[: codes.shape[1]]
        scores: Tensor = self.scores(self.norm(self.blocks(x)))
        return scores


class Block(nn.Module):
    """Compute x + attention(norm(x)), then x + perceptron(norm(x)).

    ``asked`` projects to queries, keys and values, ``given`` projects the output of the heads.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.given = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attention(self.before(x))
        out: Tensor = x + self.perceptron(self.between(x))
        return out

    def _attention(self, x: Tensor) -> Tensor:
        """Compute softmax(q·k/√d) v over positions up to this one, written out so that lanes can run it."""
        rows, positions, width = x.shape
        split = self.asked(x).reshape(rows, positions, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, T, d)
        later = torch.ones(positions, positions, dtype=torch.bool, device=x.device).triu(1)
        match = (q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5).masked_fill(later, -torch.inf)
        mixed = (match.softmax(-1) @ v).transpose(1, 2).reshape(rows, positions, width)
        projected: Tensor = self.given(mixed)
        return projected
