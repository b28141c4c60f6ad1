"""Keep weights of a model of any size during training, unchanged or as a random projection."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from ...core.comparison import Comparison, Trial

if TYPE_CHECKING:
    from torch import Tensor

LARGEST, KEPT = 20_000, 4096
"""The most weights that are kept unchanged; the size of the projection of more weights."""
_ENTRIES_A_WEIGHT, _BLOCK = 4, 2**18


def is_sketched(comparison: Comparison, trial: Trial) -> bool:
    """Return whether the weights of a trial are kept at its evaluation points."""
    return comparison.plane and trial.phase == "report" and is_first(comparison, trial)


def is_first(comparison: Comparison, trial: Trial) -> bool:
    """Return whether a trial represents its arm in figures: the first seed and tuning repeat."""
    return trial.seed == comparison.seeds[0] and trial.repeat <= 1


def sketch(weights: Sequence[Tensor]) -> Tensor:
    """Return all weights in one row, on the CPU: unchanged, or projected so that distances are preserved.

    Up to ``LARGEST`` weights are kept unchanged. More weights are reduced to ``KEPT`` numbers by a sparse
    Johnson-Lindenstrauss projection (Kane & Nelson 2014): each weight is added, with a random sign, to four
    random entries, and the sum is divided by 2. The projection is linear, the same for all models with as
    many weights, and preserves distances up to about the square root of 2/4096, 2%. Its random numbers are
    drawn again for each block of weights, so that no matrix is stored.

    Args:
        weights: Tensors of any shape.

    Returns:
        float[P] or float[KEPT], P weights in all.
    """
    flat = torch.cat([weight.detach().reshape(-1).cpu() for weight in weights])
    flat = flat if flat.dtype == torch.float64 else flat.float()
    if len(flat) <= LARGEST:
        return flat.clone()
    generator = torch.Generator().manual_seed(len(flat))
    projected = torch.zeros(KEPT, dtype=torch.float64)
    for block in flat.double().split(_BLOCK):
        for _ in range(_ENTRIES_A_WEIGHT):
            drawn = torch.randint(2 * KEPT, block.shape, generator=generator)
            projected.index_add_(0, drawn // 2, torch.where(drawn % 2 == 0, block, -block))
    return projected.div(_ENTRIES_A_WEIGHT**0.5).to(flat.dtype)
