"""Copy a workload's callables for each trial, where they may keep state between calls."""

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
"""The largest tensor, in bytes, of which each trial gets a copy."""


def with_own_loss(workload: Workload, device: torch.device, dtype: torch.dtype) -> Workload:
    """Return the workload with copies of its loss and other callables that may keep state.

    A loss that is a module is moved to the device, since it may have weights. Functions are not copied. An
    object that cannot be copied is shared by all trials.

    Args:
        workload: Any workload.
        device: The device of the trial.
        dtype: The dtype of the comparison.

    Raises:
        WorkloadError: A module cannot be copied.
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
                    f"all trials would share it ({explain(error)}); give a function, or a module without "
                    "what cannot be copied"
                ) from error
        elif _may_keep_state(called):
            with suppress(Exception):
                copies[name] = copy.deepcopy(called, _shared(called))
    return dataclasses.replace(workload, **copies) if copies else workload


def _shared(called: Any) -> dict[int, Any]:
    """Return the large tensors and arrays that a copy shares, by identity: they are data, not state."""
    held = [each for value in vars(called).values() for each in _with_members(value)]
    return {id(each): each for each in held if getattr(each, "nbytes", 0) > _MOST_BYTES}


def _with_members(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple)) else [value]


def _may_keep_state(called: Any) -> bool:
    """Return whether a callable is an object with attributes, rather than a function."""
    return (
        called is not None
        and not isinstance(called, (FunctionType, BuiltinFunctionType, partial, type))
        and bool(getattr(called, "__dict__", None))
    )
