"""Keep the programs of a group of lanes: one for each batch size, on an engine that repays its start."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch

from ..device import flushing_denormals
from .cost_model import worth_compiling, worth_tracing
from .engines.inductor import Compiling
from .engines.libraries import Libraries
from .engines.scan import Example, Scan
from .program import Blueprint, Carry, flat_rows, trace
from .update_rules import Unsupported

if TYPE_CHECKING:
    from torch import Tensor
    from torch.fx import GraphModule

Level = Literal["vmapped", "traced", "compiled"]


class Program:
    """Update all lanes at one batch size."""

    def __init__(self, update: Callable[[Carry, Carry, Carry, Tensor], Carry], follow: int) -> None:
        self.update = update
        self.traced = False
        self.compiling: Compiling | None = None
        self.scan: Scan | None = None
        self._follow = follow

    @property
    def level(self) -> Level:
        return "compiled" if self.scan is not None else "traced" if self.traced else "vmapped"

    def run(self, carry: Carry, rates: Carry, data: Carry, index: Tensor) -> tuple[Carry, Tensor | None]:
        """Make U updates of all lanes.

        Args:
            carry: The carry of all lanes.
            rates: The rates of each update, [U, R] each.
            data: The tensors of the training data.
            index: The rows of each batch, int64[U, R, B].

        Returns:
            The new carry, and the followed weights after each update, [U, R, P], or None.
        """
        with torch.no_grad(), flushing_denormals(index.device):
            if self.scan is not None:
                return self.scan(carry, rates, data, index)
            trail = []
            for number, batch in enumerate(index):
                carry = self.update(carry, [rate[number] for rate in rates], data, batch)
                if self._follow:
                    trail.append(flat_rows(carry[: self._follow]))
            return carry, torch.stack(trail) if trail else None


class Programs:
    """Hold the programs of a group, by batch size.

    Args:
        blueprint: The blueprint of the lanes.
        width: Lanes of each program.
        data: The tensors of the training data.
        follow: The number of weight tensors that are returned after each update.
        tolerance: The largest relative difference between a compiled and a traced program.
        libraries: The store of compiled programs.
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
        say: Callable[[str], None],
        graphs: dict[int, GraphModule] | None = None,
    ) -> None:
        self.blueprint, self.width, self.data = blueprint, width, data
        self._graphs = {} if graphs is None else graphs
        self.follow, self._tolerance, self._libraries, self._say = follow, tolerance, libraries, say
        self._programs: dict[int, Program] = {}

    @property
    def compiled(self) -> bool:
        """Return whether any program is compiled, or is being compiled."""
        return any(
            program.scan is not None or program.compiling is not None for program in self._programs.values()
        )

    def at(self, size: int, updates: float, carry: Carry) -> Program:
        """Return the program for a batch size: the compiled one once it is ready.

        Args:
            size: Rows of a batch.
            updates: Updates that are left at this size; few do not repay tracing or compiling.
            carry: The carry of all lanes, as an example.
        """
        program = self._programs.get(size)
        if program is None:
            program = self._programs[size] = Program(self.blueprint.update, self.follow)
        if not program.traced and worth_tracing(updates):
            self._trace(program, size, updates, carry)
        if program.compiling is not None and program.compiling.ready():
            self._switch(program, size, carry)
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
        example, graph = self.example(size, carry), self.graph(size, carry)
        program.update, program.traced = graph, True
        about = f"batch size {size}, {self.width} lanes, about {updates:,.0f} updates"
        operations = sum(node.op == "call_function" for node in graph.graph.nodes)
        if not worth_compiling(updates, operations):
            self._say(
                f"{about} of {operations} operations: traced, since compiling takes longer than it saves"
            )
        elif carry[0].device.type != "cpu":
            self._say(f"{about}: traced, since programs are compiled for the CPU only")
        else:
            try:
                program.compiling = Compiling(graph, example, self.follow, self._libraries)
            except Unsupported as why:
                self._say(f"{about}: traced, not compiled: {why}")
                return
            if not program.compiling.cached:
                users = "this run and later ones" if program.compiling.kept else "this run alone"
                self._say(f"{about}: traced, until it is compiled, for {users}")

    def _switch(self, program: Program, size: int, carry: Carry) -> None:
        """Switch to the compiled program if it agrees with the graph, since compilers can be wrong."""
        compiling, program.compiling = program.compiling, None
        assert compiling is not None
        about = f"batch size {size}, {self.width} lanes"
        example = self.example(size, carry)
        traced = program.run(*example)[0]
        try:
            with compiling.scan() as (scan, seconds):
                compiled, _ = scan(*example)
        except Unsupported as why:
            self._say(f"{about}: traced, not compiled: {why}")
            return
        count = len(self.blueprint.weights)
        one, other = flat_rows(compiled[:count]).double(), flat_rows(traced[:count]).double()
        apart = ((one - other).norm(dim=1) / other.norm(dim=1)).nan_to_num(0.0)
        if not torch.equal(one.isfinite(), other.isfinite()) or apart.max() > self._tolerance:
            self._say(f"{about}: traced, since the compiled program computes something else")
            return
        program.scan = scan
        self._say(f"{about}: compiled {'before' if compiling.cached else f'in {seconds:.0f} s'}")

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
