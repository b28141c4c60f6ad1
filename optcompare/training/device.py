"""Choose the device, measure seconds on it, and apply the torch settings of a comparison."""

from __future__ import annotations

import os
import platform
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Any

import torch

from ..core.rng import preserved_rng
from ..core.user_directories import torch_cache_of_this_user
from ..errors import ComparisonError
from .determinism import deterministic_algorithms

DTYPES = {"float32": torch.float32, "float64": torch.float64}
_OF_TORCH_ITSELF = (
    "Sparse invariant checks are implicitly disabled",
    "There is a performance drop because we have not yet implemented the batching rule",
)
"""The beginnings of torch's warnings about what it does inside, for which a user can do nothing."""
_NONDETERMINISTIC = re.compile(r"(\S+) does not have a deterministic implementation")


def resolve(name: str, dtype: str = "float32") -> torch.device:
    """Return the device of ``auto``, ``cpu``, ``cuda[:i]`` or ``mps``.

    ``cuda`` is the first CUDA device, unless several jobs are spread over all of them.

    Args:
        name: The name that the user typed. ``auto`` is ``cuda`` where available, else ``mps``, else ``cpu``.
        dtype: ``float32`` or ``float64``; ``mps`` has no float64.

    Raises:
        ComparisonError: There is no such device.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
        if name == "cpu" and torch.backends.mps.is_available() and dtype != "float64":
            name = "mps"
    kind, _, index = name.partition(":")
    if kind not in ("cpu", "cuda", "mps") or (index and (kind != "cuda" or not index.isdecimal())):
        raise ComparisonError(f"unknown device '{name}'; give auto, cpu, cuda, cuda:0 or mps")
    if kind == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if int(index or 0) >= count:
            there = f"there are {count} CUDA devices" if count else "there is no CUDA device"
            raise ComparisonError(
                f"device {name} is not available: {there} on this machine; use --device cpu"
            )
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it cuBLAS is not deterministic
        return torch.device(kind, int(index)) if index else torch.device(kind)
    if kind == "mps" and not torch.backends.mps.is_available():
        raise ComparisonError("device mps is not available on this machine; use --device cpu")
    if kind == "mps" and dtype == "float64":
        raise ComparisonError("device mps has no float64; use --dtype float32 or --device cpu")
    return torch.device(kind)


def describe(device: torch.device) -> str:
    """Return the name of the hardware, such as ``NVIDIA H100``."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()


class Clock:
    """Sum the seconds spent inside ``with clock:``, including the work that is queued on the device."""

    def __init__(self, device: torch.device, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._device = device
        self._started = 0.0

    def __enter__(self) -> None:
        self._wait()
        self._started = perf_counter()

    def __exit__(self, *raised: object) -> None:
        self._wait()
        self.seconds += perf_counter() - self._started

    def running(self) -> float:
        """Return the seconds so far, including the open context, without waiting for the device."""
        return self.seconds + perf_counter() - self._started

    def _wait(self) -> None:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        elif self._device.type == "mps":
            torch.mps.synchronize()


@contextmanager
def flushing_denormals(device: torch.device) -> Iterator[None]:
    """Treat denormal numbers, which are about a hundred times slower, as 0 within the context."""
    before = device.type != "cpu" or (torch.tensor([1e-40]) * 1.0).item() == 0.0
    if not before:
        torch.set_flush_denormal(True)
    try:
        yield
    finally:
        if not before:
            torch.set_flush_denormal(False)


@contextmanager
def torch_settings(threads: int, deterministic: bool = True) -> Iterator[None]:
    """Use the comparison's torch settings within the context, and restore the caller's afterwards.

    These are its thread count, float32 on the CPU by default, full precision, and gradients. What torch
    compiles is stored where only this user can write.

    Args:
        threads: Threads of one trial.
        deterministic: Whether operations that have a deterministic algorithm use it; see
            :func:`collect_nondeterministic` for those that have none.
    """
    before = torch.get_num_threads(), torch.get_default_dtype(), torch.get_default_device()
    with torch_cache_of_this_user(), preserved_rng(), torch.enable_grad(), _algorithms(deterministic):
        torch.set_num_threads(threads)
        torch.set_default_dtype(torch.float32)
        if before[2].type != "cpu":
            torch.set_default_device("cpu")
        try:
            yield
        finally:
            torch.set_num_threads(before[0])
            torch.set_default_dtype(before[1])
            if before[2].type != "cpu":
                torch.set_default_device(before[2])


@contextmanager
def _algorithms(deterministic: bool) -> Iterator[None]:
    modes: Any = torch.utils.deterministic
    precision = torch.get_float32_matmul_precision()
    filled, tried = modes.fill_uninitialized_memory, torch.backends.cudnn.benchmark
    with warnings.catch_warnings(), deterministic_algorithms(deterministic):
        warnings.filterwarnings(
            "ignore", f".*{_NONDETERMINISTIC.pattern}"
        )  # reported once, after the dry run
        for message in _OF_TORCH_ITSELF:
            warnings.filterwarnings("ignore", message)
        torch.set_float32_matmul_precision("highest")
        modes.fill_uninitialized_memory = False
        torch.backends.cudnn.benchmark = False
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(precision)
            modes.fill_uninitialized_memory = filled
            torch.backends.cudnn.benchmark = tried


@contextmanager
def collect_nondeterministic(operations: list[str]) -> Iterator[None]:
    """Collect the operations within the context that have no deterministic algorithm but should use one.

    Args:
        operations: The list to which their names are added.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", f".*{_NONDETERMINISTIC.pattern}")
        yield
    for warning in caught:
        match = _NONDETERMINISTIC.search(str(warning.message))
        if match is None:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        elif match.group(1) not in operations:
            operations.append(match.group(1))
