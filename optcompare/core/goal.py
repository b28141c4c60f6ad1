"""A metric's value to be reached."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ComparisonError

GOAL_WINDOW = 0.25
"""A trial that stops at a goal has reached it at an update t where the mean from ¾t to 1¼t has; see
``goal_window``.
"""
GOAL_ROWS = 1024
"""Near such a goal so many rows are measured at every update: the same for all trials, drawn once."""
TRAIN, VALID, TEST = "train_", "valid_", "test_"
"""What the columns of losses and metrics begin with."""


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

    def reached_at(self, value: float) -> bool:
        """Whether this value of the metric is good enough."""
        return value <= self.value if self.falls else value >= self.value

    def check(self, columns: Iterable[str]) -> None:
        """Raises :class:`ComparisonError`, listing the metrics among ``columns``, where this one is not among
        them.

        Those of the test set are none: they are not known before a trial has ended.
        """
        known = list(columns)
        metrics = metric_columns(known)
        if self.metric.startswith(TEST) and self.metric in known:
            raise ComparisonError(
                f"goal {self}: the test set is measured once, when a trial has ended, so that nothing is "
                "selected by it; take "
                f"one of {', '.join(metrics)}"
            )
        if self.metric not in metrics:
            raise ComparisonError(
                f"goal {self}: there is no metric '{self.metric}'; there are {', '.join(metrics) or 'none'}"
            )


def metric_columns(columns: Iterable[str]) -> list[str]:
    """The losses and metrics that are measured along a trial, among the names of columns.

    Losses come first, training before validation, else as they stand.
    """
    found = [name for name in columns if name.startswith((TRAIN, VALID)) and name != "train_seconds"]
    return sorted(found, key=lambda name: (not name.endswith("_loss"), name.startswith(VALID)))
