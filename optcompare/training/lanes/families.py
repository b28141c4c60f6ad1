"""Group trials that one program can train, and keep the programs of each group."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import torch

from ...core.comparison import Trial
from ...core.schedule import depends_on_budget
from ...interfaces.optimizer import build
from ..data import MappedSource, TensorSource
from ..loop.adaptive_batches import AdaptiveBatches
from ..loop.trainer import LoopTrainer
from ..loop.trial import TrialRun
from ..placement import place
from .engines.choice import Engines
from .engines.engine import Carry
from .engines.libraries import Libraries
from .followed_path import followed_columns
from .memory import lanes_that_fit
from .program import Blueprint
from .program_cache import Programs
from .refusals import refuse_dropout, refuse_masked_statistics, refuse_sparse_tensors, refuse_whole_metrics
from .statistics import StatsPrograms
from .update_rules import Settings, Unsupported, settings_of

if TYPE_CHECKING:
    from torch.fx import GraphModule

_WIDER = 3
WIDEST = 128
"""The most lanes of one program; more would not be faster per lane, and all would end late."""


@dataclass
class Family:
    """Hold the properties that all trials of one program share.

    Attributes:
        loop: The loop trainer with the data of their split.
        seed: A seed of that split.
        blueprint: The blueprint of their programs.
        fits: How many lanes can be updated at once, and how many can be evaluated.
        sizes: The batch sizes of the first epoch.
        needs: The statistics that the strategy needs after each update; None: it is not adaptive.
        programs: The programs, by the number of lanes.
        pace: The median seconds of an update in the loop, by the label of the arm.
        graphs: The traced updates, by the number of lanes and the batch size.
        with_stats: The programs that also compute what the strategy needs, by the number of lanes.
    """

    loop: LoopTrainer
    seed: int
    blueprint: Blueprint
    fits: tuple[int, int]
    sizes: Sequence[int]
    needs: Sequence[str] | None = None
    programs: dict[int, Programs] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)
    graphs: dict[int, dict[int, GraphModule]] = field(default_factory=dict)
    with_stats: dict[int, StatsPrograms] = field(default_factory=dict)


class Families:
    """Hold the families of a comparison's trials.

    Args:
        loop: The loop trainer.
        memory: Bytes that lanes may use.
        tolerance: The largest difference between compiled and traced programs; see :class:`Programs`.
        say: A function that receives a line for each choice.
    """

    def __init__(
        self, loop: LoopTrainer, memory: float, tolerance: float, say: Callable[[str], None]
    ) -> None:
        self.loop, self.setup = loop, loop.setup
        self._memory, self._tolerance, self._say = memory, tolerance, say
        self.libraries = Libraries(say)
        self.engines = Engines.of(loop.setup.comparison)
        self._known: dict[Hashable, Family] = {}
        self._settings: dict[tuple[str, float], Settings] = {}

    def key(self, trial: Trial) -> Hashable:
        """Return a key that is equal for trials that one program can train.

        Raises:
            Unsupported: The trial cannot run in lanes.
        """
        comparison, objects = self.setup.comparison, self.setup.arm_objects[trial.arm.label]
        if comparison.autocast is not None:
            raise Unsupported(f"{comparison.autocast} rounds too coarsely to compare lanes with the loop")
        if comparison.diagnostics:
            raise Unsupported("diagnostics need the weights, the batch and the gradient of a single trial")
        if objects.strategy.adaptive and comparison.trainer != "lanes":
            raise Unsupported(
                "an adaptive strategy chooses each batch by the previous updates of its trial, which lanes "
                "round otherwise; with trainer lanes it runs there as long as batch sizes are the same"
            )
        if comparison.budget.unit == "seconds":
            raise Unsupported("a budget of seconds needs a clock for each single trial")
        if any(isinstance(source, MappedSource) for source in self.loop.sources.values()):
            raise Unsupported("memory-mapped data are cast or moved batch by batch")
        if not all(isinstance(source, TensorSource) for source in self.loop.sources.values()):
            raise Unsupported("the samples of a Dataset are loaded one by one")
        if hidden := self.setup.uncut.get(trial.arm.label):
            raise Unsupported(f"{hidden[0]} changes during training, and all lanes would share it")
        if name := getattr(self.setup.workload.forward, "of_progress", ""):
            raise Unsupported(
                f"the model needs {name}, and updates of lanes depend on weights and batch alone"
            )
        settings = self.settings_of(trial)
        strategy = trial.arm.strategy.reference or id(objects.strategy)
        split = comparison.split_of(trial.seed)
        return (
            strategy,
            trial.arm.chunk,
            trial.arm.schedule,
            trial.arm.clip,
            settings.structure,
            split,
        )

    def of(self, trial: Trial) -> Family:
        """Return the family of a trial, which is made at its first use.

        Raises:
            Unsupported: The trial cannot run in lanes.
        """
        key = self.key(trial)
        if key not in self._known:
            run = self.loop.run(trial, None)
            masked = self.setup.comparison.masks == "counter"
            if not masked:
                refuse_dropout(run.model, self.setup.comparison.trainer)
            refuse_whole_metrics(run)
            refuse_sparse_tensors(run)
            if any(weight._backward_hooks or weight._post_accumulate_grad_hooks for weight in run.weights):
                raise Unsupported(
                    "the model changes gradients by hooks of its weights, which lanes do not call"
                )
            needs = run.strategy.needs if run.strategy.adaptive else None
            if masked:
                refuse_masked_statistics(needs or ())
            sizes = _first_sizes(run)
            batch = cast(TensorSource, run.source).batch
            blueprint = Blueprint(
                run.workload,
                run.another_model,
                self.settings_of(trial),
                trial.arm.chunk,
                trial.arm.clip,
                batch,
                masked,
                depends_on_budget(trial.arm.schedule),
            )
            loop = self.loop.on_split_of(trial.seed)
            rows = min(self.setup.comparison.eval_chunk, max(source.n for source in loop.sources.values()))
            fits = lanes_that_fit(blueprint, run, max(sizes), rows, self._memory, needs or ())
            self._known[key] = Family(loop, trial.seed, blueprint, fits, sizes, needs)
        return self._known[key]

    def width(self, family: Family, lanes: int) -> int:
        """Return the number of lanes to run at once: as many as fit, or as a compiled program has."""
        for width, programs in family.programs.items():
            if programs.compiled and width <= _WIDER * lanes:
                return width
        return math.ceil(lanes / math.ceil(lanes / min(WIDEST, family.fits[0])))

    def programs(self, family: Family, width: int) -> Programs:
        """Return the programs of a family for a number of lanes."""
        if width not in family.programs:
            family.programs[width] = self.unused_programs(family, width)
        return family.programs[width]

    def unused_programs(self, family: Family, width: int) -> Programs:
        """Return the programs of a family for a number of lanes, or new ones, with which no group is trained.

        The choice of a group's width depends on the programs that are in use, so a probe must not add any.
        Both share their traced graphs.
        """
        if width in family.programs:
            return family.programs[width]
        data = list(cast(TensorSource, family.loop.sources["train"]).tensors)
        model = self.loop.start(family.seed).model()
        weights = [weight.numel() for weight in model.parameters() if weight.requires_grad]
        followed = sum(weights) == 2 and self.setup.comparison.measure > 0
        follow = followed_columns(family.blueprint) if followed else 0
        return Programs(
            family.blueprint,
            width,
            data,
            follow,
            self._tolerance,
            self.libraries,
            self.engines,
            self._say,
            family.graphs.setdefault(width, {}),
        )

    def programs_with_stats(self, family: Family, width: int) -> StatsPrograms:
        """Return the programs of an adaptive family for a number of lanes."""
        if width not in family.with_stats:
            data = list(cast(TensorSource, family.loop.sources["train"]).tensors)
            family.with_stats[width] = StatsPrograms(family.blueprint, family.needs or (), data, self.engines)
        return family.with_stats[width]

    def all_programs(self) -> list[Programs]:
        return [programs for family in self._known.values() for programs in family.programs.values()]

    def settings_of(self, trial: Trial) -> Settings:
        """Return the optimizer of a trial as an update rule with its numbers.

        Raises:
            Unsupported: There is no rule for it.
        """
        arm = trial.arm
        if (arm.label, arm.lr) not in self._settings:
            model = place(
                self.loop.start(self.setup.comparison.seeds[0]).model(), self.loop.device, self.loop.dtype
            )
            factory = self.setup.arm_objects[arm.label].optimizer
            optimizer = build(factory, model, {**arm.hyperparameters, "lr": arm.lr}, arm.optimizer.label)
            weights = [weight for weight in model.parameters() if weight.requires_grad]
            self._settings[arm.label, arm.lr] = settings_of(optimizer, weights, self.setup.lane_rules)
        return self._settings[arm.label, arm.lr]

    def numbers(self, trials: Sequence[Trial], blueprint: Blueprint) -> Carry:
        """Return the hyperparameters of trials, one float64[R] for each name."""
        return columns(
            [self.settings_of(trial).numbers for trial in trials], blueprint.numbers, self.loop.device
        )


def _first_sizes(run: TrialRun) -> list[int]:
    """Return the batch sizes of the first epoch; all but the last are the first of an adaptive strategy.

    Raises:
        Unsupported: Batches of an adaptive strategy are larger than the chunk.
    """
    if not run.strategy.adaptive:
        return list(run.planner.draw(0).sizes)
    batches = AdaptiveBatches(run.planner, run.progress, run.source.n)
    first = batches.draw()
    size = run.source.n if first is None else len(batches.checked(first))
    if size > run.trial.arm.chunk:
        raise Unsupported("statistics of an update in several chunks are computed chunk by chunk")
    return [len(rows) for rows in torch.arange(run.source.n).split(size)]


def columns(numbers: Sequence[Mapping[str, float]], names: Sequence[str], device: torch.device) -> Carry:
    """Return the hyperparameters of lanes, one float64[R] for each name."""
    return [
        torch.tensor([lane[name] for lane in numbers], dtype=torch.float64, device=device) for name in names
    ]
