"""The protocol of engines: what makes the updates of all lanes at one batch size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from ....core.choices import EngineName

if TYPE_CHECKING:
    from torch import Tensor

Carry = list["Tensor"]
"""All tensors that updates change, each [R, …]: weights, kept values (buffers and frozen weights), slots."""

Example = tuple[Carry, Carry, Carry, "Tensor"]
"""The input of some updates: carry, rates [U, R] or [1, R] each, data, and indices int64[U, R, B]."""


class EngineProgram(Protocol):
    """Make updates of R lanes at one batch size B, with the data that it was made for.

    The carry stays in the engine's own form from call to call, since converting it takes as long as many
    updates of a small model.

    Attributes:
        engine: The name of the engine.
    """

    engine: EngineName

    def load(self, carry: Carry) -> Any:
        """Return a carry in the form of the engine; its updates leave the tensors as they are."""

    def run(self, loaded: Any, rates: Sequence[Tensor], index: Tensor) -> tuple[Any, Tensor | None]:
        """Make U updates of all lanes.

        Args:
            loaded: The carry in the form of the engine; it stays as it is.
            rates: The rates of each update, [U, R]; of all updates alike, [1, R].
            index: The rows of each batch, int64[U, R, B].

        Returns:
            The new carry in the form of the engine, and the followed weights after each update, [U, R, P],
            or None if none are followed.
        """

    def unload(self, loaded: Any) -> Carry:
        """Return the tensors of a carry, which later updates leave as they are."""


def of_each_update(rates: Sequence[Tensor], updates: int) -> list[Tensor]:
    """Return rates of each update, [U, R] each, in memory of their own where they were of all updates alike.

    Args:
        rates: The rates, [U, R] or [1, R] each.
        updates: The number of updates, U.
    """
    return [rate.expand(updates, -1).contiguous() for rate in rates]
