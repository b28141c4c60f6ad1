"""Learning-rate schedules: the factor of an update's rate, by the share of the budget spent before it.

The share of the budget is known for every arm, while an adaptive strategy does not know its number of updates
ahead. It is the share of updates if the budget is in updates, else the share of samples. If all batches have
the same size, the rates equal those of :mod:`torch.optim.lr_scheduler`; see each class. A schedule has no
state, so that checkpoints hold none, and rates do not depend on where a trial was interrupted.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from ..errors import SpecError
from .grammar import parse
from .parameters import as_spec, bind, parameters, suggestion


@dataclass(frozen=True)
class Constant:
    """The same rate throughout."""

    def __call__(self, share: float) -> float:
        return 1.0


@dataclass(frozen=True)
class Step:
    """Times ``gamma`` after each of equal parts of the budget but the last: StepLR with step_size T/parts.

    Attributes:
        gamma: The factor, positive.
        parts: The number of parts, at least 1.
    """

    gamma: float = 0.1
    parts: int = 3

    def __post_init__(self) -> None:
        if not 0 < self.gamma < math.inf:
            raise ValueError(f"gamma must be positive and finite, got {self.gamma:g}")
        if self.parts < 1:
            raise ValueError(f"parts must be at least 1, got {self.parts}")

    def __call__(self, share: float) -> float:
        return float(self.gamma ** min(math.floor(share * self.parts + 1e-9), self.parts - 1))


@dataclass(frozen=True)
class Cosine:
    """Half a cosine from 1 to ``floor``: CosineAnnealingLR with T_max=T and eta_min=floor·lr.

    Attributes:
        floor: The last factor, from 0 to 1.
    """

    floor: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.floor <= 1:
            raise ValueError(f"floor must lie between 0 and 1, got {self.floor:g}")

    def __call__(self, share: float) -> float:
        return self.floor + (1 - self.floor) * (1 + math.cos(math.pi * share)) / 2


@dataclass(frozen=True)
class WarmupCosine:
    """Linear from ``start`` to 1, then the cosine: SequentialLR of LinearLR and CosineAnnealingLR.

    Attributes:
        warmup: The share of the budget for the linear part, between 0 and 1.
        start: The first factor, above 0 and at most 1.
        floor: The last factor, from 0 to 1.
    """

    warmup: float = 0.1
    start: float = 0.01
    floor: float = 0.0

    def __post_init__(self) -> None:
        Cosine(self.floor)
        if not 0 < self.warmup < 1:
            raise ValueError(f"warmup is a share of the budget, between 0 and 1, got {self.warmup:g}")
        if not 0 < self.start <= 1:
            raise ValueError(f"start must be above 0 and at most 1, got {self.start:g}")

    def __call__(self, share: float) -> float:
        if share < self.warmup:
            return self.start + (1 - self.start) * share / self.warmup
        return Cosine(self.floor)((share - self.warmup) / (1 - self.warmup))


Schedule = Constant | Step | Cosine | WarmupCosine
SCHEDULES: dict[str, type[Schedule]] = {
    "none": Constant,
    "step": Step,
    "cosine": Cosine,
    "warmup-cosine": WarmupCosine,
}


def schedule_of(text: str) -> Schedule:
    """Return the schedule of a spec.

    Args:
        text: The spec, such as ``step:gamma=0.2``.

    Returns:
        The schedule: a function of the spent share of the budget, from 0 to 1, that returns the factor.

    Raises:
        SpecError: There is no such schedule, or a value does not fit.
    """
    spec = parse(text)
    kind = SCHEDULES.get(spec.name)
    if kind is None:
        hint = suggestion(spec.name, SCHEDULES) or f"; there are {', '.join(SCHEDULES)}"
        raise SpecError(f"there is no schedule '{spec.name}'{hint}")
    values = bind(parameters(kind), spec, kind="schedule")
    try:
        return kind(**values)
    except ValueError as error:
        raise SpecError(f"schedule {spec.name}: {error}") from error


def canonical_schedule(text: str) -> str:
    """Return the spec of a schedule without values that are defaults, so that equal schedules compare equal.

    Args:
        text: The spec of a schedule.

    Raises:
        SpecError: There is no such schedule, or a value does not fit.
    """
    schedule = schedule_of(text)
    defaults = asdict(type(schedule)())
    name = next(name for name, kind in SCHEDULES.items() if kind is type(schedule))
    return str(
        as_spec(name, {key: value for key, value in asdict(schedule).items() if value != defaults[key]})
    )


def depends_on_budget(text: str) -> bool:
    """Return whether an update's rate depends on the whole budget, so that a longer run is another trial.

    Args:
        text: The spec of a schedule.

    Raises:
        SpecError: There is no such schedule, or a value does not fit.
    """
    return not isinstance(schedule_of(text), Constant)
