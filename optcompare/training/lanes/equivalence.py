"""Compares first updates of lanes with those of the loop, made from the same states."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from ..device import Clock
from ..loop.trial import TrialRun
from ..state import TrialState
from .program import Blueprint, Carry

if TYPE_CHECKING:
    from torch import Tensor

UPDATES = 8
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
"""The relative norm of the difference of two weight vectors that counts as agreement, after one update each.
"""


@dataclass(frozen=True)
class Rehearsed:
    """What the loop did at the start of a trial.

    Attributes:
        states: Before each update and after the last.
        batches: The indices of each update's batch, int64[B].
        seconds: The median time of an update.
    """

    states: list[TrialState]
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

    ``update(carry, index, made)``: one update of as many lanes as there are in ``rehearsed``, on index[1, R,
    B], after so many that were ``made`` before.
    """
    worst = [0.0] * len(rehearsed)
    for made in range(len(rehearsed[0].batches)):
        carry = blueprint.stack([lane.states[made] for lane in rehearsed])
        index = torch.stack([lane.batches[made] for lane in rehearsed])[None].to(carry[0].device)
        after = update(carry, index, made)
        for number, lane in enumerate(rehearsed):
            reached = blueprint.state_of(after, number, lane.states[made], made + 1)
            one, other = (
                {**state["model"], **state["buffers"]} for state in (reached, lane.states[made + 1])
            )
            for names in (blueprint.weights, blueprint.floating):
                if names:
                    worst[number] = max(worst[number], difference(one, other, names))
    return worst
