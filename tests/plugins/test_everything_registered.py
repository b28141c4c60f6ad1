"""One table for everything registered: whatever joins the registry is run through the same checks."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, compare
from optcompare.core.parameters import REQUIRED, parameters
from optcompare.interfaces.optimizer import hyperparameters
from optcompare.planning.workload_checks import check_workload
from optcompare.registry.manager import Registry
from optcompare.training.device import torch_settings
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload

REGISTRY = Registry.load()
STRATEGIES = list(REGISTRY.entries("strategies"))
NEEDS_ARGUMENTS = {
    name
    for name, entry in REGISTRY.entries("workloads").items()
    if any(parameter.default is REQUIRED for parameter in parameters(entry.factory))
}
NEEDS_PACKAGE = {"flights"}
"""Workloads whose data an extra brings; tests/extras runs them."""
WORKLOADS = [name for name in REGISTRY.entries("workloads") if name not in NEEDS_ARGUMENTS | NEEDS_PACKAGE]
REFUSED = {"sparseadam": "does not support dense gradients", "muon": "orthogonalises matrices"}
OPTIMIZERS = [name for name in REGISTRY.entries("optimizers") if name not in REFUSED]

pytestmark = pytest.mark.usefixtures("generated_images")


def test_the_table_holds_what_comes_with_the_package():
    assert {"full", "mini", "single", "replacement", "once", "sequential", "growth"} <= set(STRATEGIES)
    assert {"norm-test", "inner-product", "cabs", "noise-scale", "grab"} <= set(STRATEGIES)
    assert {"line", "quadratic", "digits", "digits-cnn", "breast-cancer", "diabetes"} <= set(WORKLOADS)
    assert {"mnist1d", "stdlib-text", "movielens", "graph", "mackey-glass"} <= set(WORKLOADS)
    assert {"fashion-mnist", "mnist", "cifar10", "cifar100"} <= set(WORKLOADS)
    assert {"csv", "parquet", "images", "text"} == NEEDS_ARGUMENTS
    trainable = {
        name.lower()
        for name, cls in vars(torch.optim).items()
        if isinstance(cls, type)
        and issubclass(cls, torch.optim.Optimizer)
        and cls is not torch.optim.Optimizer
    }
    assert set(OPTIMIZERS) | set(REFUSED) == trainable
    assert REGISTRY.warnings == []


@pytest.mark.parametrize("kind", ["strategies", "workloads", "optimizers"])
def test_everything_says_in_its_first_line_what_it_is(kind):
    for entry in REGISTRY.entries(kind).values():
        assert (entry.factory.__doc__ or "").strip().partition("\n")[0].endswith((".", ":")), entry.name


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_strategy_trains_every_workload(registry, strategy, workload):
    """Two updates of each arm beside single, from the same weights, with finite losses and a certificate that
    holds.
    """
    arms = list(dict.fromkeys([strategy, "single"]))
    result = compare(workload, arms, seeds=1, updates=2, measure=0)
    assert set(result.trials["status"]) == {"finished"}
    assert set(result.trials["updates"]) == {2}
    losses = result.records.filter(regex="^(train|valid)_loss$")
    ends = result.records.groupby("arm").tail(1).filter(regex="_loss$")  # a test set is measured at the end
    assert all(part.map(math.isfinite).all(axis=None) for part in (losses, ends))
    assert all(check.held for check in result.certificate)


@pytest.mark.slow
@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_recommends_settings_that_train(registry, workload):
    """Mini-batches at the recommended rate lower the training loss in three epochs; so do single samples."""
    result = compare(workload, ["mini", "single"], seeds=2, epochs=3)
    losses = result.records.groupby(["arm", "seed"])["train_loss"]
    assert (losses.last() < losses.first()).all()


@pytest.mark.parametrize("workload", WORKLOADS)
def test_every_workload_passes_the_shape_check_in_float64(registry, workload):
    trainer = make_trainer(
        registry, REGISTRY.find("workloads", workload).factory(), ["full"], dtype="float64"
    )
    with torch_settings(1):
        check_workload(trainer, 0)
        assert trainer.start(0).model().state_dict().keys() == trainer.start(0).model().state_dict().keys()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_can_be_copied_and_written_down(registry, strategy):
    made = REGISTRY.find("strategies", strategy).factory()
    other = copy.deepcopy(made)
    assert other.parameters() == made.parameters()
    assert str(other) == str(made)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_moves_every_weight(optimizer):
    """From its own default learning rate, on the CNN: each tensor of weights has changed after three
    updates.
    """
    strategy = "full" if optimizer == "lbfgs" else "mini:32"
    result = compare("digits-cnn", strategy, f"{optimizer}:lr=0.01", seeds=1, updates=3, measure=0)
    assert result.trials["status"].tolist() == ["finished"], result.trials["reason"].tolist()
    untrained = (
        make_trainer(REGISTRY, REGISTRY.find("workloads", "digits-cnn").factory(), ["mini"]).start(0).model()
    )
    for before, after in zip(untrained.parameters(), result.model(strategy, 0).parameters(), strict=True):
        assert not torch.equal(before, after)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer_has_a_learning_rate_and_typed_parameters(optimizer):
    known = {
        parameter.name: parameter
        for parameter in hyperparameters(REGISTRY.find("optimizers", optimizer).factory)
    }
    assert known["lr"].default > 0
    assert all(parameter.type is not None for parameter in known.values())


@pytest.mark.parametrize("optimizer", REFUSED)
def test_optimizers_that_cannot_train_here_say_why(optimizer):
    with pytest.raises(ComparisonError, match=f"optimizer {optimizer}.*{REFUSED[optimizer]}"):
        compare("line", "full", optimizer, seeds=1, epochs=1)


def test_muon_trains_a_model_of_matrices(tmp_path):

    model = lambda: nn.Sequential(nn.Linear(3, 4, bias=False), nn.Linear(4, 1, bias=False))  # noqa: E731
    result = compare(small_workload(model=model), "mini:4", "muon:lr=0.02", seeds=1, epochs=5)
    losses = result.records["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]
