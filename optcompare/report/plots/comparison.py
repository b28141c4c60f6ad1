"""Draw the comparison plot: metrics of every arm against epochs, updates and training time, and paths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ...analysis.statistics import sample_sentence
from ...core.columns import trial_key
from ...core.goal import ROWS_COLUMNS
from . import style
from .clocks import clock_notes
from .curves import COLUMNS, SIGNS, X, trial_counts, with_status
from .end_names import OWN_ORDER, Name, name_of, own_orders, room_beside, write_names
from .ends import STRIP, draw_ends, end_limits
from .key import Key
from .layout import margin, text_size
from .panel import Panel
from .panel_grid import draw_panels, grid_of, panel_height, place_name
from .panel_row import PanelRow
from .path_maps import Maps
from .path_tables import arm_path
from .picture import Picture
from .style import WIDTH, Sheet

MOST = 3
"""The largest number of further panels on the comparison plot."""


def what_was_shared(records: pd.DataFrame, trials: pd.DataFrame) -> str:
    """Describe what all arms of a seed share: ``10 seeds, identical weights and sample order``.

    What differs by the fingerprints of the trials is left out.

    Args:
        records: The report's records.
        trials: The report's trials.
    """
    counts = records.groupby("arm")["seed"].nunique()
    if counts.empty:
        return "Nothing was measured"
    fewest, most = counts.min(), counts.max()
    seeds = f"{most:,} seed{'s' * bool(most > 1)}" if fewest == most else f"{fewest:,} to {most:,} seeds"
    seeds += f" at the rates of {records['repeat'].nunique():,} tuning repeats" if "repeat" in records else ""
    # A trial that ended early saw the order of fewer epochs.
    epochs = ["epochs_begun"] if "epochs_begun" in trials else []
    prints = (("weights", "weights_sha256", ["seed"]), ("sample order", "order_sha256", ["seed", *epochs]))
    shared = [
        what
        for what, column, alike in prints
        if column not in trials or (trials.groupby(alike)[column].nunique() <= 1).all()
    ]
    return f"{seeds}, identical {' and '.join(shared)}" if shared and len(counts) > 1 else seeds


def what_is_drawn(records: pd.DataFrame, trials: pd.DataFrame) -> str:
    """Name the workload, explain thick, thin and marked lines, and name the arms that have no line.

    Args:
        records: The records with a column ``status``, see :func:`.curves.with_status`.
        trials: The report's trials.
    """
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
    if own_orders(trials) & seen:
        parts.append(f"{OWN_ORDER} own order of samples.")
    parts += filter(None, [sample_sentence(records)])
    unseen = [arm for arm in trials["arm"].unique() if arm not in seen] if len(trials) else []
    if unseen:
        parts.append(f"Without a measurement: {', '.join(unseen)}.")
    return " ".join(parts)


@dataclass(frozen=True)
class Content:
    """Describe what the comparison plot shows.

    Attributes:
        metrics: Columns of the records, one for each row.
        xs: The quantities on the x axes, one for each column.
        final: A column of the test set; its final values are a last row.
        panels: The name of each panel, the panel and its table; the first three stand in a row below the
            metrics.
        paths: The table of paths (see :func:`.paths.draw_paths`), which are drawn over the loss in a last
            part.
    """

    metrics: Sequence[str] = ("train_loss",)
    xs: Sequence[X] = ("epochs", "updates", "seconds")
    final: str | None = None
    panels: Sequence[tuple[str, Panel, pd.DataFrame]] = ()
    paths: pd.DataFrame | None = None

    def needed(self, records: pd.DataFrame) -> pd.DataFrame:
        """Return the columns that are drawn; the others need not be copied.

        Args:
            records: The records.
        """
        columns = {"workload", *trial_key(records), "mark", "status", "clock", "train_loss", *self.metrics}
        columns |= set(ROWS_COLUMNS)
        columns |= {COLUMNS[x] for x in self.xs}
        return records[[name for name in records.columns if name in columns]]


EVERY_AXIS = Content()


def comparison_figure(
    records: pd.DataFrame,
    trials: pd.DataFrame,
    colours: Mapping[str, str] | None = None,
    *,
    content: Content = EVERY_AXIS,
    title: str | None = None,
    note: str | None = None,
    width: float = WIDTH,
    caption: bool = True,
) -> Picture:
    """Draw the comparison as one figure: what every arm measured against epochs, updates and training time.

    Args:
        records: The records of a run directory.
        trials: The trials of the comparison.
        colours: The colours by arm; None: they follow from the names.
        content: The content of the plot.
        title: Replaces the number of seeds and what they shared, which then begin the subtitle.
        note: Added to the subtitle.
        width: The width of the figure in inches; below 6 all panels stand below each other.
        caption: Whether title and subtitle are drawn; :attr:`.picture.Picture.caption` holds them in any
            case.

    Returns:
        The figure; save it with ``figure.savefig(path)``.
    """
    trials, tested = _reported(trials), _reported(records)
    rows = with_status(content.needed(tested), trials)
    shared = what_was_shared(rows, trials)
    subtitle = f"{shared}. " * (title is not None) + what_is_drawn(rows, trials) + _added(content, note)
    heading = _Heading(width, shared if title is None else title, subtitle.strip(), caption)
    looks = _of_seen(rows, colours)
    names = _line_names(rows, trials, looks, content)
    first, size = names[content.metrics[0]], text_size(width)
    room = room_beside(first, panel_height(width, len(content.metrics))) if width >= WIDTH else 0.0
    ends = [end_limits(tested, trials, content.final)] if content.final else []
    grid = grid_of(rows, content.metrics, content.xs, width, room, ends)
    key = None if room else Key({name.arm: name.text for name in first}, width - 2 * margin(width), size)
    row = PanelRow(content.panels[:MOST], looks, width, caption) if content.panels else None
    maps = _maps(content.paths, looks, width)
    tops = _tops(
        heading.height + grid.height,
        [
            (STRIP + (4 + 1.5 * size) / 72 + 0.1) if ends else 0.0,
            (0.1 + key.height) if key else 0.0,
            row.height if row else 0.0,
            maps.height if maps else 0.0,
        ],
    )
    with style.plain():
        sheet = Sheet(width, tops[-1])
        heading.draw(sheet)
        panels = draw_panels(sheet, heading.height, grid, rows, content.metrics, looks, content.xs)
        for metric, ax in panels.items() if room else ():
            write_names(sheet, ax, names[metric], looks)
        if content.final:
            strip = sheet.axes(grid.left, tops[0], width - grid.left - margin(width) - 0.05, STRIP)
            draw_ends(strip, tested, trials, content.final, looks)
            place_name(strip, grid)
        if key:
            key.draw(sheet, margin(width), tops[1], _samples(looks))
        if row:
            row.draw(sheet, tops[2])
        if maps:
            maps.draw(sheet, tops[3])
    sheet.figure.caption += row.caption if row and not caption else ""
    return sheet.figure


def _reported(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of the report, without those of tuning."""
    if "phase" not in table or (table["phase"] == "report").all():
        return table
    return table[table["phase"] == "report"]


def _added(content: Content, note: str | None) -> str:
    """Return the end of the subtitle: the note, and the panels for which there is no room."""
    sentence = f" {note[:1].upper()}{note[1:]}." if note else ""
    further = ", ".join(name for name, _, _ in content.panels[MOST:])
    return sentence + (f" Further panels: {further}." if further else "")


def _of_seen(records: pd.DataFrame, colours: Mapping[str, str] | None) -> dict[str, str]:
    """Return the colours of the arms that were measured."""
    seen = list(records["arm"].unique())
    looks = style.arm_colours(seen) if colours is None else colours
    return {arm: looks[arm] for arm in looks if arm in seen}


def _line_names(
    records: pd.DataFrame, trials: pd.DataFrame, looks: Mapping[str, str], content: Content
) -> dict[str, list[Name]]:
    """Return the names at the ends of the arms' lines, by metric."""
    clocks = clock_notes(records) if "seconds" in content.xs else {}
    by_arm = {arm: records[records["arm"] == arm] for arm in looks}
    return {
        metric: [
            name_of(by_arm[arm], trials, arm, metric, content.xs[0], clocks.get(arm, "")) for arm in looks
        ]
        for metric in content.metrics
    }


def _maps(paths: pd.DataFrame | None, looks: Mapping[str, str], width: float) -> Maps | None:
    """Return the part with the weights' paths; None where no arm has any."""
    if paths is None:
        return None
    with_path = {arm: colour for arm, colour in looks.items() if len(arm_path(paths, arm))}
    return Maps(paths, with_path, width) if with_path else None


def _tops(top: float, heights: Sequence[float]) -> list[float]:
    """Return where parts of these heights begin, each below the previous one, and where the last ends."""
    tops = [top]
    for height in heights:
        tops.append(tops[-1] + height)
    return tops


def _samples(looks: Mapping[str, str]) -> dict[str, tuple[style.Colour, dict[str, Any]]]:
    """Return the colour of each arm's text, and the look of its line, for a key."""
    return {arm: (style.text_colour(colour), style.sample(colour, 2.2)) for arm, colour in looks.items()}


def paths_figure(
    records: pd.DataFrame, paths: pd.DataFrame, colours: Mapping[str, str] | None = None, width: float = WIDTH
) -> Picture:
    """Draw the paths of the weights alone, in the colours that the arms have in the comparison.

    Args:
        records: The records of a run directory.
        paths: The table of the paths of weights.
        colours: The colours by arm; None: they follow from the names.
        width: The width of the figure in inches.
    """
    looks = _of_seen(_reported(records), colours)
    with_path = {arm: colour for arm, colour in looks.items() if len(arm_path(paths, arm))}
    maps = Maps(paths, with_path, width)
    with style.plain():
        sheet = Sheet(width, maps.height + 0.2)
        maps.draw(sheet, 0.2)
    sheet.figure.caption = maps.caption
    return sheet.figure


class _Heading:
    """Lay out and write title and subtitle of the comparison; ``height`` is in inches."""

    def __init__(self, width: float, title: str, subtitle: str, shown: bool) -> None:
        self.size, self.large = text_size(width), float(np.interp(width, (3.4, 10), (9, style.LARGE)))
        room, self.edge = 72 * (width - 2 * margin(width)), margin(width)
        self.text = "\n".join(filter(None, [title, subtitle]))
        self.title = style.folded(title, room, self.large, "bold") if shown else []
        self.subtitle = style.folded(subtitle, room, self.size) if shown else []
        self.below = 0.24 * self.large / style.LARGE * len(self.title)
        self.height = (
            self.below
            + 0.17 * self.size / style.SMALL * len(self.subtitle)
            + (0.38 if shown else self.edge + 0.1)
        )

    def draw(self, sheet: Sheet) -> None:
        """Write the heading, and keep it as the figure's caption."""
        sheet.figure.caption = self.text
        if self.title:
            sheet.text(self.edge, 0.15, "\n".join(self.title), size=self.large, weight="bold", va="top")
        if self.subtitle:
            text = "\n".join(self.subtitle)
            sheet.text(self.edge, 0.22 + self.below, text, style.MUTED, self.size, va="top")
