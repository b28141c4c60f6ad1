"""What code of a workload or strategy changes of the process comes back, after each trial and after a
comparison.
"""

from __future__ import annotations

import os
import signal
import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import ComparisonError, Strategy, compare
from optcompare.training.settings import _SETTINGS, preserved_settings
from tests.helpers.workloads import small_workload


def ignore(*arguments: object) -> None:
    pass


CHANGES = {
    "threads": lambda: torch.set_num_threads(3),
    "dtype": lambda: torch.set_default_dtype(torch.float64),
    "device": lambda: torch.set_default_device("meta"),
    "gradients": lambda: torch.set_grad_enabled(False),
    "precision": lambda: torch.set_float32_matmul_precision("medium"),
    "algorithms": lambda: torch.use_deterministic_algorithms(True, warn_only=False),
    "anomalies": lambda: torch.autograd.set_detect_anomaly(True, check_nan=False),
    "floating-point errors": lambda: np.seterr(all="raise"),
    "filters": lambda: warnings.filterwarnings("ignore", "of mine"),
    "directory": lambda: os.chdir("/"),
    "signals": lambda: signal.signal(signal.SIGTERM, ignore),
}


def settings() -> list[object]:
    return [read() for read, _ in _SETTINGS]


@pytest.fixture(autouse=True)
def put_back():
    with preserved_settings():
        yield


@dataclass
class Changes(Strategy):
    """Changes a setting in its second epoch; other trials note what they find."""

    what: str = ""
    fails: bool = False

    def batches(self, epoch):
        yield from epoch.order.split(4)
        if epoch.index == 1 and self.what:
            CHANGES[self.what]()
            if self.fails:
                raise RuntimeError("after the change")


@dataclass
class Looks(Strategy):
    def batches(self, epoch):
        FOUND.append(settings())
        yield from epoch.order.split(5)


FOUND: list[list[object]] = []


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("what", CHANGES)
def test_a_setting_that_a_trial_changes_reaches_neither_the_next_nor_the_caller(what, fails):
    before = settings()
    FOUND.clear()
    compare(small_workload(), [Looks(), Changes(what, fails)], seeds=3, epochs=2, trainer="loop")
    assert settings() == before
    assert all(found == FOUND[-1] for found in FOUND[-6:]), "of three seeds and two epochs"


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("what", ["dtype", "directory", "floating-point errors"])
def test_a_setting_changed_while_a_model_is_made_or_a_plugin_is_loaded_comes_back(tmp_path, what):
    before = settings()

    def model():
        CHANGES[what]()
        return nn.Linear(3, 1, dtype=torch.float32)

    compare(small_workload(model=model), "full", seeds=1, epochs=1)
    assert settings() == before
    (tmp_path / "mine.py").write_text(
        "import os, torch\nos.chdir('/')\ntorch.set_num_threads(2)\nraise SystemExit\n"
    )
    with pytest.raises(Exception, match="does not import: SystemExit"):
        compare("line", "full", plugins=str(tmp_path / "mine.py"))
    assert settings() == before
    with pytest.raises(ComparisonError, match="at least 1 seed"):
        compare("line", "full", seeds=0)
    assert settings() == before
