"""Lane rules train as their optimizers do: one table over all optimizers and their settings."""

from __future__ import annotations

import functools

import pytest
import torch
from torch import nn

from optcompare import LaneRule, PluginError, check_lane_rule, compare
from optcompare.interfaces.lane_rule import numbers_alone
from optcompare.interfaces.lane_rules import LaneRules
from optcompare.registry.manager import Registry
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.workloads import small_workload

RULES = Registry.load().lane_rules()
OPTIMIZERS = {
    name: getattr(torch.optim, name)
    for name in torch.optim.__all__
    if name not in ("LBFGS", "Optimizer", "SparseAdam")
    and isinstance(getattr(torch.optim, name), type)
    and issubclass(getattr(torch.optim, name), torch.optim.Optimizer)
}
SETTINGS = {
    "ASGD": [{"t0": 3.0, "lambd": 0.1}, {"weight_decay": 0.1, "maximize": True}],
    "Adadelta": [{"weight_decay": 0.1, "rho": 0.5}, {"maximize": True}],
    "Adafactor": [{"weight_decay": 0.1, "d": 3.0}, {"eps": (1e-3, 1e-2), "maximize": True}],
    "Adagrad": [{"lr_decay": 0.1, "weight_decay": 0.1}, {"initial_accumulator_value": 0.5, "maximize": True}],
    "Adam": [
        {"amsgrad": True, "weight_decay": 0.1},
        {"maximize": True},
        {"decoupled_weight_decay": True, "weight_decay": 0.1},
    ],
    "AdamW": [{"weight_decay": 0.0}, {"amsgrad": True, "betas": (0.5, 0.9)}],
    "Adamax": [{"weight_decay": 0.1}, {"maximize": True}],
    "Muon": [
        {"nesterov": False, "adjust_lr_fn": "match_rms_adamw"},
        {"weight_decay": 0.0, "ns_steps": 2, "momentum": 0.5},
    ],
    "NAdam": [
        {"weight_decay": 0.1, "momentum_decay": 0.1},
        {"decoupled_weight_decay": True, "weight_decay": 0.1},
        {"maximize": True},
    ],
    "RAdam": [
        {"weight_decay": 0.1, "betas": (0.9, 0.9)},
        {"decoupled_weight_decay": True, "weight_decay": 0.1},
        {"maximize": True},
    ],
    "RMSprop": [{"momentum": 0.9, "centered": True}, {"weight_decay": 0.1, "maximize": True}],
    "Rprop": [{"etas": (0.3, 1.5), "step_sizes": (1e-3, 0.02)}, {"maximize": True}],
    "SGD": [
        {"momentum": 0.9, "nesterov": True},
        {"momentum": 0.9, "dampening": 0.5},
        {"weight_decay": 0.1, "maximize": True},
    ],
}
CASES = [(name, {}) for name in OPTIMIZERS] + [
    pytest.param(name, settings, marks=pytest.mark.slow)
    for name, several in SETTINGS.items()
    for settings in several
]


def shown(value):
    return ",".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else None


def test_every_dense_optimizer_of_torch_has_a_rule_and_is_in_the_table():
    assert OPTIMIZERS.keys() == SETTINGS.keys()
    assert all(RULES.of(kind) is not None for kind in OPTIMIZERS.values())


@pytest.mark.parametrize(("name", "settings"), CASES, ids=shown)
def test_a_rule_trains_as_its_optimizer(name, settings):
    kind = OPTIMIZERS[name]
    check_lane_rule(RULES.of(kind), functools.partial(kind, **settings))


@pytest.mark.slow
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rule_trains_as_its_optimizer_in_float32_and_under_a_schedule(name):
    lr = (1e-4, 2e-4) if name == "Muon" else (0.01, 0.02)  # it rounds to bfloat16, which enlarges differences
    check_lane_rule(
        RULES.of(OPTIMIZERS[name]),
        OPTIMIZERS[name],
        lr=lr,
        dtype="float32",
        schedule="warmup-cosine:warmup=0.05",
    )


class Grouped:
    """Functions that build optimizers with parameter groups."""

    @staticmethod
    def reversed(model, *, lr: float = 0.01):
        decayed = [weight for weight in model.parameters() if weight.ndim > 1]
        free = [weight for weight in model.parameters() if weight.ndim < 2]
        groups = [{"params": free, "weight_decay": 0.0, "lr": 2 * lr}, {"params": decayed}]
        return torch.optim.AdamW(groups, lr=lr, weight_decay=0.1)

    @staticmethod
    def of_flags(model, *, lr: float = 0.01):
        first, *others = model.parameters()
        groups = [{"params": others, "momentum": 0.9, "nesterov": True}, {"params": [first], "lr": lr / 2}]
        return torch.optim.SGD(groups, lr=lr)


@pytest.mark.parametrize(
    "schedule", ["none", pytest.param("warmup-cosine:warmup=0.05", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("factory", [Grouped.reversed, Grouped.of_flags])
def test_parameter_groups_keep_their_own_numbers_flags_and_rates(factory, schedule):
    kind = torch.optim.AdamW if factory is Grouped.reversed else torch.optim.SGD
    check_lane_rule(RULES.of(kind), factory, schedule=schedule)


def test_an_optimizer_of_some_weights_alone_goes_to_the_loop():
    def partial(model, *, lr: float = 0.01):
        return torch.optim.SGD(list(model.parameters())[:1], lr=lr)

    lanes, loop = both(small_workload(), "mini:4", [partial])
    agree(lanes, loop, rtol=0)
    assert "does not train exactly the model's trainable weights" in lanes.notes[0]


class SignMomentum(torch.optim.Optimizer):
    """Steps by the sign of a running average of the gradient."""

    def __init__(self, params, lr: float = 0.01, momentum: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                average = self.state[weight].setdefault("average", torch.zeros_like(weight))
                average.lerp_(weight.grad, 1 - group["momentum"])
                weight.sub_(group["lr"] * average.sign())


def sign_update(weight, grad, state, rates, flags):
    average = state["average"] + (1 - rates["momentum"]) * (grad - state["average"])
    return weight - rates["lr"] * average.sign(), {"average": average}


def sign_state(weight, flags):
    return {"average": torch.zeros_like(weight)}


SIGN = {"update": sign_update, "numbers": ("lr", "momentum"), "state": sign_state}


def without_state(weight, grad, state, rates, flags):
    return weight - rates["lr"] * grad.sign(), state


def stale(weight, grad, state, rates, flags):
    """The weight is right, and the state stays as it was."""
    return sign_update(weight, grad, state, rates, flags)[0], state


def branching(weight, grad, state, rates, flags):
    return (weight, state) if grad.sum() > 0 else sign_update(weight, grad, state, rates, flags)


def reading(weight, grad, state, rates, flags):
    return weight - rates["lr"] * grad.sum().item(), state


WRONG = {
    "no momentum": (
        {"update": without_state},
        r"an update differs from the loop's by .* of the weights' norm",
    ),
    "a state that stays": (
        {"update": stale},
        r"an update leaves the optimizer's average different from the loop's, by .* of its norm \(1e-10 is",
    ),
    "another name": (
        {"state": lambda weight, flags: {"mean": sign_state(weight, flags)["average"]}},
        r"an update cannot be traced \(KeyError: 'average'\)",
    ),
    "a state that is not kept": (
        {"state": lambda weight, flags: {}, "update": lambda *given: (without_state(*given)[0], {})},
        "it does not keep the optimizer's average",
    ),
    "a count of its own": (
        {"counted": lambda updates: {"step": updates}},
        "it keeps step, which the optimizer does not",
    ),
    "an unknown setting": (
        {"numbers": ("lr",)},
        "it does not name the setting momentum; add it to numbers, flags or ignored$",
    ),
    "a branch on values": (
        {"update": branching},
        r"it branches on the value of a tensor \(test_lane_rules\.py:\d+\); use torch\.where$",
    ),
    "a value": (
        {"update": reading},
        r"it reads the value of a tensor \(test_lane_rules\.py:\d+\); compute with the tensor itself$",
    ),
    "no rates": (
        {"rates": lambda numbers, step: {"lr": numbers["lr"]}},
        r"an update cannot be traced \(KeyError: 'momentum'\)",
    ),
}


def test_a_rule_of_a_users_optimizer_is_checked():
    assert "20 updates" in check_lane_rule(LaneRule(**SIGN), SignMomentum)
    check_lane_rule(LaneRule(**SIGN), functools.partial(SignMomentum, momentum=0.0))


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_rule_is_refused_with_the_reason(case):
    changes, reason = WRONG[case]
    with pytest.raises(PluginError, match=f"the lane rule of SignMomentum is refused: {reason}"):
        check_lane_rule(LaneRule(**{**SIGN, **changes}), SignMomentum)


class Averaged(torch.optim.Optimizer):
    """Is measured at the average of its weights so far; counts updates in its parameter groups."""

    def __init__(self, params, lr: float = 0.01) -> None:
        super().__init__(params, {"lr": lr, "count": 0, "training": True})

    @torch.no_grad()
    def eval(self):
        for group in self.param_groups:
            group["training"] = False
            for weight in group["params"]:
                weight.copy_(self.state[weight]["average"])

    def train(self):
        for group in self.param_groups:
            group["training"] = True

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            group["count"] += 1
            for weight in group["params"]:
                average = self.state[weight].setdefault("average", torch.zeros_like(weight))
                weight.sub_(group["lr"] * weight.grad)
                average.lerp_(weight, 1 / group["count"])


def count(memory, rates, flags):
    made = memory["count"] + 1
    return {"count": made}, {"share": 1 / made}


def average_update(weight, grad, state, rates, flags):
    new = weight - rates["lr"] * grad
    return new, {"average": state["average"] + rates["share"] * (new - state["average"])}


AVERAGED = {
    "update": average_update,
    "ignored": ("training",),
    "state": sign_state,
    "memory": {"count": 0},
    "advance": count,
    "evaluated": lambda weight, state, numbers, flags: state["average"],
}
WRONG_AVERAGED = {
    "measured at its weights": ({"evaluated": None}, "an update differs from the loop's by"),
    "a count that stays": (
        {"advance": lambda memory, rates, flags: (memory, count(memory, rates, flags)[1])},
        "an update leaves the optimizer's count different from the loop's",
    ),
    "no count": (
        {"memory": None, "advance": None},
        "it does not name the setting count; add it to numbers, flags or ignored$",
    ),
}


def in_two_groups(model, *, lr: float = 0.01):
    first, *others = model.parameters()
    return Averaged([{"params": others, "lr": 2 * lr}, {"params": [first]}], lr=lr)


@pytest.mark.parametrize("optimizer", [Averaged, in_two_groups])
def test_an_optimizer_with_modes_and_numbers_that_change_trains_in_lanes(optimizer):
    check_lane_rule(LaneRule(**AVERAGED), optimizer)


@pytest.mark.parametrize("case", WRONG_AVERAGED)
def test_wrong_modes_and_numbers_are_refused_with_the_reason(case):
    changes, reason = WRONG_AVERAGED[case]
    with pytest.raises(PluginError, match=f"the lane rule of Averaged is refused: {reason}"):
        check_lane_rule(LaneRule(**{**AVERAGED, **changes}), Averaged)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_path_and_the_records_of_an_optimizer_with_modes_are_those_of_its_average(jobs, monkeypatch):
    registered = LaneRules.single(Averaged, LaneRule(**AVERAGED))
    monkeypatch.setattr(Registry, "lane_rules", lambda self: registered)
    question = {"seeds": 4, "epochs": 4, "dtype": "float64", "plane": True, "jobs": jobs}
    lanes, loop = (
        compare("line", "mini", [Averaged], trainer=trainer, **question) for trainer in ("lanes", "loop")
    )
    assert trainers(lanes) == {"lanes"}
    agree(lanes, loop)
    places = [torch.tensor(each.paths[["x", "y"]].to_numpy()) for each in (lanes, loop)]
    torch.testing.assert_close(*places)


def test_memory_without_advance_is_refused():
    with pytest.raises(PluginError, match="a LaneRule has memory and advance, or neither"):
        LaneRule(update=sign_update, memory={"k": 0})


def test_a_rule_without_a_learning_rate_is_refused():
    with pytest.raises(PluginError, match=r"a LaneRule has lr among its numbers, got \('momentum',\)"):
        LaneRule(update=sign_update, numbers=("momentum",))


@pytest.mark.parametrize("field", ["numbers", "flags", "ignored"])
def test_a_text_instead_of_names_is_refused(field):
    with pytest.raises(PluginError, match=f"^{field} of a LaneRule is a tuple of names, got 'lr'$"):
        LaneRule(update=sign_update, **{field: "lr"})


def test_what_is_no_lane_rule_cannot_be_checked():
    with pytest.raises(PluginError, match=r"^check_lane_rule\(\) needs a LaneRule, got a str$"):
        check_lane_rule("x", SignMomentum)


def test_the_default_rates_are_the_numbers():
    numbers = {"lr": torch.tensor([0.1, 0.2]), "betas": (torch.ones(2), torch.ones(2))}
    assert numbers_alone(numbers, torch.ones(1, 1)) == {"lr": numbers["lr"]}


def test_the_state_of_a_rule_has_the_names_shapes_and_dtypes_of_the_optimizer():
    for name, kind in OPTIMIZERS.items():
        model = nn.Linear(3, 2, bias=name != "Muon")
        optimizer = kind(model.parameters(), lr=0.01)
        model(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        rule = RULES.of(kind)
        flags = {flag: optimizer.param_groups[0].get(flag) for flag in rule.flags}
        for weight in model.parameters():
            state = {**rule.counted(1), **rule.state(weight.detach(), flags)}
            kept = optimizer.state[weight]
            assert state.keys() == kept.keys(), name
            for each, value in kept.items():
                assert (value.shape, value.dtype) == (state[each].shape, state[each].dtype), (name, each)
