"""What trials have in common that one program can train, and the programs of each such kind."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

import torch
from torch import nn

from ...core.comparison import Trial
from ...errors import USER_CODE_ERRORS
from ...interfaces.metrics import is_accumulated, is_pair
from ...interfaces.optimizer import build
from ..data import MappedSource, TensorSource
from ..loop.batch_plan import Plan
from ..loop.trainer import LoopTrainer
from ..loop.trial import TrialRun
from ..measurement.evaluation import evaluate_batch, evaluating
from ..placement import place
from .engines.libraries import Libraries
from .memory import lanes_that_fit
from .program import Blueprint, Carry
from .program_cache import Programs
from .update_rules import Settings, Unsupported, settings_of

_WIDER, _ROWS = 3, 8
WIDEST = 128
"""More lanes side by side gain nothing more, and would all end together, late."""


@dataclass
class Family:
    """What all groups of one kind share.

    ``programs``: by width; ``fits``: lanes that can be updated and evaluated at once; ``pace``: by arm, the
    median seconds of an update in the loop; ``first``: the plan of an epoch, for what is to come; ``loop``:
    the loop trainer with the data of its trials' split, of which ``seed`` is one.
    """

    loop: LoopTrainer
    seed: int
    blueprint: Blueprint
    fits: tuple[int, int]
    first: Plan
    programs: dict[int, Programs] = field(default_factory=dict)
    pace: dict[str, float] = field(default_factory=dict)


class Families:
    """The families of a comparison's trials; each trial's hyperparameters as numbers.

    ``memory``: bytes that lanes may take; ``tolerance``, ``say``: as :class:`Programs` takes them.
    """

    def __init__(
        self, loop: LoopTrainer, memory: float, tolerance: float, say: Callable[[str], None]
    ) -> None:
        self.loop, self.setup = loop, loop.setup
        self._memory, self._tolerance, self._say = memory, tolerance, say
        self._libraries = Libraries(say)
        self._known: dict[Hashable, Family] = {}
        self._settings: dict[tuple[str, float], Settings] = {}

    def key(self, trial: Trial) -> Hashable:
        """Equal for trials that one program can train; raises :class:`Unsupported`."""
        comparison, contender = self.setup.comparison, self.setup.contenders[trial.arm.label]
        if comparison.autocast is not None:
            raise Unsupported(f"{comparison.autocast} rounds too coarsely for lanes to be held to the loop")
        if comparison.diagnostics:
            raise Unsupported("diagnostics look at the weights, the batch and the gradient of one trial")
        if contender.strategy.adaptive:
            raise Unsupported("an adaptive strategy chooses each batch by the updates of its own trial")
        if comparison.budget.unit == "seconds":
            raise Unsupported("a budget of seconds needs the clock of each trial alone")
        if any(isinstance(source, MappedSource) for source in self.loop.sources.values()):
            raise Unsupported("data that lie in a file are cast or moved batch by batch")
        if not all(isinstance(source, TensorSource) for source in self.loop.sources.values()):
            raise Unsupported("the samples of a Dataset are loaded one by one")
        if hidden := self.setup.uncut.get(trial.arm.label):
            raise Unsupported(f"{hidden[0]} changes while it trains, which lanes would have in common")
        if asked := getattr(self.setup.workload.forward, "of_progress", ""):
            raise Unsupported(
                f"the model asks for {asked}, and lanes compute updates that depend on weights and batch "
                "alone"
            )
        settings = self.settings_of(trial)
        strategy = trial.arm.strategy.reference or id(contender.strategy)
        split = comparison.split_of(trial.seed)
        return (
            strategy,
            trial.arm.chunk,
            trial.arm.schedule,
            trial.arm.clip,
            settings.rule,
            settings.flags,
            split,
        )

    def of(self, trial: Trial) -> Family:
        """The family of a trial; made when first asked for."""
        key = self.key(trial)
        if key not in self._known:
            run = self.loop.run(trial, None)
            _refuse_dropout(run.model)
            _refuse_whole_metrics(run)
            if any(weight._backward_hooks or weight._post_accumulate_grad_hooks for weight in run.weights):
                raise Unsupported(
                    "the model changes gradients by hooks of its weights, which lanes do not call"
                )
            first = run.planner.draw(0)
            batch = cast(TensorSource, run.source).batch
            blueprint = Blueprint(
                run.workload,
                run.another_model,
                self.settings_of(trial),
                trial.arm.chunk,
                trial.arm.clip,
                batch,
            )
            loop = self.loop.on_split_of(trial.seed)
            rows = min(self.setup.comparison.eval_chunk, max(source.n for source in loop.sources.values()))
            fits = lanes_that_fit(blueprint, run, max(first.sizes), rows, self._memory)
            self._known[key] = Family(loop, trial.seed, blueprint, fits, first)
        return self._known[key]

    def width(self, family: Family, lanes: int) -> int:
        """Return the number of lanes that fit, evenly split, or a compiled program's if nearly filled."""
        for width, programs in family.programs.items():
            if programs.compiled and width <= _WIDER * lanes:
                return width
        return math.ceil(lanes / math.ceil(lanes / min(WIDEST, family.fits[0])))

    def programs(self, family: Family, width: int) -> Programs:
        """A family's programs for so many lanes."""
        if width not in family.programs:
            data = list(cast(TensorSource, family.loop.sources["train"]).tensors)
            model = self.loop.start(family.seed).model()
            weights = [weight.numel() for weight in model.parameters() if weight.requires_grad]
            follow = len(weights) if sum(weights) == 2 and self.setup.comparison.measure > 0 else 0
            family.programs[width] = Programs(
                family.blueprint, width, data, follow, self._tolerance, self._libraries, self._say
            )
        return family.programs[width]

    def all_programs(self) -> list[Programs]:
        return [programs for family in self._known.values() for programs in family.programs.values()]

    def settings_of(self, trial: Trial) -> Settings:
        """The trial's optimizer as a rule with its numbers; raises :class:`Unsupported`."""
        arm = trial.arm
        if (arm.label, arm.lr) not in self._settings:
            model = place(
                self.loop.start(self.setup.comparison.seeds[0]).model(), self.loop.device, self.loop.dtype
            )
            factory = self.setup.contenders[arm.label].optimizer
            optimizer = build(factory, model, {**arm.hyperparameters, "lr": arm.lr}, arm.optimizer.label)
            weights = [weight for weight in model.parameters() if weight.requires_grad]
            self._settings[arm.label, arm.lr] = settings_of(optimizer, weights)
        return self._settings[arm.label, arm.lr]

    def numbers(self, trials: Sequence[Trial], blueprint: Blueprint) -> Carry:
        """The hyperparameters of trials as lanes, float64[R] each."""
        return columns(
            [self.settings_of(trial).numbers for trial in trials], blueprint.numbers, self.loop.device
        )


def _refuse_dropout(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p > 0:
            raise Unsupported(
                f"{type(module).__name__} draws random numbers, which lanes could not draw as the loop does"
            )


def _refuse_whole_metrics(run: TrialRun) -> None:
    """Lanes add up sums over rows; a number of all rows at once is for the loop."""
    (batch,) = run.source.stream([torch.arange(min(_ROWS, run.source.n))], 0, 0, ahead=False)
    with evaluating(run.model):
        _, output, y = evaluate_batch(run.workload, run.model, batch)
        for name, metric in run.workload.metric_functions.items():
            try:
                pair = not is_accumulated(metric) and is_pair(metric(output, y))
            except USER_CODE_ERRORS:  # of so few rows
                pair = False
            if not pair:
                raise Unsupported(f"metric {name} is computed of all rows at once")


def columns(numbers: Sequence[Mapping[str, float]], names: Sequence[str], device: torch.device) -> Carry:
    """The lanes' hyperparameters, float64[R] each."""
    return [
        torch.tensor([lane[name] for lane in numbers], dtype=torch.float64, device=device) for name in names
    ]
