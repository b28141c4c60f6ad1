"""Trials without the command line, interrupted and compared."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Callable
from typing import Any

from optcompare import Workload
from optcompare.core.comparison import Trial
from optcompare.planning.question import Question
from optcompare.planning.resolve import resolve
from optcompare.registry.manager import Registry
from optcompare.training.device import torch_settings
from optcompare.training.loop.trainer import LoopTrainer
from optcompare.training.shared_init import fingerprint


def make_trainer(
    registry: Registry, workload: Workload, strategies: list[Any], **question: Any
) -> LoopTrainer:
    """A loop trainer for a question, as ``compare()`` would make it."""
    settings = {"seeds": (0,), "device": "cpu", **question}
    setup, _ = resolve(registry, Question(workload=workload, strategies=strategies, **settings))
    return LoopTrainer(setup)


def train(
    trainer: LoopTrainer, trial: Trial, until: Callable[[], bool] = lambda: False
) -> tuple[list[Any], dict[str, Any]]:
    """A trial to its end, in as many tasks as ``until`` cuts it into."""
    state, records = None, []
    with torch_settings(trainer.setup.comparison.threads):
        while state is None or state["progress"]["status"] == "running":
            new, state = trainer.advance(
                [trial], copy.deepcopy(state), until
            )  # a copy: as another process would get it
            records += new
    return records, state


EXACT = [
    "arm",
    "seed",
    "status",
    "updates",
    "samples",
    "weights_sha256",
    "order_sha256",
    "batches_sha256",
    "final_sha256",
]


class Press:
    """Ctrl-C at the ``at``-th measurement; counts the trials that ended."""

    def __init__(self, at=None):
        self.at, self.ended = at, []

    def measured(self, trial, record):
        if self.at is not None:
            self.at -= 1
            if self.at == 0:
                os.kill(os.getpid(), signal.SIGINT)

    def trial_finished(self, trial, outcome):
        self.ended.append((trial.arm.label, trial.seed))

    def advanced(self, done, of, fraction, seconds_left):
        pass


def same(one, other):
    assert one.trials[EXACT].equals(other.trials[EXACT])
    unclocked = [name for name in one.records.columns if name not in ("seconds", "clock")]
    assert one.records[unclocked].equals(other.records[unclocked])
    assert [(check.name, check.held) for check in one.certificate] == [
        (c.name, c.held) for c in other.certificate
    ]
    assert one.weights.keys() == other.weights.keys()
    for key, weights in one.weights.items():
        assert fingerprint(weights) == fingerprint(other.weights[key])
