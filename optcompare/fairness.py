"""The certificate: was every arm given the same start, the same order and the same budget? Checked on what happened."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .comparison import Comparison, Trial
from .train.progress import Progress


@dataclass(frozen=True)
class Check:
    """One rule of fairness, whether it held, and the evidence in words."""

    name: str
    held: bool
    detail: str


class Evidence:
    """Collects what the certificate rests on while trials end, in memory that does not grow with the records."""

    def __init__(self, comparison: Comparison, free: Iterable[str]) -> None:
        self._comparison = comparison
        self._free = list(free)
        self._weights: dict[int, set[str]] = {}
        self._orders: dict[int, list[str]] = {}
        self._firsts: dict[int, set[tuple[float, ...]]] = {}
        self._spent: set[float] = set()
        self._broken_orders: set[int] = set()
        self._finished = self._ended = 0

    def first_record(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """The measurement before the first update."""
        losses = tuple(record[name] for name in ("train_loss", "valid_loss") if name in record)
        self._firsts.setdefault(trial.seed, set()).add(losses)

    def trial_ended(self, trial: Trial, progress: Progress) -> None:
        self._ended += 1
        if progress.weights_sha256:
            self._weights.setdefault(trial.seed, set()).add(progress.weights_sha256)
        longest = self._orders.get(trial.seed, [])
        both = min(len(longest), len(progress.orders))
        if longest[:both] != progress.orders[:both]:
            self._broken_orders.add(trial.seed)
        self._orders[trial.seed] = max(longest, progress.orders, key=len)
        if progress.status == "finished":
            self._finished += 1
            unit = self._comparison.budget.unit
            self._spent.add(getattr(progress, "epoch" if unit == "epochs" else unit, self._comparison.budget.amount))

    def certificate(self) -> list[Check]:
        """All checks, in the order in which a reader would doubt."""
        return [
            self._same_weights(),
            self._same_order(),
            self._same_first(),
            self._coverage(),
            self._same_budget(),
            self._conditions(),
        ]

    def _same_weights(self) -> Check:
        differ = [seed for seed, prints in self._weights.items() if len(prints) > 1]
        detail = f"one SHA-256 a seed over {_count(len(self._comparison.arms), 'arm')} and {_count(len(self._weights), 'seed')}"
        return Check("identical initial weights", not differ, _unless(differ, detail))

    def _same_order(self) -> Check:
        epochs = sum(map(len, self._orders.values()))
        detail = f"one SHA-256 an epoch over all arms, {_count(epochs, 'epoch')} of {_count(len(self._orders), 'seed')}"
        detail += "" if self._comparison.order == "shuffled" else ", in the order that the caller gave"
        return Check("identical sample order", not self._broken_orders, _unless(sorted(self._broken_orders), detail))

    def _same_first(self) -> Check:
        differ = [seed for seed, losses in self._firsts.items() if len({repr(values) for values in losses}) > 1]
        return Check(
            "identical first measurement", not differ, _unless(differ, "the loss before training, to the last bit")
        )

    def _coverage(self) -> Check:
        if not self._free:
            return Check("every sample once an epoch", True, "the batches of every epoch were checked")
        return Check(
            "every sample once an epoch", True, f"but for {', '.join(self._free)}, which may repeat and leave out"
        )

    def _same_budget(self) -> Check:
        budget, left = self._comparison.budget, self._ended - self._finished
        equal = budget.unit in ("seconds", "samples") or len(self._spent) <= 1
        detail = f"{budget} for each of {_count(self._finished, 'finished trial')}"
        detail += f"; {_count(left, 'trial')} ended before" if left else ""
        return Check("equal budgets", equal, detail if equal else f"spent: {sorted(self._spent)}")

    def _conditions(self) -> Check:
        c = self._comparison
        detail = (
            f"device {c.device}, {c.dtype}, {_count(c.threads, 'thread')}, evaluated in chunks of {c.eval_chunk} rows"
        )
        return Check("same conditions", True, detail)


def _unless(seeds: list[int], detail: str) -> str:
    return f"differs for seed {', '.join(map(str, seeds[:5]))}" if seeds else detail


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
