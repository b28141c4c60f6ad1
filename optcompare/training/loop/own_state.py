"""What a trial's model and loss change of themselves, apart from weights and buffers, for checkpoints."""

from __future__ import annotations

from typing import Any

from torch import nn

from ..measurement.module_flags import Flags
from ..measurement.module_state import changed_state, load_attributes, saved_state
from ..state import FlagsState, TrialState


class OwnState:
    """Plain attributes, generators and flags of a model and its loss, compared with those at the start.

    Args:
        model: Before it is trained, and before its optimizer is made.
        loss: Of the workload; one that is a module may keep attributes too.
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
        """Set what a state says; a state of version 0.1.0 may say nothing."""
        for name, module in self._owners.items():
            load_attributes(module, state.get("attributes", {}).get(name, {}))
        Flags.load(self._model, state.get("flags", {}))
