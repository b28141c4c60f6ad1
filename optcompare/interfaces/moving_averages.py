"""The moving averages that an optimizer keeps, by the settings of its parameter groups."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch.optim import Optimizer

_BETA = re.compile(r"beta\d*")


def moving_averages(optimizer: Optimizer) -> dict[str, float]:
    """Read the decays of an optimizer's exponential moving averages, defaults included.

    The known decays are ``betas`` (named ``beta1``, ``beta2``, … in their order), ``beta``, ``beta1``, …;
    ``alpha`` with ``centered`` (RMSprop); ``rho`` with ``eps`` and without ``adaptive`` (Adadelta; in SAM,
    ``rho`` is a distance); and ``momentum`` above 0, a memory of gradients.

    Args:
        optimizer: An optimizer of a model, with all of its settings in ``param_groups``.

    Returns:
        The decay per update by name, each from 0 to below 1. If parameter groups differ, it is the largest,
        with the longest memory. Empty for an optimizer without moving averages, such as plain SGD.
    """
    found: dict[str, float] = {}
    for group in optimizer.param_groups:
        for name, value in _settings(group):
            decay = _decay(value)
            if decay is not None:
                found[name] = max(decay, found.get(name, 0.0))
    return found


def _settings(group: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield the settings of a parameter group that are decays of moving averages, by name."""
    for name, value in group.items():
        if name == "betas" and isinstance(value, (tuple, list)):
            yield from ((f"beta{number}", each) for number, each in enumerate(value, 1))
        elif _BETA.fullmatch(name) or _is_known(name, group):
            yield name, value


def _is_known(name: str, group: Mapping[str, Any]) -> bool:
    """Return whether a setting is a decay, for names with another meaning in other optimizers."""
    return (
        (name == "alpha" and "centered" in group)
        or (name == "rho" and "eps" in group and "adaptive" not in group)
        or (name == "momentum" and bool(_decay(group[name])))
    )


def _decay(value: Any) -> float | None:
    """Return a number from 0 to below 1, also from a tensor of one element; None for anything else."""
    try:
        decay = float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return decay if not isinstance(value, str) and 0 <= decay < 1 else None
