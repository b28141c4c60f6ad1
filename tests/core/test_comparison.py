"""The question: arms and their labels, learning rates, budgets, seeds; to JSON and back."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from typing import Any

import pytest

from optcompare.core.budget import UNITS
from optcompare.core.comparison import Arm, Budget, Comparison, Part, Trial
from optcompare.core.tuning import FIRST_TUNING_SEED
from optcompare.errors import ComparisonError
from optcompare.planning.question import seed_list


def arm(label: str = "full", **changes: Any) -> Arm:
    settings = {
        "strategy": Part(label, label),
        "optimizer": Part("sgd", "sgd"),
        "hyperparameters": {},
        "lr": 0.1,
        "chunk": 8,
    }
    return Arm(label, **(settings | changes))


def comparison(**changes: Any) -> Comparison:
    settings = {"workload": Part("line", "line"), "arms": (arm("full"), arm("mini")), "seeds": (0, 1)}
    return Comparison(**(settings | {"budget": Budget("epochs", 3)} | changes))


def test_arms_of_one_label_are_refused():
    with pytest.raises(ComparisonError, match="two arms are called full"):
        comparison(arms=(arm("full"), arm("full", lr=0.2)))


@pytest.mark.parametrize(
    ("unit", "amount", "message"),
    [
        *[(unit, 0, f"{unit} must be positive, got 0") for unit in UNITS],
        *[(unit, -3, f"{unit} must be positive, got -3") for unit in UNITS],
        *[(unit, math.nan, f"{unit} must be positive, got nan") for unit in UNITS],
        *[(unit, math.inf, f"{unit} must be positive, got inf") for unit in UNITS],
        ("epochs", 2.5, "epochs must be a whole number, got 2.5"),
        ("updates", 0.5, "updates must be a whole number, got 0.5"),
        ("samples", 1e-9, "samples must be a whole number, got 1e-09"),
        ("minutes", 3, "minutes"),
    ],
)
def test_budget_that_makes_no_sense_is_refused(unit, amount, message):
    with pytest.raises(ComparisonError, match=re.escape(message)):
        Budget(unit, amount)


@pytest.mark.parametrize(
    ("unit", "amount", "text"),
    [
        ("epochs", 1, "1 epoch"),
        ("epochs", 20, "20 epochs"),
        ("updates", 12345, "12,345 updates"),
        ("samples", 1e6, "1,000,000 samples"),
        ("seconds", 0.5, "0.5 seconds"),
        ("seconds", 1, "1 second"),
    ],
)
def test_budget_is_said_in_words(unit, amount, text):
    assert str(Budget(unit, amount)) == text


def test_seeds_are_counted_from_the_first_or_listed():
    assert seed_list(3) == (0, 1, 2)
    assert seed_list(2, 5) == (5, 6)
    assert seed_list([4, 2]) == (4, 2)
    with pytest.raises(ComparisonError, match="needs at least 1 seed, got 0"):
        seed_list(0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": ()}, "a comparison needs at least 1 seed, got 0"),
        ({"seeds": (0, -1)}, r"seeds must lie between 0 and 2\*\*62-1, got -1 to 0"),
        ({"seeds": (2**63,)}, r"seeds must lie between 0 and 2\*\*62-1"),
        ({"seeds": (1, 1)}, "a seed is listed twice"),
        ({"arms": ()}, "give --strategies, such as full,mini, and --optimizers, such as sgd"),
        ({"threads": 0}, "threads must be at least 1, got 0"),
        ({"eval_chunk": 0}, "--eval-chunk must be at least 1, got 0"),
        ({"measure": -1}, "measure must be at least 0, got -1"),
        ({"split_seeds": 0}, "--split-seeds must be at least 1, got 0"),
        ({"split_seeds": 2.0}, "--split-seeds must be a whole number, got 2.0"),
        ({"seeds": (3, 4), "split_seeds": 3}, "--split-seeds 3 needs as many seeds, got 2"),
        ({"dtype": "float16"}, "dtype must be float32 or float64, got float16"),
        ({"masks": "dice"}, "masks must be generator or counter, got 'dice'"),
    ],
)
def test_comparison_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(ComparisonError, match=message):
        comparison(**changes)


def test_seeds_take_the_splits_in_turn_by_their_places():
    asked = comparison(seeds=(5, 7, 1, 2, 9), split_seeds=3)
    assert [asked.split_of(seed) for seed in asked.seeds] == [0, 1, 2, 0, 1]
    assert [asked.split_of(FIRST_TUNING_SEED + place) for place in range(4)] == [0, 1, 2, 0]
    assert Comparison.from_json(asked.to_json()) == asked


def test_without_splits_every_seed_has_the_workloads_own():
    asked = comparison(seeds=(5, 7))
    assert asked.split_seeds == 1
    assert {asked.split_of(seed) for seed in (5, 7, 100, FIRST_TUNING_SEED + 1)} == {0}


def test_chunk_holds_at_least_one_row():
    with pytest.raises(ComparisonError, match=r"arm full: .*chunk must be at least 1, got 0"):
        arm(chunk=0)


def test_trials_go_seed_by_seed_so_that_arms_take_turns():
    full, mini = comparison().arms
    assert comparison().trials() == [Trial(full, 0), Trial(mini, 0), Trial(full, 1), Trial(mini, 1)]


def test_arm_is_found_by_its_label():
    assert comparison().arm("mini").label == "mini"
    with pytest.raises(ComparisonError, match="there is no arm 'mini:3'; there are full, mini"):
        comparison().arm("mini:3")


def through_json(question: Comparison) -> Comparison:
    return Comparison.from_json(json.loads(json.dumps(question.to_json())))


def test_tuples_among_hyperparameters_stay_tuples():
    question = comparison(
        arms=(arm(hyperparameters={"betas": (0.8, 0.9), "deep": ((1, 2), ()), "none": None}),)
    )
    back = through_json(question).arms[0].hyperparameters
    assert back == {"betas": (0.8, 0.9), "deep": ((1, 2), ()), "none": None}


GOOD = comparison().to_json()
FIRST = GOOD["arms"][0]
NONE = "this is not a comparison"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": 3}, NONE),
        ({"arms": [{}]}, NONE),
        ({"arms": [{**FIRST, "hyperparameters": [1]}]}, NONE),
        ({"arms": [{**FIRST, "lr": "0.1"}]}, NONE),
        ({"surprise": 1}, f"{NONE}: TypeError: .*surprise"),
        ({"budget": None}, NONE),
        ({"budget": {"unit": "epochs", "amount": "3"}}, "epochs must be a number, got '3'"),
        ({"budget": {"unit": "minutes", "amount": 3}}, "minutes"),
        ({"seeds": 3}, NONE),
        ({"seeds": "ab"}, f"{NONE}|seeds"),
        ({"seeds": [0.5]}, f"{NONE}|seeds"),
        ({"threads": "one"}, "threads must be a whole number, got 'one'"),
        ({"workload": "line"}, NONE),
    ],
    ids=lambda case: str(case)[:40],
)
def test_json_that_is_no_comparison_is_refused(changes, message):
    with pytest.raises(ComparisonError, match=message):
        Comparison.from_json({**GOOD, **changes})


@pytest.mark.parametrize(
    "values", [{}, [], {name: GOOD[name] for name in GOOD if name != "plugins"}], ids=len
)
def test_json_that_lacks_something_is_refused(values):
    with pytest.raises(ComparisonError, match=r"this is not a comparison: (KeyError|TypeError)"):
        Comparison.from_json(values)


def test_json_of_a_question_that_makes_no_sense_says_the_same_as_the_question():
    values = comparison().to_json()
    with pytest.raises(ComparisonError, match="needs at least 1 seed"):
        Comparison.from_json({**values, "seeds": []})
    with pytest.raises(ComparisonError, match="epochs must be positive, got 0"):
        Comparison.from_json({**values, "budget": {"unit": "epochs", "amount": 0}})


def test_frozen_question_is_changed_by_making_another():
    assert replace(comparison(), seeds=(7,)).seeds == (7,)
    with pytest.raises(AttributeError, match="cannot assign"):
        comparison().seeds = (7,)
