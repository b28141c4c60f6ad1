"""When running averages are recalibrated, and what is said of that before training."""

from __future__ import annotations

import time

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, Workload, compare
from optcompare.analysis.traits import Traits
from optcompare.core.comparison import Arm, Part
from optcompare.planning.estimates import Estimate
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.planning.recalibration import Decision, decide
from tests.helpers.workloads import small_workload

ON = "the running averages of BatchNorm1d are recalibrated before each measurement"
OFF = "the running averages of BatchNorm1d are not recalibrated"
SWITCH_OFF = "; --no-recalibrate (recalibrate=False) switches that off"


def estimates(**updates):
    return [
        Estimate(Arm(name, Part(name, name), Part("sgd", "sgd"), {}, 0.1, 8), made, 2.0)
        for name, made in updates.items()
    ]


def normalised(norm=lambda: nn.BatchNorm1d(4)):
    return lambda: nn.Sequential(nn.Linear(3, 4), norm(), nn.Linear(4, 1))


def asked(registry, model, strategies=("full",), **question):
    workload = small_workload(model=model, epochs=question.pop("epochs", 20))
    settings = {"seeds": (0,), "device": "cpu", **question}
    prepared = prepare(registry, Question(workload=workload, strategies=list(strategies), **settings))
    return prepared.setup.comparison.recalibrate, prepared.notes


class TestDecision:
    @pytest.mark.parametrize(
        ("made", "on"),
        [
            ({"full": 28}, True),
            ({"full": 29}, False),
            ({"mini": 500, "full": 28}, True),
            ({"mini": 500}, False),
        ],
    )
    def test_more_than_a_twentieth_of_any_arm_decides(self, made, on):
        """.9²⁸ = .0523, .9²⁹ = .0471."""
        assert decide(None, Traits("BatchNorm1d", 0.9), estimates(**made)).on is on

    def test_it_says_why_and_how_to_switch_it_off(self):
        found = decide(None, Traits("BatchNorm1d", 0.9), estimates(mini=80, full=5, half=10))
        left = "since 59% of their initial values would be left at the end of full (5 updates)"
        assert found == Decision(True, f"{ON}, {left}{SWITCH_OFF}")

    def test_switched_off_it_says_what_is_left(self):
        found = decide(False, Traits("BatchNorm1d", 0.9), estimates(full=5))
        how = "--recalibrate (recalibrate=True) computes them anew before each measurement"
        left = f"{OFF}, and 59% of their initial values is left at the end of full (5 updates); {how}"
        assert found == Decision(False, left)

    def test_switched_off_where_next_to_nothing_is_left_nothing_is_said(self):
        assert decide(False, Traits("BatchNorm1d", 0.9), estimates(full=50)) == Decision(False)

    def test_switched_on_where_next_to_nothing_is_left(self):
        assert decide(True, Traits("BatchNorm1d", 0.9), estimates(full=50)) == Decision(
            True, f"{ON}, as asked for{SWITCH_OFF}"
        )

    @pytest.mark.parametrize(("made", "stops"), [({"mini": 500, "own": None}, False), ({"own": 500}, True)])
    def test_an_unknown_number_of_updates_may_be_small(self, made, stops):
        found = decide(None, Traits("BatchNorm1d", 0.9), estimates(**made), stops)
        why = "since own may make few updates, whose number is not known before training"
        assert found == Decision(True, f"{ON}, {why}{SWITCH_OFF}")

    @pytest.mark.parametrize("made", [{"full": 1}, {"full": None}])
    def test_cumulative_averages_keep_nothing_after_the_first_update(self, made):
        assert decide(None, Traits("BatchNorm1d", 0.0), estimates(**made)) == Decision(False)

    @pytest.mark.parametrize("answer", [None, False])
    def test_a_model_without_running_averages_has_none(self, answer):
        assert decide(answer, Traits(), estimates(full=1)) == Decision(False)

    def test_where_there_are_none_to_recalibrate_that_is_said(self):
        found = decide(True, Traits(), estimates(full=1))
        assert found == Decision(
            False, "--recalibrate changes nothing: training updates no running averages of this model"
        )


class TestModels:
    @pytest.mark.parametrize(
        ("norm", "on"),
        [
            pytest.param(lambda: nn.BatchNorm1d(4), True, id="the usual momentum"),
            pytest.param(lambda: nn.BatchNorm1d(4, momentum=0.3), False, id="a large momentum"),
            pytest.param(lambda: nn.BatchNorm1d(4, momentum=None), False, id="cumulative"),
            pytest.param(lambda: nn.BatchNorm1d(4).eval(), False, id="frozen"),
            pytest.param(lambda: type("Own", (nn.BatchNorm1d,), {})(4), True, id="a class of the user's"),
            pytest.param(lambda: nn.LayerNorm(4), False, id="another kind"),
        ],
    )
    def test_the_slowest_module_in_training_mode_counts(self, registry, norm, on):
        """.9²⁰ = .12, .7²⁰ = .0008."""
        found, notes = asked(registry, normalised(norm))
        assert found is on
        assert len(notes) == on

    def test_updates_of_the_rehearsal_count(self, registry):
        """10 rows: 5 epochs of full are 5 updates, and of mini:2 are 25; .75²⁵ = .0008."""
        norm = lambda: nn.BatchNorm1d(4, momentum=0.25)  # noqa: E731
        assert asked(registry, normalised(norm), ["mini:2"], epochs=5)[0] is False
        assert asked(registry, normalised(norm), ["mini:2", "full"], epochs=5)[0] is True

    def test_several_passes_of_one_update_count_once(self, registry):
        """L-BFGS evaluates each batch several times, from the same running averages."""
        found, notes = asked(
            registry, normalised(lambda: nn.BatchNorm1d(4, momentum=0.999)), optimizers=["lbfgs"]
        )
        assert (found, notes) == (False, []), "after one update .1% is left"


def test_what_cannot_be_recalibrated_is_said_before_training():
    class Picky(nn.BatchNorm1d):
        def forward(self, x):
            if self.training and not torch.is_grad_enabled():
                raise ValueError("no training mode without gradients")
            return super().forward(x)

    workload = small_workload(model=normalised(lambda: Picky(4)))
    with pytest.raises(
        ComparisonError,
        match=r"recalibrated running averages fails: .*without gradients.*; give recalibrate=False$",
    ):
        compare(workload, "full", seeds=1, epochs=2)
    assert compare(workload, "full", seeds=1, epochs=2, recalibrate=False).status == "finished"


@pytest.mark.parametrize("answer", ["yes", 2, [True]])
def test_anything_but_yes_no_and_none_is_refused(answer):
    with pytest.raises(
        ComparisonError, match=r"recalibrate must be True, False, or None to let .* decide, got"
    ):
        compare(small_workload(), "full", seeds=1, epochs=1, recalibrate=answer)


def test_the_estimate_counts_what_recalibration_takes(registry):
    """The model measures for long in a forward pass of training mode without gradients, as recalibration
    makes one.
    """

    class Slow(nn.BatchNorm1d):
        def forward(self, x):
            time.sleep(0.2 * (self.training and not torch.is_grad_enabled()))
            return super().forward(x)

    workload = Workload(
        model=lambda: Slow(3),
        train=(torch.randn(4, 3), torch.zeros(4)),
        loss=lambda output, y: output.mean(),
        lr=0.1,
    )
    question = Question(workload=workload, strategies=["full"], seeds=(0,), device="cpu")
    (on,) = prepare(registry, question, held=False).estimates
    assert on.seconds > 0.1 * on.measurements
