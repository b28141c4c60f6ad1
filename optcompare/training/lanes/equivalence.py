"""Compare the first updates of lanes with those of the loop, done from the same states."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from ...interfaces.strategy import StepStats
from ..device import Clock
from ..loop.adaptive_batches import AdaptiveBatches
from ..loop.adaptive_epoch import update_with_stats
from ..loop.trial import TrialRun
from ..state import TrialState
from .engines.engine import Carry
from .program import Blueprint
from .update_rules import Unsupported

if TYPE_CHECKING:
    from torch import Tensor

UPDATES = 8
TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
"""The largest relative difference of two weight vectors after one update that counts as agreement."""
STATE_FACTOR = 100.0
"""The factor by which the state of an optimizer may differ more than weights.

Gradients are differences of larger numbers, so that rounding changes a small gradient more.
"""


class Apart(NamedTuple):
    """Hold the difference of an update in lanes from the loop's.

    Attributes:
        relative: The relative difference; of the state of the optimizer, divided by its factor.
        state: The name of the state that differs; empty: the weights or buffers do.
        weights: The relative difference of weights and buffers.
    """

    relative: float
    state: str = ""
    weights: float = 0.0

    def explain(self, tolerance: float) -> str:
        """Return the difference in words.

        Args:
            tolerance: The largest relative difference that is allowed.
        """
        if not self.state:
            return (
                f"an update differs from the loop's by {self.relative:.1e} of the weights' norm "
                f"({tolerance:.0e} is allowed)"
            )
        return (
            f"an update leaves the optimizer's {self.state} different from the loop's, by "
            f"{self.relative * STATE_FACTOR:.1e} of its norm ({tolerance * STATE_FACTOR:.0e} is allowed)"
        )


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
) -> list[Apart]:
    """Return the largest difference of each lane over all its first updates.

    Args:
        blueprint: The blueprint of the lanes.
        rehearsed: The first updates of each lane on the loop trainer.
        update: ``update(carry, index, done)`` makes one update of all lanes on ``index``, int64[1, R, B],
            after ``done`` updates.

    Raises:
        Unsupported: The lane rule keeps another state than the optimizer.
    """
    worst = [Apart(0.0)] * len(rehearsed)
    for done in range(len(rehearsed[0].batches)):
        carry = blueprint.stack([lane.states[done] for lane in rehearsed])
        index = torch.stack([lane.batches[done] for lane in rehearsed])[None].to(carry[0].device)
        after = update(carry, index, done)
        for number, lane in enumerate(rehearsed):
            reached = blueprint.state_of(after, number, lane.states[done], done + 1)
            expected = lane.states[done + 1]
            found = [worst[number], *_differences(blueprint, reached, expected)]
            worst[number] = max(found)._replace(weights=max(each.weights for each in found))
    return worst


def _differences(blueprint: Blueprint, reached: TrialState, expected: TrialState) -> Iterator[Apart]:
    one, other = ({**state["model"], **state["buffers"]} for state in (reached, expected))
    weights = [difference(one, other, names) for names in (blueprint.weights, blueprint.floating) if names]
    counts = [name for name in blueprint.kept if name not in blueprint.floating]
    weights += [0.0 if torch.equal(one[name].cpu(), other[name].cpu()) else math.inf for name in counts]
    if "trained" in expected:
        weights.append(_of_lists(reached["trained"], expected["trained"]))
    yield Apart(max(weights), weights=max(weights))
    for name, pairs in _pairs(reached["optimizer"], expected["optimizer"]).items():
        yield Apart(_of_lists(*zip(*pairs, strict=True)) / STATE_FACTOR, name)


def _pairs(reached: Mapping[str, Any], expected: Mapping[str, Any]) -> dict[str, list[tuple[Any, Any]]]:
    """Return the numbers and tensors of two ``state_dict()`` by name, those of all weights together.

    Weights without a gradient have no state in the loop, and are left out.
    """
    pairs: dict[str, list[tuple[Any, Any]]] = {}
    for number, state in expected["state"].items():
        own = reached["state"].get(number, {})
        _refuse_others(own, state)
        for name in state:
            pairs.setdefault(name, []).append((own[name], state[name]))
    for own, group in zip(reached["param_groups"], expected["param_groups"], strict=True):
        _refuse_others(own, group)
        for name in group.keys() - {"lr"}:  # the rate of lanes is without its schedule
            if isinstance(group[name], (int, float)) and not isinstance(group[name], bool):
                pairs.setdefault(name, []).append((own[name], group[name]))
    return pairs


def _refuse_others(reached: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    for name in sorted(expected.keys() - reached.keys()):
        raise Unsupported(f"the lane rule does not keep the optimizer's {name}")
    for name in sorted(reached.keys() - expected.keys()):
        raise Unsupported(f"the lane rule keeps {name}, which the optimizer does not")


def _of_lists(one: Sequence[Any], other: Sequence[Any]) -> float:
    """Return the difference of two lists of tensors or numbers."""
    names = list(map(str, range(len(one))))
    a, b = (dict(zip(names, map(torch.as_tensor, values), strict=True)) for values in (one, other))
    return difference(a, b, names)
