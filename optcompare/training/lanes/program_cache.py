"""Keep the programs of a group of lanes: one for each batch size, on an engine that repays its start."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import torch

from ...core.choices import EngineName
from ...errors import USER_CODE_ERRORS, explain
from .engines.choice import Engines
from .engines.engine import Carry, EngineProgram, Example
from .engines.inductor import Compiling, Scanned
from .engines.libraries import Libraries
from .engines.traced import Traced, operations_of, trace
from .engines.vmapped import Vmapped, flat_rows
from .engines.xla.program import XlaProgram
from .equivalence import STATE_FACTOR
from .program import Blueprint
from .update_rules import Unsupported

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule


class Program:
    """Update all lanes at one batch size, on an engine that may change between calls.

    Attributes:
        current: The program of the present engine.
        compiling: The compiler of the next one, which runs beside it; None: there is none.
        tried: Whether a faster engine was looked for.
    """

    def __init__(self, current: EngineProgram) -> None:
        self.current = current
        self.compiling: Compiling | None = None
        self.tried = False

    @property
    def engine(self) -> EngineName:
        return self.current.engine

    def run(self, carry: Carry, rates: Carry, index: Tensor) -> tuple[Carry, Tensor | None]:
        """Make U updates of all lanes.

        Args:
            carry: The carry of all lanes.
            rates: The rates of each update, [U, R] each.
            index: The rows of each batch, int64[U, R, B].

        Returns:
            The new carry, and the followed weights after each update, [U, R, P], or None.
        """
        return _made(self.current, carry, rates, index)


class Programs:
    """Hold the programs of a group, by batch size.

    Args:
        blueprint: The blueprint of the lanes.
        width: Lanes of each program.
        data: The tensors of the training data.
        follow: The number of weight tensors that are returned after each update.
        tolerance: The largest relative difference between a compiled and a traced program.
        libraries: The store of compiled programs.
        engines: The engines that are tried.
        say: A function that receives a line for each choice.
        graphs: The traced updates by batch size, which other programs of this width may share; None: none.

    Attributes:
        follow: See above.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        width: int,
        data: Carry,
        follow: int,
        tolerance: float,
        libraries: Libraries,
        engines: Engines,
        say: Callable[[str], None],
        graphs: dict[int, GraphModule] | None = None,
    ) -> None:
        self.blueprint, self.width, self.data = blueprint, width, data
        self._graphs = {} if graphs is None else graphs
        self.follow, self._tolerance, self._libraries, self._say = follow, tolerance, libraries, say
        self._engines = engines
        self._programs: dict[int, Program] = {}

    @property
    def compiled(self) -> bool:
        """Return whether any program is compiled, or is being compiled."""
        programs = self._programs.values()
        return any(each.engine in _COMPILED or each.compiling is not None for each in programs)

    def at(self, size: int, updates: float, carry: Callable[[], Carry]) -> Program:
        """Return the program for a batch size: the compiled one once it is ready.

        Args:
            size: Rows of a batch.
            updates: Updates that are left at this size; few do not repay tracing or compiling.
            carry: Returns the carry of all lanes, as an example; called where the engine changes.
        """
        program = self._programs.get(size)
        if program is None:
            vmapped = Vmapped(self.blueprint.update, self.data, self.follow)
            program = self._programs[size] = Program(vmapped)
        if not program.tried and self._engines.worth_tracing(updates):
            program.tried = True
            self._trace(program, size, updates, carry())
        if program.compiling is not None and program.compiling.ready():
            self._switch(program, size, carry())
        return program

    def graph(self, size: int, carry: Carry) -> GraphModule:
        """Return the traced update for a batch size.

        Args:
            size: Rows of a batch.
            carry: The carry of all lanes, as an example.

        Raises:
            Unsupported: The update cannot be traced.
        """
        if size not in self._graphs:
            example = self.example(size, carry)
            rates = [rate[0] for rate in example[1]]
            self._graphs[size] = trace(self.blueprint.update, carry, rates, self.data, example[3][0])
        return self._graphs[size]

    def wait(self) -> None:
        """Wait until running compilers have ended."""
        for program in self._programs.values():
            while program.compiling is not None and not program.compiling.ready():
                time.sleep(0.05)

    def stop(self) -> None:
        """End running compilers."""
        for program in self._programs.values():
            if program.compiling is not None:
                program.compiling.stop()

    def _trace(self, program: Program, size: int, updates: float, carry: Carry) -> None:
        """Trace the program, and compile it with the first engine that can, where this repays."""
        graph = self.graph(size, carry)
        program.current = Traced(graph, self.data, self.follow)
        operations = operations_of(graph)
        about = f"batch size {size}, {self.width} lanes, about {_updates(updates)}"
        worth = self._engines.to_try(graph, self.width, updates)
        if self._engines.compilers and not worth:
            self._say(
                f"{about} of {operations} operations: traced, since compiling takes longer than it saves"
            )
        for name in worth:
            start = self._compile_with_xla if name == "xla" else self._start_inductor
            try:
                start(program, about, size, carry)
                return
            except Unsupported as why:
                self._say(f"{about}: traced, not compiled{' by XLA' if name == 'xla' else ''}: {why}")

    def _compile_with_xla(self, program: Program, about: str, size: int, carry: Carry) -> None:
        """Compile the program at once, in this process.

        Raises:
            Unsupported: It cannot be compiled, or computes something else.
        """
        example, began = self.example(size, carry), time.perf_counter()
        compiled = XlaProgram(self.graph(size, carry), example, self.follow)
        self._compare(compiled, program, example)
        program.current = compiled
        self._say(f"{about}: compiled by XLA in {time.perf_counter() - began:.1f} s")

    def _start_inductor(self, program: Program, about: str, size: int, carry: Carry) -> None:
        """Start torch's compiler in another process.

        Raises:
            Unsupported: Nothing can be compiled.
        """
        if carry[0].device.type != "cpu":
            raise Unsupported("programs are compiled for the CPU only")
        program.compiling = Compiling(
            self.graph(size, carry), self.example(size, carry), self.follow, self._libraries
        )
        if not program.compiling.cached:
            users = "this run and later ones" if program.compiling.kept else "this run alone"
            self._say(f"{about}: traced, until it is compiled, for {users}")

    def _switch(self, program: Program, size: int, carry: Carry) -> None:
        """Switch to the program that torch's compiler made, if it agrees with the graph."""
        compiling, program.compiling = program.compiling, None
        assert compiling is not None
        about, example = f"batch size {size}, {self.width} lanes", self.example(size, carry)
        try:
            with compiling.scan() as (scan, seconds):
                compiled = Scanned(scan, self.data)
                _made(compiled, example[0], example[1], example[3])
            self._compare(compiled, program, example)
        except Unsupported as why:
            self._say(f"{about}: traced, not compiled: {why}")
            return
        program.current = compiled
        took = "before" if compiling.cached else f"in {seconds:.0f} s"
        self._say(f"{about}: compiled by inductor {took}")

    def _compare(self, compiled: EngineProgram, program: Program, example: Example) -> None:
        """Compare two updates of a compiled program with the graph's, since compilers can be wrong.

        Raises:
            Unsupported: It fails, or weights, buffers or the state of the optimizer differ by more than the
                tolerance.
        """
        carry, rates, _, index = example
        try:
            found = _made(compiled, carry, rates, index)[0]
        except USER_CODE_ERRORS as error:
            raise Unsupported(f"its program fails: {explain(error)}") from error
        expected = _made(program.current, carry, rates, index)[0]
        count = len(self.blueprint.weights)
        parts = [(found[:count], expected[:count], 1.0)]
        parts += [([a], [b], STATE_FACTOR) for a, b in zip(found[count:], expected[count:], strict=True)]
        if not all(_alike(a, b, factor * self._tolerance) for a, b, factor in parts):
            raise Unsupported("its program computes something else than the graph")

    def example(self, size: int, carry: Carry) -> Example:
        """Return the input of two updates: the current carry, random samples, and hyperparameters of 0.01.

        Args:
            size: Rows of a batch.
            carry: The carry of all lanes.
        """
        device, n = carry[0].device, len(self.data[0])
        numbers = [
            torch.full((self.width,), 0.01, dtype=torch.float64, device=device)
            for _ in self.blueprint.numbers
        ]
        index = torch.randint(n, (2, self.width, size), generator=torch.Generator().manual_seed(0))
        return carry, self.blueprint.rates(numbers, 0, 2), self.data, index.to(device)


def _alike(found: Carry, expected: Carry, tolerance: float) -> bool:
    """Return whether tensors of all lanes are alike: numbers up to a relative tolerance, others exactly."""
    if not expected[0].is_floating_point():
        return all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    one, other = flat_rows(found).double(), flat_rows(expected).double()
    if not torch.equal(one.isfinite(), other.isfinite()):
        return False
    apart, size = ((values).nan_to_num(0.0, 0.0, 0.0).norm(dim=1) for values in (one - other, other))
    return bool((apart <= tolerance * torch.where(size > 0, size, 1.0)).all())


_COMPILED: tuple[EngineName, ...] = ("inductor", "xla")


def _updates(count: float) -> str:
    return "1 update" if round(count) == 1 else f"{count:,.0f} updates"


def _made(program: EngineProgram, carry: Carry, rates: Carry, index: Tensor) -> tuple[Carry, Tensor | None]:
    """Make some updates with a program of an engine; see :meth:`Program.run`."""
    loaded, trail = program.run(program.load(carry), rates, index)
    return program.unload(loaded), trail
