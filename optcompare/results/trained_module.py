"""The module that a trial trained, made again from its final weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ComparisonError

if TYPE_CHECKING:
    from torch import nn

    from ..interfaces.workload import Workload


def trained_module(workload: Workload, seed: int, dtype: str, weights: Mapping[str, Any]) -> nn.Module:
    """Make the module of a trial on the CPU, with these final weights."""
    from ..training.data import first_rows
    from ..training.device import DTYPES, resolve
    from ..training.placement import place
    from ..training.shared_init import SharedStart

    model = SharedStart(workload, seed, lambda: first_rows(workload.train, 2, workload.collate)).model()
    place(model, resolve("cpu"), DTYPES[dtype])
    model.load_state_dict(dict(weights))
    return model


def refuse_other_repeat(repeat: int | None, repeats: int) -> None:
    """Raises :class:`ComparisonError` unless the trial's tuning repeat is named where there are several, and only there."""
    if repeat is None and repeats > 1:
        raise ComparisonError(f"each arm was tuned {repeats} times; say which with repeat=1 to repeat={repeats}")
    if repeat is not None and not (repeats > 1 and repeat in range(1, repeats + 1)):
        there = f"there are 1 to {repeats}" if repeats > 1 else "arms were not tuned several times"
        raise ComparisonError(f"there is no repeat {repeat}; {there}")
