"""One Ctrl-C or SIGTERM is enough, whatever is under way; what was measured before it is kept."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from optcompare import Strategy, compare
from optcompare.execution import stopping
from optcompare.execution.stopping import stop_on_interrupt
from optcompare.storage.state_files import SavedStates
from tests.helpers.workloads import small_workload

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signals for one process")


@dataclass
class Hangs(Strategy):
    """From the third epoch on never yields; it sends the signal itself once it is there."""

    to_parent: bool = False
    caught: bool = False

    def batches(self, epoch):
        if epoch.index == 2:
            os.kill(os.getppid() if self.to_parent else os.getpid(), signal.SIGTERM)
            while True:
                try:
                    sum(range(1000))
                except Exception:
                    if not self.caught:
                        raise
        yield from epoch.order.split(2)


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    monkeypatch.setattr(stopping, "PATIENCE", 0.3)


@pytest.mark.parametrize("hangs", [Hangs(), Hangs(caught=True)], ids=["loops", "catches exceptions"])
def test_one_signal_ends_a_strategy_that_hangs_and_keeps_what_was_measured(tmp_path, hangs):
    result = compare("line", ["full", hangs], seeds=2, epochs=4, trainer="loop", out=tmp_path / "run")
    assert result.status == "interrupted"
    assert result.trials["status"].tolist() == ["finished", "interrupted"]
    assert result.trials["reason"].tolist() == ["", "interrupted within an update"]


def test_one_signal_ends_a_job_that_hangs(tmp_path):
    result = compare("line", ["mini:1", Hangs(to_parent=True)], seeds=1, epochs=4, trainer="loop", jobs=2)
    assert result.status == "interrupted"


def test_the_first_signal_asks_and_impatience_or_the_second_interrupts():
    with stop_on_interrupt() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        assert (stop.requested, stop.at_once) == (True, False)
        with pytest.raises(KeyboardInterrupt, match=r"^$"):
            os.kill(os.getpid(), signal.SIGTERM)
        assert stop.at_once
        stop.saving = True
        os.kill(os.getpid(), signal.SIGINT)


def test_handlers_of_the_caller_come_back_and_no_late_signal_reaches_them(monkeypatch):
    got = []
    before = signal.signal(signal.SIGTERM, lambda *_: got.append(1))
    try:
        with stop_on_interrupt():
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
        assert got == [1]
    finally:
        signal.signal(signal.SIGTERM, before)


@pytest.mark.slow
def test_a_trial_that_fails_before_its_first_update_leaves_a_checkpoint_that_can_be_read(tmp_path):
    """Its state has nothing to continue from, and the user stops at the same time."""

    sent = []

    def model():
        if torch.initial_seed() == 1:
            if not sent:
                sent.append(os.kill(os.getpid(), signal.SIGINT))
            raise RuntimeError("this factory makes no model of seed 1")
        return nn.Linear(3, 1)

    run = tmp_path / "run"
    result = compare(small_workload(model=model), "full", seeds=3, epochs=1, trainer="loop", out=run)
    assert result.trials["status"].tolist() == ["finished", "failed"]
    assert SavedStates(run).checkpoint() == []
