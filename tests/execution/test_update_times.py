"""The seconds of updates by one clock, here one that counts losses and not the machine's."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import Strategy
from optcompare.execution.update_times import ROUNDS, update_times
from optcompare.training.device import torch_settings
from tests.helpers.strategies import Growing
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import Pairs, small_workload


class FakeClock:
    """Stands still, but for ``seconds`` that each loss of a workload takes, and what others add."""

    def __init__(self, seconds: float) -> None:
        self.now, self.seconds = 0.0, seconds

    def loss(self, output, y):
        self.now += self.seconds
        return nn.functional.mse_loss(output, y)


@pytest.fixture
def clock(monkeypatch):
    found = FakeClock(0.01)
    monkeypatch.setattr("optcompare.training.device.perf_counter", lambda: found.now)
    return found


def timed(registry, clock, strategies, n=64, **question):
    trainer = make_trainer(registry, small_workload(n, loss=clock.loss), strategies, **question)
    with torch_settings(1):
        return update_times(trainer)


def test_every_arm_is_timed_in_every_round_and_each_round_goes_the_other_way(registry, clock):
    rows, notes = timed(registry, clock, ["mini:1", "mini:4", "full"])
    arms = [("mini:1", 1), ("mini:4", 4), ("full", 64)]
    expected = [(*arm, number) for number in range(ROUNDS) for arm in (arms[::-1] if number % 2 else arms)]
    assert [(row["arm"], row["batch_size"], row["round"]) for row in rows] == expected
    assert [row["seconds"] for row in rows] == pytest.approx([0.01] * 15)
    assert notes == []


@pytest.mark.parametrize(
    ("seconds", "updates"),
    [
        (0.001, 30),  # 30 ms
        (0.01, 3),
        (0.02, 3),  # at least three
        (0.5, 3),  # one that is not timed, of the four that fit in 10 s/5
        (0.7, 1),
        (2.0, 1),  # never fewer than one
    ],
)
def test_updates_of_a_round_take_about_30_ms_and_all_rounds_about_10_s(registry, clock, seconds, updates):
    clock.seconds = seconds
    rows, _ = timed(registry, clock, ["mini:1"])
    assert {row["updates"] for row in rows} == {updates}
    assert [row["seconds"] for row in rows] == pytest.approx([seconds] * ROUNDS)


def test_arms_share_the_time_that_there_is(registry, clock):
    """Ten arms have 10 s/50 = .2 s each: one update that is not timed, and one of .1 s that is."""
    clock.seconds = 0.1
    rows, _ = timed(registry, clock, [f"mini:{size}" for size in range(1, 11)])
    assert {row["updates"] for row in rows} == {1}


def test_short_epochs_are_timed_whole_since_their_last_batch_is_smaller(registry, clock):
    """Of 64 samples, batches of 30, 30 and 4: 30 updates are 10 epochs, and 4 would be 2."""
    clock.seconds = 0.001
    assert {row["updates"] for row in timed(registry, clock, ["mini:30"])[0]} == {30}
    clock.seconds = 0.008
    assert {row["updates"] for row in timed(registry, clock, ["mini:30"])[0]} == {6}
    clock.seconds = 2.0
    assert {row["updates"] for row in timed(registry, clock, ["mini:30"])[0]} == {3}


@dataclass
class SlowToPlan(Strategy):
    """Takes a second of a clock to plan an epoch of sixteen batches."""

    def batches(self, epoch):
        self.clock.now += 1.0
        yield from epoch.order.split(4)


@pytest.mark.parametrize("seconds", [0.01, 3.0])
def test_planning_an_epoch_counts_for_each_of_its_updates_alike(registry, clock, seconds):
    """A sixteenth of a second, however many updates are made of it."""
    clock.seconds, SlowToPlan.clock = seconds, clock
    rows, _ = timed(registry, clock, [SlowToPlan()])
    assert [row["seconds"] for row in rows] == pytest.approx([seconds + 1 / 16] * ROUNDS)


def test_strategies_that_adapt_and_optimizers_with_closures_are_timed_by_whole_epochs(registry, clock):
    rows, notes = timed(registry, clock, [Growing()])
    assert notes == []
    assert {row["batch_size"] for row in rows} <= {1, 2, 3, 4}
    assert {row["updates"] for row in rows} == {25}  # of the second epoch: 4, 1, 2, 3, 4, …, 64 in all
    rows, notes = timed(registry, clock, ["full"], optimizers=["lbfgs"], lr=0.1)
    assert notes == []
    assert [row["batch_size"] for row in rows] == [64] * ROUNDS


def test_loading_is_timed_and_measuring_is_not(registry, clock):
    class Slow(Pairs):
        def __getitem__(self, index):
            clock.now += 0.5
            return super().__getitem__(index)

    slow = Slow(*small_workload(64).train)
    trainer = make_trainer(registry, small_workload(64, train=slow, loss=clock.loss), ["mini:4"], measure=16)
    with torch_settings(1):
        rows, _ = update_times(trainer)
    assert [row["seconds"] for row in rows] == pytest.approx([4 * 0.5 + 0.01] * ROUNDS)


def test_an_arm_that_fails_is_left_out_of_all_rounds_and_named(registry, clock):
    """It fails in the third round, once it has seen a hundred batches."""
    batches = []

    def loss(output, y):
        batches.append(len(y))
        if len(y) == 4 and batches.count(4) > 100:
            raise RuntimeError("too many")
        return clock.loss(output, y)

    trainer = make_trainer(registry, small_workload(64, loss=loss), ["mini:1", "mini:4"])
    clock.seconds = 0.001
    with torch_settings(1):
        rows, notes = update_times(trainer)
    assert {row["arm"] for row in rows} == {"mini:1"}
    (note,) = notes
    assert note.startswith("mini:4: its updates could not be timed: RuntimeError: too many")


def test_it_changes_no_generator_and_no_setting(registry, clock):
    def noisy(output, y):
        torch.set_num_threads(2)
        return clock.loss(output + torch.randn(()), y) + float(np.random.rand())

    trainer = make_trainer(registry, small_workload(64, loss=noisy), ["mini:16"])
    with torch_settings(1):
        before = torch.get_rng_state(), np.random.get_state()[1].copy()
        update_times(trainer)
        assert torch.equal(torch.get_rng_state(), before[0])
        assert (np.random.get_state()[1] == before[1]).all()
        assert torch.get_num_threads() == 1
