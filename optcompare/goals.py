"""A metric's value to be reached, and what each trial had spent when it first did."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from .errors import ComparisonError
from .statistics import measured_columns

COSTS = ("samples", "updates", "seconds")


@dataclass(frozen=True)
class Goal:
    """``metric`` is a column of the records, ``value`` what it has to reach; written ``valid_loss=0.2``.

    ``falls``: less is better, so that it is reached at or below its value; so for every loss.
    """

    metric: str
    value: float
    falls: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ComparisonError(f"goal {self.metric}: its value must be finite, got {self.value}")
        if self.metric.endswith("_loss"):
            object.__setattr__(self, "falls", True)

    @classmethod
    def parse(cls, text: str, errors: Iterable[str] = ()) -> Goal:
        """Reads ``metric=value``; raises :class:`ComparisonError` for anything else. The inverse of ``str``.

        ``errors``: metrics, without their ``train_`` or ``valid_``, of which less is better.
        """
        metric, equals, value = (part.strip() for part in text.partition("="))
        if not (metric and equals and value):
            raise ComparisonError(f"goal '{text}': write a metric, '=' and its value, such as valid_loss=0.2")
        try:
            return cls(metric, float(value), metric.partition("_")[2] in set(errors))
        except ValueError:
            raise ComparisonError(f"goal '{text}': '{value}' is not a number") from None

    def __str__(self) -> str:
        return f"{self.metric}={repr(float(self.value)).removesuffix('.0')}"

    def check(self, columns: Iterable[str]) -> None:
        """Raises :class:`ComparisonError`, listing the metrics among ``columns``, where this one is not among them."""
        metrics = measured_columns(pd.DataFrame(columns=list(columns)))
        if self.metric not in metrics:
            raise ComparisonError(
                f"goal {self}: there is no metric '{self.metric}'; there are {', '.join(metrics) or 'none'}"
            )


def time_to_goal(records: pd.DataFrame, trials: pd.DataFrame, goal: Goal) -> pd.DataFrame:
    """One row a trial, in their order: ``arm, seed, samples, updates, seconds, resolution``, all numbers float.

    The costs are those of the first measurement that reached the goal, also where the trial diverged or failed
    afterwards; ``resolution`` is the samples between that measurement and the one before it, within which the goal was
    truly reached (0 at the start). A miss costs infinity and has no resolution (nan). A trial that was interrupted
    before it reached the goal is no miss: nobody knows, and all is nan.

    A goal that falls is reached at or below its value, another at or above it; a trial that starts there has reached it.
    """
    table = trials[["arm", "seed", "status"]]
    if records.empty:
        records = trials[["arm", "seed"]][:0].assign(
            **dict.fromkeys([goal.metric, "samples", "update", "seconds"], 0.0)
        )
    goal.check(records.columns)
    values = records[goal.metric]
    rows = records[["arm", "seed", "samples", "update", "seconds"]]
    before = rows.groupby(["arm", "seed"], sort=False)["samples"].shift().fillna(rows["samples"])
    hits = rows.assign(resolution=rows["samples"] - before)[
        values <= goal.value if goal.falls else values >= goal.value
    ]
    firsts = hits.drop_duplicates(["arm", "seed"]).rename(columns={"update": "updates"})
    found = table.merge(firsts[["arm", "seed", *COSTS, "resolution"]], how="left", on=["arm", "seed"])
    found = found.astype(dict.fromkeys([*COSTS, "resolution"], float))
    found.loc[found["samples"].isna() & (found["status"] != "interrupted"), list(COSTS)] = math.inf
    return found.drop(columns="status")
