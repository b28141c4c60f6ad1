"""Trials side by side as one program, held to the loop trainer, which is the reference."""

from __future__ import annotations

import io
import os
import signal
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import pytest
import torch

from optcompare import Strategy, compare, load
from optcompare.core.comparison import Budget
from optcompare.core.rng import permutation
from optcompare.training.device import torch_settings
from optcompare.training.lanes.trainer import LanesTrainer
from optcompare.training.lanes.updates import LanesUpdates
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload

OPTIMIZERS = [
    "sgd",
    "sgd:momentum=0.9",
    "sgd:momentum=0.9:nesterov=true",
    "sgd:momentum=0.9:dampening=0.3",
    "sgd:momentum=0.9:weight_decay=0.01",
    "adam",
    "adam:amsgrad=true",
    "adam:weight_decay=0.01",
    "adamw",
    "rmsprop",
    "rmsprop:momentum=0.9:centered=true",
    "adagrad:lr_decay=0.1",
    "adamax",
    "nadam",
    "radam",
    "adadelta",
    "asgd:t0=5",
    "rprop",
    "adafactor",
]


class TestAgreement:
    @pytest.mark.slow
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_every_optimizer_trains_as_in_the_loop_under_every_strategy(self, optimizer):
        lanes, loop = both(
            small_workload(),
            ["full", "mini:4", "mini:4:tail=merge", "single"],
            optimizer,
            seeds=2,
            updates=12,
        )
        agree(lanes, loop, rtol=1e-10)
        assert (trainers(lanes), trainers(loop)) == ({"lanes"}, {"loop"})
        assert lanes.notes == []

    @pytest.mark.slow
    @pytest.mark.parametrize("optimizer", OPTIMIZERS)
    def test_a_traced_program_does_the_same(self, monkeypatch, optimizer):
        monkeypatch.setattr("optcompare.training.lanes.engines.choice.worth_tracing", lambda updates: True)
        lanes, loop = both(small_workload(), "mini:4", optimizer)
        agree(lanes, loop, rtol=1e-10)
        assert any(
            "traced, since compiling takes longer than it saves" in line
            for line in lanes.environment["trainers"]
        )

    @pytest.mark.slow
    def test_every_optimizer_that_can_maximize_does_so_too(self):
        names = ["sgd", "adam", "adamw", "rmsprop", "adagrad", "adamax", "nadam", "radam", "adadelta", "asgd"]
        names += ["rprop", "adafactor"]
        lanes, loop = both(small_workload(), "mini:4", [f"{name}:maximize=true" for name in names])
        agree(lanes, loop)
        assert trainers(lanes) == {"lanes"}
        ends = lanes.records.groupby(["arm", "seed"])["train_loss"]
        assert (ends.last() > ends.first()).all()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("workload", "strategies", "question"),
        [
            ("line", ["full", "mini"], {}),
            ("quadratic", ["full", "mini"], {}),
            ("breast-cancer", ["full", "mini"], {}),
            ("diabetes", ["full", "mini"], {}),
            ("digits", ["full", "mini"], {"seeds": 2, "updates": 5}),
            ("digits-cnn", ["mini"], {"seeds": 2, "updates": 2, "measure": 0}),
        ],
    )
    def test_every_bundled_workload_trains_as_in_the_loop(self, workload, strategies, question):
        lanes, loop = both(workload, strategies, ["sgd", "adam"], **question)
        agree(lanes, loop)
        assert trainers(lanes) == {"lanes"}

    @pytest.mark.slow
    @pytest.mark.parametrize("budget", [{"epochs": 3}, {"updates": 7}, {"samples": 25}])
    @pytest.mark.parametrize("measure", [0, 3])
    def test_budgets_and_marks_are_those_of_the_loop(self, budget, measure):
        agree(
            *both(
                small_workload(valid=small_workload(7).train), ["full", "mini:4"], measure=measure, **budget
            )
        )

    @pytest.mark.slow
    def test_gradients_and_measurements_in_chunks_are_those_of_the_loop(self):
        agree(*both(small_workload(), ["full", "mini:7"], chunk=3, eval_chunk=4))

    @pytest.mark.slow
    def test_float32_agrees_to_its_own_rounding(self):
        agree(*both(small_workload(), "mini:4", ["sgd", "adam"], dtype="float32"), rtol=1e-4)

    @pytest.mark.slow
    def test_a_tuned_comparison_with_a_control_chooses_the_same_rates(self):
        lanes, loop = both(small_workload(), ["full", "mini:4"], tune=3, tune_seeds=2, control=True)
        agree(lanes, loop)
        assert [arm.lr for arm in lanes.comparison.arms] == [arm.lr for arm in loop.comparison.arms]

    @pytest.mark.slow
    def test_two_weights_take_the_path_of_the_loop(self):
        lanes, loop = both("line", ["full", "mini"], measure=1)
        columns = ["seed", "update", "x", "y"]
        assert len(lanes.paths) == len(loop.paths)
        np.testing.assert_allclose(lanes.paths[columns], loop.paths[columns], rtol=1e-12, atol=1e-12)


def advanced(loop, until=lambda: False, *, fresh=False):
    """One group to its end or to where only the loop can go on: its trials, records and last state.

    ``fresh``: after each cut another trainer goes on from a file.
    """
    trials = loop.setup.comparison.trials()
    with torch_settings(1):
        trainer, state, records = LanesTrainer(loop, 2**30), None, []
        (group,) = trainer.admit(trials).groups
        while state is None or any(
            lane["progress"]["status"] == "running" and str(number) not in state["strayed"]
            for number, lane in enumerate(state["lanes"])
        ):
            if fresh and state is not None:
                trainer, file = LanesTrainer(loop, 2**30), io.BytesIO()
                trainer.admit(trials)
                torch.save(state, file)
                file.seek(0)
                state = torch.load(file, weights_only=True)
            new, state = trainer.advance(group, state, until)
            records += new
    return group, [{key: record[key] for key in record if key != "seconds"} for record in records], state


@dataclass
class Grows(Strategy):
    """One sample more in each batch, epoch by epoch."""

    size: int = field(init=False, default=1)

    def batches(self, epoch):
        yield from epoch.order.split(self.size)
        self.size += 1


class TestGroups:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "change", [{"seeds": [2, 0, 3, 1]}, {"memory": "1B"}, {"memory": "2KB"}, {"most": 3}]
    )
    def test_neither_the_order_nor_the_size_of_groups_changes_a_trial(self, monkeypatch, change):
        question = {"seeds": 4, "lr": [0.02, 0.05, 0.1], "updates": 15}
        whole, _ = both(small_workload(), "mini:4", "adam", **question)
        if "most" in change:
            monkeypatch.setattr("optcompare.training.lanes.families.WIDEST", change.pop("most"))
        agree(whole, both(small_workload(), "mini:4", "adam", **{**question, **change})[0], rtol=1e-12)

    def test_learning_rates_share_a_program_and_rules_do_not(self, registry):
        loop = make_trainer(
            registry,
            small_workload(),
            ["mini:4", "full"],
            trainer="lanes",
            optimizers=["sgd", "adam"],
            lr=[0.1, 0.2],
            seeds=(0, 1, 2),
        )
        groups, refused = LanesTrainer(loop, 2**30).grouped(loop.setup.comparison.trials())
        assert refused == []
        assert sorted(map(len, groups)) == [6, 6, 6, 6], "2 strategies × 2 rules, each of 2 rates × 3 seeds"

    @pytest.mark.parametrize("fresh", [False, True], ids=["live", "from a file"])
    @pytest.mark.parametrize(
        ("workload", "strategy", "optimizer"),
        [("small", "mini:4", "sgd:momentum=0.9"), ("small", "single", "adam"), ("line", "mini:2", "rmsprop")],
    )
    def test_where_lanes_are_cut_changes_nothing(self, registry, workload, strategy, optimizer, fresh):
        loop = make_trainer(
            registry,
            small_workload() if workload == "small" else workload,
            [strategy],
            optimizers=[optimizer],
            lr=[0.01, 0.02],
            seeds=(0, 1),
            budget=Budget("epochs", 3),
            trainer="lanes",
        )
        _, records, whole = advanced(loop)
        _, cut_records, cut = advanced(loop, lambda: True, fresh=fresh)
        assert cut_records == records
        for one, other in zip(cut["lanes"], whole["lanes"], strict=True):
            for name in ("status", "updates", "final_sha256", "batches", "orders", "path"):
                assert one["progress"][name] == other["progress"][name]

    @pytest.mark.slow
    def test_a_lane_that_ended_does_not_set_back_the_others_strategy(self, registry):
        loop = make_trainer(
            registry,
            small_workload(),
            [Grows()],
            lr=[1e150, 0.05],
            budget=Budget("epochs", 6),
            dtype="float64",
            trainer="lanes",
        )
        assert advanced(loop, lambda: True, fresh=True)[1] == advanced(loop)[1]

    def test_the_loop_goes_on_from_a_lane_that_was_cut_within_an_epoch(self, registry):
        loop = make_trainer(
            registry,
            small_workload(),
            ["single"],
            optimizers=["adam"],
            seeds=(0, 1),
            budget=Budget("epochs", 2),
            dtype="float64",
            trainer="lanes",
        )
        trainer = LanesTrainer(loop, 2**30)
        (group,) = trainer.admit(loop.setup.comparison.trials()).groups
        _, state = trainer.advance(group, None, lambda: True)
        assert state["lanes"][1]["progress"]["position"] == 1
        _, mixed = loop.advance([group[1]], state["lanes"][1], lambda: False)
        _, alone = loop.advance([group[1]], None, lambda: False)
        assert mixed["progress"]["batches"] == alone["progress"]["batches"]
        assert mixed["optimizer"]["state"].keys() == alone["optimizer"]["state"].keys()
        for name, value in alone["model"].items():
            torch.testing.assert_close(mixed["model"][name], value, rtol=1e-12, atol=1e-12)


class TestEnds:
    @pytest.mark.slow
    def test_a_lane_that_diverges_ends_where_it_does_in_the_loop_and_disturbs_nobody(self):
        lanes, loop = both(small_workload(), "mini:4", lr=[0.05, 100.0], epochs=60, updates=None)
        agree(lanes, loop, rtol=1e-8, batches=False)
        lost = lanes.trials.set_index("arm").loc["mini:4@sgd:lr=100"]
        assert (lost["status"] == "diverged").all()
        assert lost["reason"].str.match(r"train_loss was (inf|nan) at update \d+").all()
        assert set(lanes.trials["status"]) == {"diverged", "finished"}

    @pytest.mark.slow
    def test_a_diverged_lane_has_the_fingerprint_of_its_batches(self):
        agree(*both(small_workload(), "mini:4", lr=[0.05, 100.0], epochs=60, updates=None), rtol=1e-8)

    def test_a_lane_whose_strategy_fails_keeps_its_weights(self):
        class Breaks(Strategy):
            def batches(self, epoch):
                if epoch.index == 4 and int(epoch.order[0]) == FIRST:
                    raise RuntimeError("no more")
                yield from epoch.order.split(4)

        FIRST = int(permutation(0, 4, 10)[0])
        lanes, loop = both(small_workload(), [Breaks()], epochs=6, updates=None)
        assert set(lanes.trials["status"]) == {"failed", "finished"}
        agree(lanes, loop)

    @pytest.mark.slow
    @pytest.mark.parametrize("until", ["first record", "second task"])
    def test_an_interrupted_run_keeps_what_was_measured(self, tmp_path, monkeypatch, until):
        monkeypatch.setattr(
            "optcompare.training.lanes.engines.choice.worth_compiling", lambda *arguments: False
        )
        result = compare(
            "line",
            ["mini", "full"],
            seeds=2,
            epochs=100_000,
            trainer="lanes",
            observer=Presses(until),
            out=tmp_path / "run",
        )
        assert result.status == load(tmp_path / "run").status == "interrupted"
        assert set(result.trials["status"]) == {"interrupted"}
        assert set(result.trials["reason"]) == {"stopped by the user"}
        assert trainers(result) == {"lanes"}
        assert result.trials["final_sha256"].str.len().eq(64).all()
        assert (
            result.records.groupby(["arm", "seed"])["update"].max() <= result.trials["updates"].max()
        ).all()

    def test_an_update_that_is_interrupted_leaves_what_was_made_before(self, registry, monkeypatch):
        """Batches of 4, 4, 2 samples: an epoch has 3 updates. The check makes 8 of them."""
        made = LanesUpdates._count

        def interrupts(self, count, *rest):
            if self._lanes[0].progress.updates == 9:
                raise KeyboardInterrupt
            made(self, count, *rest)

        monkeypatch.setattr(LanesUpdates, "_count", interrupts)
        loop = make_trainer(
            registry, small_workload(), ["mini:4"], budget=Budget("epochs", 5), trainer="lanes"
        )
        trainer = LanesTrainer(loop, 2**30)
        (group,) = trainer.admit(loop.setup.comparison.trials()).groups
        records, state = trainer.advance(group, None, lambda: False, stop=lambda: True)
        progress = state["lanes"][0]["progress"]
        assert records[-1]["update"] == 9
        assert (progress["status"], progress["updates"]) == ("interrupted", 9)

    def test_an_interrupt_that_nobody_asked_for_is_a_failure_which_the_loop_will_name(
        self, registry, monkeypatch
    ):
        def interrupts(self, count, *rest):
            raise KeyboardInterrupt

        monkeypatch.setattr(LanesUpdates, "_count", interrupts)
        loop = make_trainer(
            registry, small_workload(), ["mini:4"], budget=Budget("epochs", 5), trainer="lanes"
        )
        trainer = LanesTrainer(loop, 2**30)
        (group,) = trainer.admit(loop.setup.comparison.trials()).groups
        _, state = trainer.advance(group, None, lambda: False, stop=lambda: False)
        assert state["again"]
        assert all(why.startswith("lanes failed: KeyboardInterrupt") for why in state["strayed"].values())


class Presses:
    """Ctrl-C at the first record, or before the second task."""

    def __init__(self, until):
        self.until, self.tasks = until, 0

    def press(self):
        self.until = ""
        os.kill(os.getpid(), signal.SIGINT)

    def measured(self, trial, record):
        if self.until == "first record":
            self.press()

    def advanced(self, done, of, fraction, seconds_left):
        self.tasks += 1
        if self.until == "second task" and self.tasks == 2:
            self.press()

    def trial_finished(self, trial, outcome):
        pass


def final_weights(optimizer, updates):
    result = compare(
        "quadratic:h=(1,0.1)", "full", optimizer, seeds=2, updates=updates, dtype="float64", trainer="lanes"
    )
    assert trainers(result) == {"lanes"}
    return result.model("full", 0).w.detach().numpy()


class TestDynamics:
    """The closed forms of test_dynamics.py, through lanes."""

    def test_gradient_descent_on_a_quadratic_is_a_power_of_one_minus_lr_times_curvature(self):
        """w_T = (1 - ηh)^T w_0 with h = (1, .1), η = 1.5, T = 20."""
        assert final_weights("sgd:lr=1.5", 20) == pytest.approx(
            [9.5367431640625e-07, 0.0387595310845], rel=1e-9
        )

    @pytest.mark.parametrize(
        ("optimizer", "expected"),
        [
            ("sgd:lr=0.5:momentum=0.9", (-0.30407951, -0.12113053)),
            ("sgd:lr=0.5:momentum=0.9:nesterov=true", (-3.488603e-4, -0.06907102)),
        ],
    )
    def test_momentum_follows_its_linear_recurrence(self, optimizer, expected):
        """v = βv + hw, w = w - ηv (Nesterov: w - η(hw + βv)): h = (1, .1), η = .5, β = .9, T = 20."""
        assert final_weights(optimizer, 20) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.slow
    def test_heavy_ball_is_stable_up_to_its_known_limit(self):
        """Stable for ηh < 2(1 + β) = 3.8 at β = .9: 3.79 shrinks, 3.81 grows."""
        assert abs(final_weights("sgd:lr=3.79:momentum=0.9", 400)[0]) < 1e-3
        assert abs(final_weights("sgd:lr=3.81:momentum=0.9", 400)[0]) > 1e3

    def test_first_step_of_adam_is_the_sign_of_the_gradient(self):
        """-lr·sign(g) with eps = 0, whatever the size of g = h·w = (1, .1)."""
        assert final_weights("adam:lr=0.25:eps=0", 1) == pytest.approx([0.75, 0.75], abs=1e-12)


class OwnAdam(torch.optim.Adam):
    """An optimizer without a lane rule."""


class TestEvidence:
    @pytest.mark.slow
    def test_the_certificate_counts_trials_and_names_the_largest_difference(self):
        lanes, loop = both(small_workload(), "mini:4", ["sgd", OwnAdam], seeds=2)
        check, alone = lanes.certificate[-1], loop.certificate[-1]
        assert (check.name, check.held) == ("fast and reference trainers agree", True)
        pattern = (
            r"2 trials in lanes; 2 trials in the loop; 2 run by vmapped; "
            r"the first updates of 2 lanes, made by both, "
            r"differ by at most (\d\.\de[-+]\d\d) of the weights' norm \(allowed: 1e-12\)"
        )
        (apart,) = pd.Series([check.detail]).str.extract(f"^{pattern}$")[0]
        assert 0 <= float(apart) < 1e-14
        assert alone.detail == "4 trials in the loop; all by the reference trainer", "nothing was compared"

    def test_the_clock_says_where_seconds_were_estimated(self):
        lanes, loop = both(small_workload(), "mini:4", measure=3)
        assert set(lanes.records["clock"]) == {"estimated"}
        assert set(loop.records["clock"]) == {"measured"}

    @pytest.mark.slow
    def test_seconds_in_lanes_are_updates_at_the_pace_of_their_arm(self):
        records = both(small_workload(), ["mini:4", "full"], ["sgd", "adam"])[0].records
        pace = (records["seconds"] / records["update"])[records["update"] > 0]
        paces = [group.to_numpy() for _, group in pace.groupby(records["arm"])]
        assert all(group == pytest.approx(np.full(len(group), group[0]), rel=1e-12) for group in paces)
        assert len(paces) == 4
        assert (pace > 0).all()
        assert (records.loc[records["update"] == 0, "seconds"] == 0).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_lanes_on_a_cuda_device_agree_with_the_loop_there():
    lanes, loop = both(small_workload(), "mini:4", ["sgd:momentum=0.9", "adam"], device="cuda")
    agree(lanes, loop)
    assert trainers(lanes) == {"lanes"}
