"""The table of what runs in lanes is that of the code, for everything registered."""

from __future__ import annotations

import functools
import re

import pytest
from torch import nn

from optcompare.core.parameters import REQUIRED, parameters
from optcompare.registry.manager import Registry
from optcompare.training.device import torch_settings
from optcompare.training.lanes.trainer import LanesTrainer
from tests.helpers.pages import ROOT
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload

REGISTRY = Registry.load()
PAGE = (ROOT / "docs" / "explanation" / "lanes.md").read_text(encoding="utf-8")
TABLE = re.findall(r"^\|(.*)\|(.*)\|(.*)\|$", PAGE, re.MULTILINE)
ROWS = {kind.strip(): [re.findall(r"`([\w.-]+)`", cell) for cell in cells] for kind, *cells in TABLE}


def registered(kind):
    entries = REGISTRY.entries(kind)
    if kind == "workloads":
        needs = [
            any(each.default is REQUIRED for each in parameters(entry.factory)) for entry in entries.values()
        ]
        return [name for name, missing in zip(entries, needs, strict=True) if not missing]
    return list(entries)


def admitted(workload, strategy="mini:4", optimizer="sgd", **question):
    """Whether two trials of an arm are admitted to lanes."""
    with torch_settings(1):
        trainer = make_trainer(
            REGISTRY, workload, [strategy], optimizers=[optimizer], trainer="lanes", seeds=(0, 1), **question
        )
        lanes = LanesTrainer(trainer, 1e9)
        groups, _ = lanes.grouped(trainer.setup.comparison.trials())
        return [len(group) for each in groups for group in lanes.admit(each).groups] == [2]


def of_strategy(name):
    return admitted(small_workload(12), name)


def of_optimizer(name):
    matrices = small_workload(12, model=functools.partial(nn.Linear, 3, 1, bias=False))
    return admitted(matrices, "full", name, dtype="float64")


def of_workload(name):
    return admitted(REGISTRY.find("workloads", name).factory(), "mini")


def of_diagnostic(name):
    return admitted(small_workload(12), diagnostics=name)


IN_LANES = {
    "strategies": of_strategy,
    "optimizers": of_optimizer,
    "workloads": of_workload,
    "diagnostics": of_diagnostic,
}


@pytest.mark.parametrize("kind", IN_LANES)
def test_the_table_names_everything_registered(kind):
    inside, outside = ROWS[kind]
    assert sorted([*inside, *outside]) == sorted(registered(kind))


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        pytest.param(kind, name, marks=[pytest.mark.slow] if kind == "workloads" else [])
        for kind in IN_LANES
        for name in registered(kind)
        if name != "flights"  # whose data an extra brings: tests/extras/test_flights_package.py
    ],
)
def test_what_the_table_says_is_so(kind, name, generated_images):
    assert IN_LANES[kind](name) == (name in ROWS[kind][0])


def test_the_table_names_the_rules_of_other_packages():
    rules = [
        each.optimizer for each in REGISTRY.lane_rules().registered if not each.optimizer.startswith("torch.")
    ]
    assert sorted(ROWS["optimizers of other packages"][0]) == sorted(rules)


def test_what_the_table_says_of_a_run_is_so():
    assert not admitted(small_workload(12), autocast="bfloat16")
    assert admitted(small_workload(12), "full", "adam", schedule="cosine", clip=1.0)
