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


class Anneals(nn.Module):
    """Counts its updates in a buffer of whole numbers that it assigns anew."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(3, 1)
        self.register_buffer("steps", torch.zeros((), dtype=torch.long))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.steps = self.steps + 1
        return self.out(x) / (1 + 0.05 * self.steps.double())


def wandering():
    """Dropout draws random numbers in each update."""
    return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))


class Drops(nn.Linear):
    """Draws random numbers in its own forward pass, without a layer for them."""

    def forward(self, x):
        return nn.functional.dropout(super().forward(x), 0.5, self.training)


def dropping():
    """A function draws random numbers in each update, as lanes cannot."""
    return nn.Sequential(nn.Linear(3, 8), Drops(8, 1))


class Pairs(torch.utils.data.Dataset):
    """Tensors as a Dataset."""

    def __init__(self, x: torch.Tensor, y: torch.Tensor) -> None:
        self.x, self.y = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[index], self.y[index]


class Named(nn.Module):
    """Takes a batch by name."""

    def __init__(self) -> None:
        super().__init__()
        self.out = nn.Linear(3, 2)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.out(x)


def own_accuracy(output: torch.Tensor, y: Any) -> tuple[torch.Tensor, int]:
    labels = y["y"] if isinstance(y, dict) else y
    return (output.argmax(1) == labels).double().sum(), len(labels)


def of_named(output: torch.Tensor, batch: Any) -> torch.Tensor:
    return nn.functional.cross_entropy(output, batch["y"])


def held_out(number: int = 0, kind: str = "tensors", **changes: Any) -> Workload:
    """Two classes of 40 points, of which 8 are for validation and 8 for the test set, by a split of that
    number.

    The third feature is each point's own number, by which it can be told.
    """
    x = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] + x[:, 1] > 0).long()
    x[:, 2] = torch.arange(40) / 40
    places = torch.randperm(40, generator=torch.Generator().manual_seed(number)).split([24, 8, 8])
    parts = [(x[rows], y[rows]) for rows in places]
    named = kind == "mapping"
    made: dict[str, Any] = {
        "tensors": parts,
        "Dataset": [Pairs(*part) for part in parts],
        "mapping": [{"x": x, "y": y} for x, y in parts],
    }
    settings = {
        "model": Named if named else lambda: nn.Linear(3, 2),
        **dict(zip(("train", "valid", "test"), made[kind], strict=True)),
        "loss": of_named if named else nn.functional.cross_entropy,
        "metrics": {"accuracy": own_accuracy},
        "lr": 0.2,
        "resplit": lambda number: held_out(number, kind, **changes),
        **changes,
    }
    return Workload(**settings)
