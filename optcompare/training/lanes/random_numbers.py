"""Random numbers in lanes: keys of dropout masks, and a plain refusal of all others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, cast

import torch

from ..counter_rng import seed_key, update_key
from .update_rules import Unsupported

if TYPE_CHECKING:
    from torch import Tensor


def mask_keys(seeds: Sequence[int], updates: int, count: int, device: torch.device) -> list[Tensor]:
    """Return the two words of the keys of the next updates' dropout masks, int64[count, R] each.

    Args:
        seeds: The seed of each lane.
        updates: The number of updates made before.
        count: The number of updates to be made.
        device: The device of the lanes.
    """
    words = torch.tensor([seed_key(seed) for seed in seeds], dtype=torch.int64, device=device)
    update = torch.arange(updates, updates + count, dtype=torch.int64, device=device)[:, None]
    return [cast(torch.Tensor, word) for word in update_key((words[:, 0], words[:, 1]), update)]


@contextmanager
def random_numbers_refused() -> Iterator[None]:
    """Explain torch's error about random numbers within the context in words of the user.

    Raises:
        Unsupported: The model, the loss or a metric draws random numbers.
    """
    try:
        yield
    except RuntimeError as error:
        if "randomness" not in str(error):
            raise
        raise Unsupported(
            "the model or the loss draws random numbers in its own code (such as F.dropout); "
            "lanes can draw only the masks of layers such as nn.Dropout"
        ) from error
