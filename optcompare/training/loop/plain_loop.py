"""The loop that a user would write, which every trial must match.

It trains the factory's module on whole batches, with nothing in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ...core.comparison import Arm
from ...core.rng import preserved_rng, seed_python, seed_torch
from ...interfaces.closures import takes_closure, wants_gradient
from ...interfaces.optimizer import Factory, build
from ...interfaces.workload import Workload
from ..placement import place
from ..position import POSITION
from ..shared_init import materialize, set_to_train
from .closure_passes import Passes
from .gradient import clip

if TYPE_CHECKING:
    from torch import Tensor


class PlainLoop:
    """Train one model as any training script does.

    Args:
        workload: The workload, with its loss on the device.
        arm: The hyperparameters of the optimizer, its learning rate and its clipping.
        factory: The factory of the optimizer.
        seed: The seed under which the module is made.
        first: A batch of a few rows on the CPU, which lazy modules see once.
        device: The device of the training.
        dtype: The dtype of weights and data.
    """

    def __init__(
        self,
        workload: Workload,
        arm: Arm,
        factory: Factory,
        seed: int,
        first: Any,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        self.workload, self.clip, self.device = workload, arm.clip, device
        with preserved_rng():
            seed_torch(seed)
            seed_python(seed)
            self.model = workload.model()
            materialize(workload, self.model, lambda: first)
            set_to_train(self.model)
        place(self.model, device, dtype)
        self.optimizer = build(
            factory, self.model, {**arm.hyperparameters, "lr": arm.lr}, arm.optimizer.label
        )
        self.gradient: list[Tensor | None] = []
        self._updates = 0

    @property
    def weights(self) -> list[Tensor]:
        """Return the trainable weights, in the order of the model."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    def update(self, batches: Sequence[Any]) -> None:
        """Make one update on a batch, or on the weighted mean over the gradients of several batches.

        Afterwards ``gradient`` holds the gradient of the step. An optimizer that evaluates several times
        evaluates one function: all evaluations start with the same random numbers and buffers.

        Args:
            batches: One batch, or several that together make the batch of the update.
        """
        POSITION.set(0, self._updates, 0)
        self._updates += 1
        if takes_closure(self.optimizer):
            passes = Passes(lambda: self._evaluate(batches), self.model, self.device)
            if wants_gradient(self.optimizer):
                passes()
            self.optimizer.step(lambda: float(passes()))
            return
        self._evaluate(batches)
        if self.clip is not None:
            clip(self.weights, self.clip)
        self.gradient = [
            None if weight.grad is None else weight.grad.detach().clone() for weight in self.weights
        ]
        self.optimizer.step()

    def _evaluate(self, batches: Sequence[Any]) -> Tensor:
        self.model.zero_grad()
        self.optimizer.zero_grad()
        if len(batches) == 1:
            loss = self.workload.mean_loss(self.model, batches[0])
        else:
            weights = [self.workload.weigh(batch) for batch in batches]
            kept = [(weight, batch) for weight, batch in zip(weights, batches, strict=True) if weight]
            parts = [weight * self.workload.mean_loss(self.model, batch) for weight, batch in kept]
            loss = torch.stack(parts).sum() / sum(weights)
        loss.backward()
        return loss
