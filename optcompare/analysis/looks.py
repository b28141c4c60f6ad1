"""Looks: verdicts on sets of trials that were not seen before.

Each has a level, and none forgets what was compared earlier.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd

from .error_rate import look_level

_NUMBERS = ("seed", "repeat", "split", "updates", "samples")
_TEXTS = ("status", "batches_sha256", "final_sha256")


class Contrast(NamedTuple):
    """One comparison: an arm with its baseline in a measure, such as ``final valid_loss`` or ``samples to
    train_loss=1``.
    """

    arm: str
    baseline: str
    measure: str


class Claim(NamedTuple):
    """What was claimed: that the arm ends ``lower`` or ``higher``, needs ``fewer`` or ``more`` samples, or is
    ``equal``.
    """

    contrast: Contrast
    says: str


@dataclass(frozen=True)
class PastLook:
    """A verdict that was given.

    Attributes:
        trials: The fingerprint of the trials that it was on; see :func:`fingerprint_of`.
        seeds: How many they had.
        shown: The comparisons that it made.
        claims: Which of them it claimed.
        counted: Whether anything could have been claimed from so few trials; else no chance of a false claim
        was spent.
    """

    trials: str
    seeds: int
    shown: tuple[Contrast, ...]
    claims: tuple[Claim, ...] = ()
    counted: bool = True

    def to_json(self) -> dict[str, Any]:
        """Plain values for ``json.dumps``."""
        claims = [[*claim.contrast, claim.says] for claim in self.claims]
        return {
            "trials": self.trials,
            "seeds": self.seeds,
            "counted": self.counted,
            "shown": [list(t) for t in self.shown],
            "claims": claims,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PastLook:
        """The inverse of :meth:`to_json`.

        Raises:
            KeyError, TypeError, ValueError: The values are something else.
        """
        return cls(
            str(values["trials"]),
            int(values["seeds"]),
            tuple(Contrast(*map(str, each)) for each in values["shown"]),
            tuple(Claim(Contrast(*map(str, each[:3])), str(each[3])) for each in values["claims"]),
            bool(values["counted"]),
        )

    def joined(self, other: PastLook) -> PastLook:
        """With what another look at the same trials compared and claimed."""
        shown = tuple(dict.fromkeys([*self.shown, *other.shown]))
        claims = tuple(dict.fromkeys([*self.claims, *other.claims]))
        return PastLook(self.trials, self.seeds, shown, claims, self.counted or other.counted)

    def relabelled(self, labels: Mapping[str, str]) -> PastLook:
        """With other labels of arms, where ``labels`` has some."""

        def renamed(contrast: Contrast) -> Contrast:
            return Contrast(
                labels.get(contrast.arm, contrast.arm),
                labels.get(contrast.baseline, contrast.baseline),
                contrast.measure,
            )

        claims = tuple(Claim(renamed(claim.contrast), claim.says) for claim in self.claims)
        return PastLook(self.trials, self.seeds, tuple(map(renamed, self.shown)), claims, self.counted)


@dataclass(frozen=True)
class Look:
    """The look that a verdict is.

    Attributes:
        past: The looks before it at these trials, or at some of them.
        recorded: Whether looks at these trials are recorded at all.
        withheld: Why nothing may be claimed; empty where it may.
        shown: What was compared at a look at these very trials.
    """

    past: tuple[PastLook, ...] = ()
    recorded: bool = False
    withheld: str = ""
    shown: tuple[Contrast, ...] = ()

    @property
    def number(self) -> int:
        """Which look it is, counting from 1 those at which something could have been claimed."""
        return 1 + sum(look.counted for look in self.past)

    @property
    def level(self) -> float:
        """The level of its tests."""
        return look_level(self.number)

    @property
    def family(self) -> tuple[Contrast, ...]:
        """All that was compared at these trials so far: it counts among the comparisons, so that a family
        never shrinks.
        """
        return tuple(
            dict.fromkeys([*(contrast for look in self.past for contrast in look.shown), *self.shown])
        )


FIRST_LOOK = Look()


@dataclass(frozen=True)
class History:
    """The looks that were recorded of trials, in their order.

    Attributes:
        looks: Each once.
        recorded: Whether all were recorded from the first on.
    """

    looks: tuple[PastLook, ...] = ()
    recorded: bool = False

    def look_at(self, trials: pd.DataFrame, withheld: str = "") -> Look:
        """The look that a verdict on these trials is.

        Args:
            trials: The report's trials.
            withheld: Why nothing may be claimed, if that is so.

        Returns:
            The recorded look at these very trials, where there is one: seeing them again is no other look.
            Else the next.
        """
        place = self._place(trials)
        shown = self.looks[place].shown if place < len(self.looks) else ()
        return Look(self.looks[:place], self.recorded, withheld, shown)

    def holds(self, trials: pd.DataFrame) -> bool:
        """Whether a look at these very trials is recorded."""
        return self._place(trials) < len(self.looks)

    def _place(self, trials: pd.DataFrame) -> int:
        seen = fingerprint_of(trials)
        return next(
            (number for number, look in enumerate(self.looks) if look.trials == seen), len(self.looks)
        )

    def together_with(self, other: History) -> History:
        """The looks of two runs; those at the same trials are one, with all that they compared, after all
        before it in both.
        """
        looks, rest = dict[str, PastLook](), list(other.looks)
        for look in self.looks:
            place = next((place for place, each in enumerate(rest) if each.trials == look.trials), None)
            if place is not None:
                looks |= {each.trials: each for each in rest[:place] if each.trials not in looks}
                look, rest = look.joined(rest[place]), rest[place + 1 :]
            looks[look.trials] = look.joined(looks[look.trials]) if look.trials in looks else look
        looks |= {each.trials: each for each in rest if each.trials not in looks}
        return History(tuple(looks.values()), self.recorded and other.recorded)

    def followed_by(self, look: PastLook, recorded: bool) -> History:
        """With one more look; ``recorded``: whether it could be recorded."""
        return History((*self.looks, look), self.recorded and recorded)

    def relabelled(self, labels: Mapping[str, str]) -> History:
        """With other labels of arms, where ``labels`` has some."""
        return History(tuple(look.relabelled(labels) for look in self.looks), self.recorded)


def fingerprint_of(trials: pd.DataFrame) -> str:
    """Return a fingerprint of what trials were and how they ended, whatever their order and the labels of
    their arms.
    """
    return hashlib.sha256("\n".join(sorted(trial_rows(trials))).encode()).hexdigest()


def trial_rows(trials: pd.DataFrame) -> list[str]:
    """What each trial was and how it ended, in a line of text, whatever the label of its arm."""
    numbers = [trials[name].astype("int64") for name in _NUMBERS if name in trials]
    columns = [*numbers, *(trials[name].fillna("") for name in _TEXTS if name in trials)]
    return ["\t".join(map(str, row)) for row in zip(*columns, strict=True)]
