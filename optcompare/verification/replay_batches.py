"""Fingerprints of initial weights, orders and batches, computed again without training, seed by seed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from ..core.comparison import Comparison, Trial
from ..core.rng import preserved_rng
from ..errors import OptcompareError
from ..training.device import torch_settings
from ..training.loop.planner import Planner
from ..training.loop.trainer import LoopTrainer
from ..training.shared_init import SharedStart, fingerprint
from .finding import TableRow, shortened

KINDS = ("weights_sha256", "order_sha256", "batches_sha256")
MOST_WORK, SAMPLES_LIKE_AN_EPOCH = 200_000, 1_500
"""The epochs that are planned in about 15 seconds, and the samples that take as long as one epoch."""


@dataclass(frozen=True)
class Planned:
    """Describe the plan of a strategy up to some number of updates.

    Attributes:
        samples: The number of samples in these updates.
        epochs: The number of epochs that begin.
        before: ``batches_sha256`` of the epochs that have ended.
        after: ``batches_sha256`` of all batches.
        after_none: ``batches_sha256`` if another epoch was planned and no batch of it was used.
    """

    samples: int
    epochs: int
    before: str
    after: str
    after_none: str


def of_some_seeds(rows: Sequence[tuple[Trial, Any]], most: float) -> list[tuple[Trial, Any]]:
    """Choose whole seeds whose fingerprints can be computed again in bounded time.

    Args:
        rows: Each trial with its row.
        most: The most epochs to plan.

    Returns:
        All trials of as many seeds as ``most`` allows, at least one. The fingerprints of the whole table
        decide which seeds come first: a forger who changes some of them also changes the sample.
    """
    of_seed: dict[int, list[tuple[Trial, Any]]] = {}
    for trial, row in rows:
        of_seed.setdefault(trial.seed, []).append((trial, row))
    table = hashlib.sha256(
        "".join(f"{row[kind]}" for _, row in rows for kind in (*KINDS, "final_sha256")).encode()
    )
    seeds = sorted(of_seed, key=lambda seed: hashlib.sha256(table.digest() + str(seed).encode()).digest())
    work, chosen = 0.0, list[tuple[Trial, Any]]()
    for seed in seeds:
        work += sum(row["epochs_begun"] + row["samples"] / SAMPLES_LIKE_AN_EPOCH for _, row in of_seed[seed])
        if chosen and work > most:
            break
        chosen += of_seed[seed]
    return chosen


def unlike(
    trainer: LoopTrainer,
    rows: Sequence[tuple[Trial, TableRow]],
    advanced: Callable[[int, int, float], None] = lambda done, of, share: None,
) -> Iterator[tuple[str, Trial, str]]:
    """Compute fingerprints again, and yield those that differ.

    Args:
        trainer: The loop trainer of the comparison.
        rows: Trials, each with its row.
        advanced: Called after each seed with the number of trials that are done, of all, and their share.

    Yields:
        The kind of fingerprint, the trial, and the difference in words.
    """
    comparison, done = trainer.setup.comparison, 0
    for seed, group in groupby(sorted(rows, key=lambda one: one[0].seed), key=lambda one: one[0].seed):
        with torch_settings(comparison.threads, comparison.deterministic), preserved_rng():
            found = list(_of_seed(trainer, trainer.start(seed), of_seed := list(group)))
        done += len(of_seed)
        advanced(done, len(rows), done / len(rows))
        yield from found


def adaptive(trainer: LoopTrainer, trial: Trial) -> bool:
    """Return whether the batches, or the evaluations of each batch, depend on the training."""
    return trainer.setup.arm_objects[trial.arm.label].strategy.adaptive or trainer.takes_closure(trial.arm)


def _of_seed(
    trainer: LoopTrainer, start: SharedStart, rows: list[tuple[Trial, TableRow]]
) -> Iterator[tuple[str, Trial, str]]:
    comparison = trainer.setup.comparison
    weights, orders = fingerprint(start.model().state_dict()), _Orders(start)
    for trial, row in rows:
        if row["weights_sha256"] != weights and (row["weights_sha256"] or row["status"] != "failed"):
            yield KINDS[0], trial, _versus(row[KINDS[0]], weights)
        most = _most_epochs(comparison, row, trainer.setup.workload.size, trainer.takes_closure(trial.arm))
        order = (
            orders.sha256(row["epochs_begun"]) if row["epochs_begun"] <= most else "more epochs than allowed"
        )
        if row["order_sha256"] != order:
            yield KINDS[1], trial, _versus(row[KINDS[1]], order)

    def strategy_of(one: tuple[Trial, TableRow]) -> str:
        return one[0].arm.strategy.reference or one[0].arm.label

    planned = [one for one in rows if not adaptive(trainer, one[0])]
    for _, same in groupby(sorted(planned, key=strategy_of), key=strategy_of):
        group = list(same)
        first = group[0][0]
        planner = Planner(
            trainer.setup.arm_objects[first.arm.label].strategy, start, first.seed, first.arm.strategy.label
        )
        most = max(_most_epochs(comparison, row, trainer.setup.workload.size) for _, row in group)
        most = min(most, max(row["epochs_begun"] for _, row in group))
        plans = _plans(planner, {row["updates"] for _, row in group}, most)
        for trial, row in group:
            wrong = _unlike_batches(row, plans, comparison)
            if wrong:
                yield KINDS[2], trial, wrong


class _Orders:
    """Compute the fingerprints of a seed's orders, by the number of epochs."""

    def __init__(self, start: SharedStart) -> None:
        self._start, self._chain, self._known = start, hashlib.sha256(), [hashlib.sha256().hexdigest()]

    def sha256(self, epochs: int) -> str:
        """Return the fingerprint of the orders of the first epochs."""
        while len(self._known) <= epochs:
            self._chain.update(self._start.order(len(self._known) - 1).sha256.encode())
            self._known.append(self._chain.hexdigest())
        return self._known[epochs]


def _most_epochs(comparison: Comparison, row: TableRow, n: int, several: bool = False) -> float:
    """Return the most epochs that a trial can have begun, to bound the time for a forged number.

    Args:
        comparison: The comparison.
        row: The row of the trial.
        n: The number of training samples.
        several: Whether one update may take several epochs.
    """
    if several and comparison.budget.unit == "updates":
        return float(row["samples"]) / n
    amount = comparison.budget.amount
    samples = {"samples": amount, "seconds": float(row["samples"])}
    return samples[comparison.budget.unit] / n + 2 if comparison.budget.unit in samples else amount


def _plans(planner: Planner, wanted: Collection[int], most: float) -> dict[int, Planned | str]:
    """Plan up to each of these numbers of updates; a text explains why a plan is not possible."""
    found: dict[int, Planned | str] = {0: Planned(0, 0, "", "", "")}
    todo, made, samples, epoch, chain = sorted(set(wanted) - {0}), 0, 0, 0, b""
    while todo and epoch < most:
        try:
            plan = planner.draw(epoch)
        except OptcompareError as error:
            return {**found, **dict.fromkeys(todo, str(error))}
        epoch += 1
        while todo and todo[0] <= made + len(plan.ends):
            count = todo.pop(0) - made
            after = plan.digest(chain, count)
            found[made + count] = Planned(
                samples + plan.ends[count - 1], epoch, chain.hex(), after.hex(), plan.digest(after, 0).hex()
            )
        made, samples, chain = (
            made + len(plan.ends),
            samples + plan.ends[-1],
            plan.digest(chain, len(plan.ends)),
        )
    return {**found, **dict.fromkeys(todo, "so many updates take more epochs than there were")}


def _unlike_batches(row: TableRow, plans: Mapping[int, Planned | str], comparison: Comparison) -> str:
    plan = plans[row["updates"]]
    if isinstance(plan, str):
        return plan
    if row["samples"] != plan.samples:
        return f"{row['updates']:,} updates take {plan.samples:,} samples, and it says {row['samples']:,}"
    ended = row["status"] in ("finished", "diverged")
    if not plan.epochs <= row["epochs_begun"] <= plan.epochs + (not ended):
        return (
            f"{row['updates']:,} updates lie in {plan.epochs:,} epochs, and it says {row['epochs_begun']:,}"
        )
    # A trial that was stopped may have recorded the batches up to the last epoch that ended.
    right = [plan.after] if ended else [plan.before, plan.after]
    if comparison.budget.unit == "samples":
        right.append(plan.after_none)  # Another epoch was planned, and its first batch did not fit.
    return "" if row["batches_sha256"] in right else _versus(row["batches_sha256"], right[0])


def _versus(then: str, now: str) -> str:
    return f"{shortened(then)} in trials.parquet, {shortened(now)} computed again"
