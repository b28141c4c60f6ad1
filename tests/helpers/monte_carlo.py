"""What the benchmarks of error rates share: rates with their standard errors, and sections of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

Simulation = Callable[[int], Iterator[tuple[str, float]]]


def rate(hits: int, draws: int) -> str:
    """A share with three standard errors, which are not 0 where all or none are hits."""
    share = hits / draws
    return f"{share:.3f} ± {3 * math.sqrt(max(share * (1 - share), 1 / draws) / draws):.3f}"


def print_section(title: str, simulation: Simulation, worst: Callable[..., float], draws: int) -> None:
    """Print the lines of a simulation as they come, and the worst of their shares."""
    print(f"\n{title}")
    shares = []
    for line, share in simulation(draws):
        print(f"  {line}", flush=True)
        shares.append(share)
    print(f"  {'highest' if worst is max else 'lowest'}: {worst(shares):.3f}")
