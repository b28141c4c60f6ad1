"""Each trial's own copy of what a workload calls, where that may keep something from one call to the next."""

from __future__ import annotations

import copy
import dataclasses
from contextlib import suppress
from functools import partial
from types import BuiltinFunctionType, FunctionType
from typing import Any

import torch

from ..errors import USER_CODE_ERRORS, WorkloadError, explain
from ..interfaces.workload import Workload

_MOST_BYTES = 2**20
"""Of a tensor that each trial has a copy of."""


def with_own_loss(workload: Workload, device: torch.device, dtype: torch.dtype) -> Workload:
    """Return the workload with copies of its loss and other callables that may keep something.

    A loss that is a module may also have weights, on another device. Functions are not copied; an object that
    cannot be copied is shared by all trials.
    """
    copies: dict[str, Any] = {}
    for name in ("loss", "forward", "objective", "weight"):
        called = getattr(workload, name)
        if isinstance(called, torch.nn.Module):
            try:
                copies[name] = copy.deepcopy(called).to(device, dtype)
            except USER_CODE_ERRORS as error:
                raise WorkloadError(
                    f"workload {workload.name}: {name}, a {type(called).__name__}, cannot be copied, so "
                    "that all trials would "
                    f"share it ({explain(error)}); give a function, or a module without what cannot be copied"
                ) from error
        elif _may_keep(called):
            with suppress(Exception):
                copies[name] = copy.deepcopy(called, _shared(called))
    return dataclasses.replace(workload, **copies) if copies else workload


def _shared(called: Any) -> dict[int, Any]:
    """What a copy shares with the object: large tensors and arrays, which are data rather than state."""
    held = [each for value in vars(called).values() for each in _with_members(value)]
    return {id(each): each for each in held if getattr(each, "nbytes", 0) > _MOST_BYTES}


def _with_members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _may_keep(called: Any) -> bool:
    """Return whether a callable is an object with attributes of its own, rather than a function."""
    return (
        called is not None
        and not isinstance(called, (FunctionType, BuiltinFunctionType, partial, type))
        and bool(getattr(called, "__dict__", None))
    )
