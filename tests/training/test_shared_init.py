"""Each trial's module is made by the factory under its seed, and is no copy of another."""

from __future__ import annotations

import itertools
import threading

import pytest
import torch
from torch import nn

from optcompare import WorkloadError, compare
from optcompare.training.data import first_rows
from optcompare.training.lanes.trainer import LanesTrainer
from optcompare.training.shared_init import SharedStart, fingerprint
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload, wandering


def start_of(model, seed=0):
    workload = small_workload(model=model)
    return SharedStart(workload, seed, lambda: first_rows(workload.train, 2))


class Closes(nn.Module):
    """A lambda over ``self``."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)
        self.apply_out = lambda x: self.out(x)

    def forward(self, x):
        return self.apply_out(x)


class Hooked(nn.Module):
    """A hook over ``self`` adds a low-rank part to a frozen layer."""

    def __init__(self):
        super().__init__()
        self.base = nn.Linear(3, 1).requires_grad_(False)
        self.low = nn.Parameter(torch.randn(3, 1))
        self.base.register_forward_hook(lambda module, inputs, output: output + inputs[0] @ self.low)

    def forward(self, x):
        return self.base(x)


class Bound(nn.Module):
    """A method of a part that was replaced by a bound one of another part."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([nn.Linear(3, 1), nn.Linear(3, 1)])
        self.run = self.parts[1].forward

    def forward(self, x):
        return self.run(x)


class Marked(nn.Module):
    """An attribute of a parameter decides what is computed; a copy would lose it."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)
        self.out.weight.gain = 3.0

    def forward(self, x):
        return self.out(x) * self.out.weight.gain


class Locked(nn.Module):
    def __init__(self):
        super().__init__()
        self.out, self.lock = nn.Linear(3, 1), threading.Lock()

    def forward(self, x):
        with self.lock:
            return self.out(x)


class Derived(nn.Module):
    """A tensor with a graph among the attributes."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)
        self.twice = self.out.weight * 2

    def forward(self, x):
        return self.out(x)


def old_weight_norm():
    with pytest.warns(FutureWarning, match="weight_norm"):
        return torch.nn.utils.weight_norm(nn.Linear(3, 1))


def by_hand(factory, workload, updates, size, seed=0, lr=0.05):
    """What a user would write."""
    torch.manual_seed(seed)
    model = factory()
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=lr)
    x, y = workload.train
    for number in range(updates):
        rows = slice(number * size % 10, number * size % 10 + size)
        optimizer.zero_grad()
        workload.loss(model(x[rows]), y[rows]).backward()
        optimizer.step()
    return model


@pytest.mark.slow
@pytest.mark.parametrize("factory", [Closes, Hooked, Bound, Marked, Locked, Derived, old_weight_norm])
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_a_module_trains_as_a_plain_loop_trains_it(factory, trainer):
    workload = small_workload(model=factory)
    order = lambda seed, epoch, n: range(n)  # noqa: E731
    result = compare(workload, "mini:5", "sgd:lr=0.05", seeds=2, updates=6, order=order, trainer=trainer)
    for seed in (0, 1):
        expected = by_hand(factory, workload, 6, 5, seed).state_dict()
        trained = result.model("mini:5", seed).state_dict()
        assert trained.keys() == expected.keys()
        for name, value in expected.items():
            torch.testing.assert_close(trained[name], value, rtol=1e-5, atol=1e-6)


def test_every_module_of_a_seed_is_made_anew_with_the_same_values():
    start = start_of(Closes, seed=3)
    modules = [start.model() for _ in range(3)]
    assert len({fingerprint(module.state_dict()) for module in modules}) == 1
    assert len({id(module) for module in modules}) == 3
    assert all(module.apply_out.__closure__[0].cell_contents is module for module in modules)


def test_a_trial_calls_the_factory_once_and_its_arm_once_more_for_the_warm_up():
    calls = itertools.count()

    def model():
        next(calls)
        return nn.Linear(3, 1)

    def made(seeds):
        before = next(calls)
        compare(small_workload(model=model), "mini:5", seeds=seeds, epochs=2, trainer="loop")
        return next(calls) - before - 1

    few, many = made(3), made(13)
    assert many - few == 10, "one call for each further trial"


def weights(module, number):
    nn.init.constant_(module.weight, number)


def a_buffer(module, number):
    module.register_buffer("mean", torch.tensor(float(number)))


def no_state_dict(module, number):
    module.register_buffer("table", torch.full((2,), float(number)), persistent=False)


def an_attribute(module, number):
    module.mask = torch.tensor([number])


@pytest.mark.parametrize(
    ("change", "name"),
    [(weights, "weight"), (a_buffer, "mean"), (no_state_dict, "table"), (an_attribute, "mask")],
)
def test_a_factory_that_never_makes_the_same_twice_is_refused_by_the_name_of_what_differs(change, name):
    made = itertools.count()

    def model():
        layer = nn.Linear(3, 1)
        change(layer, next(made))
        return layer

    with pytest.raises(
        WorkloadError, match=rf"called twice under the same seed, and {name} has other values; let it draw"
    ):
        compare(small_workload(model=model), "full", seeds=1, epochs=1)


def test_values_that_are_not_numbers_are_the_same_twice():
    def model():
        layer = nn.Linear(3, 1)
        layer.register_buffer("unset", torch.tensor([float("nan"), 1.0]))
        return layer

    assert compare(small_workload(model=model), "full", seeds=1, epochs=1).status == "finished"


def test_lazy_modules_are_materialized_alike():
    start = start_of(lambda: nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.LazyLinear(1)))
    one, other = start.model(), start.model()
    assert fingerprint(one.state_dict()) == fingerprint(other.state_dict())


class Shrinks(torch.optim.SGD):
    """Halves all weights when it is made."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data.mul_(0.5)


def test_an_optimizer_that_changes_the_weights_when_it_is_made_is_no_shared_start():
    result = compare(small_workload(), "full", [torch.optim.SGD, Shrinks], lr=0.1, seeds=2, epochs=1)
    assert (result.trials.groupby("seed")["weights_sha256"].nunique() == 2).all()
    (check,) = (check for check in result.certificate if check.name == "identical initial weights")
    assert not check.held


def test_lanes_measure_their_own_starts():
    """The loss before training of each lane is its own, where an optimizer changed the weights when it was
    made.
    """
    result = compare(
        small_workload(), "mini:5", [torch.optim.SGD, Shrinks], lr=0.01, seeds=2, epochs=2, trainer="lanes"
    )
    first = result.records[result.records["update"] == 0]
    assert (first.groupby("seed")["train_loss"].nunique() == 2).all()
    (check,) = (check for check in result.certificate if check.name == "identical first measurement")
    assert not check.held


class Counted:
    """A factory that is called slow, and how often it was called."""

    def __init__(self, model):
        self.model, self.calls = model, 0

    def __call__(self):
        self.calls += 1
        return self.model()


@pytest.fixture
def slow(monkeypatch):
    monkeypatch.setattr("optcompare.training.shared_init._SLOW_SECONDS", 0.0)


def trained(model):
    return compare(small_workload(20, model=model), "mini:5", lr=0.05, seeds=2, epochs=2, trainer="loop")


def test_a_module_that_takes_long_is_copied_which_trains_alike(slow):
    factory = Counted(wandering)
    copied, fewer = trained(factory), factory.calls
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optcompare.training.shared_init._SLOW_SECONDS", 1e9)
        made = trained(factory)
    assert fewer < (factory.calls - fewer) / 2
    assert copied.trials["final_sha256"].tolist() == made.trials["final_sha256"].tolist()


@pytest.mark.parametrize("model", [Closes, Hooked, Bound, Marked, Locked])
def test_a_module_that_takes_long_and_cannot_be_copied_is_made(slow, model):
    found = trained(model)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("optcompare.training.shared_init._SLOW_SECONDS", 1e9)
        assert found.trials["final_sha256"].tolist() == trained(model).trials["final_sha256"].tolist()


def test_trials_that_take_turns_keep_their_modules(registry):
    factory = Counted(wandering)
    trainer = make_trainer(registry, small_workload(20, model=factory), ["mini:5"], seeds=(0, 1))
    trials = trainer.setup.comparison.trials()
    states = dict.fromkeys(trials)
    turns = itertools.count(1)
    for _ in range(3):
        for trial in trials:
            _, states[trial] = trainer.advance([trial], states[trial], lambda: next(turns) > 0)
    made = factory.calls
    for trial in trials:
        _, states[trial] = trainer.advance([trial], states[trial], lambda: False)
    assert factory.calls == made, "none was made to go on"


def test_lanes_of_one_seed_share_a_module(registry):
    factory = Counted(lambda: nn.Linear(3, 1))
    rates = [f"sgd:lr=0.{digit}" for digit in range(1, 9)]
    loop = make_trainer(
        registry, small_workload(20, model=factory), ["mini:5"], optimizers=rates, seeds=(0, 1)
    )
    lanes, trials = LanesTrainer(loop, 2**30), loop.setup.comparison.trials()
    assert lanes.admit(trials).groups == [trials]
    made = factory.calls
    records, _ = lanes.advance(trials, None, lambda: True)
    assert len(records) >= 16
    assert factory.calls - made == 2, "one for each seed"
