"""Compare the first updates of an arm in the loop trainer and in a plain loop, from the same state."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch

from ..core.comparison import Trial
from ..core.rng import preserved_rng, rng_state, set_rng_state
from ..training.data import Source, first_rows
from ..training.lanes.memory import free_memory, kept_bytes_a_row
from ..training.loop.batch_plan import as_indices, check_batch, start_generator
from ..training.loop.plain_loop import PlainLoop
from ..training.loop.trainer import LoopTrainer
from ..training.loop.trial import TrialRun
from ..training.measurement.evaluation import evaluate, evaluate_batch, evaluating
from ..training.measurement.module_state import preserved_state, same
from ..training.own_loss import with_own_loss
from ..training.state import TrialState
from .update_differences import (
    GRADIENT,
    MEASURED_LOSS,
    Difference,
    apart,
    compared,
    differing_attributes,
    other_values,
)

if TYPE_CHECKING:
    from torch import Tensor

_UPDATES, _NOISE = 3, 20.0
_MOST_BYTES, _COPIES = 2**27, 3
"""What one pass of the plain loop may take, in tensors kept for the backward pass, with their gradients and
inputs.
"""


class FirstUpdates:
    """Make the first updates of an arm twice, on the first seed, and measure how far apart they are.

    Args:
        trainer: The loop trainer of the comparison.
        trial: A trial of the arm.
        say: A function that receives remarks on the check.
    """

    def __init__(self, trainer: LoopTrainer, trial: Trial, say: Callable[[str], None]) -> None:
        self.trainer, self.trial, self._say = trainer, trial, say
        run = trainer.run(trial, None)
        self.batches = _batches(run)
        fits = _rows_of_one_pass(run) if self.size > trial.arm.chunk else self.size
        if fits < self.size:
            self.keep_rows(fits)

    @property
    def size(self) -> int:
        """Count the rows of the largest batch."""
        return len(self.batches[0])

    def keep_rows(self, count: int) -> None:
        """Check only the first rows of each batch.

        Args:
            count: The number of rows to keep.
        """
        self._say(
            f"of a batch of {self.trial.arm.label}, {count:,} rows, the most that one pass may take here"
        )
        self.batches = [batch[:count] for batch in self.batches]

    def exactly(self) -> FirstUpdates:
        """Return the same updates in float64."""
        setup, other = self.trainer.setup, copy.copy(self)
        comparison = dataclasses.replace(setup.comparison, dtype="float64")
        other.trainer = LoopTrainer(dataclasses.replace(setup, comparison=comparison))
        return other

    def in_one_pass(self) -> FirstUpdates:
        """Return the same updates without chunks, in training and in measurements."""
        other, comparison = copy.copy(self), self.trainer.setup.comparison
        other.trainer = self.trainer.for_comparison(
            dataclasses.replace(comparison, eval_chunk=self.trainer.setup.workload.size)
        )
        other.trial = Trial(dataclasses.replace(self.trial.arm, chunk=self.size), self.trial.seed)
        return other

    def first(self) -> Difference:
        """Measure how far the engine's first update, on the largest batch, is from the plain loop's."""
        with preserved_rng():
            run = self.trainer.run(self.trial, None)
            begun = rng_state(run.device)
            plain = self._plain()
            set_rng_state(begun, run.device)
            found = [
                self._measured(run, plain),
                self._update(run, plain, self.batches[0]),
                self._behind_masks(),
            ]
            return max(found, key=lambda each: each.size)

    def later(self, *, restarted: bool) -> Iterator[Difference]:
        """Measure the differences of the updates after the first.

        Args:
            restarted: Whether each begins from the state of the plain loop, as a checkpoint would hold it.

        Yields:
            The difference of each update.
        """
        with preserved_rng():
            run = self.trainer.run(self.trial, None)
            begun = rng_state(run.device)
            plain = self._plain()
            set_rng_state(begun, run.device)
            self._update(run, plain, self.batches[0])
            for indices in self.batches[1:]:
                if restarted:
                    run = self.trainer.run(self.trial, _state_of(plain, run))
                yield self._update(run, plain, indices)

    def passes_change_the_model(self, tolerance: float) -> bool:
        """Find out whether a second pass over the same rows, without an update, gives another gradient.

        Args:
            tolerance: Relative difference of gradients that counts as rounding.

        Returns:
            Whether it does.
        """
        with preserved_rng():
            run = self.trainer.run(self.trial, None)
            begun = rng_state(run.device)
            plain = self._plain()
            (batch,) = run.source.stream([self.batches[0]], self.trial.seed, 0, ahead=False)
            found = []
            for _ in range(2):
                set_rng_state(begun, run.device)
                plain.model.zero_grad()
                plain.workload.mean_loss(plain.model, batch).backward()
                found.append(
                    [None if weight.grad is None else weight.grad.clone() for weight in plain.weights]
                )
            return apart(*found) > tolerance

    def _behind_masks(self) -> Difference:
        """Compare the gradient with that of whole batches where random masks are drawn for each chunk.

        What other masks do to a gradient is subtracted.
        """
        run, trial = self.trainer.run(self.trial, None), self.trial
        indices, begun = self.batches[0], rng_state(run.device)
        if len(indices) <= trial.arm.chunk or run.takes_closure:
            return Difference(0.0, "")
        gradients, _ = _gradients_of(run, indices)
        if same(begun, rng_state(run.device)):
            return Difference(0.0, "")
        alone = []
        for _ in range(2):
            plain = self._plain()
            plain.update(list(run.source.stream([indices], trial.seed, 0, ahead=False)))
            alone.append(plain.gradient)
        drawn = apart(alone[0], alone[1])
        return Difference(max(0.0, apart(gradients, alone[0]) - _NOISE * drawn), GRADIENT)

    def _measured(self, run: TrialRun, plain: PlainLoop) -> Difference:
        """Compare the training loss that the engine measures in chunks with that of one pass."""
        chunk = self.trainer.setup.comparison.eval_chunk
        count = min(run.source.n, max(len(self.batches[0]), chunk + chunk // 2 + 1))
        rows = FirstRows(run.source, count)
        loss = plain.workload.loss
        with (
            evaluating(plain.model),
            preserved_state(loss) if isinstance(loss, torch.nn.Module) else nullcontext(),
        ):
            (batch,) = rows.stream([torch.arange(count)], 0, 0, ahead=False)
            try:
                alone = float(evaluate_batch(plain.workload, plain.model, batch)[0])
            except (MemoryError, torch.OutOfMemoryError):  # a batch need not fit whole
                return Difference(0.0, "")
            again = float(evaluate_batch(plain.workload, plain.model, batch)[0]) if count > chunk else alone
            drawn = abs(again - alone)
        bare = dataclasses.replace(run.workload, metrics={}, errors=())
        there = evaluate(bare, run.model, {"train": rows}, chunk)["train_loss"]
        if not (math.isfinite(alone) and math.isfinite(there)):
            return Difference(0.0 if str(alone) == str(there) else math.inf, MEASURED_LOSS)
        beyond = max(0.0, abs(there - alone) - _NOISE * drawn)  # each chunk draws other random numbers
        return Difference(beyond / max(abs(alone), 1e-12), MEASURED_LOSS)

    def _update(self, run: TrialRun, plain: PlainLoop, indices: Tensor) -> Difference:
        """Make one update in both loops, from the same states of the random generators."""
        before = [other_values(each) for each in (run, plain)]
        begun = rng_state(run.device)
        gradients, rates = _gradients_of(run, indices)
        ended = rng_state(run.device)
        for group, rate in zip(plain.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        draws = not same(begun, ended)
        chunks = indices.split(run.trial.arm.chunk) if draws else [indices]
        if draws and len(chunks) > 1:
            self._say(
                f"random masks are drawn for each chunk of {run.trial.arm.chunk} rows ({run.trial.arm.label})"
            )
        set_rng_state(begun, run.device)
        plain.update(list(run.source.stream(chunks, run.trial.seed, 0, ahead=False)))
        set_rng_state(ended, run.device)
        after = [other_values(each) for each in (run, plain)]
        return compared(run, plain, gradients, differing_attributes(before, after))

    def _plain(self) -> PlainLoop:
        setup, device, dtype = self.trainer.setup, self.trainer.device, self.trainer.dtype
        workload = with_own_loss(setup.workload, device, dtype)
        first = first_rows(setup.workload.train, 2, setup.workload.collate)
        factory = setup.arm_objects[self.trial.arm.label].optimizer
        return PlainLoop(workload, self.trial.arm, factory, self.trial.seed, first, device, dtype)


class FirstRows:
    """Limit a source of data to its first rows.

    Args:
        source: The source of data to limit.
        most: Rows at most.
    """

    def __init__(self, source: Source, most: int) -> None:
        self.n, self.stream = min(most, source.n), source.stream


def _rows_of_one_pass(run: TrialRun) -> int:
    """Count the rows that one pass of a plain loop may have: the chunk, or as many as fit into memory."""
    bytes_a_row = max(1.0, _COPIES * kept_bytes_a_row(run))
    return max(run.trial.arm.chunk, int(min(_MOST_BYTES, free_memory(run.device) / 4) / bytes_a_row))


def _batches(run: TrialRun) -> list[Tensor]:
    """Return the largest batch of the first epoch, and two others."""
    name = run.trial.arm.label
    if run.strategy.adaptive:
        epoch = run.planner.epoch(0)
        size = check_batch(
            as_indices(next(start_generator(run.strategy, epoch, name), None)), 0, run.source.n, name, 0
        )
        batches = list(run.planner.order(0).split(size))
    else:
        batches = list(run.planner.draw(0).batches)
    if run.takes_closure:
        return batches[:1]
    largest = max(range(len(batches)), key=lambda number: len(batches[number]))
    others = [batch for number, batch in enumerate(batches) if number != largest] or batches
    return [batches[largest], *(others[number % len(others)] for number in range(_UPDATES - 1))]


def _gradients_of(run: TrialRun, indices: Tensor) -> tuple[list[Tensor | None], list[float]]:
    """Make one update of the engine; return its gradients and learning rates."""
    step, found, rates = run.step, list[Any](), list[float]()

    def watched(*closure: Any) -> Any:
        found[:] = [None if weight.grad is None else weight.grad.detach().clone() for weight in run.weights]
        rates[:] = [group["lr"] for group in run.optimizer.param_groups]
        return step(*closure)

    run.step = watched
    try:
        run.update(indices)
    finally:
        run.step = step
    return found, rates


def _state_of(plain: PlainLoop, run: TrialRun) -> TrialState:
    """Return the state that the engine would have after the plain loop's updates."""
    model = {name: copy.deepcopy(value) for name, value in plain.model.state_dict().items()}
    buffers = {name: value.detach().clone() for name, value in plain.model.named_buffers()}
    state = run.state()
    state["model"], state["buffers"] = model, buffers
    state["optimizer"] = copy.deepcopy(plain.optimizer.state_dict())
    if "trained" in state:
        state["trained"] = [weight.detach().clone() for weight in plain.weights]
    return state
