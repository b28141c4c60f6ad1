"""Check a comparison's settings, by subject. Each check raises :class:`ComparisonError` if it fails."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from ..errors import ComparisonError, shorten
from .arm import Arm
from .bounds import MAX_AMOUNT, MAX_SEEDS, MAX_THREADS, check_count, format_count
from .budget import Budget
from .choices import AUTOCASTS, DTYPES, ENGINE_CHOICES, ENGINES, MASK_SOURCES, TRAINERS
from .schedule import depends_on_budget
from .tuning import FIRST_TUNING_SEED

FLAGS = ("deterministic", "plane", "recalibrate")
"""The settings that are true or false."""
COUNTS = {
    "threads": (1, MAX_THREADS),
    "eval_chunk": (1, MAX_AMOUNT),
    "measure": (0, MAX_AMOUNT),
    "diagnose_every": (1, MAX_AMOUNT),
    "split_seeds": (1, MAX_SEEDS),
}
"""The smallest and the largest value of each count."""
FEWEST_MEASURE_ROWS = 32
"""The fewest rows that a measurement may be over."""


def check_seeds(seeds: Sequence[int], split_seeds: int) -> None:
    """Check the seeds of a comparison.

    Args:
        seeds: The seeds of the report.
        split_seeds: The number of splits of the data on which they are trained.

    Raises:
        ComparisonError: There are too few or too many, or one is no seed or is listed twice.
    """
    if not seeds:
        raise ComparisonError("a comparison needs at least 1 seed, got 0")
    if len(seeds) > MAX_SEEDS:
        raise ComparisonError(f"a comparison has at most {MAX_SEEDS:,} seeds, got {len(seeds):,}; give fewer")
    if not all(isinstance(seed, int) for seed in seeds):
        raise ComparisonError(f"seeds must be whole numbers, got {shorten(str(list(seeds)))}")
    if min(seeds) < 0 or max(seeds) >= FIRST_TUNING_SEED:
        ends = " to ".join(
            f"{end}" if abs(end) < 2**128 else format_count(end) for end in (min(seeds), max(seeds))
        )
        raise ComparisonError(f"seeds must lie between 0 and 2**62-1, got {ends}")
    if len(set(seeds)) < len(seeds):
        raise ComparisonError("a seed is listed twice; each seed is one independent repetition")
    if split_seeds > len(seeds):
        raise ComparisonError(f"--split-seeds {split_seeds} needs as many seeds, got {len(seeds)}")


def check_precision(dtype: str, autocast: str | None) -> None:
    """Check the dtypes of weights and of forward passes.

    Args:
        dtype: The dtype of weights and data.
        autocast: The dtype of forward passes; None: as ``dtype``.

    Raises:
        ComparisonError: One is unknown, or the two do not combine.
    """
    if dtype not in DTYPES:
        raise ComparisonError(f"dtype must be {' or '.join(DTYPES)}, got {dtype}")
    if autocast not in (None, *AUTOCASTS):
        raise ComparisonError(
            f"autocast must be {' or '.join(AUTOCASTS)}, got {autocast}; float16 would need its losses "
            "scaled, which changes updates"
        )
    if autocast is not None and dtype != "float32":
        raise ComparisonError(f"autocast {autocast} goes with dtype float32, got {dtype}; leave out one")


def check_choices(flags: Mapping[str, object], trainer: str) -> None:
    """Check settings that have a fixed choice of values.

    Args:
        flags: Settings that are true or false, by their names.
        trainer: The name of a trainer.

    Raises:
        ComparisonError: One has another value.
    """
    for name, value in flags.items():
        if not isinstance(value, bool):
            raise ComparisonError(f"{name} must be true or false, got {value!r}")
    if trainer not in TRAINERS:
        first, last = ", ".join(TRAINERS[:-1]), TRAINERS[-1]
        raise ComparisonError(f"trainer must be {first} or {last}, got {trainer!r}")


def check_engine(engine: str, *, auto: bool = False) -> None:
    """Check the engine of lanes.

    Args:
        engine: The name of an engine.
        auto: Whether "auto" is allowed.

    Raises:
        ComparisonError: It has another name.
    """
    known = ENGINE_CHOICES if auto else ENGINES
    if engine not in known:
        first, last = ", ".join(known[:-1]), known[-1]
        raise ComparisonError(f"engine must be {first} or {last}, got {engine!r}")


def check_masks(masks: str) -> None:
    """Check the source of dropout masks.

    Args:
        masks: The name of the source.

    Raises:
        ComparisonError: There is no such source.
    """
    if masks not in MASK_SOURCES:
        raise ComparisonError(f"masks must be {' or '.join(MASK_SOURCES)}, got {masks!r}")


def check_goal(goal: str | None, stop_at_goal: bool, goal_window: float, margin: float | None) -> None:
    """Check the goal of a comparison and the difference that counts.

    Args:
        goal: The goal, as in ``valid_loss=0.2``; None: there is none.
        stop_at_goal: Whether trials end at the goal.
        goal_window: A share of the samples, from 0 up to but without 1.
        margin: A difference of final values; None: there is none.

    Raises:
        ComparisonError: A number is not in its range, or the goal is missing.
    """
    if margin is not None and not (isinstance(margin, (int, float)) and math.isfinite(margin) and margin > 0):
        raise ComparisonError(
            f"margin must be a difference of final values, positive and finite, got {margin!r}"
        )
    if stop_at_goal and goal is None:
        raise ComparisonError(
            "to stop at the goal a comparison needs one; give --goal, such as train_loss=0.3"
        )
    if not (isinstance(goal_window, (int, float)) and 0 <= goal_window < 1):
        raise ComparisonError(
            "--goal-window is a share of the samples, from 0 up to but without 1, got "
            f"{goal_window!r}; give 0.25"
        )


def check_measure_rows(rows: int | None) -> None:
    """Check the number of rows that measurements are over.

    Args:
        rows: Rows of each set; None: all.

    Raises:
        ComparisonError: They are fewer than :data:`FEWEST_MEASURE_ROWS`, of which a standard error is known.
    """
    if rows is not None:
        check_count("--measure-rows", rows, FEWEST_MEASURE_ROWS, MAX_AMOUNT)


def check_schedules(arms: Sequence[Arm], budget: Budget) -> None:
    """Check that the learning rates of all arms can be known under this budget.

    Args:
        arms: The arms of one comparison.
        budget: The budget of each trial.

    Raises:
        ComparisonError: An arm has a schedule, and the budget is in seconds.
    """
    scheduled = [arm for arm in arms if depends_on_budget(arm.schedule)]
    if scheduled and budget.unit == "seconds":
        raise ComparisonError(
            f"arm {scheduled[0].label}: a schedule needs to know ahead how much there is to train; give "
            "--epochs, --updates or --samples in place of --seconds"
        )


def check_counts(values: dict[str, int]) -> None:
    """Check that each count of :data:`COUNTS` is a whole number in its range.

    A name that the command line spells otherwise, as in ``--eval-chunk``, stands as there; the Python API
    rewrites it.

    Args:
        values: The counts by their names.

    Raises:
        ComparisonError: One is not.
    """
    for name, value in values.items():
        what = f"--{name.replace('_', '-')}" if "_" in name else name
        check_count(what, value, *COUNTS[name])
