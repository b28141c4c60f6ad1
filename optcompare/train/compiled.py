"""Many updates of all lanes as one compiled program. All private API of torch that this project uses stands here.

The update's graph becomes the body of a ``scan`` over the updates, which torch exports and compiles ahead of time into a
shared library, once for a machine: it is kept beside torch's own compile cache.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from .program import Carry, beside, first_line
from .rules import Unsupported

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

_FORM = 1
"""Counts changes of what a cached library takes and gives."""

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


def is_cached(step: GraphModule, example: tuple[Carry, Carry, Carry, Tensor], follow: int) -> bool:
    """Whether :func:`compiled` would only have to load."""
    return obstacle() is None and _library(step, example, follow).is_file()


def compiled(step: GraphModule, example: tuple[Carry, Carry, Carry, Tensor], follow: int) -> tuple[Scan, float]:
    """``step`` over any number of updates from 2 on, and the seconds that compiling took (0: it was cached).

    ``example``: carry, numbers, data, and int64[U, R, B] of indices; ``follow``: how many tensors of the carry are
    returned after each update too, side by side as [U, R, …]. Raises :class:`Unsupported`.
    """
    why = obstacle()
    if why is not None:
        raise Unsupported(why)
    path = _library(step, example, follow)
    began = time.perf_counter()
    cached = path.is_file()
    try:
        if not cached:
            _compile(step, example, follow, path)
        return _loaded(path, follow), 0.0 if cached else time.perf_counter() - began
    except KeyboardInterrupt:
        raise
    except Exception as error:
        path.unlink(missing_ok=True)
        raise Unsupported(f"torch's compiler failed ({type(error).__name__}: {first_line(error)})") from error


class _Scan(nn.Module):
    def __init__(self, step: GraphModule, follow: int) -> None:
        super().__init__()
        self._step, self._follow = step, follow

    def forward(self, carry: Carry, numbers: Carry, data: Carry, index: Tensor) -> Any:
        from torch._higher_order_ops.scan import scan

        def body(carry: Carry, batch: Tensor) -> tuple[Carry, list[Tensor]]:
            new = [value.clone() for value in self._step(list(carry), numbers, data, batch)]
            return new, [beside(new[: self._follow])] if self._follow else []

        return scan(body, list(carry), index)


def _compile(step: GraphModule, example: tuple[Carry, Carry, Carry, Tensor], follow: int, path: Path) -> None:
    from torch._inductor import aoti_compile_and_package
    from torch.export import Dim, export

    still: list[Any] = [[{} for _ in part] for part in example[:3]]
    path.parent.mkdir(parents=True, exist_ok=True)
    with torch.no_grad(), _quietly(), tempfile.TemporaryDirectory(dir=path.parent) as work:
        program = export(_Scan(step, follow), example, dynamic_shapes=(*still, {0: Dim.DYNAMIC}))
        made = aoti_compile_and_package(program, package_path=str(Path(work) / "scan.pt2"))
        os.replace(made, path)


def _loaded(path: Path, follow: int) -> Scan:
    from torch._inductor import aoti_load_package

    with _quietly():
        run = aoti_load_package(str(path))

    def scanned(carry: Carry, numbers: Carry, data: Carry, index: Tensor) -> tuple[Carry, Tensor | None]:
        result = run(carry, numbers, data, index)
        new, trails = result
        return list(new), trails[0] if follow else None

    return scanned


def _library(step: GraphModule, example: tuple[Carry, Carry, Carry, Tensor], follow: int) -> Path:
    """Where the compiled form of this very program is kept: its name tells all that it depends on."""
    from torch._inductor.runtime.cache_dir_utils import cache_dir

    carry, numbers, data, index = example
    digest = hashlib.sha256(repr((_FORM, follow, torch.__version__, torch.get_num_threads(), _machine())).encode())
    digest.update(step.print_readable(print_output=False).encode())
    for name, value in sorted(step.named_buffers()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode() + value.cpu().numpy().tobytes())
    for value in [*carry, *numbers, *data, index[0]]:
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
