"""The closure that optimizers such as L-BFGS evaluate several times in one update; its rules for arms."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ...core.comparison import Arm
from ...core.rng import rng_state, set_rng_state
from ...errors import ComparisonError
from ...interfaces.strategy import Strategy

if TYPE_CHECKING:
    from torch import Tensor, nn


class Exceeded(Exception):
    """An update asks for more evaluations than the budget has left."""


class Passes:
    """The closure of one update: each call is a pass over the update's batch, and returns the loss.

    A pass leaves the gradient. All passes evaluate the same function of the weights: random numbers (dropout)
    and buffers (BatchNorm) start each as the first found them, so that the buffers end as after one forward
    pass.

    Args:
        gradient: Leaves the gradient, and returns the loss.
        model: Of the trial.
        device: Where it lies.
        most: Calls that the budget allows; one more raises :class:`Exceeded`.

    Attributes:
        made: Calls so far.
    """

    def __init__(
        self, gradient: Callable[[], Tensor], model: nn.Module, device: torch.device, most: float = math.inf
    ) -> None:
        self.made, self._most = 0, most
        self._gradient, self._device, self._rng = gradient, device, rng_state(device)
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]

    def __call__(self) -> Tensor:
        if self.made >= self._most:
            raise Exceeded
        if self.made:
            self.rewind()
        self.made += 1
        with torch.enable_grad():
            return self._gradient().detach()

    def rewind(self) -> None:
        set_rng_state(self._rng, self._device)
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)


def check_arm(arm: Arm, strategy: Strategy, minimises: bool) -> None:
    """Raises :class:`ComparisonError` for what cannot go together with several evaluations in one update.

    Args:
        arm: For its labels, and its clipping.
        strategy: That chooses its batches.
        minimises: Whether the optimizer minimises one function over several updates, as L-BFGS does.
    """
    why = (
        f"arm {arm.label}: optimizer {arm.optimizer.label} evaluates loss and gradient several times in one "
        "update"
    )
    if minimises and (strategy.adaptive or strategy.coverage != "once"):
        raise ComparisonError(
            f"{why}, so that each update must take all samples, once; {arm.strategy.label} may choose "
            "others, so give "
            "full, or another optimizer"
        )
    if strategy.adaptive:
        raise ComparisonError(
            f"{why}, and {arm.strategy.label} chooses batches by what one evaluation tells; give mini, or "
            "full"
        )
    if arm.clip is not None:
        raise ComparisonError(
            f"{why} and compares the two, so that gradients cannot be clipped; leave out clip"
        )
