"""Describe a comparison as pure data: arms, seeds, budget and settings, to and from JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import ComparisonError
from .arm import Arm as Arm
from .arm import Part as Part
from .arm import Trial as Trial
from .arm import check_arms
from .bounds import refuse_too_many_trials
from .budget import Budget as Budget
from .choices import EngineName, MaskSource, TrainerName
from .comparison_checks import (
    COUNTS,
    FLAGS,
    check_choices,
    check_counts,
    check_engine,
    check_goal,
    check_masks,
    check_measure_rows,
    check_precision,
    check_schedules,
    check_seeds,
)
from .goal import Goal
from .tuning import FIRST_TUNING_SEED, Repeat, Tuning


@dataclass(frozen=True)
class Comparison:
    """Hold all settings that influence results, as ``comparison.json`` stores them.

    A :class:`~optcompare.planning.question.Question` becomes a comparison once its names are resolved.

    Args:
        workload: What is trained.
        arms: The arms, in the order of tables and figures.
        seeds: The seeds of the report; each is one independent repetition of every arm.
        budget: How long each trial trains.
        device: "cpu", "cuda", "cuda:1" or "mps".
        dtype: The dtype of weights and data, "float32" or "float64".
        autocast: The dtype of forward passes, "bfloat16", where weights stay in ``dtype``; None: ``dtype``.
        threads: CPU threads of each trial.
        deterministic: Whether deterministic algorithms are used where torch has some.
        eval_chunk: Rows in one forward pass of evaluation.
        measure: Measurements of every arm per epoch; 0: only before and after.
        measure_rows: Rows of each set that the measurements between the first and the last of a trial are
            over, the same for all arms; None: all.
        trainer: "loop", "lanes" (as far as they can), or "auto": whichever takes less time.
        engine: The engine that is tried first for the programs of lanes: "vmapped", "traced", "inductor" or
            "xla".
        engine_named: Whether the user named it; it is used then even where it takes longer than it saves.
        order: "shuffled", or "custom" where the caller passed a function.
        plugins: Files and modules that were named for this comparison.
        goal: The goal, as in ``valid_loss=0.2``; None: there is none.
        errors: The metrics for which lower is better.
        baseline: The label of the arm that the others are compared with.
        control: The label of the rounding control; None: there is none.
        tuning: What tuning tries. An arm's ``lr`` is the reference rate until the arm is tuned; where it is
            tuned several times it stays so, and the rates are in the repeats of the tuning.
        plane: Whether the first seed's weights are kept at every evaluation point.
        diagnostics: Further columns of the records.
        diagnose_every: Diagnostics are computed at every such number of evaluation points.
        stop_at_goal: Whether a trial ends once it has reached the goal. The budget is then the most that it
            may spend, and rates are tuned by the samples that it took.
        goal_window: w, where the goal is reached at the update t at which the mean of the metric over the
            samples from (1 - w)·t to (1 + w)·t reaches it; 0: at the first measurement that does.
        margin: Final values that differ by less count as equal; None: no equality is claimed.
        recalibrate: Whether BatchNorm's running averages are computed anew before each measurement, on a
            copy.
        split_seeds: The number of splits of the workload's data, on which the seeds are trained in turn.
        masks: Where dropout masks come from: "generator", that of the trial, or "counter", a function of
            seed, update and layer that all trainers can compute.

    Raises:
        ComparisonError: Settings that cannot be, alone or together.
    """

    workload: Part
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    budget: Budget
    device: str = "cpu"
    dtype: str = "float32"
    autocast: str | None = None
    threads: int = 1
    deterministic: bool = True
    eval_chunk: int = 16384
    measure: int = 1
    trainer: TrainerName = "auto"
    order: str = "shuffled"
    plugins: tuple[str, ...] = ()
    goal: str | None = None
    errors: tuple[str, ...] = ()
    baseline: str | None = None
    control: str | None = None
    tuning: Tuning | None = None
    plane: bool = False
    diagnostics: tuple[Part, ...] = ()
    diagnose_every: int = 1
    stop_at_goal: bool = False
    goal_window: float = 0.0
    margin: float | None = None
    recalibrate: bool = False
    split_seeds: int = 1
    measure_rows: int | None = None
    engine: EngineName = "inductor"
    engine_named: bool = False
    masks: MaskSource = "generator"

    def __post_init__(self) -> None:
        check_arms(self.arms)
        check_counts({name: getattr(self, name) for name in COUNTS})
        check_measure_rows(self.measure_rows)
        check_masks(self.masks)
        check_seeds(self.seeds, self.split_seeds)
        check_precision(self.dtype, self.autocast)
        check_choices({name: getattr(self, name) for name in FLAGS}, self.trainer)
        check_engine(self.engine)
        check_goal(self.goal, self.stop_at_goal, self.goal_window, self.margin)
        check_schedules(self.arms, self.budget)
        refuse_too_many_trials(self.trial_numbers)
        for label in (self.baseline, self.control, *(self.tuning.rates if self.tuning else ())):
            if label is not None:
                self.arm(label)

    @property
    def precision(self) -> str:
        """Name the precision in words: ``float32``, or ``float32 with bfloat16 autocast``."""
        return self.dtype if self.autocast is None else f"{self.dtype} with {self.autocast} autocast"

    def ends_at(self, values: Mapping[str, float]) -> str:
        """Say in words that a trial ends with these values, since they reach the goal.

        Args:
            values: Losses and metrics by their columns.

        Returns:
            The reason; empty where trials do not stop at a goal, or do not reach it.
        """
        if not self.stop_at_goal or self.goal is None:
            return ""
        goal = Goal.parse(self.goal, self.errors)
        return f"reached {goal}" if goal.is_reached_by(values[goal.metric]) else ""

    def split_of(self, seed: int) -> int:
        """Return the split of the data that all trials of a seed share.

        The i-th seed has split i mod ``split_seeds``. Tuning seeds have the splits in turn, and so has any
        other seed, by its own number.

        Args:
            seed: A seed of the report or of tuning.

        Returns:
            A number from 0, the workload's own split, to ``split_seeds`` - 1.
        """
        if self.split_seeds == 1:
            return 0
        tuning = seed >= FIRST_TUNING_SEED
        return (seed - FIRST_TUNING_SEED if tuning else self._places.get(seed, seed)) % self.split_seeds

    @cached_property
    def _places(self) -> dict[int, int]:
        return {seed: place for place, seed in enumerate(self.seeds)}

    @property
    def repeats(self) -> int:
        """How many times arms are tuned, which is how many trials an arm has for each report seed.

        1 without tuning.
        """
        return max(len(self.tuning.repeats), 1) if self.tuning is not None else 1

    @property
    def _rounds(self) -> list[tuple[int, Repeat]]:
        """Pair each tuning with its number: from 1 on, or 0 where there is only one."""
        return (
            list(enumerate(self.tuning.all_repeats, int(self.repeats > 1))) if self.tuning is not None else []
        )

    @property
    def trial_numbers(self) -> dict[str, int]:
        """Count the trials of the report and those of tuning, without listing them."""
        tuning = self.tuning.trial_count if self.tuning is not None else 0
        return {"trials": len(self.arms) * len(self.seeds) * self.repeats, "tuning trials": tuning}

    def trials(self) -> list[Trial]:
        """List the trials of the report, each arm with the rate of every tuning repeat.

        They are ordered by seed, so that all arms of a seed are trained under the same load of the machine.
        """
        found: list[tuple[int, Mapping[str, float]]] = [
            (repeat, one.best) for repeat, one in self._rounds
        ] or [(0, {})]
        return [
            Trial(arm.at(best.get(arm.label, arm.lr)), seed, "report", repeat)
            for seed in self.seeds
            for repeat, best in found
            for arm in self.arms
        ]

    def tuning_trials(self) -> list[Trial]:
        """List the trials of tuning: every rate of every arm on every tuning seed.

        The control is not tuned; it has the baseline's rate.
        """
        return [
            Trial(self.arm(label).at(rate), seed, "tune", repeat)
            for repeat, one in self._rounds
            for seed in one.seeds
            for label, rates in one.rates.items()
            for rate in rates
        ]

    def closer_trials(self) -> list[Trial]:
        """List as many trials as tuning's second round will have; their rates are not known yet."""
        return [
            Trial(self.arm(label), seed, "tune", repeat)
            for repeat, one in self._rounds
            for seed in one.seeds
            for label in one.rates
            for _ in range(self.tuning.closer if self.tuning is not None else 0)
        ]

    def with_rates(self, rates: Sequence[Mapping[str, float]]) -> Comparison:
        """Return the comparison with the learning rates that tuning found.

        Args:
            rates: The best rate by the label of the arm, for each repeat.

        Returns:
            A copy. With several repeats the rates are in its tuning, else in its arms.
        """
        if self.tuning is not None and self.tuning.repeats:
            return dataclasses.replace(self, tuning=self.tuning.with_best(rates))
        arms = tuple(arm.at(rates[0].get(arm.label, arm.lr)) for arm in self.arms)
        return dataclasses.replace(self, arms=arms)

    def arm(self, label: str) -> Arm:
        """Return the arm of a label.

        Args:
            label: The label of the arm, as in tables and figures.

        Returns:
            The arm.

        Raises:
            ComparisonError: No arm has it; the message lists all labels.
        """
        for arm in self.arms:
            if arm.label == label:
                return arm
        raise ComparisonError(
            f"there is no arm '{label}'; there are {', '.join(arm.label for arm in self.arms)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values for ``json.dump``."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Comparison:
        """Read a comparison from plain values, the inverse of :meth:`to_json`.

        Args:
            values: One for each field; those that earlier versions did not write may be missing.

        Returns:
            The comparison.

        Raises:
            ComparisonError: The values are no comparison.
        """
        try:
            rest = {
                "arms": tuple(map(Arm.from_json, values["arms"])),
                "workload": Part(**values["workload"]),
                "budget": Budget(**values["budget"]),
                "seeds": tuple(values["seeds"]),
                "plugins": tuple(values["plugins"]),
                "errors": tuple(values.get("errors", ())),
                "diagnostics": tuple(Part(**part) for part in values.get("diagnostics", ())),
                "tuning": None if values.get("tuning") is None else Tuning.from_json(values["tuning"]),
            }
            return cls(**{**values, **rest})
        except (KeyError, TypeError, AttributeError) as error:
            raise ComparisonError(f"this is not a comparison: {type(error).__name__}: {error}") from error
