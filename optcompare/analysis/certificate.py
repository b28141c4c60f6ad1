"""The certificate: was every arm given the same start, the same order and the same budget? Checked on what
happened.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..core.comparison import Comparison, Trial
from .traits import Traits


@dataclass(frozen=True)
class Check:
    """One rule of fairness, whether it held, and the evidence in words."""

    name: str
    held: bool
    detail: str


@dataclass(frozen=True)
class Agreement:
    """Of ``checked`` lanes, the first updates lay at most ``apart`` from the loop's, where ``tolerance`` is
    allowed.
    """

    checked: int
    apart: float
    tolerance: float


@dataclass(frozen=True)
class Reference:
    """How many first updates of each arm were found to be those of a plain loop, and what is to be said of
    them.

    ``uncut``: by arm, what its trials change where no checkpoint finds it.
    """

    updates: dict[str, int] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    uncut: dict[str, list[str]] = field(default_factory=dict)

    def check(self) -> Check:
        """The line of the certificate; what disagreed was refused before training."""
        made: dict[int, list[str]] = {}
        for arm, count in self.updates.items():
            made.setdefault(count, []).append(arm)
        parts = [f"{_count(count, 'update')} of {', '.join(arms)}" for count, arms in made.items()]
        return Check("trained as a plain loop would", True, "; ".join([", ".join(parts), *self.remarks]))


class Evidence:
    """Collects what the certificate rests on while trials end, in memory that does not grow with the
    records.
    """

    def __init__(self, comparison: Comparison, free: Iterable[str]) -> None:
        self._comparison = comparison
        self._free = list(free)
        self._weights: dict[int, set[str]] = {}
        self._orders: dict[int, dict[int, str]] = {}
        self._firsts: dict[int, set[tuple[float, ...]]] = {}
        self._spent: set[float] = set()
        self._at_goal: list[float] = []
        self._leapt: list[
            float
        ] = []  # by updates of several passes, the next of which would have been too much
        self._broken_orders: set[int] = set()
        self._splits: dict[int, set[int]] = {}
        self._finished = self._ended = self._failed = self._checked = 0
        self._unchecked: set[int] = set()
        self._rearranged: dict[str, None] = {}
        self._tried: dict[str, int] = {}
        self._trainers: dict[str, int] = {}
        self._fewest: dict[str, int] = {}
        self._tuning_samples, self._tuning_seconds = 0, 0.0

    def first_record(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """The measurement before the first update."""
        losses = tuple(record[name] for name in ("train_loss", "valid_loss") if name in record)
        self._firsts.setdefault(trial.seed, set()).add(losses)

    def trial_ended(self, trial: Trial, outcome: Mapping[str, Any], orders: Sequence[str] = ()) -> None:
        """``outcome``: its row in ``trials.parquet``; ``orders``: the fingerprints of its epochs' orders,
        where known.
        """
        status, trainer = outcome["status"], outcome["trainer"]
        self._ended += 1
        self._trainers[trainer] = self._trainers.get(trainer, 0) + 1
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
            if outcome.get("reason"):  # a finished trial has none, but where it stopped at its goal
                self._at_goal.append(spent)
            elif (
                unit == "epochs" and spent < self._comparison.budget.amount and _passed_several_times(outcome)
            ):
                self._leapt.append(spent)
            else:
                self._spent.add(spent)

    def _order(self, seed: int, epochs: int, digest: str) -> None:
        """All trials of a seed that began so many epochs must have been offered the same orders in them."""
        if self._orders.setdefault(seed, {}).setdefault(epochs, digest) != digest:
            self._broken_orders.add(seed)

    def certificate(
        self, agreement: Agreement, reference: Reference | None = None, traits: Traits | None = None
    ) -> list[Check]:
        """All checks, in the order in which a reader would doubt; ``reference``, ``traits``: None where none
        were made.
        """
        return [
            *([reference.check()] if reference is not None else []),
            self._same_weights(),
            self._same_order(),
            *self._same_split(),
            self._same_first(),
            self._coverage(),
            self._same_budget(),
            *self._same_tuning(),
            self._same_updates(agreement),
            *self._same_measuring(traits or Traits()),
        ]

    def _same_weights(self) -> Check:
        differ = [seed for seed, prints in self._weights.items() if len(prints) > 1]
        arms, seeds = len(self._comparison.arms), _count(len(self._weights), "seed")
        who = f"all {arms} arms start" if arms > 1 else "1 arm starts"
        each = "each of " if len(self._weights) > 1 else ""
        detail = f"{who} identically in {each}{seeds} (SHA-256 match)"
        return Check("identical initial weights", not differ, _unless(differ, detail))

    def _same_order(self) -> Check:
        epochs = sum(map(max, self._orders.values()))
        detail = (
            f"the same for all arms in {_count(epochs, 'epoch')} of {_count(len(self._orders), 'seed')} "
            "(SHA-256 match)"
        )
        detail += "" if self._comparison.order == "shuffled" else ", in the order that the caller gave"
        if self._rearranged:
            detail += f"; offered to all, and rearranged by {', '.join(self._rearranged)}"
        return Check(
            "identical sample order", not self._broken_orders, _unless(sorted(self._broken_orders), detail)
        )

    def _same_split(self) -> list[Check]:
        splits = self._comparison.split_seeds
        if splits == 1:
            return []
        differ = [seed for seed, found in self._splits.items() if found != {self._comparison.split_of(seed)}]
        detail = f"one of {_count(splits, 'split')} of the data a seed, in turn, over all arms"
        return [Check("identical split of the data", not differ, _unless(sorted(differ), detail))]

    def _same_first(self) -> Check:
        differ = [
            seed for seed, losses in self._firsts.items() if len({repr(values) for values in losses}) > 1
        ]
        return Check(
            "identical first measurement",
            not differ,
            _unless(differ, "the loss before training, to the last bit"),
        )

    def _coverage(self) -> Check:
        detail = f"the batches of {_count(self._checked, 'epoch')} were checked"
        if self._free:
            detail += f"; but for {', '.join(self._free)}, which may repeat and leave out"
        if self._failed:
            detail += (
                f"; {_count(self._failed, 'trial')} failed and is not counted"
                if self._failed == 1
                else (f"; {_count(self._failed, 'trial')} failed and are not counted")
            )
        return Check(
            "every sample once an epoch", not self._unchecked, _unless(sorted(self._unchecked), detail)
        )

    def _same_budget(self) -> Check:
        budget, left = self._comparison.budget, self._ended - self._finished
        low, high = min(self._spent, default=0.0), max(self._spent, default=0.0)
        exact = budget.unit in ("epochs", "updates")
        held = not self._spent or (
            low == high == budget.amount if exact else budget.unit == "seconds" or high <= budget.amount
        )
        most = " at most" if self._comparison.stop_at_goal else ""
        held = held and max(self._at_goal, default=0.0) <= budget.amount
        detail = f"{budget}{most} for each of {_count(self._finished, 'finished trial')}"
        if self._comparison.stop_at_goal:
            detail += (
                f", of which {len(self._at_goal):,} stopped at their goal {self._comparison.goal} before"
            )
        if low < high:
            detail += (
                f", of which it used {low:,.6g} to {high:,.6g}"
                if held
                else f"; spent: {low:,.6g} to {high:,.6g}"
            )
        if self._leapt:
            detail += f"; where an update takes several, at least {min(self._leapt):,.6g} were used"
        detail += f"; {_count(left, 'trial')} ended before" if left else ""
        return Check("equal budgets", held, detail)

    def _same_updates(self, agreement: Agreement) -> Check:
        parts = [f"{_count(number, 'trial')} {_TRAINERS[name]}" for name, number in self._trainers.items()]
        if self._trainers.keys() - {"loop"}:
            parts.append(
                f"the first updates of {_count(agreement.checked, 'lane')}, made by both, differ by at most "
                f"{agreement.apart:.1e} of the weights' norm (allowed: {agreement.tolerance:.0e})"
            )
        elif parts:
            parts.append("all by the reference trainer")
        return Check(
            "fast and reference trainers agree", agreement.apart <= agreement.tolerance, "; ".join(parts)
        )

    def _same_measuring(self, traits: Traits) -> list[Check]:
        held, averages = traits.averages(self._comparison.recalibrate, self._fewest)
        drawn = traits.random_numbers()
        return [
            *([Check("BatchNorm averages", held, averages)] if traits.norm else []),
            *([Check("shared random numbers", True, drawn)] if drawn else []),
        ]

    def _same_tuning(self) -> list[Check]:
        tuning = self._comparison.tuning
        if tuning is None:
            return []
        times = len(tuning.repeats)
        repeats = f" in each of {times} repeats, on grids shifted at random" if times else ""
        equal = len({self._tried.get(label, 0) for label in tuning.rates}) == 1
        detail = (
            f"{tuning.rate_count} learning rates on {_count(tuning.seeds, 'seed')} of their own for each "
            f"arm{repeats}; it cost "
            f"{_count(self._tuning_samples, 'sample')} and {self._tuning_seconds:.3g} s of training"
        )
        return [Check("equal tuning", equal, detail if equal else f"trials that did not fail: {self._tried}")]


_TRAINERS = {
    "loop": "in the loop",
    "lanes": "in lanes",
    "lanes+loop": "begun in lanes, ended in the loop",
}


def _passed_several_times(outcome: Mapping[str, Any]) -> bool:
    """Whether updates took more than an epoch each, as with closures; a trial whose first would have taken
    too much made none.
    """
    return bool(outcome["epochs"] > outcome["updates"] or outcome["updates"] == 0)


def _unless(seeds: list[int], detail: str) -> str:
    return f"differs for seed {', '.join(map(str, seeds[:5]))}" if seeds else detail


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
