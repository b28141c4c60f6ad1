"""Many updates of all lanes as one compiled program.

All private API of torch that compiling needs is used in this module.

The update's graph becomes the body of a ``scan`` over the updates, which torch exports and compiles ahead of
time into a shared library.
"""

from __future__ import annotations

import contextvars
import io
import os
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from ....core.environment import COMPILER_CACHE, environment_variable
from ..update_rules import Unsupported
from .engine import Carry, Example
from .libraries import CacheEntry
from .vmapped import flat_rows

if TYPE_CHECKING:
    from torch import Tensor
    from torch._inductor.cpp_builder import CppBuilder
    from torch.export import ExportedProgram
    from torch.fx import GraphModule

_SAFE_PATH = "PYTHONSAFEPATH"
_FAST = {
    "cpp_cache_precompile_headers": False,
    "aot_inductor.precompile_headers": False,
    "aot_inductor.enable_line_tables": False,
    "aot_inductor.compile_wrapper_opt_level": "Og",
}
"""Settings of torch's compiler with which it is fast; versions of torch that lack one compile without it."""

_Result = TypeVar("_Result")

Forms = list[list[tuple[tuple[int, ...], tuple[int, ...], torch.dtype]]]
Scan = Callable[[Carry, Carry, Carry, "Tensor"], "tuple[Carry, Tensor | None]"]


@dataclass(frozen=True)
class CompilerJob:
    """Hold the input of the compiling process.

    Attributes:
        step: The graph of an update.
        example: Sizes, strides and dtype of each input tensor.
        follow: The number of tensors of the carry that are returned after each update.
        threads: The number of threads that torch uses.
    """

    step: GraphModule
    example: Forms
    follow: int
    threads: int


def forms_of(example: Example) -> Forms:
    """Return sizes, strides and dtypes of an example's tensors; the compiler needs no values."""
    carry, rates, data, index = example
    return [[(tuple(t.shape), t.stride(), t.dtype) for t in part] for part in (carry, rates, data, [index])]


def compile_job(packed: bytes, entry: CacheEntry, work: Path) -> None:
    """Compile the library of a job, run it once, and publish it.

    Only the compiling process calls this, with the entry's lock held.

    Args:
        packed: A pickled :class:`CompilerJob`, from the process that started this one.
        entry: The entry of the library.
        work: A directory for temporary files.
    """
    import torch._inductor.compile_fx  # imports what the thread below would import at the same time
    from torch._inductor.cpu_vec_isa import valid_vec_isa_list

    if hasattr(os, "nice"):
        os.nice(5)
    with _quiet(), ThreadPoolExecutor(1) as aside:
        checks = _submit(aside, valid_vec_isa_list)  # fills torch's cache of usable instruction sets
        job: CompilerJob = torch.load(io.BytesIO(packed), weights_only=False)
        torch.set_num_threads(job.threads)
        parts = [
            [torch.empty_strided(*form[:2], dtype=form[2]).zero_() for form in part] for part in job.example
        ]
        example = parts[0], parts[1], parts[2], parts[3][0]
        program = _exported(job.step, example, job.follow)
        checks.result()
        os.environ[COMPILER_CACHE] = str(work)  # removed together with the directory
        with _wrapper_built(aside):
            library = _compiled(program, work)
    if (why := entry.refusal()) is not None:
        raise Unsupported(why)
    with entry.on_trial(), suppress(Exception):  # a later run reports an exception in detail
        loaded(library, job.follow)(*example)
    entry.publish(library)


class _Scan(nn.Module):
    def __init__(self, step: GraphModule, follow: int) -> None:
        super().__init__()
        self._step, self._follow = step, follow

    def forward(self, carry: Carry, rates: Carry, data: Carry, index: Tensor) -> Any:
        from torch._higher_order_ops.scan import scan

        def body(carry: Carry, each: list[Tensor]) -> tuple[Carry, list[Tensor]]:
            new = [value.clone() for value in self._step(list(carry), list(each[1:]), data, each[0])]
            return new, [flat_rows(new[: self._follow])] if self._follow else []

        return scan(body, list(carry), [index, *rates])


def _exported(step: GraphModule, example: Example, follow: int) -> ExportedProgram:
    from torch.export import Dim, export

    carry, rates, data, _ = example
    many = {0: Dim.DYNAMIC}
    shapes: Any = [{} for _ in carry], [many for _ in rates], [{} for _ in data], many
    with torch.no_grad():
        return export(_Scan(step, follow), example, dynamic_shapes=shapes)


def _compiled(program: ExportedProgram, work: Path) -> Path:
    """Compile a program with the settings that compile fastest for the same speed of the program.

    Precompiled headers would take half of all seconds, and serve this program only, since the directory is
    removed with them. The wrapper only calls kernels and torch, so that it gains little from optimization.
    """
    import torch._inductor.config as config
    from torch._inductor import aoti_compile_and_package

    known = config.get_config_copy()
    with torch.no_grad(), config.patch({name: _FAST[name] for name in _FAST if name in known}):
        return Path(aoti_compile_and_package(program, package_path=str(work / "scan.pt2")))


@contextmanager
def _wrapper_built(aside: ThreadPoolExecutor) -> Iterator[None]:
    """Compile the wrapper in another thread within the context, at the same time as the kernels.

    The linker waits for it. Other files than those that torch calls wrapper and library are built as usual,
    as are all files with a version of torch that builds them otherwise.
    """
    cpp_builder = _cpp_builder()
    if cpp_builder is None:
        yield
        return
    build, wrappers = cpp_builder.build, list[Future[None]]()

    def build_or_submit(builder: CppBuilder) -> None:
        target = builder.get_target_file_path()
        if target.endswith(".wrapper.o"):
            wrappers.append(_submit(aside, build, builder))
            return
        if target.endswith(".wrapper.so"):
            for wrapper in wrappers:
                wrapper.result()
        build(builder)

    cpp_builder.build = build_or_submit  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        cpp_builder.build = build  # type: ignore[method-assign]


def _cpp_builder() -> type[CppBuilder] | None:
    """Return torch's class that builds files; None if this version of torch has no such class or methods."""
    try:
        from torch._inductor.cpp_builder import CppBuilder
    except ImportError:
        return None
    known = hasattr(CppBuilder, "build") and hasattr(CppBuilder, "get_target_file_path")
    return CppBuilder if known else None


def _submit(aside: ThreadPoolExecutor, call: Callable[..., _Result], *arguments: object) -> Future[_Result]:
    """Start a call in another thread, which has this thread's settings of torch's compiler."""
    return aside.submit(contextvars.copy_context().run, call, *arguments)


def loaded(path: Path, follow: int) -> Scan:
    """Load a library that :func:`compile_job` built; its code runs in this process."""
    from torch._inductor import aoti_load_package

    with _quiet():
        run = aoti_load_package(str(path))

    def scanned(carry: Carry, rates: Carry, data: Carry, index: Tensor) -> tuple[Carry, Tensor | None]:
        result = run(carry, rates, data, index)
        new, trails = result
        return list(new), trails[0] if follow else None

    return scanned


@contextmanager
def _quiet() -> Iterator[None]:
    """Suppress the compiler's warnings, and its test programs for instruction sets, within the context.

    Torch runs ``python -c`` for some of these tests, which must not import from the working directory.
    """
    import torch._inductor.config as config

    with (
        environment_variable(_SAFE_PATH, "1"),
        warnings.catch_warnings(),
        config.patch({"cpp.vec_isa_ok": True}),
    ):
        warnings.simplefilter("ignore")
        yield
