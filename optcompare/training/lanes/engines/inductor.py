"""Many updates of all lanes as one compiled program. All private API of torch that this project uses stands here.

The update's graph becomes the body of a ``scan`` over the updates, which torch exports and compiles ahead of time into a
shared library, once for a machine: it is kept beside torch's own compile cache.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..program import Carry, beside, first_line
from ..update_rules import Unsupported

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

_LONGEST_COMPILING = 600.0
_FORM = 2
"""Counts changes of what a cached library takes and gives."""

Example = tuple[Carry, Carry, Carry, "Tensor"]
Scan = Callable[[Carry, Carry, Carry, "Tensor"], "tuple[Carry, Tensor | None]"]


@functools.cache
def obstacle() -> str | None:
    """Why nothing can be compiled here, or None."""
    try:
        from torch._higher_order_ops.scan import scan  # noqa: F401
        from torch._inductor import aoti_compile_and_package, aoti_load_package  # noqa: F401
        from torch._inductor.cpp_builder import get_cpp_compiler
        from torch._inductor.runtime.cache_dir_utils import cache_dir  # noqa: F401
        from torch.export import Dim

        _ = Dim.DYNAMIC
    except (ImportError, AttributeError) as error:
        return f"torch {torch.__version__} has no scan that can be compiled ahead of time ({first_line(error)})"
    try:
        get_cpp_compiler()
    except Exception:
        return "there is no C++ compiler (g++ or clang++)"
    return None


class Compiling:
    """A program that is being compiled in a process of its own, which outlives this one, for the runs to come.

    ``step``: the graph of an update; ``example``: carry, rates [U, R], data, and int64[U, R, B] of indices; ``follow``: how
    many tensors of the carry are returned after each update too, side by side as [U, R, …]. Raises
    :class:`Unsupported` where nothing can be compiled.
    """

    def __init__(self, step: GraphModule, example: Example, follow: int) -> None:
        why = obstacle()
        if why is not None:
            raise Unsupported(why)
        self._follow, self._began = follow, time.perf_counter()
        self._process: subprocess.Popen[bytes] | None = None
        try:
            self._path = _library(step, example, follow)
            self.cached = self._path.is_file()
            if not self.cached and _claimed(self._path):
                self._start(step, example)
        except Exception as error:  # no home, a full disk, or a directory that may only be read
            raise Unsupported(f"the compiled program cannot be kept: {first_line(error)}") from error

    def ready(self) -> bool:
        """Whether :meth:`scan` would return at once."""
        if self._process is not None:
            return self._path.is_file() or self._process.poll() is not None
        return self._path.is_file() or not _is_held(_lock(self._path))  # else another process compiles the same

    def scan(self) -> tuple[Scan, float]:
        """The compiled program, of any number of updates, and the seconds that compiling took; waits for it."""
        if self._process is not None:
            self._process.wait()
        while not self.ready():
            time.sleep(0.1)
        try:
            return _loaded(self._path, self._follow), time.perf_counter() - self._began
        except Exception as error:
            with suppress(OSError):
                self._path.unlink(missing_ok=True)
            raise Unsupported(f"torch's compiler failed: {self._complaint() or first_line(error)}") from error

    def stop(self) -> None:
        """Ends the compiler, if it is still under way."""
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGTERM)
            self._process.wait()
            for path in (_lock(self._path), self._path.with_suffix(".job")):
                path.unlink(missing_ok=True)

    def _start(self, step: GraphModule, example: Example) -> None:
        job = self._path.with_suffix(".job")
        torch.save({"step": step, "example": example, "follow": self._follow, "threads": torch.get_num_threads()}, job)
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", __name__, str(self._path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        _lock(self._path).write_text(str(self._process.pid), "utf-8")
        weakref.finalize(self, _let_go, self._process)

    def _complaint(self) -> str:
        lines = self._log.read_text("utf-8", "replace").strip().splitlines() if self._log.is_file() else []
        return lines[-1][:200] if lines else ""

    @property
    def _log(self) -> Path:
        return self._path.with_suffix(".log")


def _claimed(path: Path) -> bool:
    """Whether this process is the one to compile it: no other that lives is at it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = _lock(path)
    if not _is_held(lock):
        lock.unlink(missing_ok=True)
    try:
        lock.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _is_held(lock: Path) -> bool:
    """Whether the process that made a lock is still there."""
    try:
        age, text = time.time() - lock.stat().st_mtime, lock.read_text("utf-8")
        os.kill(int(text or os.getpid()), 0)  # empty for a moment: it is being made
    except (OSError, ValueError):
        return False
    return age < _LONGEST_COMPILING


def _let_go(process: subprocess.Popen[bytes]) -> None:
    """It may outlive this process; a Popen that is still running would be warned about."""
    if process.poll() is None:
        process.returncode = 0


def _lock(path: Path) -> Path:
    return path.with_suffix(".lock")


def _main(path: Path) -> None:
    """What the compiling process does: a job file becomes a library, or an error on the last line of the log."""
    import torch._dynamo  # the compiler relies on its having been imported

    job_file = path.with_suffix(".job")
    try:
        job = torch.load(job_file, weights_only=False)  # written a moment ago by the process that started this one
        torch.set_num_threads(job["threads"])
        if hasattr(os, "nice"):
            os.nice(5)
        _compile(job["step"], job["example"], job["follow"], path)
    finally:
        job_file.unlink(missing_ok=True)
        _lock(path).unlink(missing_ok=True)


class _Scan(nn.Module):
    def __init__(self, step: GraphModule, follow: int) -> None:
        super().__init__()
        self._step, self._follow = step, follow

    def forward(self, carry: Carry, rates: Carry, data: Carry, index: Tensor) -> Any:
        from torch._higher_order_ops.scan import scan

        def body(carry: Carry, each: list[Tensor]) -> tuple[Carry, list[Tensor]]:
            new = [value.clone() for value in self._step(list(carry), list(each[1:]), data, each[0])]
            return new, [beside(new[: self._follow])] if self._follow else []

        return scan(body, list(carry), [index, *rates])


def _compile(step: GraphModule, example: Example, follow: int, path: Path) -> None:
    from torch._inductor import aoti_compile_and_package
    from torch.export import Dim, export

    carry, rates, data, _ = example
    many = {0: Dim.DYNAMIC}
    shapes: Any = [{} for _ in carry], [many for _ in rates], [{} for _ in data], many
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), _quietly(), tempfile.TemporaryDirectory(dir=path.parent) as work:
        program = export(_Scan(step, follow), example, dynamic_shapes=shapes)
        made = aoti_compile_and_package(program, package_path=str(Path(work) / "scan.pt2"))
        os.replace(made, path)


def _loaded(path: Path, follow: int) -> Scan:
    from torch._inductor import aoti_load_package

    with _quietly():
        run = aoti_load_package(str(path))

    def scanned(carry: Carry, rates: Carry, data: Carry, index: Tensor) -> tuple[Carry, Tensor | None]:
        result = run(carry, rates, data, index)
        new, trails = result
        return list(new), trails[0] if follow else None

    return scanned


def _library(step: GraphModule, example: Example, follow: int) -> Path:
    """Where the compiled form of this very program is kept: its name tells all that it depends on."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    carry, rates, data, index = example
    digest = hashlib.sha256(repr((_FORM, follow, torch.__version__, torch.get_num_threads(), _machine())).encode())
    digest.update(step.print_readable(print_output=False).encode())
    for name, value in sorted(step.named_buffers()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode() + value.cpu().numpy().tobytes())
    for value in [*carry, *(rate[0] for rate in rates), *data, index[0]]:
        digest.update(f"{value.dtype} {tuple(value.shape)} {value.device}".encode())
    return Path(cache_dir()) / "optcompare" / f"{digest.hexdigest()[:32]}.pt2"


@functools.cache
def _machine() -> str:
    """What the compiler may have tuned for: a library made for one processor may not run on another."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8").partition("\n\n")[0]
        lines = [line for line in text.splitlines() if line.startswith(("model name", "flags", "Features"))]
    except OSError:
        lines = [platform.processor()]
    return " ".join([platform.platform(), torch.backends.cpu.get_cpu_capability(), *lines])


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the compiler's own warnings, and without compiling a test program for each instruction set."""
    import torch._inductor.config as config

    with warnings.catch_warnings(), config.patch({"cpp.vec_isa_ok": True}):
        warnings.simplefilter("ignore")
        yield


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
