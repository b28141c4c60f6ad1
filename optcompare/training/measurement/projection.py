"""Weights of a model of any size during training, as they are or as a random projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ...core.comparison import Comparison, Trial

if TYPE_CHECKING:
    from torch import Tensor

LARGEST, KEPT = 20_000, 4096
"""Weights that are kept as they are; numbers that are kept of more."""
_PLACES, _BLOCK = 4, 2**18


def is_sketched(comparison: Comparison, trial: Trial) -> bool:
    """Whether this trial's weights are kept at its marks."""
    return comparison.plane and trial.phase == "report" and is_first(comparison, trial)


def is_first(comparison: Comparison, trial: Trial) -> bool:
    """Return whether pictures show this trial of its arm alone: the first seed and tuning repeat."""
    return trial.seed == comparison.seeds[0] and trial.repeat <= 1


def sketch(weights: Sequence[Tensor]) -> Tensor:
    """Return all weights in one row, on the CPU: as they are, or projected so that distances are kept.

    Up to ``LARGEST`` weights stay as they are; of more, ``KEPT`` numbers are kept, a sparse
    Johnson-Lindenstrauss projection (Kane & Nelson 2014): each weight is added, with a random sign, to four
    random places and the sum divided by 2. It is linear, the same for every model of so many weights, and
    keeps distances to about the square root of 2/4096, 2%. Its random numbers are made anew, a block of
    weights at a time, so that no matrix is held.
    """
    flat = torch.cat([weight.detach().reshape(-1).cpu() for weight in weights])
    flat = flat if flat.dtype == torch.float64 else flat.float()
    if len(flat) <= LARGEST:
        return flat.clone()
    generator = torch.Generator().manual_seed(len(flat))
    found = torch.zeros(KEPT, dtype=torch.float64)
    for block in flat.double().split(_BLOCK):
        for _ in range(_PLACES):
            drawn = torch.randint(2 * KEPT, block.shape, generator=generator)
            found.index_add_(0, drawn // 2, torch.where(drawn % 2 == 0, block, -block))
    return found.div(_PLACES**0.5).to(flat.dtype)
