"""Checks of how arms were trained: budgets, tuning, trainers, running averages, random numbers."""

from __future__ import annotations

from dataclasses import dataclass

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
    """What finished trials spent of the budget.

    Attributes:
        unit: Of all amounts: epochs, updates, samples or seconds.
        amount: The budget.
        goal: Where trials stop at their goal, that goal, else empty.
        finished: How many trials finished.
        at_goal: How many of these stopped at the goal.
        last_at_goal: The most that one of these spent; 0 without one.
        low: The least that any other finished trial spent; None without one.
        high: The most.
        leapt: The least that a trial spent whose next update, of several passes, would have exceeded the
            budget; None without one.
        unended: How many trials did not finish.
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
        """Whether no trial exceeded the budget, and all spent the same where that is possible."""
        return self.last_at_goal <= self.amount and self._alike()

    def _alike(self) -> bool:
        if self.low is None or self.high is None:
            return True
        if self.unit in ("epochs", "updates"):
            return self.low == self.high == self.amount
        return self.unit == "seconds" or self.high <= self.amount

    def sentence(self) -> str:
        """Return the budget, and what was spent where that is not the same."""
        most = " at most" if self.goal else ""
        said = f"{Budget(self.unit, self.amount)}{most} for each of {count(self.finished, 'finished trial')}"
        said += f", of which {self.at_goal:,} stopped at their goal {self.goal} before" if self.goal else ""
        if self.low is not None and self.high is not None and self.low < self.high:
            spent = f"{self.low:,.6g} to {self.high:,.6g}"
            said += f", of which it used {spent}" if self.held else f"; spent: {spent}"
        if self.leapt is not None:
            said += f"; where an update takes several, at least {self.leapt:,.6g} were used"
        return said + (f"; {count(self.unended, 'trial')} ended before" if self.unended else "")


@dataclass(frozen=True)
class EqualTuning(CheckData):
    """Trials that chose the learning rates.

    Attributes:
        rates: How many each arm tried, on each seed.
        seeds: How many tuning seeds there are.
        repeats: How often tuning was repeated; 0 where it was done once.
        samples: The cost of all these trials, in samples.
        seconds: Likewise, to three digits: the last ones depend on the order of addition.
        tried: How many trials did not fail, by the label of the arm.
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
        """Whether all arms have as many trials."""
        return len(set(self.tried.values())) == 1

    def sentence(self) -> str:
        """Return what each arm tried, and what it cost."""
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
    """How far the first updates of lanes lie from those of the loop.

    Attributes:
        trials: How many each trainer trained, by its name.
        checked: How many lanes were compared.
        apart: The largest difference, relative to the norm of the weights.
        tolerance: The largest that is allowed.
    """

    name = "fast and reference trainers agree"
    trials: dict[str, int]
    checked: int
    apart: float
    tolerance: float

    @property
    def held(self) -> bool:
        """Whether the difference is allowed."""
        return self.apart <= self.tolerance

    def sentence(self) -> str:
        """Return who trained how many trials, and how far both are apart."""
        parts = [f"{count(number, 'trial')} {_TRAINERS[trainer]}" for trainer, number in self.trials.items()]
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
    """With which running averages of the model losses are measured.

    Attributes:
        sample: The rows from which they are recalibrated before each measurement; None where they are not.
        arm: The arm of the fewest updates; None where no trial finished, or nothing can be left.
        left: The share of their initial values that is left when that arm ends.
        forgets: Whether a single update leaves nothing of the initial values.
    """

    name = "BatchNorm averages"
    sample: str | None
    arm: str | None
    left: float
    forgets: bool

    @property
    def held(self) -> bool:
        """Whether little is left of the initial values."""
        return self.sample is not None or self.left <= MOST_REMAINING

    def sentence(self) -> str:
        """Return whether averages are recalibrated, and what is left of their initial values otherwise."""
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
    """Random numbers that arms have in common.

    Attributes:
        dataset: Whether samples are read from a ``Dataset``, which may draw random numbers for each.
        drawing: Labels of the arms whose updates draw random numbers.
    """

    name = "shared random numbers"
    dataset: bool
    drawing: list[str]

    def sentence(self) -> str:
        """Return which generators are seeded alike."""
        parts = []
        if self.dataset:
            parts.append(
                "what a sample of the Dataset draws follows from seed, epoch and sample, alike for all arms"
            )
        if self.drawing:
            parts.append(
                f"updates of {', '.join(self.drawing)} draw random numbers, such as dropout masks, from one "
                "generator a trial, seeded alike for all arms of a seed: arms with the same batches draw the "
                "same, arms with other batch sizes draw others"
            )
        return "; ".join(parts)
