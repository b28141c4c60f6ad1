"""Compile programs with torch's inductor, and keep them in the user's cache for later runs."""

from __future__ import annotations

import functools
import hashlib
import io
import platform
import time
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ....core.choices import EngineName
from ...device import flushing_denormals
from ..update_rules import Unsupported
from .compiler_process import CompilerProcess
from .engine import Carry, Example, of_each_update
from .libraries import Libraries
from .scan import CompilerJob, Scan, forms_of, loaded
from .traced import first_line

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

_PROBING_SECONDS, _LOADING_SECONDS = 0.2, 60.0
_FORM = 3
"""The version of the inputs and outputs of a cached library."""


@functools.cache
def obstacle() -> str | None:
    """Return the reason why nothing can be compiled on this machine, or None."""
    try:
        from torch._higher_order_ops.scan import scan  # noqa: F401
        from torch._inductor import aoti_compile_and_package, aoti_load_package  # noqa: F401
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch.export import Dim

        _ = Dim.DYNAMIC
    except (ImportError, AttributeError) as error:
        return (
            f"torch {torch.__version__} has no scan that can be compiled ahead of time ({first_line(error)})"
        )
    try:
        get_cpp_compiler()
    except Exception:
        return "there is no C++ compiler (g++ or clang++)"
    return None


def is_compiled(step: GraphModule, example: Example, follow: int, libraries: Libraries) -> bool | None:
    """Find out whether a program is in the cache; nothing is compiled or loaded.

    Args:
        step: The graph of an update.
        example: See :class:`Compiling`.
        follow: See :class:`Compiling`.
        libraries: The store of compiled programs.

    Returns:
        Whether it is; None if it can be neither compiled nor loaded.
    """
    if obstacle() is not None:
        return None
    try:
        entry = libraries.entry(_key(step, example, follow))
        return None if entry.refusal() is not None else entry.is_intact()
    except Exception:  # no home and no temporary directory
        return None


class Scanned:
    """Make updates with a program that torch's compiler made.

    Args:
        scan: The program.
        data: The tensors of the training data.
    """

    engine: EngineName = "inductor"

    def __init__(self, scan: Scan, data: Carry) -> None:
        self._scan, self._data = scan, data

    def load(self, carry: Carry) -> Carry:
        return carry

    def run(self, loaded: Carry, rates: Sequence[Tensor], index: Tensor) -> tuple[Carry, Tensor | None]:
        with torch.no_grad(), flushing_denormals(index.device):
            return self._scan(loaded, of_each_update(rates, len(index)), self._data, index)

    def unload(self, loaded: Carry) -> Carry:
        return loaded


class Compiling:
    """Compile a program in another process, which may outlive this one to finish the program for later runs.

    Args:
        step: The graph of an update.
        example: Carry, rates [U, R], data, and indices int64[U, R, B].
        follow: The number of tensors of the carry that are also returned after each update, as [U, R, …].
        libraries: The store of compiled programs.

    Attributes:
        cached: Whether the compiled program was already in the cache.
        kept: Whether the compiled program is kept for later runs.

    Raises:
        Unsupported: Nothing can be compiled, or the program crashed a process before.
    """

    def __init__(self, step: GraphModule, example: Example, follow: int, libraries: Libraries) -> None:
        why = obstacle()
        if why is not None:
            raise Unsupported(why)
        self._follow, self._began = follow, time.perf_counter()
        self._libraries = libraries  # keeps its private directory on disk as long as this object
        self._process: CompilerProcess | None = None
        try:
            self._entry = libraries.entry(_key(step, example, follow))
            self.cached, self.kept = self._entry.is_intact(), not self._entry.temporary
            if not self._entry.is_busy(
                _PROBING_SECONDS
            ):  # else another process compiles or loads the same program
                self._refuse_crashed_program()
                if not self.cached:
                    self._start(step, example)
        except Unsupported:
            raise
        except Exception as error:  # no home and no temporary directory, or a full disk
            raise Unsupported(f"the compiled program cannot be kept: {first_line(error)}") from error

    def ready(self) -> bool:
        """Return whether :meth:`scan` can start without waiting for a compiler."""
        if self._process is not None and self._process.is_running():
            return False
        try:
            return not self._entry.is_busy()
        except OSError:  # the directory is gone, which scan() reports
            return True

    @contextmanager
    def scan(self) -> Iterator[tuple[Scan, float]]:
        """Wait for the compiled program and load it within a context.

        If this process crashes before the context ends, no other process loads the program again.

        Yields:
            The program, which makes any number of updates, and the seconds that compiling took.

        Raises:
            Unsupported: The program could not be compiled, loaded, or run within the context.
        """
        while not self.ready():
            time.sleep(0.1)
        seconds = time.perf_counter() - self._began
        try:
            with self._entry.locked(_LOADING_SECONDS) as locked:
                if not locked:
                    raise Unsupported("another process has been loading it for too long")
                self._refuse_crashed_program()
                if not self._entry.is_intact():
                    complaint = self._process.complaint() if self._process is not None else ""
                    raise Unsupported(f"torch's compiler failed: {complaint or 'it left no library'}")
                with self._entry.on_trial():
                    try:
                        yield loaded(self._entry.library, self._follow), seconds
                    except Exception:
                        self._entry.discard()
                        raise
        except Unsupported:
            raise
        except Exception as error:
            raise Unsupported(f"the compiled program cannot be loaded: {first_line(error)}") from error

    def stop(self) -> None:
        """End the compiler process if it is still running."""
        if self._process is not None:
            self._process.end()

    def _start(self, step: GraphModule, example: Example) -> None:
        carry, rates, data, index = example
        forms = forms_of((carry, of_each_update(rates, len(index)), data, index))
        job = CompilerJob(step, forms, self._follow, torch.get_num_threads())
        packed = io.BytesIO()
        torch.save(job, packed)
        self._process = CompilerProcess(self._entry, packed.getvalue())
        weakref.finalize(self, self._process.leave_running)

    def _refuse_crashed_program(self) -> None:
        if (why := self._entry.refusal()) is not None:
            raise Unsupported(why)


def _key(step: GraphModule, example: Example, follow: int) -> str:
    """Return a hash of everything that the compiled program depends on."""
    carry, rates, data, index = example
    digest = hashlib.sha256(
        repr((_FORM, follow, torch.__version__, torch.get_num_threads(), _machine())).encode()
    )
    digest.update(step.print_readable(print_output=False).encode())
    for name, value in sorted(step.named_buffers()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode() + value.cpu().numpy().tobytes())
    for value in [*carry, *(rate[0] for rate in rates), *data, index[0]]:
        digest.update(f"{value.dtype} {tuple(value.shape)} {value.stride()} {value.device}".encode())
    return digest.hexdigest()[:32]


@functools.cache
def _machine() -> str:
    """Describe the processor, since a library made for one processor may not run on another."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0]
        lines = [line for line in text.splitlines() if line.startswith(("model name", "flags", "Features"))]
    except OSError:
        lines = [platform.processor()]
    return " ".join([platform.platform(), torch.backends.cpu.get_cpu_capability(), *lines])
