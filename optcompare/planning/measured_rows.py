"""Choose how many rows evaluation points measure, so that measuring costs a bounded part of training.

Costs are counted in rows of forward passes, never in seconds, so that results do not depend on the speed of a
machine.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from ..core.budget import Budget
from ..core.choices import MeasureRows
from ..core.comparison_checks import check_measure_rows
from ..errors import ComparisonError
from ..interfaces.workload import Workload
from ..training.measurement.evaluation import evaluation_number, last_evaluation
from .estimates import Estimate

TRAINING_SHARE = 0.25
"""The part of the training of the median arm that all points between the first and the last may cost."""
PASSES_OF_UPDATE = 3
"""Forward passes that an update of a sample costs: one, and a backward pass that counts as two."""
FEWEST_ROWS = 1024
"""The rows that are measured at least, even if they cost more, since fewer would blur the curves.

Where no set has twice as many, all are measured: a sample would save less than half.
"""


def check_choice(value: object) -> None:
    """Check the setting of the user.

    Args:
        value: The argument of the caller.

    Raises:
        ComparisonError: It is no number, not "all" and not None.
    """
    if value in ("all", None):
        return
    if not isinstance(value, int) or isinstance(value, bool):
        raise ComparisonError(f"--measure-rows takes a number of rows, or 'all', got {value!r}")
    check_measure_rows(value)


def unused_choice(choice: MeasureRows, workload: Workload) -> str:
    """Return a note that a number of rows does not apply, since the loss needs all rows at once; else empty.

    Args:
        choice: The choice of the user.
        workload: The workload.
    """
    if workload.in_parts or not isinstance(choice, int):
        return ""
    return (
        f"--measure-rows {choice} does not apply: an objective is computed on all rows in one pass, unless "
        "weight(batch) says how its parts combine"
    )


def choose_rows(
    choice: MeasureRows,
    sizes: Sequence[int],
    budget: Budget,
    measure: int,
    estimates: Sequence[Estimate],
    recalibration: int = 0,
) -> int | None:
    """Choose the rows of each set that are measured between the first and the last evaluation point.

    Args:
        choice: The choice of the user, which decides; None: there is none.
        sizes: The rows of each set that evaluation points measure, the training set first.
        budget: The budget of each trial. One in seconds counts as one epoch, since nothing else is known.
        measure: Evaluation points per epoch.
        estimates: The estimates of all arms.
        recalibration: Rows with which running averages are recalibrated at each point, where all other rows
            are then measured twice; 0: they are not recalibrated.

    Returns:
        The rows; None: all.
    """
    if choice == "all":
        return None
    if choice is not None:
        return choice if choice < max(sizes) else None
    samples = [planned_samples(budget, estimate.batch_size, sizes[0]) for estimate in estimates]
    points = max(points_between(each, sizes[0], measure) for each in samples)
    training = PASSES_OF_UPDATE * statistics.median(samples)
    return bounded_rows(sizes, points, TRAINING_SHARE * training, recalibration)


def planned_samples(budget: Budget, batch_size: float, n: int) -> float:
    """Return the samples that a trial trains on, as far as they are known ahead.

    Args:
        budget: Its budget.
        batch_size: Samples of one of its updates.
        n: The number of training samples.
    """
    planned = {"epochs": budget.amount * n, "updates": budget.amount * batch_size, "samples": budget.amount}
    return planned.get(budget.unit, float(n))


def points_between(samples: float, n: int, measure: int) -> int:
    """Count the evaluation points between the start of a trial and its end.

    Args:
        samples: Training samples of the trial.
        n: The number of training samples of an epoch.
        measure: Evaluation points per epoch.
    """
    last = math.ceil(samples) - 1
    return evaluation_number(last_evaluation(last, n, measure), n, measure) if last > 0 else 0


def bounded_rows(sizes: Sequence[int], points: int, most: float, recalibration: int = 0) -> int | None:
    """Return the most rows of each set with which all points together cost no more than a bound.

    Args:
        sizes: The rows of each set.
        points: The number of points.
        most: The bound, in rows of forward passes.
        recalibration: See :func:`choose_rows`.

    Returns:
        The rows, at least :data:`FEWEST_ROWS`; None: all.
    """
    if points == 0 or max(sizes) < 2 * FEWEST_ROWS:
        return None
    passes = 2 if recalibration else 1
    left = (most / points - recalibration) / passes
    if left >= sum(sizes):
        return None
    rows = 0.0
    for place, size in enumerate(sorted(sizes)):
        rows = left / (len(sizes) - place)
        if rows <= size:
            break
        left -= size
    return max(FEWEST_ROWS, math.floor(rows)) if math.floor(rows) < max(sizes) else None
