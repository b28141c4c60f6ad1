"""The question of a user: names, specs and objects that are not resolved yet, and their defaults.

Defaults of :func:`optcompare.compare` and of the command line are those of :class:`Question`. This module
imports nothing heavy, so that the command line starts fast.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..core.bounds import MAX_SEEDS, check_count
from ..core.choices import EngineChoice, EngineName, LrScaling, MaskSource, MeasureRows, TrainerName
from ..core.goal import GOAL_WINDOW
from ..errors import ComparisonError

if TYPE_CHECKING:
    from ..core.budget import Budget
    from ..core.comparison import Comparison
    from ..interfaces.workload import Workload
    from ..training.shared_init import Order
    from .factories import DiagnosticLike, StrategyLike
    from .optimizer_factory import OptimizerLike


@dataclass(frozen=True, kw_only=True)
class Question:
    """Hold the settings of a comparison before names are resolved.

    It has everything that decides results; settings that change no result are in
    :class:`~optcompare.execution.run_options.RunOptions`. :func:`~optcompare.planning.resolve.resolve` makes
    a :class:`~optcompare.core.comparison.Comparison` of it. The fields are the arguments of
    :func:`optcompare.compare`, where they are documented one by one, and:

    Args:
        budget: How long each trial trains; None: the workload's epochs.
        stop_at_goal: Whether a trial ends once it has reached the goal; its budget is then the most that it
            may spend.
        previous_engine: The engine of the run that continues, which ``engine="auto"`` keeps; None: the run is
            new.
        goal_window: w, where the goal is reached by the mean of the metric over the samples from (1 - w)·t to
            (1 + w)·t; 0: by a single value.
        masks: Where dropout masks come from, as in a saved comparison; None: the trainer decides.
    """

    workload: str | Workload = "line"
    strategies: str | Sequence[StrategyLike] | StrategyLike = ("full", "mini", "single")
    optimizers: str | Sequence[OptimizerLike] | OptimizerLike = ("sgd",)
    lr: float | Sequence[float] | None = None
    lr_scaling: LrScaling = "none"
    schedule: str = "none"
    clip: float | None = None
    tune: int | None = None
    tune_range: tuple[float, float] | None = None
    tune_seeds: int = 3
    tune_repeats: int = 1
    goal: str | None = None
    baseline: str | None = None
    control: bool = False
    margin: float | None = None
    seeds: int | Sequence[int] = 10
    first_seed: int = 0
    split_seeds: int = 1
    budget: Budget | None = None
    device: str = "auto"
    dtype: str = "float32"
    autocast: str | None = None
    threads: int = 1
    deterministic: bool = True
    chunk: int | None = None
    eval_chunk: int | None = None
    measure: int = 1
    measure_rows: MeasureRows = None
    recalibrate: bool | None = None
    plane: bool = False
    diagnostics: str | Sequence[DiagnosticLike] | DiagnosticLike = ()
    diagnose_every: int = 1
    trainer: TrainerName = "auto"
    engine: EngineChoice = "auto"
    previous_engine: EngineName | None = None
    order: Order | None = None
    plugins: tuple[str, ...] = ()
    stop_at_goal: bool = False
    goal_window: float = 0.0
    masks: MaskSource | None = None

    def seed_list(self) -> tuple[int, ...]:
        """List the seeds of the report, as :func:`seed_list` does."""
        return seed_list(self.seeds, self.first_seed)

    def rates(self) -> tuple[float, ...] | None:
        """Return the learning rates if there are several, since each makes a separate arm; else None."""
        return tuple(self.lr) if isinstance(self.lr, (list, tuple)) else None


STUDY = Question(workload="digits", tune=8, goal_window=GOAL_WINDOW)
"""The defaults of a batch-size study, where they are not those of a comparison."""
STUDY_MAX_EPOCHS = 100
"""The epochs after which a trial of a study ends that has not reached its goal, by default."""


def seed_list(seeds: int | Sequence[int], first: int = Question.first_seed) -> tuple[int, ...]:
    """List the seeds of a comparison.

    Args:
        seeds: The number of seeds, from ``first`` on; or the seeds themselves.
        first: The first seed, where ``seeds`` is their number.

    Returns:
        The seeds in their order.

    Raises:
        ComparisonError: There are no seeds, too many, or one that is not a whole number.
    """
    if isinstance(seeds, Sequence) and not isinstance(seeds, str):
        if len(seeds[: MAX_SEEDS + 1]) > MAX_SEEDS:  # len() of a very long range raises OverflowError
            raise ComparisonError(f"a comparison has at most {MAX_SEEDS:,} seeds, got more; give fewer")
        return tuple(seeds)
    if not isinstance(seeds, int) or isinstance(seeds, bool):
        raise ComparisonError(f"seeds must be how many, or a list of them, got {seeds!r}")
    if seeds < 1:
        raise ComparisonError(f"a comparison needs at least 1 seed, got {seeds}")
    check_count("seeds", seeds, 1, MAX_SEEDS)
    if not isinstance(first, int):
        raise ComparisonError(f"first_seed must be a whole number, got {first!r}")
    return tuple(range(first, first + seeds))


def measured_as(question: Question, comparison: Comparison) -> Question:
    """Return a question that measures and masks as a saved comparison does, where it leaves the choice open.

    Args:
        question: The question.
        comparison: The comparison of a previous run.
    """
    recalibrate, rows = question.recalibrate, question.measure_rows
    return dataclasses.replace(
        question,
        recalibrate=comparison.recalibrate if recalibrate is None else recalibrate,
        measure_rows=comparison.measure_rows or "all" if rows is None else rows,
        eval_chunk=comparison.eval_chunk if question.eval_chunk is None else question.eval_chunk,
        previous_engine=comparison.engine,
        masks=comparison.masks if question.masks is None else question.masks,
    )


def further_arms(comparison: Comparison, strategies: str, optimizers: str | None) -> Question:
    """Ask for further arms with the settings of a saved comparison.

    Args:
        comparison: The comparison of the run to extend. Chunk, schedule and clip are those of its first arm.
        strategies: The strategies of the further arms.
        optimizers: The optimizers of the further arms; None: those of the comparison.

    Returns:
        The question of a comparison whose arms can be added.
    """
    first = comparison.arms[0]
    of_arms = list(dict.fromkeys(str(arm.optimizer.reference) for arm in comparison.arms))
    return Question(
        workload=str(comparison.workload.reference),
        strategies=strategies,
        optimizers=of_arms if optimizers is None else optimizers,
        schedule=first.schedule,
        clip=first.clip,
        seeds=comparison.seeds,
        budget=comparison.budget,
        device=comparison.device,
        dtype=comparison.dtype,
        chunk=first.chunk,
        eval_chunk=comparison.eval_chunk,
    )
