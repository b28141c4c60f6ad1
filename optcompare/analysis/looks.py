"""Looks: verdicts on sets of trials that were not seen before.

Each look has a level, and counts the comparisons of all previous looks.
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
    """One comparison of an arm with its baseline.

    ``measure`` names what is compared, such as ``final valid_loss`` or ``samples to train_loss=1``.
    """

    arm: str
    baseline: str
    measure: str


class Claim(NamedTuple):
    """A claim about one comparison.

    ``direction`` is ``lower`` or ``higher`` for final values, ``fewer`` or ``more`` for samples, or
    ``equal``.
    """

    contrast: Contrast
    direction: str


@dataclass(frozen=True)
class PastLook:
    """Hold a previous verdict.

    Attributes:
        trials: The fingerprint of its trials; see :func:`fingerprint_of`.
        seeds: The number of seeds of its trials.
        shown: The comparisons that it made.
        claims: The claims that it made.
        counted: Whether its trials could have led to any claim; if not, it spent no chance of a false claim.
    """

    trials: str
    seeds: int
    shown: tuple[Contrast, ...]
    claims: tuple[Claim, ...] = ()
    counted: bool = True

    def to_json(self) -> dict[str, Any]:
        """Return plain values for ``json.dumps``."""
        claims = [[*claim.contrast, claim.direction] for claim in self.claims]
        return {
            "trials": self.trials,
            "seeds": self.seeds,
            "counted": self.counted,
            "shown": [list(t) for t in self.shown],
            "claims": claims,
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> PastLook:
        """Invert :meth:`to_json`.

        Args:
            values: The result of :meth:`to_json`, after a round trip through JSON.

        Raises:
            KeyError, TypeError, ValueError: The values are not those of a past look.
        """
        return cls(
            str(values["trials"]),
            int(values["seeds"]),
            tuple(Contrast(*map(str, each)) for each in values["shown"]),
            tuple(Claim(Contrast(*map(str, each[:3])), str(each[3])) for each in values["claims"]),
            bool(values["counted"]),
        )

    def joined(self, other: PastLook) -> PastLook:
        """Return this look with the comparisons and claims of another look at the same trials."""
        shown = tuple(dict.fromkeys([*self.shown, *other.shown]))
        claims = tuple(dict.fromkeys([*self.claims, *other.claims]))
        return PastLook(self.trials, self.seeds, shown, claims, self.counted or other.counted)

    def relabelled(self, labels: Mapping[str, str]) -> PastLook:
        """Return this look with the arms renamed that ``labels`` maps from old to new label."""

        def renamed(contrast: Contrast) -> Contrast:
            return Contrast(
                labels.get(contrast.arm, contrast.arm),
                labels.get(contrast.baseline, contrast.baseline),
                contrast.measure,
            )

        claims = tuple(Claim(renamed(claim.contrast), claim.direction) for claim in self.claims)
        return PastLook(self.trials, self.seeds, tuple(map(renamed, self.shown)), claims, self.counted)


@dataclass(frozen=True)
class Look:
    """Describe the look of a verdict.

    Attributes:
        past: The previous looks at these trials, or at some of them.
        recorded: Whether looks at these trials are recorded.
        withheld: Why nothing may be claimed; empty if claims may be made.
        shown: The comparisons of a previous look at exactly these trials.
    """

    past: tuple[PastLook, ...] = ()
    recorded: bool = False
    withheld: str = ""
    shown: tuple[Contrast, ...] = ()

    @property
    def number(self) -> int:
        """Return the number of this look, from 1; looks that could not lead to a claim do not count."""
        return 1 + sum(look.counted for look in self.past)

    @property
    def level(self) -> float:
        """Return the level of its tests."""
        return look_level(self.number)

    @property
    def family(self) -> tuple[Contrast, ...]:
        """Return all comparisons at these trials so far; all count as tests, so a family never shrinks."""
        return tuple(
            dict.fromkeys([*(contrast for look in self.past for contrast in look.shown), *self.shown])
        )


FIRST_LOOK = Look()


@dataclass(frozen=True)
class History:
    """Hold the recorded looks at some trials, in their order.

    Attributes:
        looks: Each look once.
        recorded: Whether all looks were recorded, from the first on.
    """

    looks: tuple[PastLook, ...] = ()
    recorded: bool = False

    def look_at(self, trials: pd.DataFrame, withheld: str = "") -> Look:
        """Return the look of a verdict on these trials.

        Args:
            trials: The report's trials.
            withheld: Why nothing may be claimed; empty if claims may be made.

        Returns:
            The recorded look at exactly these trials, if there is one, since seeing them again is no new
            look. Otherwise the next look.
        """
        index = self._index(trials)
        shown = self.looks[index].shown if index < len(self.looks) else ()
        return Look(self.looks[:index], self.recorded, withheld, shown)

    def holds(self, trials: pd.DataFrame) -> bool:
        """Return whether a look at exactly these trials is recorded."""
        return self._index(trials) < len(self.looks)

    def _index(self, trials: pd.DataFrame) -> int:
        """Return the index of the look at exactly these trials; the number of looks if there is none."""
        seen = fingerprint_of(trials)
        return next((index for index, look in enumerate(self.looks) if look.trials == seen), len(self.looks))

    def together_with(self, other: History) -> History:
        """Merge the looks of two runs.

        Two looks at the same trials become one, with the comparisons of both. It follows all looks that come
        before it in either run.
        """
        looks, rest = dict[str, PastLook](), list(other.looks)
        for look in self.looks:
            index = next((index for index, each in enumerate(rest) if each.trials == look.trials), None)
            if index is not None:
                looks |= {each.trials: each for each in rest[:index] if each.trials not in looks}
                look, rest = look.joined(rest[index]), rest[index + 1 :]
            looks[look.trials] = look.joined(looks[look.trials]) if look.trials in looks else look
        looks |= {each.trials: each for each in rest if each.trials not in looks}
        return History(tuple(looks.values()), self.recorded and other.recorded)

    def followed_by(self, look: PastLook, recorded: bool) -> History:
        """Return this history with one more look; ``recorded``: whether that look could be recorded."""
        return History((*self.looks, look), self.recorded and recorded)

    def relabelled(self, labels: Mapping[str, str]) -> History:
        """Return this history with the arms renamed that ``labels`` maps from old to new label."""
        return History(tuple(look.relabelled(labels) for look in self.looks), self.recorded)


def fingerprint_of(trials: pd.DataFrame) -> str:
    """Return a fingerprint of trials and how they ended.

    It does not depend on the order of the trials, nor on the labels of their arms.
    """
    return hashlib.sha256("\n".join(sorted(trial_rows(trials))).encode()).hexdigest()


def trial_rows(trials: pd.DataFrame) -> list[str]:
    """Describe each trial and how it ended in one line of text, without the label of its arm."""
    numbers = [trials[name].astype("int64") for name in _NUMBERS if name in trials]
    columns = [*numbers, *(trials[name].fillna("") for name in _TEXTS if name in trials)]
    return ["\t".join(map(str, row)) for row in zip(*columns, strict=True)]
