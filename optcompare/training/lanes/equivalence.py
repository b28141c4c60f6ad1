"""The trust check: the first updates of a few lanes, made by the loop and by the lanes' program from the same states."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...core.comparison import Trial
from ...core.rng import preserved_rng
from ..device import Clock
from ..loop.planner import same
from ..loop.trainer import LoopTrainer
from ..loop.trial import State, TrialRun
from .program import Blueprint, Carry

if TYPE_CHECKING:
    from torch import Tensor

_OF_MODULES = set(vars(nn.Module()))
UPDATES = 8
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
"""The relative norm of the difference of two weight vectors that counts as agreement, after one update each."""


@dataclass(frozen=True)
class Rehearsed:
    """What the loop did at the beginning of a trial: its state before each update and after the last, the indices of
    each update's batch, the median seconds of an update."""

    states: list[State]
    batches: list[Tensor]
    seconds: float


def rehearse_in_loop(run: TrialRun, batches: Sequence[Tensor]) -> Rehearsed:
    """Makes a trial's first updates alone, on these batches of indices."""
    states, seconds = [run.state()], list[float]()
    run.warm_up(batches[0][: run.trial.arm.chunk])
    for batch in batches:
        watch = Clock(run.device)
        with watch:
            run.update(batch)
        seconds.append(watch.seconds)
        states.append(run.state())
    return Rehearsed(states, list(batches), median(seconds))


def difference(one: Mapping[str, Any], other: Mapping[str, Any], names: Sequence[str]) -> float:
    """|one - other| / |other| over all named weights; where they diverged alike, 0."""
    a, b = (torch.cat([side[name].detach().double().reshape(-1) for name in names]) for side in (one, other))
    both = a.isfinite() & b.isfinite()
    if not torch.equal(a.isfinite(), b.isfinite()):
        return math.inf
    a, b = a[both], b[both]
    norm = float(b.norm())
    return float((a - b).norm()) / norm if norm else float((a - b).norm())


def disagreements(
    blueprint: Blueprint, rehearsed: Sequence[Rehearsed], update: Callable[[Carry, Tensor, int], Carry]
) -> list[float]:
    """The largest difference of each lane, over all its first updates.

    ``update(carry, index, made)``: one update of as many lanes as there are in ``rehearsed``, on index[1, R, B], after
    so many that were ``made`` before.
    """
    worst = [0.0] * len(rehearsed)
    for made in range(len(rehearsed[0].batches)):
        carry = blueprint.stack([lane.states[made] for lane in rehearsed])
        index = torch.stack([lane.batches[made] for lane in rehearsed])[None].to(carry[0].device)
        after = update(carry, index, made)
        for number, lane in enumerate(rehearsed):
            reached = blueprint.state_of(after, number, lane.states[made], made + 1)
            one, other = ({**state["model"], **state["buffers"]} for state in (reached, lane.states[made + 1]))
            for names in (blueprint.weights, blueprint.floating):
                if names:
                    worst[number] = max(worst[number], difference(one, other, names))
    return worst


def plain_attributes(model: nn.Module) -> dict[str, Any]:
    """What a model holds beside weights, buffers and modules: hidden state, if it changes."""
    kinds = (bool, int, float, str, list, tuple, dict, set, type(None), torch.Tensor)
    return {
        f"{path}.{name}".lstrip("."): copy.deepcopy(value)
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, kinds) and not (name.startswith("_") and name in _OF_MODULES)
    }


def hides_state(loop: LoopTrainer) -> bool:
    """Whether an update changes something in the model that a state does not carry."""
    comparison = loop.setup.comparison
    with preserved_rng():
        run = loop.run(Trial(comparison.arms[0], comparison.seeds[0]), None)
        before = plain_attributes(run.model)
        run.update(run.planner.order(0)[:2])
        return bool(changed_attributes(before, run.model))


def changed_attributes(before: Mapping[str, Any], model: nn.Module) -> list[str]:
    """The names of plain attributes that are new or have other values than before."""
    now = plain_attributes(model)
    return [name for name in now if name not in before or not same(now[name], before[name])]
