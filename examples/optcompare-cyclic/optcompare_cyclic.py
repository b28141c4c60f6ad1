"""Small batches and large ones in turn, a workload to try them on, and a count of what was measured."""

from dataclasses import dataclass

import torch
from torch import nn

from optcompare import Epoch, Strategy, Workload, accuracy, hookimpl

measurements: dict[str, int] = {}


@dataclass
class Cyclic(Strategy):
    """Batches of `small` samples in even epochs, of `large` in odd ones."""

    small: int = 8
    large: int = 64

    def __post_init__(self):
        if min(self.small, self.large) < 1:
            raise ValueError(f"a batch holds at least 1 sample, got {self.small} and {self.large}")

    def batches(self, epoch: Epoch):
        yield from epoch.order.split(self.large if epoch.index % 2 else self.small)


def two_moons(n: int = 300, noise: float = 0.2) -> Workload:
    """Two interleaved half circles, one class each, by a perceptron 2-16-1 with ReLU; a third is held out."""
    from sklearn.datasets import make_moons

    points, labels = make_moons(n, noise=noise, random_state=0)
    x, y = torch.from_numpy(points).float(), torch.from_numpy(labels).float().reshape(-1, 1)
    held_out = n // 3
    return Workload(
        model=lambda: nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 1)),
        train=(x[held_out:], y[held_out:]),
        valid=(x[:held_out], y[:held_out]),
        loss=nn.functional.binary_cross_entropy_with_logits,
        metrics={"accuracy": accuracy},
        lr={"sgd": 0.1, "adam": 0.01},
        epochs=20,
        batch_size=16,
    )


@hookimpl
def optcompare_strategies():
    return {"cyclic": Cyclic}


@hookimpl
def optcompare_workloads():
    return {"two-moons": two_moons}


@hookimpl
def optcompare_measured(trial, record):
    measurements[trial.arm.label] = measurements.get(trial.arm.label, 0) + 1
