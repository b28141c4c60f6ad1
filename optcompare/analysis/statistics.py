"""Records become numbers with intervals. Reads saved records only; trains nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from ..core.columns import trial_key
from ..core.goal import TEST, metric_columns

CONFIDENCE = 0.95
BLOWN_UP = 1000.0
"""So many times its first loss, a final loss is called blown up: its exact value says nothing."""


def mean_interval(values: Sequence[float] | np.ndarray) -> tuple[float, float, float]:
    """Mean and the ends of its 95% t interval; the ends are nan for fewer than two values.

    Student's t: x̄ ± t(n-1, .975)·s/√n with s the sample standard deviation. All
    three are nan where a value is not finite: a mean without it would flatter.
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
    """The loss and metric columns that are measured along a trial, training before validation, else as they
    stand.
    """
    return metric_columns(map(str, records.columns))


def final_columns(records: pd.DataFrame) -> list[str]:
    """The loss and metric columns of the test set, which hold one value a trial, in its last record; [] where
    there is none.
    """
    return [str(name) for name in records.columns if str(name).startswith(TEST)]


def estimated(records: pd.DataFrame) -> bool:
    """Whether some of the seconds are updates × the median seconds of an update alone, as they are in
    lanes.
    """
    return _timed(records, "estimated")


def on_shared_clock(records: pd.DataFrame) -> bool:
    """Whether some of the seconds were measured while other trials ran beside."""
    return _timed(records, "shared")


def _timed(records: pd.DataFrame, clock: str) -> bool:
    return "clock" in records.columns and bool((records["clock"] == clock).any())


def compared_column(records: pd.DataFrame) -> str:
    """What tuning selects by and curves show: the validation loss, or the training loss where there is no
    other.
    """
    return "valid_loss" if "valid_loss" in records.columns else "train_loss"


def verdict_column(records: pd.DataFrame) -> str:
    """What verdict and pairs speak of: the loss on the test set, or where there is none, the column that arms
    are compared by.

    Nothing selects by the test set, as tuning and goals may by the validation loss.
    """
    return "test_loss" if "test_loss" in records.columns else compared_column(records)


def final_values(records: pd.DataFrame, trials: pd.DataFrame, column: str) -> pd.DataFrame:
    """One row a trial: ``arm, seed, final, best`` of a column, and its tuning ``repeat`` and ``split`` where
    there are several.

    A diverged or failed trial is worst in both: infinite for a loss, nan for a metric. One that was
    interrupted had less budget than the others, and is left out.
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
    """The final values that a figure can draw: infinite for arms that blew up, which would leave nothing of
    the others.
    """
    finals = final_values(records, trials, column)
    finals.loc[finals["arm"].isin(blown_up(records, column)), "final"] = math.inf
    return finals


def blown_up(records: pd.DataFrame, column: str) -> set[str]:
    """Name the arms all of whose trials end at more than :data:`BLOWN_UP` times the loss that they began
    with.

    Args:
        records: The report's records.
        column: A loss; of the test set, which is measured once, the training loss decides.
    """
    if records.empty or not column.endswith("_loss"):
        return set()
    along = "train_loss" if column in final_columns(records) else column
    values = records.groupby(trial_key(records), sort=False)[along].agg(["first", "last"]).reset_index()
    far = (values["last"] > BLOWN_UP * values["first"].abs()).groupby(values["arm"]).all()
    return set(far.index[far])
