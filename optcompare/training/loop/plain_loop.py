"""The loop that a user would write: what every trial is held to.

Whole batches, the factory's module, nothing in between.
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
    """One model and its optimizer, made as any training script makes them.

    Args:
        workload: Its factory, and its loss on the device.
        arm: The optimizer's hyperparameters, learning rate and clipping.
        factory: What makes the optimizer.
        seed: The seed under which the module is made.
        first: A batch of a few rows on the CPU, which lazy modules see once.
        device: Where it is trained.
        dtype: Of weights and data.
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
        self._made = 0

    @property
    def weights(self) -> list[Tensor]:
        """The trained parameters, in the model's order."""
        return [weight for weight in self.model.parameters() if weight.requires_grad]

    def update(self, batches: Sequence[Any]) -> None:
        """One update on a batch; of several batches, on the mean over their weights of their gradients.

        ``gradient`` is then that with which the optimizer made its step. One that evaluates several times
        evaluates one function: random numbers and buffers begin each evaluation alike.
        """
        POSITION.set(0, self._made, 0)
        self._made += 1
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
