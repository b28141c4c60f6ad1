"""The largest sums of centred points along the orders that GraB finds (Lu et al. 2022)."""

from __future__ import annotations

from contextlib import suppress

import torch

from optcompare import Epoch, StepStats

from ..strategies.grab import GraB


def prefix_norms(points: torch.Tensor, epochs: int) -> list[float]:
    """Return the largest |Σ_{i≤k} (x_i - mean)| over k in the order of each epoch, from the data's own on.

    Args:
        points: Points that stand for the gradients of n samples, shape [n, d].
        epochs: How many epochs.
    """
    strategy, order, found = GraB(100), torch.arange(len(points)), []
    for index in range(epochs):
        ordered = order if strategy.order is None else strategy.order
        found.append(float((points - points.mean(0))[ordered].cumsum(0).norm(dim=1).max()))
        batches = strategy.batches(Epoch(index, order, 0, strategy))
        batch = next(batches)
        with suppress(StopIteration):
            while True:
                batch = batches.send(StepStats(len(batch), sample_grads=points[batch]))
    return found
