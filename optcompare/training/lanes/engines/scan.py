"""Many updates of all lanes as one compiled program.

All private API of torch that compiling needs stands here.

The update's graph becomes the body of a ``scan`` over the updates, which torch exports and compiles ahead of
time into a shared library.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..program import Carry, beside
from ..update_rules import Unsupported
from .libraries import Entry

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

_SAFE_PATH = "PYTHONSAFEPATH"

Example = tuple[Carry, Carry, Carry, "Tensor"]
Forms = list[list[tuple[tuple[int, ...], tuple[int, ...], torch.dtype]]]
Scan = Callable[[Carry, Carry, Carry, "Tensor"], "tuple[Carry, Tensor | None]"]


@dataclass(frozen=True)
class Job:
    """What the compiling process receives; ``example``: the sizes, strides and types of each tensor."""

    step: GraphModule
    example: Forms
    follow: int
    threads: int


def forms_of(example: Example) -> Forms:
    """Sizes, strides and types of an example's tensors: all that a compiler needs of them."""
    carry, rates, data, index = example
    return [[(tuple(t.shape), t.stride(), t.dtype) for t in part] for part in (carry, rates, data, [index])]


def compile_job(packed: bytes, entry: Entry, work: Path) -> None:
    """Make a library of a job, run it once, and publish it.

    Called by the compiling process alone, which holds the entry's lock.

    Args:
        packed: A :class:`Job`, from the process that started this one.
        entry: Where the library goes.
        work: A directory for temporary files.
    """
    import torch._dynamo  # the compiler relies on its having been imported
    from torch._inductor.cpu_vec_isa import valid_vec_isa_list

    job: Job = torch.load(io.BytesIO(packed), weights_only=False)
    torch.set_num_threads(job.threads)
    if hasattr(os, "nice"):
        os.nice(5)
    parts = [[torch.empty_strided(*form[:2], dtype=form[2]).zero_() for form in part] for part in job.example]
    example = parts[0], parts[1], parts[2], parts[3][0]
    with _quietly():
        valid_vec_isa_list()  # fills torch's cache of usable instruction sets
    os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(work)  # what belongs to this program goes with it
    made = _compile(job.step, example, job.follow, work)
    if (why := entry.refusal()) is not None:
        raise Unsupported(why)
    with entry.on_trial(), suppress(Exception):  # of an exception, the run that loads it will say more
        loaded(made, job.follow)(*example)
    entry.publish(made)


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


def _compile(step: GraphModule, example: Example, follow: int, work: Path) -> Path:
    from torch._inductor import aoti_compile_and_package
    from torch.export import Dim, export

    carry, rates, data, _ = example
    many = {0: Dim.DYNAMIC}
    shapes: Any = [{} for _ in carry], [many for _ in rates], [{} for _ in data], many
    with torch.no_grad(), _quietly():
        program = export(_Scan(step, follow), example, dynamic_shapes=shapes)
        return Path(aoti_compile_and_package(program, package_path=str(work / "scan.pt2")))


def loaded(path: Path, follow: int) -> Scan:
    """Load a library that :func:`compile_job` made; its code runs here."""
    from torch._inductor import aoti_load_package

    with _quietly():
        run = aoti_load_package(str(path))

    def scanned(carry: Carry, rates: Carry, data: Carry, index: Tensor) -> tuple[Carry, Tensor | None]:
        result = run(carry, rates, data, index)
        new, trails = result
        return list(new), trails[0] if follow else None

    return scanned


@contextmanager
def _quietly() -> Iterator[None]:
    """Without the compiler's own warnings, and without compiling a test program for each instruction set.

    Torch starts ``python -c`` for some of them, which is not to import from the working directory.
    """
    import torch._inductor.config as config

    before = os.environ.get(_SAFE_PATH)
    os.environ[_SAFE_PATH] = "1"
    try:
        with warnings.catch_warnings(), config.patch({"cpp.vec_isa_ok": True}):
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            del os.environ[_SAFE_PATH]
        else:
            os.environ[_SAFE_PATH] = before
