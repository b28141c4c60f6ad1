"""Choose the engine of the lanes of a comparison: by what is installed, never by the clock."""

from __future__ import annotations

from dataclasses import dataclass

from ....core.choices import COMPILERS, CompilerName, EngineChoice, EngineName
from ....core.comparison import Comparison
from ....errors import ComparisonError
from ..cost_model import worth_compiling, worth_tracing
from .xla import availability


def engine_of(choice: EngineChoice, device: str, previous: EngineName | None = None) -> EngineName:
    """Return the engine that is tried first for all lanes of a comparison.

    Args:
        choice: The user's choice; auto: the engine of the previous run, else XLA where jax is installed and
            the device is the CPU, else inductor.
        device: The device of the trials.
        previous: The engine of the run that continues; None: the run is new.

    Raises:
        ComparisonError: The user chose XLA, which cannot be used.
    """
    why = availability.obstacle()
    if why is None and device != "cpu":
        why = f"its programs run on the CPU, and the device is {device}"
    if choice == "auto":
        return previous or ("inductor" if why else "xla")
    if choice == "xla" and why is not None:
        raise ComparisonError(f"engine xla cannot be used: {why}")
    return choice


@dataclass(frozen=True)
class Engines:
    """Hold the engines of a comparison's programs, which all begin as a vectorized function.

    Attributes:
        compilers: The engines that compile, in the order in which they are tried.
        traced: Whether programs are traced.
        always: Whether programs are traced and compiled even where that takes longer than it saves.
    """

    compilers: tuple[CompilerName, ...] = ("inductor",)
    traced: bool = True
    always: bool = False

    @classmethod
    def of(cls, comparison: Comparison) -> Engines:
        """Return the engines of a comparison; where XLA cannot compile a program, inductor is tried."""
        orders: dict[EngineName, tuple[CompilerName, ...]] = {"inductor": ("inductor",), "xla": COMPILERS}
        engine = comparison.engine
        return cls(orders.get(engine, ()), engine != "vmapped", comparison.engine_named)

    def worth_tracing(self, updates: float) -> bool:
        """Return whether a program is traced for a number of updates at one batch size."""
        return self.traced and (self.always or worth_tracing(updates))

    def worth_compiling(self, updates: float, operations: int) -> tuple[CompilerName, ...]:
        """Return the compilers that are tried for a number of updates, each a graph of ``operations``."""
        return tuple(
            name for name in self.compilers if self.always or worth_compiling(name, updates, operations)
        )
