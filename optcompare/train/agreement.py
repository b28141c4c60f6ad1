"""The trust check: the first updates of a few lanes, made by the loop and by the lanes' program from the same states."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from .device import Clock
from .program import Blueprint, Carry
from .trial import State, TrialRun

if TYPE_CHECKING:
    from torch import Tensor

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
    blueprint: Blueprint,
    rehearsed: Sequence[Rehearsed],
    update: Callable[[Carry, Tensor], Carry],
    stride: int,
) -> list[float]:
    """The largest difference of each lane, over all its first updates.

    ``update(carry, index)``: ``stride`` updates of as many lanes as there are in ``rehearsed``, on index[stride, R, B].
    """
    worst = [0.0] * len(rehearsed)
    floats = [*blueprint.weights, *blueprint.floating]
    for first in range(0, len(rehearsed[0].batches) - stride + 1, stride):
        sizes = {len(batch) for batch in rehearsed[0].batches[first : first + stride]}
        if len(sizes) > 1:
            continue
        carry = blueprint.stack([lane.states[first] for lane in rehearsed])
        index = torch.stack(
            [torch.stack([lane.batches[first + number] for lane in rehearsed]) for number in range(stride)]
        ).to(carry[0].device)
        after = update(carry, index)
        for number, lane in enumerate(rehearsed):
            reached = blueprint.state_of(after, number, lane.states[first])
            wanted = lane.states[first + stride]
            one, other = ({**state["model"], **state["buffers"]} for state in (reached, wanted))
            for names in (blueprint.weights, floats[len(blueprint.weights) :]):
                if names:
                    worst[number] = max(worst[number], difference(one, other, names))
    return worst
