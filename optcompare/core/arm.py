"""Describe arms, and trials (one arm with one seed), as pure data."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ..errors import ComparisonError, printable
from .bounds import check_count
from .choices import LrScaling

Phase = Literal["report", "tune"]


@dataclass(frozen=True)
class Part:
    """Name an ingredient: a workload, a strategy, an optimizer or a diagnostic.

    Args:
        label: Its name in tables and figures.
        reference: The spec that makes it again; None where it was passed as an object.
    """

    label: str
    reference: str | None

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", printable(self.label))


@dataclass(frozen=True)
class Arm:
    """Describe one arm, with everything that was resolved for it.

    Args:
        label: Its name in tables and figures, unique in a comparison.
        strategy: How an epoch's samples become batches.
        optimizer: How a gradient becomes an update.
        hyperparameters: The hyperparameters of the optimizer, without the learning rate and without defaults.
        lr: The learning rate of its first update.
        chunk: Rows in one forward pass of training; larger batches accumulate gradients.
        lr_scaling: How the reference rate was scaled to the batch size.
        schedule: How the rate changes from ``lr`` on, as in :mod:`optcompare.core.schedule`.
        clip: The norm to which larger gradients are scaled down; None: gradients stay as they are.

    Raises:
        ComparisonError: A number is not in its range.
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
        """A text that is the same for arms that train the same, whatever their labels.

        None where the strategy or the optimizer is an object without a spec.
        """
        if self.strategy.reference is None or self.optimizer.reference is None:
            return None
        values = sorted(self.hyperparameters.items())
        return repr((self.strategy, self.optimizer, values, self.lr, self.chunk, self.schedule, self.clip))

    def at(self, lr: float) -> Arm:
        """Return the arm with another learning rate.

        Args:
            lr: The learning rate.

        Returns:
            This arm where the rate is its own, else a copy.
        """
        return self if self.lr == lr else dataclasses.replace(self, lr=lr)

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Arm:
        """Read an arm from the values that ``dataclasses.asdict`` gives.

        Args:
            values: One for each field, with lists in place of tuples.

        Returns:
            The arm.
        """
        hyperparameters = {name: _tuples(value) for name, value in values["hyperparameters"].items()}
        parts = {name: Part(**values[name]) for name in ("strategy", "optimizer")}
        return cls(**{**values, **parts, "hyperparameters": hyperparameters})

    def __hash__(self) -> int:
        return hash((self.label, self.lr))  # a mapping of hyperparameters has no hash


@dataclass(frozen=True)
class Trial:
    """Name one arm with one seed.

    Tuning trials try other learning rates, on seeds of their own, before the trials of the report.

    Args:
        arm: The arm to train.
        seed: The seed of the initial weights and of the order of samples.
        phase: "report", or "tune" for a trial of tuning.
        repeat: Where arms are tuned several times, the number of the tuning that it belongs to, or whose
            rate it has, from 1 on; else 0.
    """

    arm: Arm
    seed: int
    phase: Phase = "report"
    repeat: int = 0

    @property
    def name(self) -> str:
        """Name the trial in words: 'mini:32, seed 3', with the tuning repeat where there are several."""
        return f"{self.arm.label}, seed {self.seed}{f', repeat {self.repeat}' if self.repeat else ''}"


def check_arms(arms: Sequence[Arm]) -> None:
    """Check that no two arms train the same or have the same label.

    Args:
        arms: The arms of one comparison.

    Raises:
        ComparisonError: Two do, or there is no arm.
    """
    if not arms:
        raise ComparisonError(
            "a comparison needs at least one arm; give --strategies, such as full,mini, and --optimizers, "
            "such as sgd"
        )
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


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
