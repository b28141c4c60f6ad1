"""Adaptive strategies in lanes: each receives the statistics of its own trial, as in the loop."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import pytest
import torch
from torch import nn

from optcompare import Strategy, compare
from optcompare.core.comparison import Budget
from optcompare.core.rng import permutation
from optcompare.interfaces.strategy import NEEDS
from optcompare.training.lanes.trainer import LanesTrainer
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload
from tests.training.lanes.test_trainer import advanced


@dataclass
class Notes(Strategy):
    """Batches of three; keeps all statistics that it receives."""

    adaptive: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = NEEDS
    seen: list = field(init=False, default_factory=list)

    def batches(self, epoch):
        for batch in epoch.order.split(3):
            stats = yield batch
            self.seen.append([torch.as_tensor(getattr(stats, name)).tolist() for name in NEEDS])


def noted(optimizer="sgd", **question):
    settings = {"seeds": (0, 1), "budget": Budget("epochs", 3), "dtype": "float64", **question}
    return {"optimizers": [optimizer], **settings}


def flat(values):
    return torch.cat(
        [torch.as_tensor(each, dtype=torch.float64).reshape(-1) for row in values for each in row]
    )


@pytest.mark.parametrize("optimizer", ["sgd:momentum=0.9", "adam"])
@pytest.mark.parametrize("traced", [False, True], ids=["vmapped", "traced"])
def test_grab_trains_in_lanes_as_in_the_loop(monkeypatch, optimizer, traced):
    monkeypatch.setattr("optcompare.training.lanes.engines.choice.worth_tracing", lambda updates: traced)
    monkeypatch.setattr("optcompare.training.lanes.statistics._UNTRACED", 2)
    lanes, loop = both(small_workload(), "grab:4", optimizer, epochs=5, measure=2, lr=[0.02, 0.05])
    agree(lanes, loop)
    assert (trainers(lanes), trainers(loop)) == ({"lanes"}, {"loop"})
    assert lanes.notes == []
    assert lanes.trials["rearranged"].all()


@pytest.mark.slow
@pytest.mark.parametrize("budget", [{"updates": 7}, {"samples": 25}, {"samples": 20}, {"epochs": 2}])
@pytest.mark.parametrize("measure", [0, 3])
def test_budgets_and_evaluation_points_are_those_of_the_loop(budget, measure):
    workload = small_workload(valid=small_workload(7).train)
    lanes, loop = both(workload, "grab:4", measure=measure, **{"updates": None, **budget})
    agree(lanes, loop)
    assert trainers(lanes) == {"lanes"}


@pytest.mark.parametrize("question", [{}, {"schedule": "cosine", "clip": 0.5}], ids=["plain", "scheduled"])
def test_a_strategy_receives_the_statistics_of_the_loop(registry, question):
    loop = make_trainer(registry, small_workload(), [Notes()], trainer="lanes", **noted(**question))
    group, _, state = advanced(loop)
    assert len(group) == 2
    for trial, lane in zip(group, state["lanes"], strict=True):
        _, alone = loop.advance([trial], None, lambda: False)
        assert lane["progress"]["batches"] == alone["progress"]["batches"]
        one, other = (flat(each["strategy"]["seen"]) for each in (lane, alone))
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("fresh", [False, True], ids=["live", "from a file"])
def test_where_lanes_are_cut_changes_nothing(registry, fresh):
    loop = make_trainer(registry, small_workload(), ["grab:4"], trainer="lanes", **noted("adam"))
    _, records, whole = advanced(loop)
    _, cut_records, cut = advanced(loop, lambda: True, fresh=fresh)
    assert cut_records == records
    for one, other in zip(cut["lanes"], whole["lanes"], strict=True):
        for name in ("status", "updates", "final_sha256", "batches", "orders"):
            assert one["progress"][name] == other["progress"][name]


def test_the_loop_goes_on_from_an_epoch_of_lanes(registry):
    loop = make_trainer(registry, small_workload(), ["grab:4"], trainer="lanes", **noted("adam"))
    trainer = LanesTrainer(loop, 2**30)
    (group,) = trainer.admit(loop.setup.comparison.trials()).groups
    _, state = trainer.advance(group, None, lambda: True)
    assert state["lanes"][1]["progress"]["epoch"] == 1
    _, mixed = loop.advance([group[1]], state["lanes"][1], lambda: False)
    _, alone = loop.advance([group[1]], None, lambda: False)
    assert mixed["progress"]["batches"] == alone["progress"]["batches"]
    for name, value in alone["model"].items():
        torch.testing.assert_close(mixed["model"][name], value, rtol=1e-12, atol=1e-12)


def test_a_stop_within_an_epoch_interrupts_all_lanes(registry):
    loop = make_trainer(registry, small_workload(), ["grab:4"], trainer="lanes", **noted())
    trainer = LanesTrainer(loop, 2**30)
    (group,) = trainer.admit(loop.setup.comparison.trials()).groups
    _, state = trainer.advance(group, None, lambda: False, stop=lambda: True)
    for lane in state["lanes"]:
        assert (lane["progress"]["status"], lane["progress"]["updates"]) == ("interrupted", 1)
        assert lane["progress"]["reason"] == "stopped within an epoch"


@pytest.mark.slow
def test_a_lane_that_diverges_ends_where_it_does_in_the_loop():
    lanes, loop = both(small_workload(), "grab:4", lr=[0.05, 100.0], epochs=60, updates=None)
    agree(lanes, loop, rtol=1e-8, batches=False)
    assert set(lanes.trials["status"]) == {"diverged", "finished"}
    assert trainers(lanes) == {"lanes"}


@dataclass
class Breaks(Notes):
    """Fails on one seed within its third epoch."""

    needs: ClassVar[tuple[str, ...]] = ("loss",)

    def batches(self, epoch):
        for number, batch in enumerate(epoch.order.split(3)):
            if epoch.index == 2 and number == 2 and int(epoch.order[0]) == FIRST:
                raise RuntimeError("no more")
            yield batch


FIRST = int(permutation(0, 2, 10)[0])


def test_a_lane_whose_strategy_fails_keeps_its_weights():
    lanes, loop = both(small_workload(), [Breaks()], epochs=4, updates=None)
    assert set(lanes.trials["status"]) == {"failed", "finished"}
    agree(lanes, loop)
    assert trainers(lanes) == {"lanes"}


@dataclass
class Differs(Notes):
    """From its third epoch on, takes other sizes on some seeds; within it, if ``late``."""

    needs: ClassVar[tuple[str, ...]] = ("loss",)
    late: bool = True
    before: float = field(init=False, default=0.0)

    def batches(self, epoch):
        start, own = 0, 3 + int(epoch.order[0]) % 2
        while start < len(epoch.order):
            size = own if epoch.index == 2 and (start or not self.late) else 3
            stats = yield epoch.order[start : start + size]
            self.before = stats.loss
            start += size


@pytest.mark.parametrize("late", [True, False], ids=["within an epoch", "between epochs"])
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_lanes_of_other_sizes_go_on_in_the_loop_from_the_start_of_the_epoch(optimizer, late):
    lanes, loop = both(
        small_workload(), [Differs(late)], optimizer, epochs=4, updates=None, seeds=6, measure=4
    )
    agree(lanes, loop)
    assert trainers(lanes) == {"lanes", "lanes+loop"}
    (note,) = lanes.notes
    assert "its batches have other sizes than the other lanes' from epoch 2 on" in note


@dataclass
class Stops(Notes):
    """Yields too few batches on one seed in its third epoch."""

    coverage: ClassVar[str] = "free"
    needs: ClassVar[tuple[str, ...]] = ("loss",)

    def batches(self, epoch):
        short = epoch.index == 2 and int(epoch.order[0]) == FIRST
        for batch in epoch.order.split(3)[: 2 if short else None]:  # noqa: UP028 - as others are written
            yield batch


def test_a_lane_whose_epoch_is_shorter_fails_as_in_the_loop():
    lanes, loop = both(small_workload(), [Stops()], epochs=4, updates=None)
    assert set(lanes.trials["status"]) == {"failed", "finished"}
    assert set(lanes.trials["reason"]) == set(loop.trials["reason"])
    agree(lanes, loop)


@dataclass
class Grows(Notes):
    """Doubles its batches in every epoch, alike in all trials."""

    needs: ClassVar[tuple[str, ...]] = ()
    size: int = field(init=False, default=1)

    def batches(self, epoch):
        for batch in epoch.order.split(self.size):  # noqa: UP028 - as adaptive strategies are written
            yield batch
        self.size *= 2


def test_batches_may_grow_alike():
    lanes, loop = both(small_workload(), [Grows()], epochs=4, updates=None)
    agree(lanes, loop)
    assert trainers(lanes) == {"lanes"}


@pytest.mark.parametrize("limit", [{"chunk": 3}, {"memory": "3KB"}])
def test_batches_that_grow_too_large_go_on_in_the_loop(limit):
    lanes, loop = both(small_workload(), [Grows()], epochs=4, updates=None, **limit)
    agree(lanes, loop)
    assert trainers(lanes) == {"lanes+loop"}
    assert "its batches have become larger than the" in lanes.notes[0]


class Unused(nn.Linear):
    def __init__(self):
        super().__init__(3, 1)
        self.other = nn.Parameter(torch.ones(2))


REFUSED = {
    "statistics of other weights": (
        {"model": Unused, "strategies": [Notes()]},
        "grad, which the strategy needs, differs from the loop's by inf of its norm",
    ),
    "batches in chunks": (
        {"strategies": "grab:4", "chunk": 3},
        "statistics of an update in several chunks are computed chunk by chunk",
    ),
    "other sizes from the start on": (
        {"strategies": "norm-test:2"},
        "the strategy chooses other batch sizes for each trial from its first updates on",
    ),
    "dropout": (
        {
            "model": lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1)),
            "strategies": "grab:4",
        },
        "statistics of adaptive strategies do not draw dropout masks in lanes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_lanes_cannot_do_goes_to_the_loop_with_a_note(case):
    changes, why = REFUSED[case]
    model = {"model": changes["model"]} if "model" in changes else {}
    others = {name: value for name, value in changes.items() if name not in ("model", "strategies")}
    result = compare(
        small_workload(**model),
        changes["strategies"],
        seeds=2,
        epochs=2,
        trainer="lanes",
        dtype="float64",
        **others,
    )
    assert trainers(result) == {"loop"}
    assert set(result.trials["status"]) == {"finished"}
    assert any(f"2 trials in the loop instead of lanes: {why}" in note for note in result.notes)


def test_lanes_are_no_default_for_adaptive_strategies():
    log = compare(small_workload(), "grab:4", seeds=3, epochs=3, trainer="auto").environment["trainers"]
    assert any(
        "chooses each batch by the previous updates of its trial, which lanes round otherwise" in line
        for line in log
    )
