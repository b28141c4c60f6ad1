"""Restore settings of the process that code of a workload, strategy or optimizer may change."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from .determinism import algorithms, use_algorithms

_modes: Any = torch.utils.deterministic
_SIGNALS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))

_SETTINGS: tuple[tuple[Callable[[], Any], Callable[[Any], Any]], ...] = (
    (torch.get_num_threads, torch.set_num_threads),
    (torch.get_default_dtype, torch.set_default_dtype),
    (
        torch.get_default_device,
        lambda value: torch.set_default_device(None if value.type == "cpu" else value),
    ),
    (torch.is_grad_enabled, torch.set_grad_enabled),
    (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    (algorithms, lambda value: use_algorithms(*value)),
    (
        lambda: _modes.fill_uninitialized_memory,
        lambda value: setattr(_modes, "fill_uninitialized_memory", value),
    ),
    (lambda: torch.backends.cudnn.benchmark, lambda value: setattr(torch.backends.cudnn, "benchmark", value)),
    (
        lambda: (torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled()),
        lambda value: torch.autograd.set_detect_anomaly(*value),
    ),
    (np.geterr, lambda value: np.seterr(**value)),
    (lambda: list(warnings.filters), lambda value: _set_filters(value)),
    (lambda: _directory(), os.chdir),
    (lambda: _handlers(), lambda value: _set_handlers(value)),
)
"""A function that reads each setting, and one that restores it."""


@contextmanager
def preserved_settings() -> Iterator[None]:
    """Restore torch's, NumPy's and Python's settings after the context.

    These are threads, default dtype and device, gradient mode, algorithms, anomaly detection, floating-point
    errors, filters of warnings, working directory, and signal handlers.
    """
    before = [read() for read, _ in _SETTINGS]
    try:
        yield
    finally:
        for (read, restore), value in zip(_SETTINGS, before, strict=True):
            if value is not None and read() != value:
                restore(value)


def _directory() -> str | None:
    try:
        return os.getcwd()
    except OSError:  # the directory was removed
        return None


def _set_filters(filters: list[Any]) -> None:
    """Set the filters of warnings in the list that Python itself reads."""
    warnings.filters[:] = filters  # type: ignore[index]


def _handlers() -> list[Any] | None:
    """Return the signal handlers; None if they cannot be restored (another thread, or not set by Python)."""
    if threading.current_thread() is not threading.main_thread():
        return None
    handlers = [signal.getsignal(number) for number in _SIGNALS]
    return None if None in handlers else handlers


def _set_handlers(handlers: list[Any]) -> None:
    for number, handler in zip(_SIGNALS, handlers, strict=True):
        signal.signal(number, handler)
