"""The columns of a run directory's tables, for the code that writes, checks and documents them."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from typing import Any

from .table_schema import FLAG, NUMBER, OTHER, TEXT, WHOLE, Column, TableSchema

Record = dict[str, Any]
"""A row of the records table, by column."""
Outcome = dict[str, Any]
"""A row of the trials table, by column."""

_WORKLOAD = Column("workload", TEXT, "The workload, as its label names it.")
_PHASE = Column(
    "phase", TEXT, "`tune` for trials that only select a learning rate.", choices=("report", "tune")
)
_ARM = Column("arm", TEXT, "The label of the arm, unique in a comparison.")
_LR = Column("lr", NUMBER, "The learning rate that the arm's trial was built with.", positive=True)
_SEED = Column("seed", WHOLE, "The seed of the trial.")
_SPLIT = Column(
    "split", WHOLE, "The split of the data, where a comparison has several; from 0.", optional=True
)
_REPEAT = Column(
    "repeat", WHOLE, "The tuning repeat, where arms are tuned several times; from 1.", optional=True
)

RECORDS_SCHEMA = TableSchema(
    "records.parquet",
    (
        _WORKLOAD,
        _PHASE,
        _ARM,
        Column("strategy", TEXT, "The arm's strategy, as a spec."),
        Column("optimizer", TEXT, "The arm's optimizer, as a spec."),
        _LR,
        _SEED,
        _SPLIT,
        _REPEAT,
        Column("mark", WHOLE, "The last evaluation point at or before the measurement.", "samples"),
        Column("update", WHOLE, "Updates made before the measurement.", "updates"),
        Column(
            "epoch", NUMBER, "`samples` divided by the number of training samples.", "epochs", finite=True
        ),
        Column("samples", WHOLE, "Training samples whose gradients were evaluated.", "samples"),
        Column("batch_size", WHOLE, "Samples of the last update; 0 before the first.", "samples"),
        Column(
            "seconds",
            NUMBER,
            "Time spent on training alone, without measurements.",
            "seconds",
            finite=True,
        ),
        Column(
            "clock",
            TEXT,
            "How `seconds` were found: `measured`; `estimated` from the pace of single updates (lanes); or "
            "`shared`, measured while other jobs ran.",
        ),
        Column("train_rows", WHOLE, "Training rows that the record is over.", "rows", optional=True),
        Column("valid_rows", WHOLE, "Validation rows that the record is over.", "rows", optional=True),
        Column("train_loss", NUMBER, "The mean loss over the training data, in evaluation mode."),
    ),
    (
        Column("valid_loss", NUMBER, "The mean loss over the validation data.", optional=True),
        Column(
            "test_loss", NUMBER, "The mean loss over the test data, in a trial's last record.", optional=True
        ),
        Column("<data>_<metric>", NUMBER, "A metric on `train`, `valid` or `test`.", optional=True),
        Column(
            "raw_<data>_<name>",
            NUMBER,
            "A loss or metric with the running averages of the training, where the others are recalibrated.",
            optional=True,
        ),
        Column("<diagnostic>", NUMBER, "A column of a diagnostic; NaN where none was due.", optional=True),
    ),
    NUMBER,
)

TRIALS_SCHEMA = TableSchema(
    "trials.parquet",
    (
        _WORKLOAD,
        _PHASE,
        _ARM,
        _LR,
        _SEED,
        _SPLIT,
        _REPEAT,
        Column(
            "status",
            TEXT,
            "How the trial ended.",
            choices=("finished", "diverged", "failed", "interrupted"),
        ),
        Column("reason", TEXT, "Why it ended so; empty for one that used its budget."),
        Column("weights_sha256", TEXT, "SHA-256 of the weights at the start."),
        Column("order_sha256", TEXT, "SHA-256 of the shared orders of its epochs."),
        Column("batches_sha256", TEXT, "SHA-256 of the batches that it was trained on."),
        Column("final_sha256", TEXT, "SHA-256 of the weights at the end."),
        Column("trainer", TEXT, "`loop`, `lanes`, or `lanes+loop` where it changed from one to the other."),
        Column(
            "masks",
            TEXT,
            "`counter` where dropout masks come from a counter, by seed, update and layer.",
            optional=True,
            choices=("counter",),
        ),
        Column("updates", WHOLE, "Updates made.", "updates"),
        Column("samples", WHOLE, "Training samples whose gradients were evaluated.", "samples"),
        Column("train_seconds", NUMBER, "Time spent on training.", "seconds", finite=True),
        Column("measure_seconds", NUMBER, "Time spent on measurements.", "seconds", finite=True),
        Column(
            "budget",
            NUMBER,
            "What the trial was allowed, in the unit of the comparison's budget.",
            optional=True,
            positive=True,
        ),
        Column(
            "fallback",
            TEXT,
            "Why it ran, or its rest, in the loop instead of lanes; empty where it ran in lanes, or the loop "
            "was chosen.",
            optional=True,
        ),
        Column(
            "engine",
            TEXT,
            "The engines that made its updates in lanes, such as `xla` or `traced+inductor`; empty for a "
            "trial of the loop.",
            optional=True,
        ),
        Column("epochs", WHOLE, "Complete epochs.", "epochs", optional=True),
        Column("epochs_begun", WHOLE, "Epochs with at least one update.", "epochs", optional=True),
        Column("epochs_checked", WHOLE, "Epochs whose batches were checked.", "epochs", optional=True),
        Column("rearranged", FLAG, "Whether the batches left the shared order.", optional=True),
        Column(
            "goal_updates",
            NUMBER,
            "Updates at which the smoothed goal was reached; NaN where it was not.",
            "updates",
            optional=True,
        ),
        Column("goal_samples", NUMBER, "Samples at the same update.", "samples", optional=True),
        Column(
            "goal_before",
            NUMBER,
            "The last measured update whose average had not reached the goal.",
            "updates",
            optional=True,
        ),
        Column(
            "goal_dip",
            NUMBER,
            "The first measured update at which the metric itself was at the goal.",
            "updates",
            optional=True,
        ),
    ),
    (),
    OTHER,
)

_UPDATE = Column("update", WHOLE, "Updates made; -1 for points that belong to no trial.", "updates")

PATHS_SCHEMA = TableSchema(
    "paths.parquet",
    (
        Column(
            "kind",
            TEXT,
            "`path` of an arm's weights, `grid` around the paths, or `minimum` of the loss.",
            choices=("path", "grid", "minimum"),
        ),
        Column("arm", TEXT, "The label of the arm; empty for points that belong to no trial."),
        _SEED,
        _UPDATE,
        Column("x", NUMBER, "The first weight."),
        Column("y", NUMBER, "The second weight."),
        Column("loss", NUMBER, "The training loss there; NaN along paths."),
        Column("x_name", TEXT, "The name of the first weight."),
        Column("y_name", TEXT, "The name of the second weight."),
        _REPEAT,
    ),
    (),
    OTHER,
    least=-1,
)

PLANE_SCHEMA = TableSchema(
    "plane.parquet",
    (
        _ARM,
        _SEED,
        Column("update", WHOLE, "Updates made.", "updates"),
        Column("x", NUMBER, "The first principal component."),
        Column("y", NUMBER, "The second principal component."),
        Column("fitted", FLAG, "Whether the plane was fitted to the points of the arm."),
        Column("explained_x", NUMBER, "The part of the variance along x, from 0 to 1."),
        Column("explained_y", NUMBER, "The part of the variance along y, from 0 to 1."),
        Column("dimensions", WHOLE, "Numbers of a snapshot: the weights, or a sketch of them."),
        _REPEAT,
    ),
    (),
    OTHER,
)

TABLES = (RECORDS_SCHEMA, TRIALS_SCHEMA, PATHS_SCHEMA, PLANE_SCHEMA)
"""All tables of a run directory."""

RECORD_COLUMNS, TRIAL_COLUMNS = RECORDS_SCHEMA.required, TRIALS_SCHEMA.required
GOAL_COLUMNS = tuple(column.name for column in TRIALS_SCHEMA.columns if column.name.startswith("goal_"))
"""Columns of trials that stop at a smoothed goal; NaN where it was not reached."""

KEY: Sequence[str] = ("phase", "arm", "lr", "seed")
"""The columns that identify a trial where arms are not tuned several times; see :class:`.TrialKey`."""


def run_key(columns: Iterable[Hashable]) -> list[str]:
    """Return the columns that identify a trial of a run; the fields of :class:`.TrialKey`.

    Args:
        columns: The names of a table's columns, or the table.

    Returns:
        ``["phase", "arm", "lr", "seed"]``, and ``"repeat"`` where the table has such a column.
    """
    return [*KEY, *(["repeat"] if "repeat" in set(columns) else [])]


def trial_key(columns: Iterable[Hashable]) -> list[str]:
    """Return the columns that identify a trial of one phase.

    Args:
        columns: The names of a table's columns, or the table.

    Returns:
        ``["arm", "seed"]``, and ``"repeat"`` where the table has such a column.
    """
    return ["arm", "seed", *(["repeat"] if "repeat" in set(columns) else [])]
