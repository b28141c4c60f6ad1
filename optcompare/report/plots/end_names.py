"""Write the names of arms at the ends of their lines, with what went wrong."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from ...core.columns import trial_key
from . import style
from .curves import SIGNS, X, arm_curves
from .style import Sheet

BESIDE = 1.75
"""The greatest width for names, in inches."""
OWN_ORDER = "*"
"""The sign after the name of an arm whose batches left the shared order of samples."""
LINE = 1.2 * style.SMALL
"""The height of a line of a name, in points."""


@dataclass(frozen=True)
class Name:
    """Hold the name of an arm as it is drawn.

    Attributes:
        arm: The label of the arm.
        shown: The name in one line.
        lines: The name in lines.
        note: What went wrong; empty for nothing.
        end: The end of the median line, (x, metric).
        clock: The clock of its seconds, if arms differ.
    """

    arm: str
    shown: str
    lines: list[str]
    note: str
    end: tuple[float, float]
    clock: str = ""

    @property
    def written(self) -> list[str]:
        """Return the lines of the name, followed by the notes."""
        return [*self.lines, *filter(None, [self.note, self.clock])]

    @property
    def text(self) -> str:
        """Return name and notes in one line."""
        notes = ", ".join(filter(None, [self.note, self.clock]))
        return f"{self.shown} ({notes})" if notes else self.shown

    @property
    def width(self) -> float:
        """Return the width of the widest line, in points."""
        return max(style.text_width(line, style.SMALL) for line in self.written)

    @property
    def height(self) -> float:
        """Return the height of all lines and a little space, in points."""
        return LINE * len(self.written) + 3


def own_orders(trials: pd.DataFrame) -> set[str]:
    """Return the arms whose batches left the shared order of samples.

    Args:
        trials: The report's trials.
    """
    if "rearranged" not in trials:
        return set()
    return set(trials.loc[trials["rearranged"].eq(True), "arm"])


def name_of(rows: pd.DataFrame, trials: pd.DataFrame, arm: str, metric: str, x: X, clock: str = "") -> Name:
    """Make the name of an arm.

    Args:
        rows: The records of the arm, with a column ``status``.
        trials: The report's trials.
        arm: The label of the arm.
        metric: The column of its line.
        x: The quantity on the x axis.
        clock: The clock of its seconds, if arms differ.
    """
    end = arm_curves(rows, x, metric).end
    key = trial_key(rows)
    rows = rows.drop_duplicates(key)
    known = [trials[trials["arm"] == arm], rows] if len(trials) else [rows]
    statuses = {
        tuple(trial): status
        for table in known
        for *trial, status in table[[*key, "status"]].itertuples(index=False)
    }
    ended, total = Counter(statuses.values()), len(statuses)
    notes = [
        f"{SIGNS.get(status, '')}{'' if count == total else f'{count:,} of {total:,} '}{status}"
        for status, count in ended.items()
        if status != "finished"
    ]
    shown = f"{arm}{OWN_ORDER}" if arm in own_orders(trials) else arm
    lines = [shown]
    for before in ("@", "@:"):
        if max(style.text_width(line, style.SMALL) for line in lines) > 72 * (BESIDE - 0.6):
            lines = style.folded(shown, 72 * (BESIDE - 0.6), style.SMALL, before=before)
    return Name(arm, shown, lines, ", ".join(notes), end, clock)


def room_beside(names: Sequence[Name], panel: float) -> float:
    """Return the inches that the names need to the right of a panel; 0 if they do not fit.

    Args:
        names: The names of the arms.
        panel: The height of the panel in inches.
    """
    if not names or any("…" in "".join(name.lines) for name in names):
        return 0.0
    height = sum(name.height for name in names)
    room = max(name.width for name in names) / 72 + 0.6
    return room + 0.1 if room <= BESIDE and height <= 72 * panel else 0.0


def write_names(sheet: Sheet, ax: Axes, names: Sequence[Name], colours: Mapping[str, str]) -> None:
    """Write each name to the right of the axes, near the end of its line, and join both.

    Args:
        sheet: The figure to draw on.
        ax: The axes to draw on.
        names: The names of the arms.
        colours: The colours by arm.
    """
    box = ax.get_position()
    panel, top = float(box.height) * sheet.height, (1 - float(box.y1)) * sheet.height
    to_axes = ax.transScale + ax.transLimits
    ends = [
        to_axes.transform(name.end) if math.isfinite(name.end[1]) else np.array([0.0, 1.0]) for name in names
    ]
    heights = [name.height / 72 for name in names]
    places = style.dodge([panel * float(np.clip(y, 0, 1)) for _, y in ends], heights, 0.0, panel)
    sample = 0.3
    right = ax.get_position().x1 * sheet.width
    for name, (x, y), place in zip(names, ends, places, strict=True):
        colour, height, text = colours[name.arm], top + panel - place, right + 0.2 + sample
        if x > 0.97 and 0 <= y <= 1:
            sheet.line([right, right + 0.16], [top + panel * (1 - y), height], color=colour, linewidth=0.8)
        line = [text - sample, text - sample / 2 - 0.025, text - 0.05]
        sheet.line(line, [height] * 3, **style.sample(colour))
        for i, written in enumerate(name.written):
            middle = height + (LINE * (i + 0.5) - (name.height - 3) / 2) / 72
            hue = style.text_colour(colour) if i < len(name.lines) else style.MUTED
            sheet.text(text, middle, written, hue, va="center_baseline")
