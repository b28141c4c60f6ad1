"""Describe the input of a trainer: a comparison as data, and the live objects that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..core.comparison import Comparison
from ..interfaces.diagnostic import Diagnostic
from ..interfaces.lane_rules import LaneRules
from ..interfaces.optimizer import Factory
from ..interfaces.strategy import Strategy
from ..interfaces.workload import Workload
from .shared_init import Order


@dataclass(frozen=True)
class ArmObjects:
    """Hold the live objects of an arm; each trial gets a copy of the strategy."""

    strategy: Strategy
    optimizer: Factory


@dataclass(frozen=True)
class Setup:
    """Hold a comparison and its live objects.

    Attributes:
        comparison: The comparison as data.
        workload: The workload of the comparison.
        arm_objects: The strategy and the optimizer of each arm, by its label.
        order: ``order(seed, epoch, n)``, which replaces the shuffled order; None: the order is shuffled.
        diagnostics: The diagnostics of the comparison, by their labels.
        copies: Whether a module whose factory is slow may be copied instead, since copies were found to train
            alike.
        uncut: By the label of an arm, the names of values that its trials keep and that no checkpoint holds.
            Such trials are trained in one task.
        lane_rules: The update rules with which lanes train.
        brief: Whether trials measure a sample of rows at their ends, too, and no test set; see
            :meth:`.LoopTrainer.in_brief`.
    """

    comparison: Comparison
    workload: Workload
    arm_objects: Mapping[str, ArmObjects]
    order: Order | None = None
    diagnostics: Mapping[str, Diagnostic] = field(default_factory=dict)
    copies: bool = False
    uncut: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lane_rules: LaneRules = field(default_factory=LaneRules)
    brief: bool = False
