"""The fields of a workload that follow from the convention that a model and its data use."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from ..core.tree import Batch
from ..interfaces.metrics import Metric

Output = Any
"""What a model returns: a tensor, or any object that holds tensors."""
Target = Any
"""What a loss compares an output with: a tensor y, several of them, or the whole batch."""
Forward = Callable[[nn.Module, Batch], tuple[Output, Target]]
"""``forward(model, batch)``, which returns the output and y."""
Loss = Callable[[Output, Target], Any]
"""``loss(output, y)``, which returns the mean over the batch."""
Weight = Callable[[Batch], Any]
"""``weight(batch)``, which returns what the mean loss was divided by."""


@dataclass(frozen=True)
class WorkloadFields:
    """The fields of a workload that a convention determines.

    Attributes:
        forward: Returns output and y of a batch; None for the workload's default.
        loss: The mean loss of a batch.
        metrics: Metrics by name.
        weight: What the mean loss was divided by; None for the number of rows.
        notes: Notes for the user: a sentence for each decision.
    """

    forward: Forward | None
    loss: Loss
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    weight: Weight | None = None
    notes: tuple[str, ...] = ()

    def as_settings(self) -> dict[str, Any]:
        """Return the fields as keyword arguments of :class:`optcompare.Workload`."""
        return {
            "forward": self.forward,
            "loss": self.loss,
            "metrics": self.metrics,
            "weight": self.weight,
            "notes": self.notes,
        }


def signature_parameters(function: Callable[..., Any]) -> list[inspect.Parameter]:
    """Return the parameters of a function or a bound method.

    Args:
        function: Any callable with a signature.

    Returns:
        The parameters in order, without ``self``.

    Raises:
        TypeError: The object is not callable.
        ValueError: The callable has no signature.
    """
    return list(inspect.signature(function).parameters.values())


def overridden_methods(instance: object, names: tuple[str, ...], packages: tuple[str, ...]) -> list[str]:
    """Return the methods that a user's class defines in place of those of a package.

    Args:
        instance: An object of the user's class.
        names: The names of the methods to look at.
        packages: The top-level names of the packages whose own methods do not count.

    Returns:
        The names of the overridden methods, in the order of ``names``.
    """
    methods = [(name, getattr(type(instance), name, None)) for name in names]
    return [
        name
        for name, method in methods
        if method is not None
        and getattr(method, "__module__", packages[0]).partition(".")[0] not in (*packages, "torch")
    ]
