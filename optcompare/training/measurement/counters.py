"""The counters of a trial, which its state holds as plain values."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from ...core.comparison import Budget
from ..state import ProgressState, Status

if TYPE_CHECKING:
    from torch import Tensor

    from ..loop.batch_plan import Plan

_LONGEST_PATH, _MOST_SNAPSHOTS = 4000, 256


@dataclass
class Progress:
    """Hold the counters of a trial; :class:`.ProgressState` describes each."""

    status: Status = "running"
    reason: str = ""
    updates: int = 0
    samples: int = 0
    epoch: int = 0
    position: int = 0
    batch_size: int = 0
    measured_at: int = -1
    train_seconds: float = 0.0
    measure_seconds: float = 0.0
    weights_sha256: str = ""
    final_sha256: str = ""
    batches: str = ""
    cut_at: str = ""
    checked: int = 0
    rearranged: bool = False
    orders: list[str] = field(default_factory=list)
    path: list[list[float]] = field(default_factory=list)
    snapshots: list[tuple[int, Tensor]] = field(default_factory=list)
    tested: dict[str, float] = field(default_factory=dict)
    sampled: dict[str, float] = field(default_factory=dict)
    goal_points: list[list[float]] = field(default_factory=list)
    goal_near_until: int = 0
    goal_dip: int = -1
    goal_tried: list[int] = field(default_factory=lambda: [-1, -1])
    goal_found: dict[str, int] = field(default_factory=dict)
    goal_reached: bool = False
    engines: list[str] = field(default_factory=list)

    def count_updates(self, updates: int, samples: int, batch_size: int, seconds: float) -> None:
        """Count updates of this epoch.

        Args:
            updates: The number of updates made so far.
            samples: Samples whose gradients they evaluated.
            batch_size: Samples of the last update.
            seconds: Seconds of training so far, in all.
        """
        self.train_seconds = seconds
        self.position += updates
        self.updates += updates
        self.samples += samples
        self.batch_size = batch_size

    def count_engine(self, engine: str) -> None:
        """Count the engine of lanes that made the last updates."""
        if engine not in self.engines:
            self.engines.append(engine)

    def count_measurement(self, values: Mapping[str, float], seconds: float, goal: str = "") -> None:
        """Count a measurement, which may end the trial.

        Args:
            values: The measured values, by column; a ``train_loss`` that is not finite ends the trial as
                diverged.
            seconds: The time of the measurement.
            goal: The reason, in words, that a reached goal ends the trial as finished; empty: none.
        """
        self.measure_seconds += seconds
        self.measured_at = self.updates
        if not math.isfinite(values["train_loss"]):
            self.status = "diverged"
            self.reason = f"train_loss was {values['train_loss']} at update {self.updates}"
        elif goal:
            self.status, self.reason = "finished", goal

    def count_whole(self, values: Mapping[str, float]) -> None:
        """Keep the columns of the last record over all rows, which may show that the trial diverged.

        Args:
            values: The measured values, by column.
        """
        self.tested = dict(values)
        if self.status == "finished" and not math.isfinite(values["train_loss"]):
            self.status = "diverged"
            self.reason = f"train_loss was {values['train_loss']} at update {self.updates}"

    def follow(self, update: int, point: list[float]) -> None:
        """Append a point of the path; a path that has become long keeps every other point."""
        self.path.append([float(update), *point])
        if len(self.path) > _LONGEST_PATH:
            del self.path[1:-1:2]

    def keep_snapshot(self, sketch: Tensor) -> None:
        """Keep the weights of this update; if there are many, every other one is dropped."""
        self.snapshots.append((self.updates, sketch))
        if len(self.snapshots) > _MOST_SNAPSHOTS:
            del self.snapshots[1:-1:2]

    def leave(self, plan: Plan, over: bool) -> bool:
        """Fingerprint the batches of an epoch's plan that were trained on.

        Args:
            plan: The plan of the epoch.
            over: Whether the epoch is over; otherwise another task continues it.

        Returns:
            Whether the epoch is over for this trial, which may have ended.
        """
        over = over or self.status != "running"
        if over:
            self.batches = plan.digest(bytes.fromhex(self.batches), self.position).hex()
        else:
            self.cut_at = plan.digest(b"", self.position).hex()
        return over

    def end_epoch(self) -> None:
        self.epoch += 1
        self.position = 0

    def reached(self, budget: Budget) -> bool:
        """Return whether nothing of the budget is left."""
        spent = {
            "epochs": self.epoch,
            "updates": self.updates,
            "samples": self.samples,
            "seconds": self.train_seconds,
        }
        return spent[budget.unit] >= budget.amount

    def admits(self, budget: Budget, size: int) -> bool:
        """Return whether the budget allows one more update, of ``size`` samples."""
        if budget.unit == "samples":
            return self.samples + size <= budget.amount
        return not self.reached(budget)

    def allowed(self, budget: Budget, ends: Sequence[int], n: int = 0) -> int:
        """Return the number of updates of this epoch that the budget allows, including those made.

        Args:
            budget: The budget of the trial.
            ends: The number of evaluated samples of the epoch up to the end of each update.
            n: Training samples, if the updates of an epoch may evaluate more; else 0.
        """
        if budget.unit == "epochs" and n:
            return bisect_right(ends, round((budget.amount - self.epoch) * n))
        if budget.unit == "updates":
            return min(len(ends), int(budget.amount) - self.updates + self.position)
        if budget.unit == "samples":
            begun = self.samples - (ends[self.position - 1] if self.position else 0)
            return bisect_right(ends, int(budget.amount) - begun)
        return len(ends)

    def passes_left(self, budget: Budget, n: int) -> float:
        """Return the number of further passes over all ``n`` training samples that the budget allows."""
        if budget.unit == "samples":
            return (int(budget.amount) - self.samples) // n
        return budget.amount - self.epoch if budget.unit == "epochs" else math.inf

    def epochs_left(self, budget: Budget, updates: int, n: int) -> float:
        """Return the number of further epochs that the budget allows.

        Args:
            budget: The budget of the trial.
            updates: Updates of an epoch.
            n: The number of training samples.
        """
        whole = {"epochs": 1, "updates": updates, "samples": n}[budget.unit]
        spent = {"epochs": self.epoch, "updates": self.updates, "samples": self.samples}[budget.unit]
        return math.ceil((budget.amount - spent) / whole)

    def share(self, budget: Budget, n: int) -> float:
        """Return the share of the budget that is spent, from 0 to 1; ``n``: training samples."""
        if budget.unit == "seconds":
            return min(1.0, self.train_seconds / budget.amount)
        return min(1.0, budget.share(self.updates, self.samples, n))

    def to_state(self) -> ProgressState:
        """Return the counters as plain values; nested values are copied."""
        copied = ("orders", "snapshots", "goal_tried", "engines")
        own = {name: [*getattr(self, name)] for name in copied}
        points = {name: [[*point] for point in getattr(self, name)] for name in ("path", "goal_points")}
        found = {name: {**getattr(self, name)} for name in ("tested", "sampled", "goal_found")}
        return cast(ProgressState, {**vars(self), **own, **points, **found})
