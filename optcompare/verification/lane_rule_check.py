"""Check a lane rule: train a small model by the rule and by its optimizer, and compare them."""

from __future__ import annotations

import copy
import dataclasses
import io
import itertools
import re
from collections.abc import Callable, Sequence

import torch
from torch import nn

from ..core.budget import Budget
from ..core.columns import Record
from ..core.comparison import Trial
from ..errors import ComparisonError, PluginError
from ..interfaces.lane_rule import LaneRule
from ..interfaces.lane_rules import LaneRules
from ..interfaces.optimizer import build
from ..interfaces.workload import Workload
from ..planning.optimizer_factory import OptimizerLike, make_optimizer
from ..planning.question import Question
from ..planning.resolve import resolve
from ..registry.manager import Registry
from ..training.device import torch_settings
from ..training.lanes.equivalence import TOLERANCES, difference
from ..training.lanes.trainer import LanesTrainer
from ..training.loop.trainer import LoopTrainer
from ..training.state import TrialState

_MEMORY = 1e9
_SAMPLES, _BATCH = 23, 5
_EPOCHS = 60
"""Epochs of the budget: so many that the program is traced, as in longer runs."""
_TRAINED = 10
"""The updates that are compared, and again as many in the loop that goes on."""
_LARGER = 100.0
"""The factor by which several updates may differ more than one."""


def check_lane_rule(
    rule: LaneRule,
    optimizer: OptimizerLike,
    *,
    lr: Sequence[float] = (0.01, 0.02),
    dtype: str = "float64",
    schedule: str = "none",
    model: Callable[[], nn.Module] | None = None,
) -> str:
    """Check that a lane rule trains as its optimizer does.

    A small model is trained with two learning rates and two seeds, as lanes and in the loop. The first eight
    updates are compared one by one, with the state that they leave, as before every run. Then losses and
    weights are compared after ten updates, and after ten more in the loop, which continues from the lanes.

    Args:
        rule: The rule.
        optimizer: An Optimizer class, a function that builds one, a partial of either, or a spec.
        lr: The learning rates of the lanes.
        dtype: ``float64`` or ``float32``.
        schedule: The schedule of the learning rate.
        model: A factory of a model with four inputs and one output; None: a small perceptron, without biases
            if the optimizer trains matrices alone.

    Returns:
        The evidence in words.

    Raises:
        PluginError: It is no LaneRule, or trains otherwise; the message says at which point.
        OptcompareError: The optimizer cannot train the model.
    """
    if not isinstance(rule, LaneRule):
        raise PluginError(f"check_lane_rule() needs a LaneRule, got a {type(rule).__name__}")
    registry = Registry.load()
    kind, factory = _class_of(registry, optimizer, [model] if model else [_perceptron, _matrices])
    question = Question(
        workload=_points(factory),
        strategies=[f"mini:{_BATCH}"],
        optimizers=[optimizer],
        lr=tuple(lr),
        schedule=schedule,
        budget=Budget("epochs", _EPOCHS),
        seeds=(0, 1),
        device="cpu",
        dtype=dtype,
        trainer="lanes",
    )
    setup, _ = resolve(registry, question)
    setup = dataclasses.replace(setup, lane_rules=LaneRules.single(kind, rule))
    with torch_settings(1):
        return _Check(LoopTrainer(setup), kind.__name__).evidence()


class _Check:
    """Train the trials of a comparison by both trainers."""

    def __init__(self, loop: LoopTrainer, name: str) -> None:
        self._loop, self._name = loop, name
        self._lanes = LanesTrainer(loop, _MEMORY)
        self._tolerance = TOLERANCES[loop.setup.comparison.dtype] * _LARGER

    def evidence(self) -> str:
        trials = self._loop.setup.comparison.trials()
        groups, refused = self._lanes.grouped(trials)
        for group in groups:
            admitted = self._lanes.admit(group)
            refused = [*refused, *admitted.refused]
        if refused:
            why = re.sub(rf"^the lane rule(?: of {re.escape(self._name)})?(?! of)", "it", refused[0][1])
            raise PluginError(f"the lane rule of {self._name} is refused: {why}")
        worst = 0.0
        for group in groups:
            records, states = self._in_lanes(group)
            pairs = [*zip(group, states, strict=True)]
            for trial, state in (pairs[0], pairs[-1]):
                own = [record for record in records if record["seed"] == trial.seed]
                own = [record for record in own if record["arm"] == trial.arm.label]
                worst = max(worst, self._compared(trial, own, state))
        updates = 2 * _TRAINED
        return f"{len(trials)} lanes, {updates} updates: they differ from the loop by at most {worst:.0e}"

    def _in_lanes(self, group: list[Trial]) -> tuple[list[Record], Sequence[TrialState]]:
        records, state = self._lanes.advance(group, None, lambda: True)
        while state["lanes"][0]["progress"]["updates"] < _TRAINED and not state["strayed"]:
            more, state = self._lanes.advance(group, copy.deepcopy(state), lambda: True)
            records = [*records, *more]
        for why in state["strayed"].values():
            raise PluginError(f"the lane rule of {self._name}: {why}")
        return records, state["lanes"]

    def _compared(self, trial: Trial, records: Sequence[Record], state: TrialState) -> float:
        """Return the largest difference of a lane from the loop, also where the loop continues from it."""
        made = state["progress"]["updates"]
        alone, expected = self._in_loop(trial, None, made)
        losses = {record["update"]: record["train_loss"] for record in alone}
        found = [
            difference(
                {"loss": torch.tensor(record["train_loss"])},
                {"loss": torch.tensor(losses[record["update"]])},
                ["loss"],
            )
            for record in records
        ]
        self._refuse(max(found), f"losses within {made} updates")
        after = self._refuse(_apart(state, expected), f"weights after {made} updates")
        _, expected = self._in_loop(trial, expected, made + _TRAINED)
        _, continued = self._in_loop(trial, through_a_file(state), made + _TRAINED)
        what = f"weights of a loop that continues from lanes, {_TRAINED} updates later"
        return max(*found, after, self._refuse(_apart(continued, expected), what))

    def _refuse(self, apart: float, what: str) -> float:
        if not apart <= self._tolerance:
            raise PluginError(
                f"the lane rule of {self._name}: {what} differ from those of the optimizer by {apart:.1e} "
                f"({self._tolerance:.0e} is allowed)"
            )
        return apart

    def _in_loop(
        self, trial: Trial, state: TrialState | None, updates: int
    ) -> tuple[list[Record], TrialState]:
        records = list[Record]()
        while state is None or state["progress"]["updates"] < updates:
            left = updates - (0 if state is None else state["progress"]["updates"])
            more, state = self._loop.advance([trial], copy.deepcopy(state), _at_call(left))
            if state["progress"]["status"] != "running":
                raise PluginError(f"optimizer {self._name}: {state['progress']['reason']}")
            records += more
        return records, state


def _at_call(number: int) -> Callable[[], bool]:
    """Return a function that returns True from its call of this number on."""
    calls = itertools.count(1)
    return lambda: next(calls) >= number


def _class_of(
    registry: Registry, optimizer: OptimizerLike, models: Sequence[Callable[[], nn.Module]]
) -> tuple[type[torch.optim.Optimizer], Callable[[], nn.Module]]:
    """Return the class of an optimizer, and the first model that it can train."""
    choice = make_optimizer(registry, optimizer)
    for number, model in enumerate(models, 1):
        try:
            return type(build(choice.factory, model(), {**choice.values, "lr": 0.01}, choice.name)), model
        except ComparisonError:
            if number == len(models):
                raise
    raise AssertionError("there is no model")


def _apart(one: TrialState, other: TrialState) -> float:
    return difference(one["model"], other["model"], list(other["model"]))


def through_a_file(state: TrialState) -> TrialState:
    """Return a state after a round trip through a checkpoint.

    Args:
        state: The state of a trial.
    """
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: TrialState = torch.load(file, weights_only=True)
    return loaded


def _perceptron() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1))


def _matrices() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 5, bias=False), nn.Tanh(), nn.Linear(5, 1, bias=False))


def _points(model: Callable[[], nn.Module]) -> Workload:
    x = torch.randn(_SAMPLES, 4, generator=torch.Generator().manual_seed(0))
    return Workload(
        model=model, train=(x, x.sum(1, keepdim=True).sin()), loss=nn.functional.mse_loss, name="points"
    )
