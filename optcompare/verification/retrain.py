"""Train a trial again in the loop, and compare it with the run directory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from ..core.columns import GOAL_COLUMNS
from ..core.comparison import Budget, Trial
from ..core.goal import ROWS_COLUMNS
from ..core.rng import preserved_rng
from ..errors import USER_CODE_ERRORS
from ..training.device import torch_settings
from ..training.lanes.equivalence import TOLERANCES, difference
from ..training.loop.epochs import train
from ..training.loop.trainer import LoopTrainer, why
from ..training.measurement.counters import Progress
from ..training.state import TrialState
from .finding import TableRow, shortened

CHAOS = 10.0
"""The largest distance between the ends of a trial in lanes and in the loop.

The unit is the effect of one ulp in each initial weight. The distance that one update may have
(``TOLERANCES``) is always allowed.
"""
_OF_CLOCKS = ("seconds", "clock")


@dataclass(frozen=True)
class Saved:
    """Hold the contents of a run directory about one trial.

    Attributes:
        trial: The trial.
        row: The row of the trial in ``trials.parquet``.
        records: The rows of the trial in ``records.parquet``.
        state: The final state of the trial; None if it was not kept.
    """

    trial: Trial
    row: TableRow
    records: Sequence[TableRow]
    state: TrialState | None


@dataclass(frozen=True)
class Ran:
    """Hold a trial that was trained again in the loop."""

    progress: Progress
    records: Sequence[TableRow]
    weights: Mapping[str, Any]


def compared(
    trainer: LoopTrainer, saved: Saved, extended: bool, tick: Callable[[float], None]
) -> tuple[bool | None, str]:
    """Train the trial again, and compare how it ends.

    Args:
        trainer: The loop trainer of the comparison.
        saved: The trial.
        extended: Whether it may also have been measured at the end of a smaller budget.
        tick: Called with the share that is done.

    Returns:
        Whether both ends are the same (None: rounding alone decides), and the evidence in words.
    """
    lanes = saved.row["trainer"] != "loop"
    ran = _trained(trainer, saved, False, lambda share: tick(share / (2 if lanes else 1)))
    wrong = _unlike(ran.progress, saved.row)
    if lanes:
        moved = _trained(trainer, saved, True, lambda share: tick(0.5 + share / 2))
        near, detail = _distances(ran, moved, saved, TOLERANCES[trainer.setup.comparison.dtype])
        if wrong and _unlike(ran.progress, _row_of(moved.progress)):
            return (
                None,
                "with initial weights one ulp larger it also ends differently in the loop, so that this "
                f"cannot be checked: {wrong[0]}",
            )
        if near is None and not wrong:
            return None, f"{detail}: rounding alone decides where it ends, so that this cannot be checked"
        wrong += [detail] if near is False else []
    else:
        detail = f"final weights, batches and {len(saved.records)} records equal to the last bit"
        if ran.progress.final_sha256 != saved.row["final_sha256"]:
            wrong.append(_versus("final_sha256", saved.row["final_sha256"], ran.progress.final_sha256))
        found = ran.progress.goal_found
        wrong += [
            _versus(name, saved.row[name], found.get(name, math.nan))
            for name in GOAL_COLUMNS
            if name in saved.row and not _same(saved.row[name], found.get(name, math.nan))
        ]
        wrong += _unlike_records(ran.records, saved.records, extended)
    return not wrong, "; ".join(wrong) or f"{saved.row['updates']:,} updates: {detail}"


def _trained(trainer: LoopTrainer, saved: Saved, moved: bool, tick: Callable[[float], None]) -> Ran:
    """Train the trial; with ``moved``, from initial weights that are each one ulp larger."""
    comparison, row = trainer.setup.comparison, saved.row
    seconds = comparison.budget.unit == "seconds"
    budget = (
        Budget("updates", row["updates"])
        if seconds
        else Budget(comparison.budget.unit, min(row["budget"], comparison.budget.amount))
    )
    again = trainer.for_comparison(dataclasses.replace(comparison, budget=budget))
    with torch_settings(comparison.threads, comparison.deterministic), preserved_rng():
        run = again.run(saved.trial, None)
        if moved:
            with torch.no_grad():
                for weight in run.weights:
                    weight.copy_(torch.nextafter(weight, torch.full_like(weight, math.inf)))

        def until() -> bool:
            tick(run.progress.updates / row["updates"])
            return False

        try:
            train(run, until, until)
        except USER_CODE_ERRORS as error:
            run.progress.status, run.progress.reason = (
                "failed",
                why(error, saved.trial, again.setup.workload.size),
            )
        return Ran(
            run.progress, run.records, {name: value.cpu() for name, value in run.state()["model"].items()}
        )


def _row_of(progress: Progress) -> TableRow:
    return {**vars(progress), "batches_sha256": progress.batches}


def _unlike(progress: Progress, row: TableRow) -> list[str]:
    """Compare the values that rounding changes only if the trial diverges."""
    if progress.status == "failed":
        return [f"it fails: {progress.reason}"]
    now = _row_of(progress)
    names = ("status", "updates", "samples", "batches_sha256")
    return [_versus(name, row[name], now[name]) for name in names if row[name] != now[name]]


def _unlike_records(now: Sequence[TableRow], then: Sequence[TableRow], extended: bool) -> list[str]:
    known = {row["update"]: row for row in then}
    if not extended and len(now) != len(then):
        return [f"{len(then)} records are saved, and {len(now)} were measured now"]
    for record in now:
        if record["update"] not in known:
            return [f"the record at update {record['update']} is missing"]
        before = known[record["update"]]
        for name, value in record.items():
            if name in ROWS_COLUMNS and name not in before:
                continue  # earlier versions did not write them
            if name not in _OF_CLOCKS and not _same(before.get(name), value):
                return [
                    f"at update {record['update']}, {name} is {before.get(name)!r} in the records, and "
                    f"{value!r} now"
                ]
    return []


def _distances(ran: Ran, moved: Ran, saved: Saved, fixed: float) -> tuple[bool | None, str]:
    """Compare final weights and losses of lanes with those of the loop.

    Returns:
        Whether rounding explains the distances, and the distances in words. None: rounding explains any
        distance, and they exceed the distance that one update may have.
    """
    there = [("losses", _apart(saved.records, ran.records), _apart(moved.records, ran.records))]
    if saved.state is not None:
        names = [name for name, value in ran.weights.items() if value.is_floating_point()]
        kept = {name: value.cpu() for name, value in saved.state["model"].items()}
        apart = difference(kept, ran.weights, names), difference(moved.weights, ran.weights, names)
        there.insert(0, ("final weights", *apart))
    allowed = [max(fixed, CHAOS * ulp) for _, _, ulp in there]
    near: bool | None = all(distance <= most for (_, distance, _), most in zip(there, allowed, strict=True))
    if max(allowed) >= 1 and any(distance > fixed for _, distance, _ in there):
        near = None
    distances = " and ".join(f"{what} {distance:.1e}" for what, distance, _ in there)
    limits = f"{fixed:.0e} is always"
    if any(distance > fixed for _, distance, _ in there):
        limits = " and ".join(f"{most:.0e}" for most in allowed) + (" is" if len(there) == 1 else " are")
    ulps = " and ".join(f"{ulp:.1e}" for _, _, ulp in there)
    detail = (
        f"{distances} from the loop's, where {limits} allowed; one ulp in each initial weight makes {ulps}"
    )
    return near, detail + ("" if saved.state is not None else "; final weights were not kept")


def _apart(one: Sequence[TableRow], other: Sequence[TableRow]) -> float:
    """Return the largest distance |a - b| / √(b·b₀) of two losses, over all evaluation points.

    b₀ is the loss before training; if b is larger, the distance is |a - b| / b. It is infinite if the
    evaluation points differ. Rounding changes the output of a model. The effect on a small loss is smaller
    than on a large one, but larger in relation to the loss.
    """
    if [row["update"] for row in one] != [row["update"] for row in other]:
        return math.inf
    worst = 0.0
    for name in ("train_loss", "valid_loss", "test_loss"):
        for a, b in zip(one, other, strict=True):
            if name not in b or _same(a[name], b[name]):
                continue
            size = max(abs(a[name]), abs(b[name]))
            first = other[0]["train_loss" if name == "test_loss" else name]  # no test loss before training
            scale = max(size, math.sqrt(size) * math.sqrt(abs(first)))
            far = abs(a[name] - b[name]) / scale if scale else math.inf
            worst = max(worst, far if math.isfinite(far) else math.inf)
    return worst


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) or (one != one and other != other)


def _versus(name: str, then: Any, now: Any) -> str:
    return f"{name} is {shortened(then)} in the run, and {shortened(now)} now"
