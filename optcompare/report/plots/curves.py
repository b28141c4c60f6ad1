"""Make curves of records: the trials of each arm, and their median."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ...core.columns import trial_key
from . import style
from .style import Floats

X = Literal["epochs", "updates", "seconds", "samples"]
COLUMNS: dict[X, str] = {"epochs": "epoch", "updates": "update", "seconds": "seconds", "samples": "samples"}
STOPPED = ("diverged", "failed")
SIGNS = {"diverged": "× ", "failed": "+ "}
"""The sign of a trial that did not finish, by its status."""


@dataclass(frozen=True)
class Curves:
    """Hold the curves of one arm; points are (x, metric).

    Attributes:
        trials: float[n, 2] for each trial, of at most ``style.DRAWN`` trials.
        median: float[m, 2], over all trials; NaN where it is infinite.
        stopped: By status, the last finite point of each trial that diverged or failed, float[k, 2].
    """

    trials: list[Floats]
    median: Floats
    stopped: dict[str, Floats]

    @property
    def end(self) -> tuple[float, float]:
        """Return the last point of the median.

        Its loss is infinite if most seeds diverged, or if the median has no point.
        """
        if not len(self.median) or math.isnan(self.median[-1, 1]):
            return math.nan, math.inf
        return float(self.median[-1, 0]), float(self.median[-1, 1])


def with_status(records: pd.DataFrame, trials: pd.DataFrame | None = None) -> pd.DataFrame:
    """Sort records by evaluation point, and add a column ``status``.

    Texts become categories, which are far faster to compare in millions of rows.

    Args:
        records: The records of one comparison.
        trials: The trials of the same comparison, with their status.

    Returns:
        The records, with the status of the trial, or ``diverged`` where its last loss is not finite.
    """
    if "status" in records:
        return records
    texts = [name for name in ("workload", "arm", "clock") if name in records]
    records = records.assign(**{name: _category(records[name]) for name in texts})
    records = records.sort_values("mark", kind="stable", ignore_index=True)
    key = trial_key(records)
    number = records.groupby(key, sort=False).ngroup().to_numpy()
    last = records.iloc[_last_places(number)][[*key, "train_loss"]]
    status = np.full(len(last), "finished", dtype=object)
    if trials is not None and not trials.empty:
        known = trials.drop_duplicates(key, keep="last")[[*key, "status"]]
        merged = last[key].astype({"arm": known["arm"].dtype}).merge(known, on=key, how="left")
        status = merged["status"].fillna("finished").to_numpy(object)
    status[~np.isfinite(last["train_loss"].to_numpy(float))] = "diverged"
    records["status"] = _category(pd.Series(status)).take(number)
    return records


def _category(texts: pd.Series) -> pd.Categorical[Any]:
    """Make categories, in the order in which texts appear."""
    places, distinct = pd.factorize(texts)
    return pd.Categorical.from_codes(places, dtype=pd.CategoricalDtype(list(distinct)))


def _last_places(numbers: NDArray[Any]) -> NDArray[np.int64]:
    """Return the last place of each of the numbers, which begin at 0."""
    places = np.zeros(numbers.max(initial=-1) + 1, dtype=np.int64)
    places[numbers] = np.arange(len(numbers))
    return places


def numbered_trials(rows: pd.DataFrame) -> NDArray[np.int64]:
    """Assign a number to each trial of an arm, by seeds and then by tuning repeats.

    Args:
        rows: The records of the arm.

    Returns:
        int64[rows].
    """
    numbers = rows["seed"] if "repeat" not in rows else rows.groupby(["seed", "repeat"]).ngroup()
    return np.asarray(numbers, dtype=np.int64)


def trial_counts(records: pd.DataFrame) -> pd.Series[int]:
    """Count the trials of each arm.

    Args:
        records: The report's records.
    """
    if "repeat" not in records:
        return records.groupby("arm", observed=True)["seed"].nunique()
    return records.drop_duplicates(trial_key(records)).groupby("arm", observed=True).size()


def arm_curves(rows: pd.DataFrame, x: X, metric: str = "train_loss") -> Curves:
    """Make the curves of one arm.

    The median, of x and of the metric, is over the trials that were not interrupted, at the evaluation points
    at which all of them were measured. A trial that diverged counts as +inf from then on, so that the median
    is not computed from the luckier seeds alone.

    Args:
        rows: The records of the arm, with a column ``status``.
        x: The quantity on the x axis.
        metric: The name of the column.
    """
    marks, row = np.unique(rows["mark"].to_numpy(), return_inverse=True)
    seeds, first, column = np.unique(numbered_trials(rows), return_index=True, return_inverse=True)
    place, loss = np.full((2, len(marks), len(seeds)), np.nan)
    place[row, column] = rows[COLUMNS[x]].to_numpy(float)
    loss[row, column] = rows[metric].fillna(np.inf).to_numpy(float)
    status = rows["status"].iloc[first].to_numpy(object)
    seen = ~np.isnan(loss)
    trials = [np.column_stack([place[seen[:, i], i], loss[seen[:, i], i]]) for i in style.spread(len(seeds))]
    stopped = {name: _lasts(place, loss, status == name) for name in STOPPED}
    stopped = {name: points for name, points in stopped.items() if len(points)}
    whole = np.isin(status.astype(str), ["finished", "diverged"])
    whole = whole if whole.any() else np.ones(len(seeds), dtype=bool)
    after = np.cumsum(seen[::-1], axis=0)[::-1] == 0
    counted = np.where(after & (status == "diverged"), np.inf, loss)[:, whole]
    common = ~np.isnan(counted).any(axis=1) & ~np.isnan(place[:, whole]).all(axis=1)
    median = np.median(counted[common], axis=1)
    middle = np.nanmedian(place[:, whole][common], axis=1)
    median[~np.isfinite(median)] = np.nan
    return Curves(trials, np.column_stack([middle, median]), stopped)


def _lasts(place: Floats, loss: Floats, which: NDArray[np.bool_]) -> Floats:
    """Return the last finite point of each of these columns that has one, float[n, 2]."""
    finite = np.isfinite(loss) & which
    columns = np.flatnonzero(finite.any(axis=0))
    rows = len(loss) - 1 - finite[::-1, columns].argmax(axis=0)
    return np.column_stack([place[rows, columns], loss[rows, columns]])
