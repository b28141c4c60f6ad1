"""The closure that optimizers such as L-BFGS evaluate several times in one update, and its checks."""

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
    """Report that an update needs more evaluations than the budget allows."""


class Passes:
    """Evaluate loss and gradient of an update's batch on each call, and return the loss.

    All passes evaluate the same function of the weights: each starts with the same state of the random
    generators (for dropout) and the same buffers (of BatchNorm). The buffers end as after one forward pass.

    Args:
        gradient: Computes the gradient in ``.grad``, and returns the loss.
        model: The model of the trial.
        device: The device of the model.
        most: Calls that the budget allows; one more raises :class:`Exceeded`.

    Attributes:
        calls: Calls so far.
    """

    def __init__(
        self, gradient: Callable[[], Tensor], model: nn.Module, device: torch.device, most: float = math.inf
    ) -> None:
        self.calls, self._most = 0, most
        self._gradient, self._device, self._rng = gradient, device, rng_state(device)
        self._buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]

    def __call__(self) -> Tensor:
        if self.calls >= self._most:
            raise Exceeded
        if self.calls:
            self.rewind()
        self.calls += 1
        with torch.enable_grad():
            return self._gradient().detach()

    def rewind(self) -> None:
        set_rng_state(self._rng, self._device)
        with torch.no_grad():
            for buffer, value in self._buffers:
                buffer.copy_(value)


def check_arm(arm: Arm, strategy: Strategy, minimises: bool) -> None:
    """Check that an arm can be trained with several evaluations in one update.

    Args:
        arm: The arm.
        strategy: The strategy of the arm.
        minimises: Whether the optimizer minimises one function over several updates, as L-BFGS does.

    Raises:
        ComparisonError: The strategy or the clipping does not allow it.
    """
    why = (
        f"arm {arm.label}: optimizer {arm.optimizer.label} evaluates loss and gradient several times in one "
        "update"
    )
    if minimises and (strategy.adaptive or strategy.coverage != "once"):
        raise ComparisonError(
            f"{why}, so that each update must take all samples, once; {arm.strategy.label} may choose "
            "others, so give full, or another optimizer"
        )
    if strategy.adaptive:
        raise ComparisonError(
            f"{why}, and {arm.strategy.label} chooses batches by the result of one evaluation; give mini, or "
            "full"
        )
    if arm.clip is not None:
        raise ComparisonError(
            f"{why} and compares the two, so that gradients cannot be clipped; leave out clip"
        )
