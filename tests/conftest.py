"""What many tests share: small workloads, and the trainer without the command line."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from optcompare import Workload
from optcompare.core.comparison import Trial
from optcompare.planning.resolve import resolve
from optcompare.registry.manager import Registry
from optcompare.training.device import torch_as_agreed
from optcompare.training.loop.trainer import LoopTrainer


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load()


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


def make_trainer(registry: Registry, workload: Workload, strategies: list[Any], **question: Any) -> LoopTrainer:
    """A loop trainer for a question, as ``compare()`` would make it."""
    settings = {"optimizers": ["sgd"], "lr": None, "chunk": None, "eval_chunk": None, "budget": None, "order": None}
    settings |= {"seeds": (0,), **question}
    setup, _ = resolve(registry, workload=workload, strategies=strategies, **settings)
    return LoopTrainer(setup)


def train(
    trainer: LoopTrainer, trial: Trial, until: Callable[[], bool] = lambda: False
) -> tuple[list[Any], dict[str, Any]]:
    """A trial to its end, in as many tasks as ``until`` cuts it into."""
    state, records = None, []
    with torch_as_agreed(trainer.setup.comparison.threads):
        while state is None or state["progress"]["status"] == "running":
            new, state = trainer.advance(
                [trial], copy.deepcopy(state), until
            )  # a copy: as another process would get it
            records += new
    return records, state


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=2, help="how often tests/test_soak.py kills each kind of run")
