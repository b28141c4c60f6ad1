"""Statistics of saved records: final values, and means with intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ..core.columns import trial_key
from ..core.goal import ROWS, ROWS_COLUMNS, TEST, metric_columns
from .start_checks import sample_words

CONFIDENCE = 0.95
BLOWN_UP = 1000.0
"""A final loss above this many times the first loss is called blown up; its exact value means nothing."""


def mean_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Compute the mean and the ends of its 95% t interval.

    The ends are x̄ ± t(n-1, .975)·s/√n with s the sample standard deviation (Student's t).

    Args:
        values: The values, float[n].

    Returns:
        The mean and both ends. The ends are nan for fewer than two values. All three are nan if a value is
        not finite, since a mean without it would look too good.
    """
    array = np.asarray(values, dtype=float)
    if len(array) == 0 or not np.isfinite(array).all():
        return math.nan, math.nan, math.nan
    mean = float(array.mean())
    if len(array) < 2:
        return mean, math.nan, math.nan
    half = (
        float(stdtrit(len(array) - 1, (1 + CONFIDENCE) / 2))
        * float(array.std(ddof=1))
        / math.sqrt(len(array))
    )
    return mean, mean - half, mean + half


def measured_columns(records: pd.DataFrame) -> list[str]:
    """Return the loss and metric columns that are measured along a trial, training before validation."""
    return metric_columns(map(str, records.columns))


def final_columns(records: pd.DataFrame) -> list[str]:
    """Return the loss and metric columns of the test set, measured once in the last record; [] for none."""
    return [str(name) for name in records.columns if str(name).startswith(TEST)]


def sample_sentence(records: pd.DataFrame) -> str:
    """Describe the sample of rows that records between the first and the last are over; empty if all are.

    Args:
        records: The records of one workload, with the columns of :data:`.ROWS_COLUMNS` if it has them; NaN
            in those of earlier versions that were merged with others.
    """
    known = [name for name in ROWS_COLUMNS if name in records and records[name].notna().any()]
    sampled = {name.removesuffix(ROWS): int(records[name].min()) for name in known}
    sizes = {name.removesuffix(ROWS): int(records[name].max()) for name in known}
    if sampled == sizes:
        return ""
    return f"Between first and last value: {sample_words(sampled, sizes)}."


def estimated(records: pd.DataFrame) -> bool:
    """Return whether some of the seconds are estimates, as in lanes.

    An estimate is the number of updates times the median seconds of an update that runs alone.
    """
    return _timed(records, "estimated")


def on_shared_clock(records: pd.DataFrame) -> bool:
    """Return whether some of the seconds were measured while other trials ran at the same time."""
    return _timed(records, "shared")


def _timed(records: pd.DataFrame, clock: str) -> bool:
    return "clock" in records.columns and bool((records["clock"] == clock).any())


def compared_column(records: pd.DataFrame) -> str:
    """Return the column of tuning and curves: the validation loss, or without one the training loss."""
    return "valid_loss" if "valid_loss" in records.columns else "train_loss"


def verdict_column(records: pd.DataFrame) -> str:
    """Return the column of verdict and pairs: the test loss, or without one :func:`compared_column`.

    Tuning and goals may select by the validation loss; nothing selects by the test set.
    """
    return "test_loss" if "test_loss" in records.columns else compared_column(records)


def final_values(records: pd.DataFrame, trials: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the final and the best value of each trial.

    Args:
        records: The records of one phase.
        trials: The trials of that phase.
        column: A loss or metric column of the records.

    Returns:
        One row for each trial: ``arm, seed, final, best``, and its tuning ``repeat`` and ``split`` if there
        are several. ``best`` is the lowest value of a loss, and the final value of a metric. For a diverged
        or failed trial both are the worst: infinite for a loss, nan for a metric. An interrupted trial had
        less budget than the others and is left out.
    """
    key, loss = trial_key(trials), column.endswith("_loss")
    groups = records[[*key, column]].groupby(key, sort=False)
    final = groups.tail(1).set_index(key)[column]
    values = pd.DataFrame({"final": final, "best": groups[column].min() if loss else final}).reset_index()
    lost = trials.loc[trials["status"].isin(["diverged", "failed"]), key]
    merged = values.merge(lost.assign(lost=True), how="outer", on=key)
    merged.loc[merged["lost"].notna(), ["final", "best"]] = math.inf if loss else math.nan
    whole = trials.loc[trials["status"] != "interrupted", [*key, *(["split"] if "split" in trials else [])]]
    return merged.drop(columns="lost").merge(whole, on=key)


def final_values_to_scale(records: pd.DataFrame, trials: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the final values for a figure: infinite for arms that blew up, since they would hide the others.

    Args:
        records: The records of one phase.
        trials: The trials of that phase.
        column: A loss or metric column of the records.

    Returns:
        The table of :func:`final_values`.
    """
    finals = final_values(records, trials, column)
    finals.loc[finals["arm"].isin(blown_up(records, column)), "final"] = math.inf
    return finals


def blown_up(records: pd.DataFrame, column: str) -> set[str]:
    """Return the arms that blew up: all trials end at more than :data:`BLOWN_UP` times their first loss.

    Args:
        records: The report's records.
        column: A loss. The test loss is measured once, so the training loss decides in its place.
    """
    if records.empty or not column.endswith("_loss"):
        return set()
    along = "train_loss" if column in final_columns(records) else column
    values = records.groupby(trial_key(records), sort=False)[along].agg(["first", "last"]).reset_index()
    far = (values["last"] > BLOWN_UP * values["first"].abs()).groupby(values["arm"]).all()
    return set(far.index[far])
