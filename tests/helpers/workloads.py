"""Small workloads that many tests train."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from optcompare import Workload


def small_workload(n: int = 10, **changes: Any) -> Workload:
    """Linear regression on n fixed random points of three features."""
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 3, generator=generator), torch.randn(n, 1, generator=generator)
    settings = {
        "model": lambda: nn.Linear(3, 1),
        "train": (x, y),
        "loss": nn.functional.mse_loss,
        "lr": 0.05,
        **changes,
    }
    return Workload(**settings)


class Counts(nn.Module):
    """Hides state where no checkpoint finds it: how often it was called in training."""

    def __init__(self) -> None:
        super().__init__()
        self.out, self.calls = nn.Linear(3, 1), 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += self.training
        return self.out(x) / (1 + 0.01 * self.calls)


def wandering():
    """Dropout draws random numbers in each update."""
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
