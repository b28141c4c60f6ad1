"""Flags that a model changes: trainable weights, modes of modules, functions in attributes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from torch import Tensor, nn

from ...errors import ComparisonError
from ..state import FlagsState, State, trial_states
from .module_state import own_attributes


class Flags:
    """Hold the flags of a model at its start, so that a checkpoint can save those that change.

    Args:
        model: The untrained model. It is kept, so that the identities of its values stay valid.
    """

    def __init__(self, model: nn.Module) -> None:
        self._trainable = {name: weight.requires_grad for name, weight in model.named_parameters()}
        self._training = {path: module.training for path, module in model.named_modules()}
        self._called = {path: value for path, _, _, value in own_attributes(model) if callable(value)}

    def changed(self, model: nn.Module) -> FlagsState:
        """Return the flags that differ from those at the start."""
        trainable = {name: weight.requires_grad for name, weight in model.named_parameters()}
        training = {path: module.training for path, module in model.named_modules()}
        called = {path: value for path, _, _, value in own_attributes(model) if callable(value)}
        found = {
            "trainable": {
                name: value for name, value in trainable.items() if self._trainable.get(name) != value
            },
            "training": {
                path: value for path, value in training.items() if self._training.get(path) != value
            },
            "functions": [path for path, value in called.items() if self._called.get(path) is not value],
        }
        return cast(FlagsState, {name: value for name, value in found.items() if value})

    @staticmethod
    def load(model: nn.Module, flags: FlagsState) -> None:
        """Set flags that :meth:`changed` returned."""
        weights, modules = dict(model.named_parameters()), dict(model.named_modules())
        for name, value in flags.get("trainable", {}).items():
            weights[name].requires_grad_(value)
        for path, value in flags.get("training", {}).items():
            modules[path].training = value


def is_partial(state: State) -> bool:
    """Return whether a state lacks a function that the model assigned to an attribute."""
    return any(trial.get("flags", FlagsState()).get("functions") for trial in trial_states(state))


def refuse_new_weights(model: nn.Module, trained: Sequence[Tensor], updates: int) -> None:
    """Refuse a model that creates trainable weights after its optimizer, which would not train them.

    Args:
        model: The model.
        trained: The weights that the optimizer trains.
        updates: Updates so far, for the message.

    Raises:
        ComparisonError: There are such weights.
    """
    known = set(map(id, trained))
    new = [
        name for name, weight in model.named_parameters() if weight.requires_grad and id(weight) not in known
    ]
    if new:
        more = f" and {len(new) - 1} more weights" if len(new) > 1 else ""
        raise ComparisonError(
            f"by update {updates} the model made {new[0]}{more}, or made them trainable, after the "
            "optimizer was made, which does not train them; make weights in __init__, trainable from the "
            "beginning"
        )
