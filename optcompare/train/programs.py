"""The programs of one group of lanes: one for each batch size, each at the level that its updates repay."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import torch

from .compiled import Scan, compiled
from .levels import worth_compiling, worth_tracing
from .program import Blueprint, Carry, beside, trace
from .rules import Unsupported

if TYPE_CHECKING:
    from torch import Tensor

Level = Literal["vmapped", "traced", "compiled"]
_CLOSE = 1e-4


class Program:
    """Updates of all lanes at one batch size."""

    def __init__(self, update: Callable[[Carry, Carry, Carry, Tensor], Carry], follow: int) -> None:
        self.level: Level = "vmapped"
        self.update = update
        self.scan: Scan | None = None
        self._follow = follow

    def run(self, carry: Carry, numbers: Carry, data: Carry, index: Tensor) -> tuple[Carry, Tensor | None]:
        """Updates on the batches of index[U, R, B]; the second value is [U, R, P], the followed weights after each."""
        with torch.no_grad():
            if self.scan is not None and len(index) > 1:
                return self.scan(carry, numbers, data, index)
            trail = []
            for batch in index:
                carry = self.update(carry, numbers, data, batch)
                if self._follow:
                    trail.append(beside(carry[: self._follow]))
            return carry, torch.stack(trail) if trail else None


class Programs:
    """``width``: lanes side by side; ``follow``: how many weights are to be returned after each update;
    ``say``: is told what was chosen, and why."""

    def __init__(self, blueprint: Blueprint, width: int, data: Carry, follow: int, say: Callable[[str], None]) -> None:
        self.blueprint, self.width, self.data = blueprint, width, data
        self._follow, self._say = follow, say
        self._programs: dict[int, Program] = {}

    def at(self, size: int, updates: float, carry: Carry, numbers: Carry) -> Program:
        """The program for batches of ``size``, of which about so many updates are to come."""
        program = self._programs.get(size)
        if program is None:
            program = self._programs[size] = Program(self.blueprint.update, self._follow)
        if program.level == "vmapped" and worth_tracing(updates):
            self._raise(program, size, updates, carry, numbers)
        return program

    @property
    def compiled(self) -> bool:
        """Whether any of them is."""
        return any(program.scan is not None for program in self._programs.values())

    def _raise(self, program: Program, size: int, updates: float, carry: Carry, numbers: Carry) -> None:
        index = torch.zeros((2, self.width, size), dtype=torch.int64, device=carry[0].device)
        graph = trace(self.blueprint, carry, numbers, self.data, index[0])
        program.update, program.level = graph, "traced"
        about = f"batch size {size}, {self.width} lanes, about {updates:,.0f} updates"
        operations = sum(node.op == "call_function" for node in graph.graph.nodes)
        if not worth_compiling(updates, operations):
            self._say(f"{about} of {operations} operations: traced, too few to repay compiling")
            return
        if carry[0].device.type != "cpu":
            self._say(f"{about}: traced, programs are compiled for the CPU alone")
            return
        try:
            example = (carry, numbers, self.data, index)
            scan, seconds = compiled(graph, example, self._follow)
            self._compare(program, scan, example)
        except Unsupported as why:
            self._say(f"{about}: traced, not compiled: {why}")
            return
        program.scan, program.level = scan, "compiled"
        self._say(f"{about}: compiled " + (f"in {seconds:.1f} s" if seconds else "before, and kept on disk"))

    def _compare(self, program: Program, scan: Scan, example: tuple[Carry, Carry, Carry, Tensor]) -> None:
        """A compiler can be wrong: two updates must give what the graph gives."""
        there, (here, _) = program.run(*example)[0], scan(*example)
        for one, other in zip(here, there, strict=True):
            if not torch.allclose(one.double(), other.double(), rtol=_CLOSE, atol=_CLOSE, equal_nan=True):
                raise Unsupported("the compiled program computes something else")
