"""Check plugins: try each contract on small examples, and explain failures."""

from __future__ import annotations

import copy
import dataclasses
import importlib.util
import itertools
import math
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from ..core.comparison import Budget, Trial
from ..core.parameters import REQUIRED, parameters
from ..errors import USER_CODE_ERRORS, ComparisonError, OptcompareError, explain
from ..interfaces.lane_rules import RegisteredRule
from ..interfaces.strategy import Strategy
from ..interfaces.workload import Workload
from ..planning.prepare import Prepared, prepare
from ..planning.question import Question
from ..planning.workload_checks import refuse_shared_weights
from ..registry.entries import Entry
from ..registry.manager import Registry
from ..training.device import torch_settings
from ..training.loop.trainer import LoopTrainer
from ..training.state import ProgressState
from .finding import Finding
from .lane_rule_check import check_lane_rule, through_a_file

_SAMPLES, _FEW = 23, 3
"""The samples of both examples: a prime, so that the last batch is short, and less than most batch sizes."""

Attempt = Callable[[], str]


class Broken(Exception):
    """Report a rule that was not kept, and how to keep it."""


def check(plugin: str) -> Iterator[Finding]:
    """Check whether a plugin keeps its contracts.

    Args:
        plugin: The path, the module, or the name of the plugin in ``optcompare plugins``.

    Returns:
        The findings, each as soon as its check is made.

    Raises:
        OptcompareError: The plugin cannot be loaded, or adds nothing that can be checked.
    """
    installed = {info.name: info for info in Registry.load().plugins()}
    registry = Registry.load(() if plugin in installed else (plugin,))
    names = {plugin, *(info.name for info in registry.plugins() if info.source == plugin)}
    rules = [rule for rule in registry.lane_rules().registered if rule.plugin in names]
    kinds = {"strategies": _strategy, "workloads": _workload, "optimizers": _optimizer}
    added = [
        (checks, entry)
        for kind, checks in kinds.items()
        for entry in registry.entries(kind).values()
        if entry.plugin in names
    ]
    if not added and not rules:
        raise ComparisonError(
            f"{plugin} adds no strategy, workload, optimizer or lane rule, and nothing else can be checked; "
            "try it in a run"
        )
    found = (finding for checks, entry in added for finding in checks(registry, entry))
    return itertools.chain(found, map(_lane_rule, rules))


def _strategy(registry: Registry, entry: Entry) -> Iterator[Finding]:
    who = f"strategy {entry.name}"
    yield _documented(who, entry)
    made = _found(f"{who}: made without arguments", partial(_makes, entry))
    yield made
    if not made.held:
        return
    yield _found(f"{who}: copied and sent to other processes", partial(_copies, entry))
    for n, what in ((_SAMPLES, "a short last batch"), (_FEW, "fewer samples than a batch")):
        yield _found(f"{who}: trains with {what}", partial(_trains, registry, _points(n), entry.name))
    yield _found(f"{who}: the same batches again", partial(_repeats, registry, entry.name))
    yield _found(
        f"{who}: cut after each epoch and continued", partial(_continues, registry, entry.name, "sgd")
    )


def _optimizer(registry: Registry, entry: Entry) -> Iterator[Finding]:
    who, spec = f"optimizer {entry.name}", f"{entry.name}:lr=0.01"
    yield _documented(who, entry)
    try:
        _prepared(registry, _points(_SAMPLES), "mini:5", spec)
    except ComparisonError as refusal:
        yield Finding(f"{who}: moves every weight", None, f"it refuses this model: {refusal}")
        return
    trained = _found(f"{who}: moves every weight", partial(_moves, registry, spec))
    yield trained
    if trained.held:
        yield _found(
            f"{who}: cut after each update and continued", partial(_continues, registry, "mini:5", spec)
        )


def _workload(registry: Registry, entry: Entry) -> Iterator[Finding]:
    who = f"workload {entry.name}"
    yield _documented(who, entry)
    if any(parameter.default is REQUIRED for parameter in parameters(entry.factory)):
        yield Finding(f"{who}: trains", None, "it needs arguments; check it by running it")
        return
    made = _found(f"{who}: made without arguments", partial(_makes, entry))
    yield made
    if not made.held:
        return
    new = _found(f"{who}: a new model each time", partial(_is_new, entry))
    yield new
    if new.held:
        yield _found(f"{who}: trains", partial(_trains, registry, entry.name, "full", 2))


def _lane_rule(registered: RegisteredRule) -> Finding:
    name = f"lane rule of {registered.optimizer.rpartition('.')[2]}: trains as its optimizer"
    module, _, optimizer = registered.optimizer.rpartition(".")
    if module not in sys.modules and importlib.util.find_spec(module.partition(".")[0]) is None:
        return Finding(name, None, f"{module} is not installed")

    def attempt() -> str:
        return check_lane_rule(registered.load(), getattr(importlib.import_module(module), optimizer))

    return _found(name, attempt)


def _found(name: str, attempt: Attempt) -> Finding:
    try:
        return Finding(name, True, attempt())
    except (Broken, OptcompareError) as broken:
        return Finding(name, False, " ".join(str(broken).split()))
    except USER_CODE_ERRORS as error:
        return Finding(name, False, explain(error))


def _documented(who: str, entry: Entry) -> Finding:
    line = (entry.factory.__doc__ or "").strip().partition("\n")[0]
    # Dataclasses without a docstring get one that begins with their name and a parenthesis.
    if line and not line.startswith(f"{getattr(entry.factory, '__name__', '')}("):
        return Finding(f"{who}: says what it is", True, line)
    return Finding(
        f"{who}: says what it is",
        False,
        "it has no docstring; its first paragraph is what `optcompare list` shows",
    )


def _makes(entry: Entry) -> str:
    made = entry.factory()
    return str(made) if isinstance(made, Strategy) else type(made).__name__


def _copies(entry: Entry) -> str:
    made = entry.factory()
    if copy.deepcopy(made).parameters() != made.parameters():
        raise Broken("a deep copy has other parameters; every trial trains with a copy")
    if pickle.loads(pickle.dumps(made)).parameters() != made.parameters():
        raise Broken("what comes back from pickle has other parameters; jobs sends it to other processes")
    if dataclasses.fields(made) and dataclasses.is_dataclass(made):
        return "the parameters stay as they are"
    return "it has no parameters"


def _trains(registry: Registry, workload: str | Workload, strategy: str, updates: int | None = None) -> str:
    budget = Budget("epochs", 3) if updates is None else Budget("updates", updates)
    trainer = _prepared(registry, workload, strategy, "sgd", budget).trainer
    records, progress = _trained(trainer)
    if not all(math.isfinite(record["train_loss"]) for record in records):
        raise Broken(
            f"the training loss is not finite after {progress['updates']} updates at the rate it recommends"
        )
    return f"{progress['updates']} updates of {progress['samples']} samples in all"


def _repeats(registry: Registry, strategy: str) -> str:
    prints = set()
    for noise in (1, 2):
        torch.manual_seed(noise)  # Reveals strategies that draw from the global generator.
        _, progress = _trained(_prepared(registry, _points(_SAMPLES), strategy).trainer)
        prints.add((progress["batches"], progress["final_sha256"]))
    if len(prints) > 1:
        raise Broken("the same seed gave other batches or weights; draw random numbers from epoch.rng alone")
    return "batches and final weights have the same SHA-256"


def _continues(registry: Registry, strategy: str, optimizer: str) -> str:
    trainer = _prepared(registry, _points(_SAMPLES), strategy, optimizer).trainer
    _, whole = _trained(trainer)
    pieces, state = 0, None
    while state is None or state["progress"]["status"] == "running":
        with torch_settings(1):
            _, state = trainer.advance(
                _first(trainer), None if state is None else through_a_file(state), lambda: True
            )
        pieces += 1
    if state["progress"]["status"] == "failed":
        raise Broken(
            f"{state['progress']['reason']}; what changes must be a field(init=False), or in state_dict()"
        )
    if state["progress"]["final_sha256"] != whole["final_sha256"]:
        raise Broken(
            "a trial that was cut and continued from its saved state ended in other weights: something that "
            "changes is "
            "not in that state; declare it as field(init=False), or keep it in the optimizer's state"
        )
    return f"{pieces} pieces end in the same bits as one"


def _moves(registry: Registry, spec: str) -> str:
    trainer = _prepared(registry, _points(_SAMPLES), "mini:5", spec).trainer
    before = trainer.start(0).model().state_dict()
    with torch_settings(1):
        _, state = trainer.advance(_first(trainer), None, lambda: False)
    _refuse_failure(state["progress"])
    still = [
        name for name, weight in before.items() if torch.equal(weight, state["model"][name].to(weight.dtype))
    ]
    if still:
        raise Broken(f"{still[0]} is the same after {state['progress']['updates']} updates")
    return f"{len(before)} tensors changed in {state['progress']['updates']} updates"


def _is_new(entry: Entry) -> str:
    workload = entry.factory()
    refuse_shared_weights(workload, 0)
    return f"{sum(weight.numel() for weight in workload.model().parameters()):,} weights"


def _points(n: int) -> Workload:
    """Make a workload that fits a function of n points by a small network, with gradients of every kind."""
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    return Workload(
        model=lambda: nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 1)),
        train=(x, x.sum(1, keepdim=True).sin()),
        loss=nn.functional.mse_loss,
        lr=0.01,
        batch_size=8,
        name="points",
    )


def _prepared(
    registry: Registry,
    workload: str | Workload,
    strategy: str,
    optimizer: str = "sgd",
    budget: Budget | None = None,
) -> Prepared:
    question = Question(
        workload=workload,
        strategies=[strategy],
        optimizers=[optimizer],
        budget=budget or Budget("epochs", 3),
        seeds=(0,),
        device="cpu",
    )
    return prepare(registry, question, held=False)


def _trained(trainer: LoopTrainer) -> tuple[list[dict[str, Any]], ProgressState]:
    with torch_settings(1):
        records, state = trainer.advance(_first(trainer), None, lambda: False)
    _refuse_failure(state["progress"])
    return records, state["progress"]


def _refuse_failure(progress: ProgressState) -> None:
    if progress["status"] == "failed":
        raise Broken(progress["reason"])


def _first(trainer: LoopTrainer) -> Sequence[Trial]:
    return trainer.setup.comparison.trials()[:1]
