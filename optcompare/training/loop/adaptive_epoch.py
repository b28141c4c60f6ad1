"""Epochs of adaptive strategies: each batch is asked for once the strategy has seen what the one before it
gave.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from typing import TYPE_CHECKING

import torch

from ...interfaces.strategy import StepStats
from ..measurement.step_stats import needs_samples, step_stats
from .batch_plan import as_indices, check_batch, check_coverage, check_enough, digest, started
from .gradient import in_chunks, mean_gradient
from .trial import TrialRun

if TYPE_CHECKING:
    from torch import Tensor


def adaptive_epoch(run: TrialRun, stop: Callable[[], bool]) -> None:
    """A whole epoch, since nobody can store a generator half way; ``stop``, asked after each update,
    interrupts the trial.
    """
    progress, n, name = run.progress, run.source.n, run.trial.arm.label
    epoch, begun = run.planner.epoch(progress.epoch), progress.samples
    yielded: list[Tensor] = []
    ends: list[int] = []
    generator = started(run.strategy, epoch, name)
    with run.clock, run.planner.acts():
        batch = as_indices(next(generator, None))
    while batch is not None and progress.status == "running":
        done = progress.samples - begun
        check_batch(batch, epoch.index, n, name, len(yielded))
        batch = (batch[: n - done] if run.strategy.coverage == "free" else batch).clone()
        if len(batch) == 0 or not progress.admits(run.budget, len(batch)):
            break
        run.begin_epoch([batch[: run.trial.arm.chunk]])
        yielded.append(batch)
        ends.append(done + len(batch))
        if ends[-1] > n:
            check_coverage(torch.cat(yielded), ends, epoch.index, n, name)
        mark = run.next_mark()
        if run.diagnosing.active and (mark is None or _may_be_measured(run, mark, len(batch))):
            run.keep(batch)
        with run.clock:
            stats = _update(run, batch)
        progress.made(1, len(batch), len(batch), run.clock.seconds)
        run.after_updates(mark)
        if stop() and progress.status == "running":
            progress.status, progress.reason = "interrupted", "stopped within an epoch"
            break
        with run.clock, run.planner.acts():
            batch = _send(generator, stats)
    generator.close()
    spent = batch is not None and progress.samples - begun < n
    if not yielded and not spent:
        check_batch(None, epoch.index, n, name, 0)
    if not spent and progress.status == "running":
        if run.strategy.coverage == "once":
            check_coverage(torch.cat(yielded), ends, epoch.index, n, name)
        else:
            check_enough(ends[-1], n, f"{name}, epoch {epoch.index}")
    progress.checked = progress.epoch + 1
    if yielded:
        shared = run.planner.order(progress.epoch)
        progress.rearranged |= not torch.equal(torch.cat(yielded), shared[: ends[-1]])
        progress.batches = digest(bytes.fromhex(progress.batches), ends, torch.cat(yielded)).hex()
    run.end_epoch(not spent, spent)


def _update(run: TrialRun, indices: Tensor) -> StepStats:
    pieces, (count,) = in_chunks([indices], len(indices), run.trial.arm, run.model)
    batches = run.source.stream(pieces, run.trial.seed, run.progress.epoch, ahead=False)
    kept = list(batches) if needs_samples(run.strategy.needs) else []
    run.say_now()
    loss = mean_gradient(run.workload, run.model, run.weights, iter(kept) if kept else batches, count)
    run.set_rate(run.progress.updates, run.progress.samples)
    lr = float(run.optimizer.param_groups[0]["lr"])
    stats = step_stats(run.strategy.needs, run.workload, run.model, kept, loss, lr, len(indices), run.norms)
    run.clip_gradient()
    run.step()
    return stats


def _may_be_measured(run: TrialRun, mark: int, size: int) -> bool:
    """Whether an update of so many samples may be the last one before a record."""
    progress, budget = run.progress, run.budget
    last = budget.unit in ("samples", "seconds") or (
        budget.unit == "updates" and progress.updates + 1 >= budget.amount
    )
    return last or progress.samples + size >= mark


def _send(generator: Generator[Tensor, StepStats, None], stats: StepStats) -> Tensor | None:
    try:
        batch: Tensor = as_indices(generator.send(stats))
        return batch
    except StopIteration:
        return None
