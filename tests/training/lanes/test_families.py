"""Which models lanes take, with the loop's results; and that whatever else there is goes to the loop, with a
note.
"""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest
import torch
from optcompare_plugins.lane_rules import sgd
from optcompare_plugins.lane_rules.sgd import SGD
from torch import nn

from optcompare import Strategy, compare
from optcompare.execution.scheduler import Tasks
from optcompare.planning.estimates import Estimate
from optcompare.training.device import torch_settings
from optcompare.training.lanes.admission import Admitted
from optcompare.training.lanes.trainer import LanesTrainer
from optcompare.training.lanes.updates import LanesUpdates
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import Anneals, dropping, small_workload


class InTraining(nn.Module):
    """Counts its training passes in a buffer, half of them in one that is not saved."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)
        self.register_buffer("passes", torch.tensor(0))
        self.register_buffer("scale", torch.tensor(1.0), persistent=False)

    def forward(self, x):
        if self.training:
            self.passes += 1
            self.scale.mul_(1.01)
        return self.out(x) * self.scale


class Frozen(nn.Module):
    def __init__(self):
        super().__init__()
        self.kept, self.out = nn.Linear(3, 4), nn.Linear(4, 1)
        self.kept.weight.requires_grad_(False)
        self.register_buffer("scale", torch.tensor(2.0))

    def forward(self, x):
        return self.out(self.kept(x)) * self.scale


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two, self.out = nn.Linear(3, 3), nn.Linear(3, 3), nn.Linear(3, 1)
        self.two.weight = self.one.weight

    def forward(self, x):
        return self.out(self.two(torch.tanh(self.one(x))))


class Unused(nn.Module):
    def __init__(self):
        super().__init__()
        self.out, self.spare = nn.Linear(3, 1), nn.Linear(3, 1)

    def forward(self, x):
        return self.out(x)


class InPlace(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        return self.out(x.mul_(0.5))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.cells, self.out = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 1)

    def forward(self, x):
        return self.out(self.cells(x[:, :, None])[0][:, -1])


def normalised(*changes):
    return lambda: nn.Sequential(nn.Linear(3, 8), *changes, nn.BatchNorm1d(8), nn.Linear(8, 1))


def squared(model, batch):
    return ((model(batch[0]) - batch[1]) ** 2).mean()


def absolute(output, y):
    return (output - y).abs().sum().item(), len(y)


class TestModels:
    """Of every kind that lanes take, the results are the loop's."""

    @pytest.mark.slow
    @pytest.mark.parametrize(
        "changes",
        [
            pytest.param({"model": normalised()}, id="batch norm"),
            pytest.param({"model": InTraining}, id="buffers that training changes"),
            pytest.param({"model": Frozen}, id="frozen weights"),
            pytest.param({"model": Tied}, id="tied weights"),
            pytest.param({"model": Unused}, id="unused weights"),
            pytest.param({"model": lambda: nn.LazyLinear(1)}, id="lazy module"),
            pytest.param(
                {"loss": None, "objective": squared, "weight": lambda batch: 1.0 * len(batch[0])},
                id="objective",
            ),
            pytest.param({"metrics": {"error": absolute}}, id="metric by item()"),
            pytest.param({"model": Recurrent}, id="recurrent"),
            pytest.param({"model": InPlace}, id="in place"),
        ],
    )
    def test_a_model_trains_as_in_the_loop(self, changes):
        may_fail = "metrics" in changes or changes.get("model") is Recurrent
        agree(*both(small_workload(**changes), "mini:4:tail=merge", "sgd:momentum=0.9", may_fail=may_fail))

    @pytest.mark.slow
    @pytest.mark.parametrize("measure", [0, pytest.param(1)])
    def test_batch_norm_keeps_its_statistics_in_lanes(self, measure):
        lanes, loop = both(small_workload(model=normalised()), ["full", "mini:4:tail=merge"], measure=measure)
        assert trainers(lanes) == {"lanes"}
        for trial, weights in loop.weights.items():
            torch.testing.assert_close(lanes.weights[trial]["1.running_mean"], weights["1.running_mean"])

    @pytest.mark.slow
    def test_a_weighted_loss_module_is_cast_as_in_the_loop(self):
        shares = torch.tensor([1.0, 3.0])
        y = torch.tensor([0, 0, 1, 0, 1, 0, 0, 1, 1, 0])
        workload = small_workload(
            model=lambda: nn.Linear(3, 2),
            train=(small_workload().train[0], y),
            loss=nn.CrossEntropyLoss(shares),
            weight=lambda batch: float(shares[batch[-1]].sum()),
        )
        lanes, loop = both(workload, "mini:4", dtype="float32")
        agree(lanes, loop, rtol=1e-5)
        assert trainers(lanes) == {"lanes"}
        lanes, loop = both(workload, "mini:4", may_fail=True, dtype="float32", chunk=3)
        agree(lanes, loop, rtol=1e-5)
        assert trainers(lanes) == {"loop"}, "its weights cannot be read while lanes share a program"

    def test_a_model_that_works_in_place_leaves_the_callers_data_alone(self):
        workload = small_workload(model=InPlace)
        before = workload.train[0].clone()
        compare(workload, "mini:4", seeds=2, updates=3, trainer="lanes")
        assert torch.equal(workload.train[0], before)


def test_a_buffer_that_is_assigned_anew_is_carried_on():
    lanes, loop = both(small_workload(model=Anneals), "mini:4")
    agree(lanes, loop)
    assert trainers(lanes) == {"lanes"}


class Decides(nn.Linear):
    def forward(self, x):
        output = super().forward(x)
        return output * 2 if output.sum() > 0 else output


class Draws(nn.Linear):
    def forward(self, x):
        return super().forward(x) + (torch.randn(()).to(x) if self.training else 0)


class Hides(nn.Linear):
    """Each third training pass counts double."""

    calls = 0

    def forward(self, x):
        self.calls += self.training
        return super().forward(x) * (1 + (self.calls % 3 == 0))


class Differs(Strategy):
    """Its batches are of four or of five, as the order has it."""

    def batches(self, epoch):
        yield from epoch.order.split(4 + int(epoch.order[0]) % 2)


class Strays(Strategy):
    """From the fourth epoch on its batches are of four or of five, as the seed has it."""

    def batches(self, epoch):
        yield from epoch.order.split(4 if epoch.index < 3 else 4 + int(epoch.order[0]) % 2)


class OwnSGD(torch.optim.SGD):
    """A rule of a base class does not apply, since another step may be different."""


FALLBACKS = {
    "an optimizer without a rule": (
        {"optimizers": OwnSGD},
        "there is no lane rule for the optimizer OwnSGD",
    ),
    "dropout as a function": (
        {"model": dropping},
        "the model or the loss draws random numbers in its own code",
    ),
    "batches of other sizes for each seed": ({"strategies": [Differs()]}, "lanes failed: "),
    "a Dataset": (
        {"train": torch.utils.data.TensorDataset(*small_workload().train)},
        "the samples of a Dataset are loaded one by one",
    ),
    "data-dependent control flow": (
        {"model": lambda: Decides(3, 1)},
        "lanes failed: .*data-dependent control flow",
    ),
    "random numbers": (
        {"model": lambda: Draws(3, 1)},
        "the model or the loss draws random numbers in its own code",
    ),
    "decay of unused weights": (
        {"model": Unused, "optimizers": "sgd:weight_decay=0.1"},
        r"an update differs from the loop's by .*e-0\d of the weights' norm \(1e-12 is allowed\)",
    ),
}


class TestFallbacks:
    @pytest.mark.slow
    @pytest.mark.parametrize("case", FALLBACKS)
    def test_what_lanes_cannot_do_goes_to_the_loop_with_a_note(self, case):
        changes, reason = FALLBACKS[case]
        arms = {"strategies": "mini:4", "optimizers": "sgd", **changes}
        workload = small_workload(
            **{key: value for key, value in changes.items() if key not in ("strategies", "optimizers")}
        )
        lanes, loop = both(
            workload, arms["strategies"], arms["optimizers"], may_fail="lanes failed" in reason, updates=5
        )
        agree(lanes, loop, rtol=0)
        assert trainers(lanes) == {"loop"}
        assert all(re.match(reason, text) for text in lanes.trials["fallback"])
        assert loop.notes == []
        assert set(loop.trials["fallback"]) == {""}
        assert all(
            re.fullmatch(rf".*: \d trials? in the loop instead of lanes: {reason}.*", note)
            for note in lanes.notes
        )

    def test_a_budget_of_seconds_goes_to_the_loop(self):
        result = compare(small_workload(), "mini:4", seeds=2, seconds=0.01, trainer="lanes")
        assert trainers(result) == {"loop"}
        assert result.notes == [
            "mini:4: 2 trials in the loop instead of lanes: a budget of seconds needs a clock for "
            "each single trial"
        ]

    def test_auto_says_nothing_of_a_short_run_that_goes_to_the_loop(self):
        result = compare(small_workload(), "mini:4", OwnSGD, seeds=2, updates=5, trainer="auto")
        assert (trainers(result), result.notes) == ({"loop"}, [])
        assert set(result.trials["fallback"]) == {"there is no lane rule for the optimizer OwnSGD"}

    def test_a_group_that_lanes_do_not_repay_is_named_in_the_table(self):
        result = compare(small_workload(), "mini:4", seeds=2, updates=5, trainer="auto")
        assert trainers(result) == {"loop"}
        assert set(result.trials["fallback"]) == {"so few updates do not repay lanes"}

    @pytest.mark.slow
    def test_a_rule_that_is_wrong_is_refused_by_the_check(self, monkeypatch):
        def wrong(weight, grad, state, rates, flags):
            return SGD.update(weight, grad * (1 + 1e-9), state, rates, flags)

        monkeypatch.setattr(sgd, "SGD", dataclasses.replace(SGD, update=wrong))
        lanes, loop = both(small_workload(), "mini:4", ["sgd", "adam"])
        agree(lanes, loop)
        assert dict(zip(lanes.trials["arm"], lanes.trials["trainer"], strict=True)) == {
            "mini:4@sgd": "loop",
            "mini:4@adam": "lanes",
        }
        assert all("differs from the loop's by" in note for note in lanes.notes)

    @pytest.mark.parametrize("epochs", [1, 4])
    def test_a_model_with_hidden_state_ends_as_in_the_loop(self, epochs):
        agree(*both(small_workload(model=lambda: Hides(3, 1)), "mini:4", epochs=epochs, updates=None))

    def test_lanes_whose_batches_have_other_sizes_end_in_the_loop(self):
        lanes, _ = both(small_workload(), [Strays()], "adam", seeds=4, epochs=5, updates=None)
        assert trainers(lanes) == {"lanes", "lanes+loop"}
        assert set(lanes.trials["status"]) == {"finished"}
        (note,) = lanes.notes
        why = "its batches have other sizes than the other lanes' from epoch 3 on"
        assert f"in the loop instead of lanes: {why}" in note
        left = lanes.trials["trainer"] == "lanes+loop"
        assert set(lanes.trials["fallback"][left]) == {why}
        assert set(lanes.trials["fallback"][~left]) == {""}

    @pytest.mark.parametrize("optimizer", ["sgd", "adam"])
    def test_lanes_that_strayed_end_as_in_the_loop(self, optimizer):
        agree(*both(small_workload(), [Strays()], optimizer, seeds=4, epochs=5, updates=None))

    @pytest.mark.parametrize(
        "update",
        [9, pytest.param(10)],
        ids=["between epochs", "within an epoch"],
    )
    def test_the_loop_begins_again_where_lanes_break(self, monkeypatch, update):
        """Batches of 4, 4, 2 samples: an epoch has 3 updates. The check makes 8 of them."""
        made = LanesUpdates._count

        def breaks(self, count, *rest):
            if self._lanes[0].progress.updates == update:
                raise RuntimeError("broken")
            made(self, count, *rest)

        monkeypatch.setattr(LanesUpdates, "_count", breaks)
        lanes, loop = both(small_workload(), "mini:4", "adam", may_fail=True, epochs=5, measure=3)
        assert trainers(lanes) == {"loop"}
        assert lanes.notes[0].startswith(
            "mini:4: 3 trials in the loop instead of lanes: lanes failed: RuntimeError: broken"
        )
        agree(lanes, loop)

    @pytest.mark.slow
    @pytest.mark.parametrize("fault", ["strategy", "loss"])
    def test_a_trial_that_fails_while_it_is_checked_fails_alone(self, fault):
        class Ends(Strategy):
            def batches(self, epoch):
                if epoch.index == 2:
                    raise RuntimeError("no more")
                yield epoch.order

        def refuses(output, y):
            if output.detach().abs().max() > 1e3:
                raise RuntimeError("too far")
            return nn.functional.mse_loss(output, y)

        if fault == "strategy":
            lanes, loop = both(small_workload(), [Ends(), "mini:4"], may_fail=True, epochs=4, updates=None)
        else:
            lanes, loop = both(small_workload(loss=refuses), "mini:4", may_fail=True, lr=[0.05, 2.0])
        assert set(loop.trials["status"]) == {"failed", "finished"}
        agree(lanes, loop)

    @pytest.mark.slow
    def test_no_forward_pass_is_larger_than_the_chunk(self):
        def hungry(output, y):
            if len(y) > 5:
                raise MemoryError
            return nn.functional.mse_loss(output, y)

        agree(*both(small_workload(loss=hungry), "full", may_fail=True, chunk=5, eval_chunk=5))


@pytest.mark.parametrize(
    ("trainer", "optimizer", "why"),
    [
        ("lanes", OwnSGD, "there is no lane rule for the optimizer OwnSGD"),
        ("lanes", "sgd", "a previous run began it in the loop"),
        ("loop", "sgd", ""),
    ],
)
def test_a_trial_that_a_previous_run_began_in_the_loop_is_named(registry, trainer, optimizer, why):
    loop = make_trainer(registry, small_workload(), ["mini:4"], optimizers=[optimizer], trainer=trainer)
    tasks = Tasks(LanesTrainer(loop, 1e9), [], [])
    (trial,) = loop.setup.comparison.trials()
    with torch_settings(1):
        (task,) = tasks.resumed([trial], loop.run(trial, None).state())
        assert (task.trainer, tasks.fallback(trial)) == ("loop", why)


@pytest.mark.parametrize(
    ("refused", "groups", "why"),
    [
        (0, [1, 1, 1], "the lanes of the previous run do not fit into memory together"),
        (3, [], f"{'word ' * 60}…"),
        (1, [2], f"a trial of its group is refused: {'word ' * 53}…"),
    ],
)
def test_lanes_of_a_previous_run_that_do_not_continue_together_are_named(
    registry, monkeypatch, refused, groups, why
):
    loop = make_trainer(registry, small_workload(), ["mini:4"], trainer="lanes", seeds=range(3))
    tasks = Tasks(LanesTrainer(loop, 1e9), [Estimate(loop.setup.comparison.arms[0], 20, 1.0)], [])
    trials = loop.setup.comparison.trials()
    rest = iter(trials[refused:])
    admitted = Admitted(
        [list(itertools.islice(rest, size)) for size in groups],
        [(trial, "word " * 100) for trial in trials[:refused]],
    )
    monkeypatch.setattr(tasks.lanes, "admit", lambda trials: admitted)
    state = {"lanes": [loop.run(trial, None).state() for trial in trials]}
    with torch_settings(1):
        assert [task.trainer for task in tasks.resumed(trials, state)] == ["loop"] * 3
    assert {tasks.fallback(trial) for trial in trials} == {why}
