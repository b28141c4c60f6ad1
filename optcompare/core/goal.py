"""A value of a metric that a trial has to reach."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ComparisonError

GOAL_WINDOW = 0.25
"""A trial that stops at a goal reaches it at update t if the mean from ¾t to 1¼t does; see goal_window."""
GOAL_ROWS = 1024
"""Rows measured at every update near such a goal: the same for all trials, drawn once."""
TRAIN, VALID, TEST = "train_", "valid_", "test_"
"""The prefixes of the columns of losses and metrics."""
ROWS = "_rows"
ROWS_COLUMNS = (f"train{ROWS}", f"valid{ROWS}")
"""The columns of the numbers of rows over which they were measured."""


@dataclass(frozen=True)
class Goal:
    """A value that a metric has to reach, written ``valid_loss=0.2``.

    Attributes:
        metric: A column of the records.
        value: The value to reach, a finite number.
        falls: Whether less is better, so that values at or below ``value`` reach it; true of every loss.
    """

    metric: str
    value: float
    falls: bool = False

    def __post_init__(self) -> None:
        if not math.isfinite(self.value):
            raise ComparisonError(f"goal {self.metric}: its value must be a finite number, got {self.value}")
        if self.metric.endswith("_loss"):
            object.__setattr__(self, "falls", True)

    @classmethod
    def parse(cls, text: str, errors: Iterable[str] = ()) -> Goal:
        """Parse ``metric=value``, the inverse of ``str``.

        Args:
            text: The goal, such as ``valid_loss=0.2``.
            errors: The metrics for which lower is better, without ``train_`` or ``valid_``.

        Returns:
            The goal.

        Raises:
            ComparisonError: The text has another form, or its value is no finite number.
        """
        metric, equals, value = (part.strip() for part in text.partition("="))
        if not (metric and equals and value):
            raise ComparisonError(
                f"goal '{text}' must be a metric, '=' and its value, such as valid_loss=0.2"
            )
        try:
            return cls(metric, float(value), metric.partition("_")[2] in set(errors))
        except ValueError:
            raise ComparisonError(
                f"goal '{text}': '{value}' is not a number; give one, as in valid_loss=0.2"
            ) from None

    @property
    def data(self) -> str:
        """Return the set on which the metric is measured: ``train`` or ``valid``."""
        return self.metric.partition("_")[0]

    def __str__(self) -> str:
        return f"{self.metric}={repr(float(self.value)).removesuffix('.0')}"

    def is_reached_by(self, value: float) -> bool:
        """Return whether a value of the metric reaches the goal.

        Args:
            value: A measured value; nan reaches no goal.
        """
        return value <= self.value if self.falls else value >= self.value

    def check(self, columns: Iterable[str]) -> None:
        """Check that the metric is measured along a trial.

        The metrics of the test set are not, since they are known only when a trial has ended.

        Args:
            columns: The columns of the records.

        Raises:
            ComparisonError: The metric is not among the columns, or is one of the test set.
        """
        known = list(columns)
        metrics = metric_columns(known)
        if self.metric.startswith(TEST) and self.metric in known:
            raise ComparisonError(
                f"goal {self}: the test set is measured once, when a trial has ended, so that nothing is "
                f"selected by it; choose one of {', '.join(metrics)}"
            )
        if self.metric not in metrics:
            raise ComparisonError(
                f"goal {self}: there is no metric '{self.metric}'; there are {', '.join(metrics) or 'none'}"
            )


def metric_columns(columns: Iterable[str]) -> list[str]:
    """Return the columns of the losses and metrics that are measured along a trial.

    Args:
        columns: The columns of the records.

    Returns:
        Losses first, training before validation, else in the given order.
    """
    others = {"train_seconds", *ROWS_COLUMNS}
    found = [name for name in columns if name.startswith((TRAIN, VALID)) and name not in others]
    return sorted(found, key=lambda name: (not name.endswith("_loss"), name.startswith(VALID)))
