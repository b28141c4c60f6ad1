"""The whole question as pure data: what is compared, from which seeds, on which budget. To and from JSON."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from ..errors import ComparisonError, printable, shorten
from .bounds import MAX_AMOUNT, MAX_SEEDS, MAX_THREADS, check_count, format_count, refuse_too_many_trials
from .budget import UNITS as UNITS
from .budget import Budget as Budget
from .budget import Unit as Unit
from .goal import Goal
from .schedule import depends_on_budget
from .tuning import FIRST_TUNING_SEED, Repeat, Tuning

LrScaling = Literal["none", "linear", "sqrt"]
Phase = Literal["report", "tune"]
TrainerName = Literal["auto", "loop", "lanes"]
TRAINERS: tuple[TrainerName, ...] = ("auto", "loop", "lanes")
_COUNTS = {
    "threads": (1, MAX_THREADS),
    "eval_chunk": (1, MAX_AMOUNT),
    "measure": (0, MAX_AMOUNT),
    "diagnose_every": (1, MAX_AMOUNT),
    "split_seeds": (1, MAX_SEEDS),
}
"""The smallest and the largest of each."""


@dataclass(frozen=True)
class Part:
    """A named ingredient.

    ``reference`` is the spec that makes it again; None: it was handed in as an object.
    """

    label: str
    reference: str | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", printable(self.label))


@dataclass(frozen=True)
class Arm:
    """One contender, with everything that was resolved for it.

    ``chunk``: rows in one forward pass; ``lr_scaling``: how the reference rate was scaled to the batch size;
    ``schedule``: how the rate changes from ``lr`` on, as in :mod:`optcompare.core.schedule`; ``clip``: the
    norm above which the gradient of an update is scaled down to it.
    """

    label: str
    strategy: Part
    optimizer: Part
    hyperparameters: Mapping[str, Any]
    lr: float
    chunk: int
    lr_scaling: LrScaling = "none"
    schedule: str = "none"
    clip: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", printable(self.label))
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise ComparisonError(
                f"arm {self.label}: the learning rate must be positive and finite, got {self.lr}"
            )
        if self.clip is not None and not (
            isinstance(self.clip, (int, float)) and math.isfinite(self.clip) and self.clip > 0
        ):
            raise ComparisonError(
                f"arm {self.label}: clip must be a norm, positive and finite, or none, got {self.clip!r}"
            )
        check_count(f"arm {self.label}: --chunk", self.chunk)

    @property
    def content(self) -> str | None:
        """The same for arms that train the same, whatever their labels; None where an object has no name to
        know it by.
        """
        if self.strategy.reference is None or self.optimizer.reference is None:
            return None
        values = sorted(self.hyperparameters.items())
        return repr((self.strategy, self.optimizer, values, self.lr, self.chunk, self.schedule, self.clip))

    def __hash__(self) -> int:
        return hash((self.label, self.lr))  # a mapping of hyperparameters has no hash


@dataclass(frozen=True)
class Trial:
    """One arm with one seed. Tuning trials try other rates, on seeds of their own, before the report.

    ``repeat``: where arms are tuned several times, which of these tunings it belongs to, or whose rate it
    has: from 1 on.
    """

    arm: Arm
    seed: int
    phase: Phase = "report"
    repeat: int = 0

    @property
    def name(self) -> str:
        """'mini:32, seed 3', with the tuning repeat where there are several."""
        return f"{self.arm.label}, seed {self.seed}{f', repeat {self.repeat}' if self.repeat else ''}"


@dataclass(frozen=True)
class Comparison:
    """The question.

    ``autocast``: the dtype in which forward passes compute what bears it, the weights staying in ``dtype``;
    ``measure``: measurements per epoch; ``trainer``: loop, lanes (as far as they can), or
    whichever repays; ``order``: ``shuffled``, or ``custom`` where the caller gave one; ``goal``: as in
    ``valid_loss=0.2``; ``errors``: metrics of which less is better; ``baseline`` and ``control``: labels of
    arms. With ``tuning``, an arm's ``lr`` is the reference rate until it is tuned; where it is tuned several
    times it stays so, and the rates stand in the repeats of the tuning. ``plane``: keep the first seed's
    weights at every mark, for a picture of where each arm went. ``diagnostics`` are computed at every
    ``diagnose_every``-th mark. ``stop_at_goal``: a trial ends once it has reached the goal, the budget is
    what it may spend at most, and rates are tuned by the samples that it took. ``goal_window``: w, where the
    goal is reached at the update t at which the mean of the metric over the samples from (1 - w)·t to (1 +
    w)·t reaches it; 0: at the first measurement that does. ``margin``: final values that differ by less count
    as equal. ``recalibrate``: BatchNorm's running averages are computed anew before each measurement, on a
    copy. ``split_seeds``: on how many splits of the workload's data the seeds are trained and measured, in
    turn.
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

    def __post_init__(self) -> None:
        if not self.arms:
            raise ComparisonError("a comparison needs at least one arm; give --strategies, such as full,mini")
        if not self.seeds:
            raise ComparisonError("a comparison needs at least 1 seed, got 0")
        for name, (least, most) in _COUNTS.items():
            check_count(name, getattr(self, name), least, most)
        if len(self.seeds) > MAX_SEEDS:
            raise ComparisonError(
                f"a comparison has at most {MAX_SEEDS:,} seeds, got {len(self.seeds):,}; give fewer"
            )
        if not all(isinstance(seed, int) for seed in self.seeds):
            raise ComparisonError(f"seeds must be whole numbers, got {shorten(str(list(self.seeds)))}")
        if min(self.seeds) < 0 or max(self.seeds) >= FIRST_TUNING_SEED:
            ends = " to ".join(
                f"{end}" if abs(end) < 2**128 else format_count(end)
                for end in (min(self.seeds), max(self.seeds))
            )
            raise ComparisonError(f"seeds must lie between 0 and 2**62-1, got {ends}")
        if len(set(self.seeds)) < len(self.seeds):
            raise ComparisonError("a seed is listed twice; each seed is one independent repetition")
        if self.split_seeds > len(self.seeds):
            raise ComparisonError(
                f"--split-seeds {self.split_seeds} needs as many seeds, got {len(self.seeds)}"
            )
        if self.dtype not in ("float32", "float64"):
            raise ComparisonError(f"dtype must be float32 or float64, got {self.dtype}")
        if self.autocast not in (None, "bfloat16"):
            raise ComparisonError(
                f"autocast must be bfloat16, got {self.autocast}; float16 would need its losses scaled, "
                "which changes updates"
            )
        if self.autocast is not None and self.dtype != "float32":
            raise ComparisonError(
                f"autocast {self.autocast} goes with dtype float32, got {self.dtype}; leave out one"
            )
        if not isinstance(self.recalibrate, bool):
            raise ComparisonError(f"recalibrate must be true or false, got {self.recalibrate!r}")
        if self.trainer not in TRAINERS:
            raise ComparisonError(f"trainer must be auto, loop or lanes, got {self.trainer!r}")
        if self.margin is not None and not (
            isinstance(self.margin, (int, float)) and math.isfinite(self.margin) and self.margin > 0
        ):
            raise ComparisonError(
                f"margin must be a difference of final values, positive and finite, got {self.margin!r}"
            )
        if self.stop_at_goal and self.goal is None:
            raise ComparisonError(
                "to stop at the goal a comparison needs one; give --goal, such as train_loss=0.3"
            )
        if not (isinstance(self.goal_window, (int, float)) and 0 <= self.goal_window < 1):
            raise ComparisonError(
                "--goal-window is a share of the samples, from 0 up to but without 1, got "
                f"{self.goal_window!r}; give 0.25"
            )
        scheduled = [arm for arm in self.arms if depends_on_budget(arm.schedule)]
        if scheduled and self.budget.unit == "seconds":
            raise ComparisonError(
                f"arm {scheduled[0].label}: a schedule needs to know ahead how much there is to train; give "
                "--epochs, "
                "--updates or --samples in place of --seconds"
            )
        _refuse_duplicates(self.arms)
        refuse_too_many_trials(self.trial_numbers)
        for label in (self.baseline, self.control, *(self.tuning.rates if self.tuning else ())):
            if label is not None:
                self.arm(label)

    @property
    def precision(self) -> str:
        """In words: ``float32``, or ``float32 with bfloat16 autocast``."""
        return self.dtype if self.autocast is None else f"{self.dtype} with {self.autocast} autocast"

    def ends_at(self, values: Mapping[str, float]) -> str:
        """Where trials stop at their goal and these values reach it, says so; else empty."""
        if not self.stop_at_goal or self.goal is None:
            return ""
        goal = Goal.parse(self.goal, self.errors)
        return f"reached {goal}" if goal.is_reached_by(values[goal.metric]) else ""

    def split_of(self, seed: int) -> int:
        """The split of the data that all trials of a seed share, from 0, the workload's own, to
        ``split_seeds`` - 1.

        The i-th seed has split i mod ``split_seeds``. Tuning seeds take the splits in turn, and so does any
        other seed, by its own number.
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
        """How many times arms are tuned, and thus how many trials an arm has for each report seed; 1 without
        tuning.
        """
        return max(len(self.tuning.repeats), 1) if self.tuning is not None else 1

    @property
    def _rounds(self) -> list[tuple[int, Repeat]]:
        """Each tuning with its number: from 1 on, and 0 for an only one."""
        return (
            list(enumerate(self.tuning.all_repeats, int(self.repeats > 1))) if self.tuning is not None else []
        )

    @property
    def trial_numbers(self) -> dict[str, int]:
        """How many trials it has, those of tuning apart, without listing them."""
        tuning = self.tuning.trial_count if self.tuning is not None else 0
        return {"trials": len(self.arms) * len(self.seeds) * self.repeats, "tuning trials": tuning}

    def trials(self) -> list[Trial]:
        """Seed by seed, so that every arm of a seed meets the machine in the same mood; each with every
        repeat's rate.
        """
        found: list[tuple[int, Mapping[str, float]]] = [
            (repeat, one.best) for repeat, one in self._rounds
        ] or [(0, {})]
        return [
            Trial(_at(arm, best.get(arm.label, arm.lr)), seed, "report", repeat)
            for seed in self.seeds
            for repeat, best in found
            for arm in self.arms
        ]

    def tuning_trials(self) -> list[Trial]:
        """Every rate of every arm on every tuning seed; the control is not tuned, it takes the baseline's
        rate.
        """
        return [
            Trial(_at(self.arm(label), rate), seed, "tune", repeat)
            for repeat, one in self._rounds
            for seed in one.seeds
            for label, rates in one.rates.items()
            for rate in rates
        ]

    def closer_trials(self) -> list[Trial]:
        """The trials of tuning's second round, as many as they will be; their rates are not known yet."""
        return [
            Trial(self.arm(label), seed, "tune", repeat)
            for repeat, one in self._rounds
            for seed in one.seeds
            for label in one.rates
            for _ in range(self.tuning.closer if self.tuning is not None else 0)
        ]

    def with_rates(self, rates: Sequence[Mapping[str, float]]) -> Comparison:
        """The same question with the learning rates that tuning found, by arms' labels, one mapping for each
        repeat.
        """
        if self.tuning is not None and self.tuning.repeats:
            return dataclasses.replace(self, tuning=self.tuning.with_best(rates))
        arms = tuple(_at(arm, rates[0].get(arm.label, arm.lr)) for arm in self.arms)
        return dataclasses.replace(self, arms=arms)

    def arm(self, label: str) -> Arm:
        """The arm of that label; raises :class:`ComparisonError` listing those that exist."""
        for arm in self.arms:
            if arm.label == label:
                return arm
        raise ComparisonError(
            f"there is no arm '{label}'; there are {', '.join(arm.label for arm in self.arms)}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dump``."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Comparison:
        """The inverse of :meth:`to_json`; raises :class:`ComparisonError` for anything else."""
        try:
            arms = tuple(
                Arm(
                    **{
                        **arm,
                        "strategy": Part(**arm["strategy"]),
                        "optimizer": Part(**arm["optimizer"]),
                        "hyperparameters": {
                            key: _untupled(value) for key, value in arm["hyperparameters"].items()
                        },
                    }
                )
                for arm in values["arms"]
            )
            rest = {
                "arms": arms,
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


def _at(arm: Arm, rate: float) -> Arm:
    """The arm at this learning rate."""
    return arm if arm.lr == rate else dataclasses.replace(arm, lr=rate)


def _untupled(value: Any) -> Any:
    return tuple(map(_untupled, value)) if isinstance(value, list) else value


def _refuse_duplicates(arms: tuple[Arm, ...]) -> None:
    contents: dict[str, str] = {}
    labels = set()
    for arm in arms:
        content = arm.content
        if content is not None and content in contents:
            raise ComparisonError(
                f"arms {contents[content]} and {arm.label} are the same; leave one out or change a setting"
            )
        if arm.label in labels:
            raise ComparisonError(
                f"two arms are called {arm.label}; give their classes or functions different names"
            )
        if content is not None:
            contents[content] = arm.label
        labels.add(arm.label)
