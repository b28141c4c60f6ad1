"""Compiled programs by torch's inductor: each is made once for a machine and kept in the user's cache."""

from __future__ import annotations

import functools
import hashlib
import io
import platform
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ..program import first_line
from ..update_rules import Unsupported
from .compiler_process import CompilerProcess
from .libraries import Libraries
from .scan import Example, Job, Scan, forms_of, loaded

if TYPE_CHECKING:
    from torch.fx import GraphModule

_PROBING_SECONDS, _LOADING_SECONDS = 0.2, 60.0
_FORM = 3
"""Counts changes of what a cached library takes and gives."""


@functools.cache
def obstacle() -> str | None:
    """Why nothing can be compiled here, or None."""
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


class Compiling:
    """A program that is compiled in a process of its own, which outlives this one for later runs.

    ``step``: the graph of an update; ``example``: carry, rates [U, R], data, and int64[U, R, B] of indices;
    ``follow``: how many tensors of the carry are returned after each update too, as [U, R, …]; ``libraries``:
    where compiled programs are kept. Raises :class:`Unsupported` where nothing can be compiled, or where the
    program ended a process before.
    """

    def __init__(self, step: GraphModule, example: Example, follow: int, libraries: Libraries) -> None:
        why = obstacle()
        if why is not None:
            raise Unsupported(why)
        self._follow, self._began = follow, time.perf_counter()
        self._libraries = libraries  # a private directory ends with it
        self._process: CompilerProcess | None = None
        try:
            self._entry = libraries.entry(_key(step, example, follow))
            self.cached, self.kept = self._entry.is_intact(), not self._entry.temporary
            if not self._entry.is_busy(_PROBING_SECONDS):  # else another process compiles or loads the same
                self._refuse_what_ended_a_process()
                if not self.cached:
                    self._start(step, example)
        except Unsupported:
            raise
        except Exception as error:  # no home and no temporary directory, or a full disk
            raise Unsupported(f"the compiled program cannot be kept: {first_line(error)}") from error

    def ready(self) -> bool:
        """Whether :meth:`scan` would not have to wait for a compiler."""
        if self._process is not None and self._process.is_running():
            return False
        try:
            return not self._entry.is_busy()
        except OSError:  # the directory is gone, which scan() says
            return True

    @contextmanager
    def scan(self) -> Iterator[tuple[Scan, float]]:
        """Load the compiled program, of any number of updates; waits for it.

        The program is on trial until the context ends: if this process dies meanwhile, no other loads the
        program again.

        Yields:
            The program, and the seconds that compiling took.

        Raises:
            Unsupported: It could not be compiled, loaded, or run within the context.
        """
        while not self.ready():
            time.sleep(0.1)
        seconds = time.perf_counter() - self._began
        try:
            with self._entry.locked(_LOADING_SECONDS) as locked:
                if not locked:
                    raise Unsupported("another process has been loading it for too long")
                self._refuse_what_ended_a_process()
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
        """Ends the compiler, if it is still under way."""
        if self._process is not None:
            self._process.end()

    def _start(self, step: GraphModule, example: Example) -> None:
        job, packed = Job(step, forms_of(example), self._follow, torch.get_num_threads()), io.BytesIO()
        torch.save(job, packed)
        self._process = CompilerProcess(self._entry, packed.getvalue())
        weakref.finalize(self, self._process.let_go)

    def _refuse_what_ended_a_process(self) -> None:
        if (why := self._entry.refusal()) is not None:
            raise Unsupported(why)


def _key(step: GraphModule, example: Example, follow: int) -> str:
    """A name for the compiled form of this very program, made of all that it depends on."""
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
    """What the compiler may have tuned for: a library made for one processor may not run on another."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0]
        lines = [line for line in text.splitlines() if line.startswith(("model name", "flags", "Features"))]
    except OSError:
        lines = [platform.processor()]
    return " ".join([platform.platform(), torch.backends.cpu.get_cpu_capability(), *lines])
