"""The limits of a verdict: other seeds, other learning rates, other data, other looks."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pandas as pd

from ..core.formatting import number
from .claims import drawn_flips
from .error_rate import not_excluded
from .exact_tests import DRAWN
from .looks import Claim, Look
from .phrases import LISTED, count


@dataclass(frozen=True)
class Setting:
    """Describe how rates and data were chosen.

    Attributes:
        tunings: How often rates were tuned; 0: never, None: not known.
        sensitivity: By arm, how much worse the rates next to the chosen one scored in tuning.
        splits: The number of splits into training and held-out data; 0: nothing was held out.
    """

    tunings: int | None = None
    sensitivity: Mapping[str, float] = field(default_factory=dict)
    splits: int = 0


def limits(
    workload: str,
    table: pd.DataFrame,
    trials: pd.DataFrame,
    claims: Sequence[Claim],
    look: Look,
    setting: Setting,
) -> list[str]:
    """List what the trials cannot show.

    Args:
        workload: The name of the workload.
        table: The table of :func:`optcompare.analysis.paired.pairs`.
        trials: The report's trials.
        claims: The claims of the table.
        look: The look of this verdict.
        setting: How rates and data were chosen.

    Returns:
        One short text for each limit.
    """
    seeds = int(trials.loc[trials["status"] != "interrupted", "seed"].nunique())
    sentences = []
    if len(table):
        sentences += _of_failures(trials, seeds)
        sentences += _of_rates(table, setting)
        sentences += _of_looks(table, claims, look)
    cut = int((trials["status"] == "interrupted").sum())
    splits = [count(setting.splits, "split")] if setting.splits else []
    where = ", ".join([*splits, count(trials["seed"].nunique(), "seed")])
    where += f" ({count(cut, 'interrupted trial')} left out)" if cut else ""
    return [*sentences, f"One workload ({workload}), {where}. Other workloads may differ."]


def _of_failures(trials: pd.DataFrame, seeds: int) -> list[str]:
    """Describe the rate of failures that is still possible for arms without a failure."""
    lost = trials["status"].isin(["diverged", "failed"]).groupby(trials["arm"]).any()
    if not seeds or lost.all():
        return []
    which = "Arms without a failure" if lost.any() else "Each arm"
    tried = f"only {count(seeds, 'seed')} {'was' if seeds == 1 else 'were'} tried"
    return [f"{which} may still fail on up to {not_excluded(seeds):.0%} of all seeds: {tried}."]


def _of_rates(table: pd.DataFrame, setting: Setting) -> list[str]:
    if setting.tunings is None:
        return []
    if setting.tunings == 0:
        said = "Nothing was tuned: the order may differ at other learning rates (try tuning over 5 of them)."
        return [said]
    if setting.tunings > 1:
        return [f"Learning rates were tuned {setting.tunings} times; the differences are over all of them."]
    sentences = ["Learning rates were tuned once: another tuning may find others."]
    small = [
        f"{row['arm']} (rate {number(change)}, arms {number(abs(row['difference']))})"
        for _, row in table.iterrows()
        if (change := _change(row, setting.sensitivity)) > abs(row["difference"])
    ]
    if small:
        named = ", ".join(small[:LISTED]) + (
            f" and {len(small) - LISTED} more" if len(small) > LISTED else ""
        )
        sentences.append(
            f"A neighbouring learning rate changes the result by more than the arms differ: {named}."
        )
    return sentences


def _change(row: pd.Series, sensitivity: Mapping[str, float]) -> float:
    """Return the larger change that a neighbouring rate makes to the arm or to the baseline, nan if unknown.

    The change is not known where all trials at the neighbouring rate diverged.
    """
    changes = [sensitivity.get(arm, math.nan) for arm in (row["arm"], row["baseline"])]
    return max((change for change in changes if math.isfinite(change)), default=math.nan)


def _of_looks(table: pd.DataFrame, claims: Sequence[Claim], look: Look) -> list[str]:
    sentences = []
    if drawn_flips(table):
        sentences.append(f"With so many seeds, p values come from {DRAWN:,} sign flips drawn at random.")
    if look.withheld:
        return sentences
    level = f"{look.level:.2g}"
    if not look.recorded and not look.past:
        sentences.append(f"Earlier looks were not recorded: tested at the level of a first look, {level}.")
    elif not look.recorded:
        sentences.append(
            f"Not all looks were recorded: look {look.number} or later at these trials, tested at level "
            f"{level}."
        )
    else:
        sentences.append(
            f"Look {look.number} at these trials: tested at level {level}; the levels of all looks sum to "
            "0.05."
        )
    sentences += [
        f"No longer claimed, though it was on {count(past.seeds, 'seed')}: {_in_words(claim)}."
        for past in look.past
        for claim in past.claims
        if claim not in claims
    ]
    return sentences


def _in_words(claim: Claim) -> str:
    """Return ``mini ends lower than full (final train_loss)``."""
    arm, baseline, measure = claim.contrast
    verbs = {
        "lower": "ends lower than",
        "higher": "ends higher than",
        "fewer": "needs fewer than",
        "more": "needs more than",
    }
    return f"{arm} {verbs.get(claim.direction, 'equals')} {baseline} ({measure})"
