"""Save and restore state of a model and a loss apart from weights and buffers, for checkpoints."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..measurement.module_flags import Flags
from ..measurement.module_state import changed_state, load_attributes, saved_state
from ..state import FlagsState, TrialState


class OwnState:
    """Compare plain attributes, generators and flags of a model and its loss with those at the start.

    Args:
        model: The model, before its optimizer is built.
        loss: The loss of the workload; a loss that is a module may keep attributes too.
    """

    def __init__(self, model: nn.Module, loss: Any) -> None:
        self._model = model
        self._owners = {"model": model, **({"loss": loss} if isinstance(loss, nn.Module) else {})}
        self._start = {name: saved_state(module) for name, module in self._owners.items()}
        self._flags = Flags(model)

    def attributes(self) -> dict[str, dict[str, Any]]:
        """Return the attributes and generators that changed since the start, by owner and path."""
        return {name: changed_state(module, self._start[name]) for name, module in self._owners.items()}

    def flags(self) -> FlagsState:
        """Return the flags that changed since the start."""
        return self._flags.changed(self._model)

    def load(self, state: TrialState) -> None:
        """Load attributes and flags from a state; a state of version 0.1.0 may have none."""
        for name, module in self._owners.items():
            load_attributes(module, state.get("attributes", {}).get(name, {}))
        Flags.load(self._model, state.get("flags", {}))
