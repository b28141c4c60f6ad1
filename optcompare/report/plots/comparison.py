"""The comparison plot: the loss of every arm against epochs, updates and training time, and the paths of the weights."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ...core.columns import trial_key
from . import scales, style
from .builtin_panels import PanelRow
from .curves import COLUMNS, SIGNS, X, arm_curves, draw_loss, loss_limits, trial_counts, with_status
from .panel import Panel
from .paths import Maps, arm_path
from .style import LEFT, MARGIN, WIDTH, Sheet

PANEL, BELOW, GAP, BESIDE = 2.9, 0.75, 0.32, 1.75
"""Inches: the height of the loss panels, of what stands below them, the gap between them, the most room for names."""
KEY, TEXT = WIDTH - LEFT - MARGIN, 72 * (WIDTH - 2 * MARGIN)
"""The widest key in inches, the longest line of text in points."""
MOST = 3
"""The most further panels on the comparison plot."""
OWN_ORDER = "*"
"""Stands after the name of an arm whose batches left the shared order."""
LINE = 1.2 * style.SMALL
"""The height of a line of a name, in points."""


@dataclass(frozen=True)
class Name:
    """An arm's name as it is ``shown`` in one line, or in ``lines``, with a note on what went wrong ('' for nothing).

    ``end`` is where the median line ends: epochs and metric.
    """

    arm: str
    shown: str
    lines: list[str]
    note: str
    end: tuple[float, float]

    @property
    def written(self) -> list[str]:
        """The lines, the note last."""
        return [*self.lines, self.note] if self.note else self.lines

    @property
    def text(self) -> str:
        """Name and note in one line, no wider than a key's."""
        text = f"{self.shown} ({self.note})" if self.note else self.shown
        return style.shortened(text, 72 * (KEY - style.KEY_HANDLE), style.SMALL)

    @property
    def width(self) -> float:
        """The widest line, in points."""
        return max(style.text_width(line, style.SMALL) for line in self.written)

    @property
    def height(self) -> float:
        """All lines and a little air, in points."""
        return LINE * len(self.written) + 3


def what_was_shared(records: pd.DataFrame, trials: pd.DataFrame) -> str:
    """'10 seeds, identical weights and sample order': what all arms of a seed had in common.

    A fingerprint in the trials that differs between the arms of a seed takes back what it contradicts.
    """
    counts = records.groupby("arm")["seed"].nunique()
    if counts.empty:
        return "Nothing was measured"
    fewest, most = counts.min(), counts.max()
    seeds = f"{most:,} seed{'s' * bool(most > 1)}" if fewest == most else f"{fewest:,} to {most:,} seeds"
    seeds += f" at the rates of {records['repeat'].nunique():,} tuning repeats" if "repeat" in records else ""
    epochs = ["epochs_begun"] if "epochs_begun" in trials else []  # a trial that ended early saw the order of fewer
    prints = (("weights", "weights_sha256", ["seed"]), ("sample order", "order_sha256", ["seed", *epochs]))
    shared = [
        what
        for what, column, alike in prints
        if column not in trials or (trials.groupby(alike)[column].nunique() <= 1).all()
    ]
    return f"{seeds}, identical {' and '.join(shared)}" if shared and len(counts) > 1 else seeds


def what_is_drawn(records: pd.DataFrame, trials: pd.DataFrame) -> str:
    """The workload, what thick, thin and marked lines mean, and which arms have no line."""
    workloads = list(records["workload"].unique()) if "workload" in records else []
    parts = [f"Workload {', '.join(workloads)}."] if workloads else []
    most, what = trial_counts(records).max() if len(records) else 0, style.what_counts(records)
    if most > 1:
        thin = f"each {what[:-1]}" if most <= style.DRAWN else f"{style.drawn(most, what)} of an arm"
        parts.append(f"Thick lines: median over {what}; thin lines: {thin}.")
    ended, seen = set(records["status"].unique()), set(records["arm"].unique())
    signs = [sign + status for status, sign in SIGNS.items() if status in ended]
    if signs:
        parts.append(f"{', '.join(signs)} (last finite value).")
    if _own_orders(trials) & seen:
        parts.append(f"{OWN_ORDER} own order of samples.")
    unseen = [arm for arm in trials["arm"].unique() if arm not in seen] if len(trials) else []
    if unseen:
        parts.append(f"Without a measurement: {', '.join(unseen)}.")
    return " ".join(parts)


def _needed(records: pd.DataFrame, metric: str, xs: Sequence[X]) -> pd.DataFrame:
    """The columns that are drawn: the others need not be copied."""
    columns = {
        "workload",
        *trial_key(records),
        "mark",
        "status",
        "clock",
        "train_loss",
        metric,
        *(COLUMNS[x] for x in xs),
    }
    return records[[name for name in records.columns if name in columns]]


def _own_orders(trials: pd.DataFrame) -> set[str]:
    """The arms whose batches left the order that was offered to all."""
    if "rearranged" not in trials:
        return set()
    return set(trials.loc[trials["rearranged"].eq(True), "arm"])


def _reported(table: pd.DataFrame) -> pd.DataFrame:
    if "phase" not in table or (table["phase"] == "report").all():
        return table
    return table[table["phase"] == "report"]


def _name(rows: pd.DataFrame, trials: pd.DataFrame, arm: str, metric: str, x: X) -> Name:
    end = arm_curves(rows, x, metric).end
    key = trial_key(rows)
    rows = rows.drop_duplicates(key)
    known = [trials[trials["arm"] == arm], rows] if len(trials) else [rows]
    statuses = {
        tuple(trial): status for table in known for *trial, status in table[[*key, "status"]].itertuples(index=False)
    }
    ended, total = Counter(statuses.values()), len(statuses)
    notes = [
        f"{SIGNS.get(status, '')}{'' if count == total else f'{count:,} of {total:,} '}{status}"
        for status, count in ended.items()
        if status != "finished"
    ]
    shown = f"{arm}{OWN_ORDER}" if arm in _own_orders(trials) else arm
    lines = [shown]
    for before in ("@", "@:"):
        if max(style.text_width(line, style.SMALL) for line in lines) > 72 * (BESIDE - 0.6):
            lines = style.folded(shown, 72 * (BESIDE - 0.6), style.SMALL, before=before)
    return Name(arm, shown, lines, ", ".join(notes), end)


def _room_beside(names: Sequence[Name]) -> float:
    """The inches that the names need beside the first panel; 0 where they do not fit there."""
    if not names or any("…" in "".join(name.lines) for name in names):
        return 0.0
    height = sum(name.height for name in names)
    room = max(name.width for name in names) / 72 + 0.6
    return room + 0.1 if room <= BESIDE and height <= 72 * PANEL else 0.0


def comparison_figure(
    records: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    paths: pd.DataFrame | None = None,
    metric: str = "train_loss",
    xs: Sequence[X] = ("epochs", "updates", "seconds"),
    title: str | None = None,
    subtitle: str | None = None,
    note: str | None = None,
    panels: Sequence[tuple[str, Panel, pd.DataFrame]] = (),
    colours: Mapping[str, str] | None = None,
) -> Figure:
    """The comparison as one figure, 10 inches wide: the loss of every arm against epochs, updates and training time.

    ``xs``: other axes, or fewer.

    ``records`` and ``trials`` are those of a run directory; with ``paths`` (see :func:`.paths.draw_paths`) a second
    part shows the weights' way over the loss; the first three of ``panels``, each with its name and its table, stand
    in a row between them. ``title`` and ``subtitle`` replace what is said by default: how many
    seeds, what they shared, and what the lines mean; ``note`` is added to the latter. Saving is left to the caller:
    ``figure.savefig(path)``.
    """
    trials = _reported(trials)
    records = with_status(_needed(_reported(records), metric, xs), trials)
    seen = list(records["arm"].unique())
    looks = style.arm_colours(seen) if colours is None else colours
    colours = {arm: looks[arm] for arm in seen}
    names = [_name(records[records["arm"] == arm], trials, arm, metric, xs[0]) for arm in colours]
    room = _room_beside(names)
    heading = style.folded(what_was_shared(records, trials) if title is None else title, TEXT, style.LARGE, "bold")
    said = what_is_drawn(records, trials) if subtitle is None else subtitle
    said += f" {note[:1].upper()}{note[1:]}." if note else ""
    if len(panels) > MOST:
        said += f" Further panels: {', '.join(name for name, _, _ in panels[MOST:])}."
    caption = style.folded(said.strip(), TEXT, style.SMALL)
    walked = {} if paths is None else {arm: colour for arm, colour in colours.items() if len(arm_path(paths, arm))}
    maps = Maps(paths, walked) if paths is not None and walked else None
    panels_top = 0.38 + 0.24 * len(heading) + 0.17 * len(caption)
    key_top = panels_top + PANEL + BELOW
    row_top = key_top + (0.0 if room else 0.25 + style.key_height([name.text for name in names], KEY))
    row = PanelRow(panels[:MOST], colours) if panels else None
    maps_top = row_top + (row.height if row else 0.0)
    with style.plain():
        sheet = Sheet(WIDTH, maps_top + (maps.height if maps else 0.0))
        sheet.text(MARGIN, 0.15, "\n".join(heading), size=style.LARGE, weight="bold", va="top")
        sheet.text(MARGIN, 0.22 + 0.24 * len(heading), "\n".join(caption), style.MUTED, va="top")
        first = _draw_panels(sheet, panels_top, room, records, metric, colours, xs)
        if room:
            _write_names(sheet, first, panels_top, names, colours)
        else:
            _draw_names_key(sheet, key_top, names, colours)
        if row:
            row.draw(sheet, row_top)
        if maps:
            maps.draw(sheet, maps_top)
    return sheet.figure


def paths_figure(records: pd.DataFrame, paths: pd.DataFrame, colours: Mapping[str, str] | None = None) -> Figure:
    """The paths of the weights alone, in the colours that the arms have in the comparison."""
    seen = list(_reported(records)["arm"].unique())
    looks = style.arm_colours(seen) if colours is None else colours
    colours = {arm: looks[arm] for arm in seen}
    maps = Maps(paths, {arm: colour for arm, colour in colours.items() if len(arm_path(paths, arm))})
    with style.plain():
        sheet = Sheet(WIDTH, maps.height + 0.2)
        maps.draw(sheet, 0.2)
    return sheet.figure


def _draw_panels(
    sheet: Sheet,
    top: float,
    room: float,
    records: pd.DataFrame,
    metric: str,
    colours: Mapping[str, str],
    xs: Sequence[X],
) -> Axes:
    """The loss over each of ``xs`` on one axis; returns the first axes, to whose right ``room`` inches are left."""
    limits = loss_limits(records, metric)
    gaps, left = [room or GAP, *[GAP] * (len(xs) - 2)], scales.left_of(limits)
    width = (WIDTH - left - MARGIN - sum(gaps)) / len(xs)
    first = sheet.axes(left, top, width, PANEL)
    draw_loss(first, records, x=xs[0], metric=metric, colours=colours, limits=limits)
    first.yaxis.set_label_coords((style.Y_NAME - left) / width, 0.5)
    for gap, x in zip(gaps, xs[1:], strict=False):
        left += width + gap
        ax = sheet.axes(left, top, width, PANEL, share=first)
        draw_loss(ax, records, x=x, metric=metric, colours=colours, limits=limits).set_ylabel("")
        ax.tick_params(axis="y", which="both", labelleft=False)
    for ax in sheet.figure.axes:
        # Where the label stands by itself depends on the height of the tick labels, which differ.
        ax.xaxis.set_label_coords(0.5, -0.27 / PANEL)
    return first


def _draw_names_key(sheet: Sheet, top: float, names: Sequence[Name], colours: Mapping[str, str]) -> None:
    entries: list[style.Entry] = []
    for name in names:
        colour = colours[name.arm]
        entries.append((name.text, style.text_colour(colour), style.sample(colour, 2.2)))
    style.draw_key(sheet, LEFT, top, KEY, entries)


def _write_names(sheet: Sheet, ax: Axes, top: float, names: Sequence[Name], colours: Mapping[str, str]) -> None:
    """Writes each name to the right of the axes, as near to its line's end as the others let it, joined to it."""
    to_axes = ax.transScale + ax.transLimits
    ends = [to_axes.transform(name.end) if math.isfinite(name.end[1]) else np.array([0.0, 1.0]) for name in names]
    heights = [name.height / 72 for name in names]
    places = style.dodge([PANEL * float(np.clip(y, 0, 1)) for _, y in ends], heights, 0.0, PANEL)
    sample = 0.3
    right = ax.get_position().x1 * WIDTH
    for name, (x, y), place in zip(names, ends, places, strict=True):
        colour, height, text = colours[name.arm], top + PANEL - place, right + 0.2 + sample
        if x > 0.97 and 0 <= y <= 1:
            sheet.line([right, right + 0.16], [top + PANEL * (1 - y), height], color=colour, linewidth=0.8)
        ends = [text - sample, text - sample / 2 - 0.025, text - 0.05]
        sheet.line(ends, [height] * 3, **style.sample(colour))
        for i, line in enumerate(name.written):
            middle = height + (LINE * (i + 0.5) - (name.height - 3) / 2) / 72
            hue = style.text_colour(colour) if i < len(name.lines) else style.MUTED
            sheet.text(text, middle, line, hue, va="center_baseline")
