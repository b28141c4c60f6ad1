"""Names, specs and objects become arms: labels, learning rates, notes; and a saved comparison becomes live
again.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import pytest
import torch
from torch import nn

from optcompare import Workload
from optcompare.core.budget import UNITS, Budget, one_budget
from optcompare.core.comparison import Comparison
from optcompare.errors import ComparisonError, OptcompareError, PluginError, SpecError
from optcompare.interfaces.strategy import Strategy
from optcompare.planning.question import Question
from optcompare.planning.resolve import resolve, restore
from optcompare.training.setup import Setup
from tests.helpers.workloads import small_workload


def ask(
    registry, strategies="full", optimizers="sgd", workload: str | Workload = "line", **question
) -> tuple[Setup, list[str]]:
    settings: dict[str, Any] = {"seeds": (0, 1), "device": "cpu", **question}
    return resolve(
        registry, Question(workload=workload, strategies=strategies, optimizers=optimizers, **settings)
    )


def build_without_lr(model: nn.Module, *, lr: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr)


def build_with_optional_lr(model: nn.Module, *, lr: float | None = None) -> torch.optim.Optimizer:
    return torch.optim.SGD(model.parameters(), lr or 0.1)


LABELS = [
    ("full,mini,single", "sgd", ["full", "mini:2", "single"]),
    ("mini:4:tail=merge,mini:4", "sgd", ["mini:4:tail=merge", "mini:4"]),
    ("mini:tail=keep", "sgd", ["mini:2"]),
    ("full,mini", "sgd:lr=0.5", ["full", "mini:2"]),
    ("full@sgd:lr=0.5,mini", "sgd", ["full@sgd:lr=0.5", "mini:2@sgd"]),
    ("full", "sgd,adam", ["full@sgd", "full@adam"]),
    ("full,mini@adam", "sgd:momentum=0.9", ["full@sgd:momentum=0.9", "mini:2@adam"]),
    ("full", "adam:betas=(0.8,0.9),adam", ["full@adam:betas=(0.8,0.9)", "full@adam"]),
    ("full@adam,mini@adam", "sgd", ["full", "mini:2"]),
    ("full", "sgd:lr=0.1,sgd:lr=0.2", ["full@sgd:lr=0.1", "full@sgd:lr=0.2"]),
    ("full", "sgd:lr=0.12345678,sgd:lr=0.12345679", ["full@sgd:lr=0.12345678", "full@sgd:lr=0.12345679"]),
]


@pytest.mark.parametrize(("strategies", "optimizers", "labels"), LABELS)
def test_labels_show_what_was_used_and_the_optimizer_only_where_it_differs(
    registry, strategies, optimizers, labels
):
    setup, _ = ask(registry, strategies, optimizers)
    assert [each.label for each in setup.comparison.arms] == labels
    assert list(setup.arm_objects) == labels


def test_strategies_without_an_optimizer_are_crossed_with_every_one_in_order(registry):
    setup, _ = ask(registry, ["full", "mini:3@rmsprop"], ["sgd", "adam:lr=0.1"])
    arms = setup.comparison.arms
    assert [(each.strategy.label, each.optimizer.label) for each in arms] == [
        ("full", "sgd"),
        ("full", "adam"),
        ("mini:3", "rmsprop"),
    ]


@pytest.mark.parametrize(
    ("strategies", "optimizers"),
    [
        ("full,full", "sgd"),
        ("mini,mini:2", "sgd"),
        ("mini:2,mini:batch_size=2:tail=keep", "sgd"),
        ("full", "sgd,sgd"),
        ("full@sgd,full", "sgd"),
        ("full@sgd:lr=0.01,full@sgd", "sgd"),
        ("full", "sgd,sgd:momentum=0"),
    ],
)
def test_duplicate_arms_are_refused(registry, strategies, optimizers):
    same = r"(\S+ and \S+ are the same arm, \S+|\S+ is listed twice); leave one out or change a setting$"
    with pytest.raises(ComparisonError, match=same):
        ask(registry, strategies, optimizers)


def test_duplicates_are_named_as_they_were_typed(registry):
    with pytest.raises(ComparisonError, match=r"^adam is listed twice; leave one out"):
        ask(registry, "mini", "adam,adam")
    with pytest.raises(
        ComparisonError, match=r"^mini and mini:batch_size=2 are the same arm, mini:2; leave one out"
    ):
        ask(registry, "mini,mini:batch_size=2", "sgd")
    with pytest.raises(ComparisonError, match=r"^full@sgd and full@sgd:momentum=0 are the same arm, full"):
        ask(registry, "full", "sgd,sgd:momentum=0")


BY_NAME = {"sgd": 0.05, "adam": 0.003}
RATES = [
    ("sgd:lr=0.5", 0.25, BY_NAME, 0.5),
    ("sgd", 0.25, BY_NAME, 0.25),
    ("sgd", None, BY_NAME, 0.05),
    ("adam", None, BY_NAME, 0.003),
    ("rmsprop", None, BY_NAME, 0.01),
    ("rmsprop", None, 0.125, 0.125),
    ("rmsprop", None, None, 0.01),
    (build_without_lr, None, 0.125, 0.125),
    (torch.optim.SGD, None, BY_NAME, 0.05),
]


@pytest.mark.parametrize(("optimizer", "lr", "recommended", "used"), RATES)
def test_learning_rate_is_the_specs_else_the_calls_else_the_workloads_else_the_optimizers(
    registry, optimizer, lr, recommended, used
):
    setup, _ = ask(registry, "full", [optimizer], small_workload(lr=recommended), lr=lr)
    assert [each.lr for each in setup.comparison.arms] == [used]


def test_an_unknown_scaling_of_the_rate_is_refused(registry):
    with pytest.raises(ComparisonError, match="--lr-scaling must be one of none, linear, sqrt, got 'cubic'"):
        ask(registry, lr=0.1, lr_scaling="cubic")


@pytest.mark.parametrize(
    ("build", "name"),
    [(build_without_lr, "build_without_lr"), (build_with_optional_lr, "build_with_optional_lr")],
)
def test_optimizer_without_any_learning_rate_is_refused(registry, build, name):
    message = rf"optimizer {name} has no default learning rate; give one with --lr or {name}:lr=…"
    with pytest.raises(ComparisonError, match=message):
        ask(registry, "full", [build], small_workload(lr=None))


@pytest.mark.parametrize("lr", [math.nan, -0.1, 0.0, math.inf])
@pytest.mark.parametrize("place", ["spec", "call"])
def test_learning_rate_must_be_positive_and_finite(registry, lr, place):
    optimizers, lr_of_call = (f"sgd:lr={lr}", None) if place == "spec" else ("sgd", lr)
    with pytest.raises(
        ComparisonError, match=rf"arm full: the learning rate must be positive and finite, got {lr}"
    ):
        ask(registry, "full", optimizers, lr=lr_of_call)


def test_budget_is_one_of_four_or_the_workloads(registry):
    nothing = dict.fromkeys(UNITS)
    assert one_budget(**{**nothing, "updates": 7}) == Budget("updates", 7)
    assert one_budget(**nothing) is None
    assert ask(registry)[0].comparison.budget == Budget("epochs", 100)
    with pytest.raises(ComparisonError, match="give one budget, not 2: epochs, seconds"):
        one_budget(**{**nothing, "epochs": 1, "seconds": 2.0})


def test_batch_size_above_the_number_of_samples_runs_as_full_and_is_said_once(registry):
    setup, notes = ask(registry, "mini:64,mini:6", "sgd,adam")
    assert [each.label for each in setup.comparison.arms][:2] == ["mini:64@sgd", "mini:64@adam"]
    assert notes == ["mini:64: a batch of 64 is more than the 6 training samples, so it runs as full batch"]


def test_workloads_notes_are_said(registry):
    assert ask(registry, "full", workload=small_workload(notes=("look",)))[1] == ["look"]


def through_json(question: Comparison) -> Comparison:
    return Comparison.from_json(json.loads(json.dumps(question.to_json())))


@pytest.mark.parametrize(("strategies", "optimizers", "labels"), LABELS[:-1])
def test_comparison_comes_back_from_json(registry, strategies, optimizers, labels):
    question = ask(registry, strategies, optimizers, budget=Budget("seconds", 1.5), plugins=("x.py",))[
        0
    ].comparison
    assert through_json(question) == question
    assert [each.label for each in through_json(question).arms] == labels


def test_restored_comparison_has_the_same_live_objects(registry):
    setup, _ = ask(registry, "mini:4:tail=merge@adam:betas=(0.8,0.9),single", "sgd", "quadratic:n=8:h=(2,1)")
    again, _ = restore(registry, through_json(setup.comparison))
    assert again.comparison == setup.comparison
    assert again.arm_objects == setup.arm_objects
    assert all(
        torch.equal(one, two) for one, two in zip(setup.workload.train, again.workload.train, strict=True)
    )


class Own(Strategy):
    def batches(self, epoch):
        yield epoch.order


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ({"workload": small_workload(name="houses")}, "houses"),
        ({"strategies": [Own()]}, "own"),
        ({"optimizers": [build_without_lr], "lr": 0.1}, "build_without_lr"),
        ({"order": lambda seed, epoch, n: range(n)}, "the order of samples"),
    ],
)
def test_what_existed_only_as_an_object_cannot_be_restored(registry, question, missing):
    setup, _ = ask(registry, **question)
    message = (
        f"{missing} existed only as an object in the session that ran it; run it there again with compare()"
    )
    with pytest.raises(ComparisonError, match=re.escape(message)):
        restore(registry, through_json(setup.comparison))


def test_objects_of_registered_things_can_be_restored(registry):
    strategy = registry.find("strategies", "mini").factory(3)
    setup, _ = ask(registry, [strategy], [torch.optim.SGD])
    assert restore(registry, through_json(setup.comparison))[0].arm_objects == setup.arm_objects


@pytest.mark.parametrize(
    ("question", "error", "message"),
    [
        ({"strategies": "mini:0"}, SpecError, "strategy mini: batch_size must be at least 1, got 0"),
        ({"strategies": [3]}, ComparisonError, "a strategy is a name or a Strategy object, got a int: 3"),
        (
            {"optimizers": [3]},
            ComparisonError,
            "an optimizer is a name, an Optimizer class or a build function",
        ),
        ({"workload": 3}, ComparisonError, "workload must be a name or a Workload, got a int"),
        ({"workload": "quadratic:n=1"}, OptcompareError, "workload quadratic: give n ≥ 2"),
        ({"workload": "gone.py"}, SpecError, "'gone.py': name the function that returns the Workload"),
        (
            {"workload": "gone.py:make"},
            PluginError,
            "there is no file gone.py; give the path of a Python file",
        ),
    ],
)
def test_question_that_cannot_be_resolved_says_why(registry, question, error, message):
    with pytest.raises(error, match=re.escape(message)):
        ask(registry, **question)
