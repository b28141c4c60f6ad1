"""What a trainer is handed: live objects, and the pure data that says what to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..comparison import Comparison
from ..optimizer import Factory
from ..start import Order
from ..strategy import Strategy
from ..workload import Workload


@dataclass(frozen=True)
class Contender:
    """An arm's live objects. The strategy is copied for each trial."""

    strategy: Strategy
    optimizer: Factory


@dataclass(frozen=True)
class Setup:
    """A comparison with its workload and, by the arms' labels, its contenders."""

    comparison: Comparison
    workload: Workload
    contenders: Mapping[str, Contender]
    order: Order | None = None
