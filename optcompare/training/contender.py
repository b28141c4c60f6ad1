"""What a trainer is handed: live objects, and the pure data that says what to do with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..core.comparison import Comparison
from ..interfaces.diagnostic import Diagnostic
from ..interfaces.optimizer import Factory
from ..interfaces.strategy import Strategy
from ..interfaces.workload import Workload
from .shared_init import Order


@dataclass(frozen=True)
class Contender:
    """An arm's live objects. The strategy is copied for each trial."""

    strategy: Strategy
    optimizer: Factory


@dataclass(frozen=True)
class Setup:
    """A comparison with its workload, its contenders by the arms' labels, and its diagnostics by theirs."""

    comparison: Comparison
    workload: Workload
    contenders: Mapping[str, Contender]
    order: Order | None = None
    diagnostics: Mapping[str, Diagnostic] = field(default_factory=dict)
