"""Update and evaluate R lanes at once, with pure functions of tensors [R, …]."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ...core.tree import len_batch, select_rows
from ...interfaces.mean_loss import MeanLoss
from ...interfaces.workload import Workload
from ..dropout import CounterMasks
from ..measurement.evaluation import in_eval_mode
from ..measurement.recalibration import cumulative, updating
from .engines.engine import Carry
from .optimizer import LanesOptimizer
from .outputs import Outputs
from .random_numbers import mask_keys, random_numbers_refused
from .update_rules import Settings, clipped

if TYPE_CHECKING:
    from torch import Tensor

    from ..state import TrialState


class Blueprint:
    """Describe the update that all lanes of a group share.

    Args:
        workload: The workload with the objective and the metrics.
        make: A function that returns a module of the lanes' structure; its values are not used.
        settings: The update rule and settings of the optimizer.
        chunk: The number of rows of one forward pass.
        clip: The norm to which gradients are clipped; None: gradients are not clipped.
        batch: A function that builds a batch from selected rows of each tensor of the data.
        masked: Whether dropout masks come from a counter; else the model must not draw any.
        scheduled: Whether the learning rate changes during training.
    """

    def __init__(
        self,
        workload: Workload,
        make: Callable[[], nn.Module],
        settings: Settings,
        chunk: int,
        clip: float | None = None,
        batch: Callable[[Sequence[Tensor]], Any] = tuple,
        masked: bool = False,
        scheduled: bool = False,
    ) -> None:
        self.workload, self.chunk, self.clip, self.batch = workload, chunk, clip, batch
        self._scheduled, model = scheduled, make()
        self._objective = MeanLoss(workload, model)
        self._masks = CounterMasks(model) if masked else None
        self._outputs = Outputs(make(), workload)
        self.weights = [name for name, weight in model.named_parameters() if weight.requires_grad]
        frozen = [name for name, weight in model.named_parameters() if not weight.requires_grad]
        self.buffers = [name for name, _ in model.named_buffers()]
        self.kept = [*frozen, *self.buffers]
        first = {id(value): name for name, value in [*model.named_parameters(), *model.named_buffers()]}
        everything = [
            *model.named_parameters(remove_duplicate=False),
            *model.named_buffers(remove_duplicate=False),
        ]
        self._known_as = {
            name: first[id(value)] for name, value in everything
        }  # tied weights have several names
        values = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        self.floating = [name for name in self.kept if values[name].is_floating_point()]
        self.optimizer = LanesOptimizer(settings, [values[name].detach() for name in self.weights])
        self.numbers = self.optimizer.numbers
        self.shapes = [values[name].shape for name in [*self.weights, *self.kept]] + self.optimizer.shapes

    def stack(self, states: Sequence[TrialState]) -> Carry:
        """Stack states that the loop trainer returned into the carry of as many lanes."""
        rows = [self._row(state) for state in states]
        return [torch.stack(column).contiguous() for column in zip(*rows, strict=True)]

    def state_of(self, carry: Carry, lane: int, state: TrialState, updates: int) -> TrialState:
        """Return the state of one lane in the form of the loop trainer.

        Args:
            carry: The carry of all lanes.
            lane: The number of the lane.
            state: An earlier state of the lane.
            updates: The number of updates of the trial so far.
        """
        values = [column[lane].clone() for column in carry]
        named = dict(zip([*self.weights, *self.kept], values, strict=False))
        trained, optimizer = values[: len(self.weights)], state["optimizer"]
        if updates:
            columns = values[len(named) :]
            optimizer = self.optimizer.saved(columns, optimizer, updates)
            evaluated = self.optimizer.evaluated(trained, columns, self.optimizer.numbers_in(optimizer))
            named |= zip(self.weights, evaluated, strict=True)
        model = {
            name: named.get(self._known_as.get(name, name), value) for name, value in state["model"].items()
        }
        buffers = {name: named[self._known_as[name]] for name in state["buffers"]}
        reached: TrialState = {**state, "model": model, "buffers": buffers, "optimizer": optimizer}
        if "trained" in state:
            reached["trained"] = trained
        return reached

    def evaluated(self, carry: Carry, numbers: Carry) -> Carry:
        """Return the carry with the weights by which lanes are measured; see :class:`.LaneRule`.

        Args:
            carry: The carry of all lanes.
            numbers: The hyperparameters of the lanes, float64[R] each, in the order of their names.
        """
        if not self.optimizer.has_modes:
            return carry
        count, state = len(self.weights), len(self.weights) + len(self.kept)
        with torch.no_grad():
            weights = torch.vmap(self.optimizer.evaluated)(carry[:count], carry[state:], numbers)
        return [*weights, *carry[count:]]

    def rates(
        self,
        numbers: Carry,
        updates: int,
        count: int,
        schedule: Sequence[float] = (),
        seeds: Sequence[int] = (),
    ) -> Carry:
        """Return the rates of the next updates, [count, R] each in the dtype of the weights.

        A rate that is the same for all updates of training has one row, [1, R].

        If dropout masks come from a counter, the two words of their keys follow, int64[count, R] each.

        Args:
            numbers: The hyperparameters of the lanes, float64[R] each, in the order of their names.
            updates: The number of updates made before.
            count: The number of updates to be made.
            schedule: The factor of the learning rate of each update; empty without a schedule.
            seeds: The seed of each lane; empty: the keys of dropout masks are those of an example.
        """
        step = torch.arange(updates + 1, updates + 1 + count, dtype=torch.float64, device=numbers[0].device)[
            :, None
        ]
        factors = torch.tensor(schedule, dtype=torch.float64, device=numbers[0].device)[:, None]
        rates = self.optimizer.rates(numbers, step, factors if schedule else None)
        lanes = len(numbers[0])
        rates = [
            rate.expand(count if rate.ndim > 1 or self._scheduled else 1, lanes).contiguous()
            for rate in rates
        ]
        if self._masks is not None:
            rates += mask_keys(seeds or [0] * lanes, updates, count, numbers[0].device)
        return rates

    def update(self, carry: Carry, rates: Carry, data: Carry, index: Tensor) -> Carry:
        """Make one update of every lane.

        Args:
            carry: The carry of all lanes.
            rates: The rates of this update, [R] each.
            data: The tensors of the training data.
            index: The rows of each lane's batch, int64[R, B].

        Returns:
            The new carry.
        """
        batch = self.batch([tensor[index] for tensor in data])
        with random_numbers_refused():
            updated = torch.vmap(self._update_one, randomness="error")(carry, rates, batch)
        return [column.contiguous() for column in updated]

    def evaluate(self, values: Carry, batch: Any) -> list[Tensor]:
        """Return the mean loss, then each metric's sum and weight, [R] each, on one batch for all lanes.

        Args:
            values: Weights and kept values, [R, …] each.
            batch: A batch from a source.
        """
        named = dict(zip([*self.weights, *self.kept], values, strict=True))

        def one(values: dict[str, Tensor]) -> list[Tensor]:
            called = {f"model.{name}": value for name, value in values.items()}
            return torch.func.functional_call(self._outputs, called, (batch,))  # type: ignore[no-any-return]

        with torch.no_grad(), in_eval_mode(self._outputs), random_numbers_refused():
            return torch.vmap(one, randomness="error")(named)

    def recalibrated(self, values: Carry, batches: Iterable[Any]) -> Carry:
        """Return the values with running averages that are the mean over forward passes of some batches.

        The result equals that of :func:`.recalibrated` on one model.

        Args:
            values: Weights and kept values, [R, …] each.
            batches: Batches from a source.
        """
        count = len(self.weights)

        def forward_pass(weights: Carry, kept: Carry, batch: Any) -> Carry:
            return self.loss(weights, kept, batch)[1]

        model = self._objective.model
        norms = updating(model)
        with torch.no_grad(), in_eval_mode(model), cumulative(norms):
            for batch in batches if norms else ():
                kept = torch.vmap(forward_pass, in_dims=(0, 0, None), randomness="error")(
                    values[:count], values[count:], batch
                )
                values = [*values[:count], *kept]
        return values

    def _row(self, state: TrialState) -> list[Tensor]:
        values = {**state["model"], **state["buffers"]}
        weights = state.get("trained") or [values[name] for name in self.weights]
        kept = [values[name] for name in self.kept]
        return [*weights, *kept, *self.optimizer.columns(state["optimizer"], weights)]

    def _update_one(self, carry: Carry, rates: Carry, batch: Any) -> Carry:
        count = len(self.weights)
        weights, kept = carry[:count], carry[count : count + len(self.kept)]
        state = carry[count + len(kept) :]
        rates, key = (rates, []) if self._masks is None else (rates[:-2], rates[-2:])
        with nullcontext() if self._masks is None else self._masks.drawn((key[0], key[1])):
            grads, kept = self._gradient(weights, kept, batch)
        grads = grads if self.clip is None else clipped(grads, self.clip)
        new_weights, new_state = self.optimizer.update(weights, grads, state, rates)
        return [*new_weights, *kept, *new_state]

    def _gradient(self, weights: Carry, kept: Carry, batch: Any) -> tuple[Carry, Carry]:
        """Return the gradient of the mean loss of a batch, and the kept values after the forward passes."""
        gradient = torch.func.grad(self.loss, has_aux=True)
        rows = len_batch(batch)
        if rows <= self.chunk:
            return gradient(weights, kept, batch)  # type: ignore[no-any-return]
        total, share = [torch.zeros_like(weight) for weight in weights], 0.0
        for first in range(0, rows, self.chunk):
            piece = select_rows(batch, slice(first, first + self.chunk))
            part = self.workload.weigh(piece)
            grads, kept = gradient(weights, kept, piece)
            total, share = [a + part * g for a, g in zip(total, grads, strict=True)], share + part
        return [grad / share for grad in total], kept

    def loss(self, weights: Carry, kept: Carry, batch: Any) -> tuple[Tensor, Carry]:
        """Return the mean loss of a batch for one lane, and the kept values after the forward pass.

        Args:
            weights: The weights of the lane.
            kept: Its buffers and frozen weights, which are not changed.
            batch: The batch.
        """
        kept = [value.clone() for value in kept]  # a forward pass may write into buffers
        named = dict(zip([*self.weights, *self.kept], [*weights, *kept], strict=True))
        called = {f"model.{name}": value for name, value in named.items()}
        loss = torch.func.functional_call(self._objective, called, (batch,))
        # A forward pass may also assign another tensor to a buffer, which the call leaves in the mapping.
        return loss, [called[f"model.{name}"] for name in self.kept]
