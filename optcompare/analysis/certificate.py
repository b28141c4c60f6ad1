"""The certificate: did every arm have the same start, the same order and the same budget?

Its checks are made from what trials recorded.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.comparison import Comparison, Trial
from ..core.goal import ROWS, ROWS_COLUMNS
from .check import Check
from .check_data import CheckData
from .start_checks import (
    Coverage,
    DataSplit,
    EqualMeasurements,
    FirstMeasurement,
    InitialWeights,
    PlainLoopAgreement,
    SampleOrder,
)
from .training_checks import EqualBudgets, EqualTuning, TrainersAgree
from .traits import Traits


@dataclass(frozen=True)
class Agreement:
    """Describe how far the first updates of lanes lie from those of the loop.

    Attributes:
        checked: The number of lanes that were compared.
        apart: The largest difference, relative to the norm of the weights.
        tolerance: The largest that is allowed.
    """

    checked: int
    apart: float
    tolerance: float


@dataclass(frozen=True)
class Reference:
    """Describe the first updates that equal those of a plain loop.

    Arms whose first updates differ from it are refused before training.

    Attributes:
        updates: The number of equal updates, by the label of the arm.
        remarks: Sentences about what the comparison leaves open.
        uncut: By the label of the arm, the state that its trials change and that checkpoints do not contain.
    """

    updates: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    uncut: dict[str, list[str]] = field(default_factory=dict)


class Evidence:
    """Collect the evidence while trials end, in memory that does not grow with the records."""

    def __init__(self, comparison: Comparison, free: Iterable[str]) -> None:
        """Begin without any trial.

        Args:
            comparison: The comparison.
            free: Labels of the strategies that may repeat and omit samples.
        """
        self._comparison = comparison
        self._free = list(free)
        self._weights: dict[int, set[str]] = {}
        self._orders: dict[int, dict[int, str]] = {}
        self._firsts: dict[int, set[tuple[float, ...]]] = {}
        self._sizes: dict[str, int] = {}
        self._unmeasured: set[int] = set()
        self._spent: set[float] = set()
        self._at_goal: list[float] = []
        self._leapt: list[float] = []  # spent by updates of several passes; another would exceed the budget
        self._broken_orders: set[int] = set()
        self._splits: dict[int, set[int]] = {}
        self._finished = self._ended = self._failed = self._checked = 0
        self._unchecked: set[int] = set()
        self._rearranged: dict[str, None] = {}
        self._tried: dict[str, int] = {}
        self._trainers: dict[str, int] = {}
        self._engines: dict[str, int] = {}
        self._fewest: dict[str, int] = {}
        self._tuning_samples, self._tuning_seconds = 0, 0.0

    def first_record(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Add the measurement of a trial before its first update."""
        losses = tuple(record[name] for name in ("train_loss", "valid_loss") if name in record)
        self._firsts.setdefault(trial.seed, set()).add(losses)
        self._sizes = self._sizes or measured_rows(record)

    def last_record(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Add the last measurement of a trial that finished."""
        if any(rows < self._sizes.get(name, 0) for name, rows in measured_rows(record).items()):
            self._unmeasured.add(trial.seed)

    def trial_ended(self, trial: Trial, outcome: Mapping[str, Any], orders: Sequence[str] = ()) -> None:
        """Add a trial that has ended.

        Args:
            trial: The trial that has ended.
            outcome: The row of the trial in ``trials.parquet``.
            orders: The fingerprints of the orders of its epochs, if known.
        """
        status, trainer = outcome["status"], outcome["trainer"]
        self._ended += 1
        self._trainers[trainer] = self._trainers.get(trainer, 0) + 1
        if engine := outcome.get("engine"):
            self._engines[engine] = self._engines.get(engine, 0) + 1
        if "split" in outcome:
            self._splits.setdefault(trial.seed, set()).add(int(outcome["split"]))
        if outcome["weights_sha256"]:
            self._weights.setdefault(trial.seed, set()).add(outcome["weights_sha256"])
        chained = hashlib.sha256()
        for epochs, order in enumerate(orders, 1):
            chained.update(order.encode())
            self._order(trial.seed, epochs, chained.hexdigest())
        if not orders:
            self._order(trial.seed, outcome["epochs_begun"], outcome["order_sha256"])
        if trial.phase == "tune":
            self._tried[trial.arm.label] = self._tried.get(trial.arm.label, 0) + (status != "failed")
            self._tuning_samples += outcome["samples"]
            self._tuning_seconds += outcome["train_seconds"]
        self._checked += outcome["epochs_checked"]
        if outcome["rearranged"]:
            self._rearranged.setdefault(trial.arm.label)
        if status == "failed":
            self._failed += 1
        elif outcome["epochs_checked"] < outcome["epochs_begun"]:
            self._unchecked.add(trial.seed)
        if status == "finished":
            self._finished += 1
            if trial.phase == "report" and outcome["updates"]:
                label, updates = trial.arm.label, int(outcome["updates"])
                self._fewest[label] = min(updates, self._fewest.get(label, updates))
            unit = self._comparison.budget.unit
            spent = float(outcome["train_seconds" if unit == "seconds" else unit])
            if outcome.get("reason"):  # A finished trial has a reason only if it stopped at its goal.
                self._at_goal.append(spent)
            elif (
                unit == "epochs" and spent < self._comparison.budget.amount and _passed_several_times(outcome)
            ):
                self._leapt.append(spent)
            else:
                self._spent.add(spent)

    def _order(self, seed: int, epochs: int, digest: str) -> None:
        """Note a seed whose trials had different orders in the same epochs."""
        if self._orders.setdefault(seed, {}).setdefault(epochs, digest) != digest:
            self._broken_orders.add(seed)

    def certificate(
        self, agreement: Agreement, reference: Reference | None = None, traits: Traits | None = None
    ) -> list[Check]:
        """Return all checks, the most basic ones first.

        Args:
            agreement: The difference between lanes and the loop.
            reference: The comparison with a plain loop; None if none was made.
            traits: Properties of model and data; None if they are not known.
        """
        traits = traits or Traits()
        found: list[CheckData] = [
            *([PlainLoopAgreement(reference.updates, reference.remarks)] if reference is not None else []),
            self._weights_alike(),
            SampleOrder(
                sorted(self._broken_orders),
                epochs=sum(map(max, self._orders.values())),
                seeds=len(self._orders),
                shuffled=self._comparison.order == "shuffled",
                rearranged=list(self._rearranged),
            ),
            *self._splits_alike(),
            self._first_losses_alike(),
            *self._measured_alike(),
            Coverage(sorted(self._unchecked), self._checked, list(self._free), self._failed),
            self._spent_alike(),
            *self._tuned_alike(),
            TrainersAgree(
                dict(self._trainers),
                agreement.checked,
                agreement.apart,
                agreement.tolerance,
                dict(self._engines),
            ),
            *traits.averages(self._comparison.recalibrate, self._fewest),
            *traits.random_numbers(),
            *traits.masks(),
        ]
        return [Check.of(data) for data in found]

    def _weights_alike(self) -> InitialWeights:
        differ = [seed for seed, prints in self._weights.items() if len(prints) > 1]
        return InitialWeights(differ, len(self._comparison.arms), len(self._weights))

    def _splits_alike(self) -> list[DataSplit]:
        if self._comparison.split_seeds == 1:
            return []
        differ = [seed for seed, found in self._splits.items() if found != {self._comparison.split_of(seed)}]
        return [DataSplit(sorted(differ), self._comparison.split_seeds)]

    def _first_losses_alike(self) -> FirstMeasurement:
        prints = {seed: {repr(values) for values in losses} for seed, losses in self._firsts.items()}
        return FirstMeasurement([seed for seed, found in prints.items() if len(found) > 1])

    def _measured_alike(self) -> list[EqualMeasurements]:
        most = self._comparison.measure_rows
        if most is None or not self._sizes:
            return []
        sampled = {name: min(most, size) for name, size in self._sizes.items()}
        return [EqualMeasurements(sorted(self._unmeasured), sampled, self._sizes)]

    def _spent_alike(self) -> EqualBudgets:
        comparison = self._comparison
        return EqualBudgets(
            unit=comparison.budget.unit,
            amount=comparison.budget.amount,
            goal=str(comparison.goal) if comparison.stop_at_goal else "",
            finished=self._finished,
            at_goal=len(self._at_goal),
            last_at_goal=max(self._at_goal, default=0.0),
            low=min(self._spent, default=None),
            high=max(self._spent, default=None),
            leapt=min(self._leapt, default=None),
            unended=self._ended - self._finished,
        )

    def _tuned_alike(self) -> list[EqualTuning]:
        tuning = self._comparison.tuning
        if tuning is None:
            return []
        return [
            EqualTuning(
                rates=tuning.rate_count,
                seeds=tuning.seeds,
                repeats=len(tuning.repeats),
                samples=int(self._tuning_samples),
                seconds=float(f"{self._tuning_seconds:.3g}"),
                tried={label: self._tried.get(label, 0) for label in tuning.rates},
            )
        ]


def _passed_several_times(outcome: Mapping[str, Any]) -> bool:
    """Return whether updates took more than an epoch each, as with closures.

    A trial without updates counts as well: its first update would have exceeded the budget.
    """
    return bool(outcome["epochs"] > outcome["updates"] or outcome["updates"] == 0)


def measured_rows(record: Mapping[str, Any]) -> dict[str, int]:
    """Return the rows that a record is over, by set; none in runs of earlier versions."""
    return {
        name.removesuffix(ROWS): int(record[name])
        for name in ROWS_COLUMNS
        if name in record and record[name] == record[name]
    }
