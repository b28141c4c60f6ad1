"""The identity of a trial within a run."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from .comparison import Trial

if TYPE_CHECKING:
    import pandas as pd

_TEXT = re.compile(r"(\w+)(?:/(\d+))? (-?\d+) (\S+) (.*)", re.DOTALL)


class TrialKey(NamedTuple):
    """Identify a trial of a run.

    Attributes:
        phase: ``report`` or ``tune``.
        arm: The label of the arm.
        lr: The learning rate.
        seed: The seed.
        repeat: The tuning repeat, from 1; 0 where arms are not tuned several times.
    """

    phase: str
    arm: str
    lr: float
    seed: int
    repeat: int = 0

    @classmethod
    def of(cls, trial: Trial) -> TrialKey:
        """Return the key of a trial."""
        return cls(trial.phase, trial.arm.label, trial.arm.lr, trial.seed, trial.repeat)

    @classmethod
    def of_row(cls, row: Mapping[str, Any]) -> TrialKey:
        """Return the key of the trial that a row of the records or the trials table belongs to."""
        lr, seed, repeat = float(row["lr"]), int(row["seed"]), int(row.get("repeat", 0))
        return cls(row["phase"], row["arm"], lr, seed, repeat)

    @classmethod
    def of_rows(cls, table: pd.DataFrame) -> list[TrialKey]:
        """Return the key of each row of a table, in its order."""
        repeats = table["repeat"].tolist() if "repeat" in table else [0] * len(table)
        columns = (table[name].tolist() for name in ("phase", "arm", "lr", "seed"))
        return [cls(*values) for values in zip(*columns, repeats, strict=True)]

    def __str__(self) -> str:
        """Return the name of the trial in files of states: ``report 3 0.1 mini``, ``tune/2 3 0.1 mini``."""
        repeat = f"/{self.repeat}" if self.repeat else ""
        return f"{self.phase}{repeat} {self.seed} {self.lr!r} {self.arm}"

    @classmethod
    def parse(cls, text: str) -> TrialKey:
        """Return the key that ``str()`` gave as this text.

        Raises:
            ValueError: It is the text of no key.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise ValueError(f"{text[:60]!r} is not the key of a trial")
        phase, repeat, seed, lr, arm = match.groups()
        return cls(phase, arm, float(lr), int(seed), int(repeat or 0))
