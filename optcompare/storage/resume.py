"""Extend the comparison of a previous run, and check for changes since then."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..core.comparison import Arm, Budget, Comparison
from ..core.schedule import depends_on_budget
from ..core.tuning import Tuning
from ..errors import ComparisonError
from .provenance import differences


def extended(
    comparison: Comparison, budget: Budget | None, seeds: Sequence[int] | None, arms: Comparison | None
) -> Comparison:
    """Extend a comparison by a longer budget, more seeds or more arms.

    Args:
        comparison: The comparison of the previous run.
        budget: A longer budget; None: as before.
        seeds: All seeds, with those of the previous run; None: as before.
        arms: A comparison with further arms; None: as before.

    Raises:
        ComparisonError: The budget is smaller or of another unit, seeds or arms of the previous run are
            missing, or a seed would be on another split of the data.
    """
    changes: dict[str, Any] = {}
    if budget is not None:
        before = comparison.budget
        if budget.unit != before.unit or budget.amount < before.amount:
            raise ComparisonError(
                f"this run had {before} each; it can be resumed with that or more, not with {budget}"
            )
        changes["budget"] = budget
    if seeds is not None:
        missing = [seed for seed in comparison.seeds if seed not in seeds]
        if missing:
            raise ComparisonError(
                f"this run has {len(comparison.seeds)} seeds, of which seed {missing[0]} is missing; give "
                f"--seeds {len(comparison.seeds)} or more"
            )
        changes["seeds"] = tuple(seeds)
        longer = dataclasses.replace(comparison, seeds=tuple(seeds))
        moved = [seed for seed in comparison.seeds if longer.split_of(seed) != comparison.split_of(seed)]
        if moved:
            raise ComparisonError(
                f"seed {moved[0]} was trained on split {comparison.split_of(moved[0])} of the data, and "
                f"would be on split {longer.split_of(moved[0])}; list the earlier seeds first, in their order"
            )
    if arms is not None:
        changes["arms"] = _joined(comparison, arms)
    return dataclasses.replace(comparison, **changes)


def refuse_other_question(new: Comparison, previous: Comparison) -> None:
    """Refuse a comparison that differs from the previous one in more than seeds, arms and budget.

    Args:
        new: The comparison to run.
        previous: The comparison of the previous run.

    Raises:
        ComparisonError: Something else differs; the message lists it.
    """
    free = ("budget", "seeds", "arms", "tuning", "plugins", "engine", "engine_named")
    one, other = new.to_json(), previous.to_json()
    differing = [name for name in one if name not in free and one[name] != other[name]]
    known = {arm.label: arm for arm in new.arms}
    rates = (
        {}
        if previous.tuning is None or previous.tuning.repeats
        else {arm.label: arm.lr for arm in previous.arms}
    )
    for arm in previous.arms:
        same = known.get(arm.label)
        if same is None or dataclasses.replace(same, lr=rates.get(arm.label, same.lr)) != arm:
            differing.append(f"arm {arm.label}")
    if new.repeats != previous.repeats:
        differing.append(f"tuning repeats ({new.repeats} and {previous.repeats})")
    elif not _tuned_alike(new.tuning, previous.tuning):
        differing.append("tuning")
    if differing:
        raise ComparisonError(
            f"this is not the comparison that is to be resumed; different: {', '.join(differing)}; ask the "
            "same question, with more seeds, more arms or a longer budget"
        )
    extended(previous, new.budget, new.seeds, None)


def with_previous_tuning(new: Comparison, previous: Comparison) -> Comparison:
    """Return the comparison with the rates of the previous run, if it tunes the same arms.

    Another version may have divided the same number of rates differently between the two rounds.

    Args:
        new: The comparison to run.
        previous: The comparison of the previous run.
    """
    one, other = new.tuning, previous.tuning
    if one is None or other is None or one.rates.keys() != other.rates.keys():
        return new
    return dataclasses.replace(new, tuning=other)


def _tuned_alike(new: Tuning | None, previous: Tuning | None) -> bool:
    """Return whether both try the same number of rates over the same range.

    The previous rates include those of the second round, around the best.
    """
    if new is None or previous is None:
        return new is previous
    of_both = [(new.rates[label], rates) for label, rates in previous.rates.items() if label in new.rates]
    return (new.rate_count, new.seeds) == (previous.rate_count, previous.seeds) and all(
        rates[0] == tried[0] and tried[-1] in rates for tried, rates in of_both
    )


def refuse_changes(then: Mapping[str, Any], now: Mapping[str, Any], force: bool) -> list[str]:
    """Refuse to continue a run in another environment.

    Args:
        then: The environment of the previous run.
        now: The present environment.
        force: Whether to return the changes as notes instead.

    Raises:
        ComparisonError: The environment changed; the message lists the changes.
    """
    changed = differences(then, now)
    if changed and not force:
        raise ComparisonError(
            f"since this run began, {'; '.join(changed)}; give --force to go on nevertheless"
        )
    return [f"resumed although {change}" for change in changed]


def _joined(comparison: Comparison, other: Comparison) -> tuple[Any, ...]:
    """Return the arms of the first comparison, and the further ones of the other."""

    def parts(arm: Any) -> tuple[Any, ...]:
        values = repr(sorted(arm.hyperparameters.items()))
        return str(arm.strategy.reference), str(arm.optimizer.reference), values, arm.schedule, arm.clip

    known = {parts(arm) for arm in comparison.arms}
    new = [arm for arm in other.arms if parts(arm) not in known]
    lost = {parts(arm) for arm in comparison.arms} - {parts(arm) for arm in other.arms}
    ordinary = [arm for arm in comparison.arms if arm.label != comparison.control]
    if lost & {parts(arm) for arm in ordinary}:
        names = ", ".join(arm.label for arm in ordinary if parts(arm) in lost)
        raise ComparisonError(
            f"--strategies leaves out {names}, which this run has; list those too, and the new ones"
        )
    if new and comparison.tuning is not None:
        raise ComparisonError(
            "this run was tuned; a new arm would need tuning of its own, so start a new run"
        )
    taken = {arm.label for arm in comparison.arms}
    labelled = [
        dataclasses.replace(
            arm, label=arm.label if arm.label not in taken else f"{arm.strategy.label}@{arm.optimizer.label}"
        )
        for arm in new
    ]
    return (*comparison.arms, *labelled)


def goes_on(arm: Arm, before: Budget, now: Budget) -> bool:
    """Return whether the training of an arm with one budget is the start of its training with another.

    Args:
        arm: The arm with its schedule.
        before: The budget of the previous run.
        now: The budget of this run.
    """
    return before == now or not depends_on_budget(arm.schedule)
