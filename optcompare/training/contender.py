"""What a trainer is handed: live objects, and the pure data that says what to do with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
    """A comparison with its workload, its contenders by the arms' labels, and its diagnostics by theirs.

    ``copies``: whether modules that take long to make may be copied instead, since copies were found to train
    alike; ``uncut``: by the labels of arms, what their trials keep where no checkpoint finds it: they are
    trained in one go.
    """

    comparison: Comparison
    workload: Workload
    contenders: Mapping[str, Contender]
    order: Order | None = None
    diagnostics: Mapping[str, Diagnostic] = field(default_factory=dict)
    copies: bool = False
    uncut: Mapping[str, Sequence[str]] = field(default_factory=dict)
