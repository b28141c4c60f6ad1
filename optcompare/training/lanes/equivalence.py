"""Compare the first updates of lanes with those of the loop, done from the same states."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any

import torch

from ...interfaces.strategy import StepStats
from ..device import Clock
from ..loop.adaptive_batches import AdaptiveBatches
from ..loop.adaptive_epoch import update_with_stats
from ..loop.trial import TrialRun
from ..state import TrialState
from .program import Blueprint, Carry

if TYPE_CHECKING:
    from torch import Tensor

UPDATES = 8
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
"""The largest relative difference of two weight vectors after one update that counts as agreement."""


@dataclass(frozen=True)
class Rehearsed:
    """Hold the first updates of a trial on the loop trainer.

    Attributes:
        states: The states before each update and after the last.
        batches: The indices of each update's batch, int64[B].
        seconds: The median time of an update.
        stats: The statistics of each update that an adaptive strategy received.
    """

    states: list[TrialState]
    batches: list[Tensor]
    seconds: float
    stats: list[StepStats] = field(default_factory=list)


def rehearse_in_loop(run: TrialRun, batches: Sequence[Tensor]) -> Rehearsed:
    """Make the first updates of a trial on the loop trainer.

    Args:
        run: The trial.
        batches: The indices of each update, int64[B].
    """
    states, seconds = [run.state()], list[float]()
    run.warm_up(batches[0][: run.trial.arm.chunk])
    for batch in batches:
        watch = Clock(run.device)
        with watch:
            run.update(batch)
        seconds.append(watch.seconds)
        states.append(run.state())
    return Rehearsed(states, list(batches), median(seconds))


def rehearse_adaptive(run: TrialRun) -> Rehearsed:
    """Make the first updates of a trial with an adaptive strategy on the loop trainer, in its first epoch.

    Args:
        run: The trial.
    """
    drawn = AdaptiveBatches(run.planner, run.progress, run.source.n)
    following, seen, seconds = drawn.draw(), Rehearsed([run.state()], [], 0.0), list[float]()
    while following is not None and len(seen.batches) < UPDATES:
        batch = drawn.checked(following)
        if len(batch) == 0:
            break
        if not seen.batches:
            run.warm_up(batch[: run.trial.arm.chunk])
        watch = Clock(run.device)
        with watch:
            stats = update_with_stats(run, batch)
            run.progress.count_updates(1, len(batch), len(batch), 0.0)
            following = drawn.draw(stats)
        seconds.append(watch.seconds)
        seen.states.append(run.state())
        seen.batches.append(batch)
        seen.stats.append(stats)
    return dataclasses.replace(seen, seconds=median(seconds))


def difference(one: Mapping[str, Any], other: Mapping[str, Any], names: Sequence[str]) -> float:
    """Return |one - other| / |other| over all named weights; 0 where both diverged alike."""
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
    """Return the largest difference of each lane over all its first updates.

    Args:
        blueprint: The blueprint of the lanes.
        rehearsed: The first updates of each lane on the loop trainer.
        update: ``update(carry, index, done)`` makes one update of all lanes on ``index``, int64[1, R, B],
            after ``done`` updates.
    """
    worst = [0.0] * len(rehearsed)
    for done in range(len(rehearsed[0].batches)):
        carry = blueprint.stack([lane.states[done] for lane in rehearsed])
        index = torch.stack([lane.batches[done] for lane in rehearsed])[None].to(carry[0].device)
        after = update(carry, index, done)
        for number, lane in enumerate(rehearsed):
            reached = blueprint.state_of(after, number, lane.states[done], done + 1)
            one, other = (
                {**state["model"], **state["buffers"]} for state in (reached, lane.states[done + 1])
            )
            for names in (blueprint.weights, blueprint.floating):
                if names:
                    worst[number] = max(worst[number], difference(one, other, names))
    return worst
