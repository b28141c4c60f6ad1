"""Check the training of arms: budgets, tuning, trainers, running averages, random numbers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from ..core.budget import Budget, Unit
from ..core.formatting import percent
from .check_data import CheckData
from .phrases import count

MOST_REMAINING = 0.05
"""The largest share of the initial running averages that may be left when a trial ends."""
_TRAINERS = {
    "loop": "in the loop",
    "lanes": "in lanes",
    "lanes+loop": "begun in lanes, ended in the loop",
}


@dataclass(frozen=True)
class EqualBudgets(CheckData):
    """Hold the amounts that finished trials spent of the budget.

    Attributes:
        unit: The unit of all amounts: epochs, updates, samples or seconds.
        amount: The amount of the budget.
        goal: The goal at which trials stop; empty for none.
        finished: The number of finished trials.
        at_goal: The number of finished trials that stopped at the goal.
        last_at_goal: The most that one of these spent; 0 without one.
        low: The least that any other finished trial spent; None without one.
        high: The most that any other finished trial spent; None without one.
        leapt: The least that a trial spent if its next update, of several passes, would have exceeded the
            budget; None without such a trial.
        unended: The number of trials that did not finish.
    """

    name = "equal budgets"
    unit: Unit
    amount: float
    goal: str
    finished: int
    at_goal: int
    last_at_goal: float
    low: float | None
    high: float | None
    leapt: float | None
    unended: int

    @property
    def held(self) -> bool:
        """Return whether no trial exceeded the budget, and all spent the same if that is possible."""
        return self.last_at_goal <= self.amount and self._alike()

    def _alike(self) -> bool:
        if self.low is None or self.high is None:
            return True
        if self.unit in ("epochs", "updates"):
            return self.low == self.high == self.amount
        return self.unit == "seconds" or self.high <= self.amount

    def sentence(self) -> str:
        """Return the budget, and the amounts that were spent if they differ."""
        most = " at most" if self.goal else ""
        text = f"{Budget(self.unit, self.amount)}{most} for each of {count(self.finished, 'finished trial')}"
        text += f", of which {self.at_goal:,} stopped at their goal {self.goal} before" if self.goal else ""
        if self.low is not None and self.high is not None and self.low < self.high:
            spent = f"{self.low:,.6g} to {self.high:,.6g}"
            text += f", of which it used {spent}" if self.held else f"; spent: {spent}"
        if self.leapt is not None:
            text += f"; where an update takes several, at least {self.leapt:,.6g} were used"
        return text + (f"; {count(self.unended, 'trial')} ended before" if self.unended else "")


@dataclass(frozen=True)
class EqualTuning(CheckData):
    """Describe the trials that chose the learning rates.

    Attributes:
        rates: The number of rates that each arm tried, on each seed.
        seeds: The number of tuning seeds.
        repeats: The number of tuning repeats; 0: tuned once.
        samples: The cost of all these trials, in samples.
        seconds: The cost in seconds, to three digits, since the last digits depend on the order of addition.
        tried: The number of trials that did not fail, by the label of the arm.
    """

    name = "equal tuning"
    rates: int
    seeds: int
    repeats: int
    samples: int
    seconds: float
    tried: dict[str, int]

    @property
    def held(self) -> bool:
        """Return whether all arms have the same number of trials."""
        return len(set(self.tried.values())) == 1

    def sentence(self) -> str:
        """Return the number of rates of each arm, and the cost of tuning."""
        if not self.held:
            tried = (f"{number:,} of {arm}" for arm, number in self.tried.items())
            return f"trials that did not fail: {', '.join(tried)}"
        repeats = f" in each of {self.repeats} repeats, on grids shifted at random" if self.repeats else ""
        return (
            f"{self.rates} learning rates on {count(self.seeds, 'seed')} of their own for each arm{repeats}; "
            f"it cost {count(self.samples, 'sample')} and {self.seconds:.3g} s of training"
        )


@dataclass(frozen=True)
class TrainersAgree(CheckData):
    """Describe how far the first updates of lanes lie from those of the loop.

    Attributes:
        trials: The number of trials by the name of their trainer.
        checked: The number of lanes that were compared.
        apart: The largest difference, relative to the norm of the weights.
        tolerance: The largest that is allowed.
        engines: The number of trials by the engines that made their updates in lanes.
    """

    name = "fast and reference trainers agree"
    trials: dict[str, int]
    checked: int
    apart: float
    tolerance: float
    engines: dict[str, int] = field(default_factory=dict)

    @property
    def held(self) -> bool:
        """Return whether the difference is within the tolerance."""
        return self.apart <= self.tolerance

    def sentence(self) -> str:
        """Return the number of trials of each trainer, and the difference between both trainers."""
        parts = [f"{count(number, 'trial')} {_TRAINERS[trainer]}" for trainer, number in self.trials.items()]
        if self.engines:
            parts.append(", ".join(f"{number} run by {name}" for name, number in self.engines.items()))
        if self.trials.keys() - {"loop"}:
            parts.append(
                f"the first updates of {count(self.checked, 'lane')}, made by both, differ by at most "
                f"{self.apart:.1e} of the weights' norm (allowed: {self.tolerance:.0e})"
            )
        elif parts:
            parts.append("all by the reference trainer")
        return "; ".join(parts)


@dataclass(frozen=True)
class RunningAverages(CheckData):
    """Describe the running averages of the model with which losses are measured.

    Attributes:
        sample: The rows from which they are recalibrated before each measurement; None: not recalibrated.
        arm: The arm with the fewest updates; None if no trial finished, or nothing can be left.
        left: The share of their initial values that is left when that arm ends.
        forgets: Whether a single update removes the initial values completely.
    """

    name = "BatchNorm averages"
    sample: str | None
    arm: str | None
    left: float
    forgets: bool

    @property
    def held(self) -> bool:
        """Return whether little is left of the initial values."""
        return self.sample is not None or self.left <= MOST_REMAINING

    def sentence(self) -> str:
        """Return whether averages are recalibrated; if not, how much is left of their initial values."""
        if self.sample is not None:
            return (
                f"recalibrated before each measurement, for all arms, from {self.sample}; the raw_ columns "
                "hold what the averages of the training give"
            )
        if self.arm is None:
            forgotten = "; after the first update nothing is left of their initial values"
            return f"not recalibrated{forgotten if self.forgets else ''}"
        share = f"of their initial values {percent(self.left)} is left at the end of {self.arm}"
        if self.held:
            return f"not recalibrated; {share}, the arm of the fewest updates"
        return f"not recalibrated, and {share}, whose losses are measured with that"


@dataclass(frozen=True)
class RandomNumbers(CheckData):
    """Describe the random numbers that arms share.

    Attributes:
        dataset: Whether samples are read from a ``Dataset``, which may draw random numbers for each.
        drawing: Labels of the arms whose updates draw random numbers.
    """

    name = "shared random numbers"
    dataset: bool
    drawing: list[str]
    _drawn: ClassVar[str] = "random numbers, such as dropout masks,"

    def sentence(self) -> str:
        """Describe the random numbers that all arms share."""
        parts = []
        if self.dataset:
            parts.append(
                "what a sample of the Dataset draws follows from seed, epoch and sample, alike for all arms"
            )
        if self.drawing:
            parts.append(
                f"updates of {', '.join(self.drawing)} draw {self._drawn} from one generator a trial, seeded "
                "alike for all arms of a seed: arms with the same batches draw the same, arms with other "
                "batch sizes draw others"
            )
        return "; ".join(parts)


@dataclass(frozen=True)
class OtherRandomNumbers(RandomNumbers):
    """Describe the random numbers that arms share, where dropout masks come from a counter."""

    name = "other shared random numbers"
    _drawn: ClassVar[str] = "other random numbers"


@dataclass(frozen=True)
class DropoutMasks(CheckData):
    """Describe dropout masks that are drawn from a counter.

    Attributes:
        layers: The kinds of layers, such as ``Dropout``.
    """

    name = "dropout masks"
    layers: list[str]

    def sentence(self) -> str:
        """Return what the masks depend on."""
        return (
            f"masks of {', '.join(self.layers)} come from a counter (Threefry), by seed, update and layer, "
            "alike in lanes and in the loop; arms with the same batches draw the same, arms with other batch "
            "sizes draw others"
        )
