"""Handwritten digits, on which every update is cheap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optcompare import Workload, accuracy, hold_out, hookimpl

from .sklearn_data import numbers_of

if TYPE_CHECKING:
    from torch import Tensor, nn

    Rows = tuple[Tensor, Tensor]


def split(number: int = 0) -> tuple[Rows, Rows]:
    """Split scikit-learn's digits into 1437 training and 360 validation rows, stratified.

    Args:
        number: The number of the split, which seeds it.

    Returns:
        Training and validation rows, x float32[N, 64] from 0 to 1 and y int64[N] each.
    """
    import torch

    table = torch.from_numpy(numbers_of("digits.csv.gz", delimiter=","))
    x, y = (table[:, :-1] / 16).float(), table[:, -1].long()
    train, valid = map(torch.from_numpy, hold_out(len(y), 360, number, classes=y.numpy()))
    return (x[train], y[train]), (x[valid], y[valid])


def digits() -> Workload:
    """Classify 1797 handwritten digits of 8×8 pixels, by a perceptron 64-32-10 with ReLU (2410 weights)."""
    return _by_perceptron(0)


def _by_perceptron(number: int) -> Workload:
    from torch import nn

    train, valid = split(number)
    return Workload(
        model=lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
        train=train,
        valid=valid,
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        lr={"sgd": 0.05, "adam": 0.003, "adamw": 0.003},
        epochs=20,
        batch_size=32,
        resplit=_by_perceptron,
    )


def digits_cnn() -> Workload:
    """Classify the digits as images [1, 8, 8], by two convolutions and a linear layer (9930 weights)."""
    return _by_convolutions(0)


def _by_convolutions(number: int) -> Workload:
    from torch import nn

    train, valid = ((x.reshape(-1, 1, 8, 8), y) for x, y in split(number))
    return Workload(
        model=cnn,
        train=train,
        valid=valid,
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        lr={"sgd": 0.05, "adam": 0.003, "adamw": 0.003},
        epochs=20,
        batch_size=32,
        resplit=_by_convolutions,
    )


def cnn() -> nn.Module:
    """Return a network that maps images [B, 1, 8, 8] to scores [B, 10].

    A stride replaces pooling, since the gradient of pooling is not deterministic on CUDA.
    """
    from torch import nn

    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),  # (B, 16, 8, 8)
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),  # (B, 32, 4, 4)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"digits": digits, "digits-cnn": digits_cnn}
