"""The comparison plot: losses and metrics of every arm against epochs, updates and training time, and
weights' paths.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ...core.columns import trial_key
from . import style
from .clocks import clock_notes
from .curves import COLUMNS, SIGNS, X, trial_counts, with_status
from .end_names import OWN_ORDER, name_of, own_orders, room_beside, write_names
from .ends import STRIP, draw_ends, end_limits
from .layout import Key, margin, text_size
from .panel import Panel
from .panel_grid import draw_panels, grid_of, panel_height, place_name
from .panel_row import PanelRow
from .paths import Maps, arm_path
from .picture import Picture
from .style import WIDTH, Sheet

MOST = 3
"""The most further panels on the comparison plot."""


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
    epochs = (
        ["epochs_begun"] if "epochs_begun" in trials else []
    )  # a trial that ended early saw the order of fewer
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
    if own_orders(trials) & seen:
        parts.append(f"{OWN_ORDER} own order of samples.")
    unseen = [arm for arm in trials["arm"].unique() if arm not in seen] if len(trials) else []
    if unseen:
        parts.append(f"Without a measurement: {', '.join(unseen)}.")
    return " ".join(parts)


def _needed(records: pd.DataFrame, metrics: Sequence[str], xs: Sequence[X]) -> pd.DataFrame:
    """The columns that are drawn: the others need not be copied."""
    columns = {
        "workload",
        *trial_key(records),
        "mark",
        "status",
        "clock",
        "train_loss",
        *metrics,
        *(COLUMNS[x] for x in xs),
    }
    return records[[name for name in records.columns if name in columns]]


def _reported(table: pd.DataFrame) -> pd.DataFrame:
    if "phase" not in table or (table["phase"] == "report").all():
        return table
    return table[table["phase"] == "report"]


def comparison_figure(
    records: pd.DataFrame,
    trials: pd.DataFrame,
    *,
    paths: pd.DataFrame | None = None,
    metric: str | Sequence[str] = "train_loss",
    xs: Sequence[X] = ("epochs", "updates", "seconds"),
    title: str | None = None,
    subtitle: str | None = None,
    note: str | None = None,
    panels: Sequence[tuple[str, Panel, pd.DataFrame]] = (),
    colours: Mapping[str, str] | None = None,
    width: float = WIDTH,
    caption: bool = True,
    final: str | None = None,
) -> Picture:
    """The comparison as one figure: what every arm measured against epochs, updates and training time.

    Args:
        records: Those of a run directory.
        trials: Likewise.
        paths: With these (see :func:`.paths.draw_paths`) a last part shows the weights' way over the loss.
        metric: A column of the records, or several, each in a row of its own.
        xs: Other axes, or fewer.
        title: In place of how many seeds there are and what they shared, which then begins the subtitle.
        subtitle: In place of what the marks mean.
        note: Added to it.
        panels: Each with its name and its table; the first three stand in a row below the metrics.
        colours: Of the arms, where they are not to follow from the names.
        width: Of the figure, in inches; below 6 all panels stand below each other.
        caption: Whether title and subtitle are drawn; :attr:`.picture.Picture.caption` holds them in any
        case. final: A column of the test set, whose final values are a last row.

    Returns:
        The figure; saving is left to the caller: ``figure.savefig(path)``.
    """
    trials, metrics = _reported(trials), [metric] if isinstance(metric, str) else list(metric)
    tested = _reported(records)
    records = with_status(_needed(tested, metrics, xs), trials)
    seen = list(records["arm"].unique())
    looks = style.arm_colours(seen) if colours is None else colours
    colours = {arm: looks[arm] for arm in looks if arm in seen}
    clocks = clock_notes(records) if "seconds" in xs else {}
    names = {
        each: [
            name_of(records[records["arm"] == arm], trials, arm, each, xs[0], clocks.get(arm, ""))
            for arm in colours
        ]
        for each in metrics
    }
    first, size = names[metrics[0]], text_size(width)
    room = room_beside(first, panel_height(width, len(metrics))) if width >= WIDTH else 0.0
    shared, said = what_was_shared(records, trials), subtitle
    if said is None:
        said = f"{shared}. " * (title is not None) + what_is_drawn(records, trials)
    said += f" {note[:1].upper()}{note[1:]}." if note else ""
    if len(panels) > MOST:
        said += f" Further panels: {', '.join(name for name, _, _ in panels[MOST:])}."
    heading = _Heading(width, shared if title is None else title, said.strip(), caption)
    walked = (
        {} if paths is None else {arm: colour for arm, colour in colours.items() if len(arm_path(paths, arm))}
    )
    maps = Maps(paths, walked, width) if paths is not None and walked else None
    grid = grid_of(records, metrics, xs, width, room, [end_limits(tested, trials, final)] if final else [])
    key = None if room else Key({name.arm: name.text for name in first}, width - 2 * margin(width), size)
    ends_top = heading.height + grid.height
    key_top = ends_top + (STRIP + (4 + 1.5 * size) / 72 + 0.1 if final else 0.0)
    row_top = key_top + (0.1 + key.height if key else 0.0)
    row = PanelRow(panels[:MOST], colours, width, caption) if panels else None
    maps_top = row_top + (row.height if row else 0.0)
    with style.plain():
        sheet = Sheet(width, maps_top + (maps.height if maps else 0.0))
        heading.draw(sheet)
        for each, ax in draw_panels(sheet, heading.height, grid, records, metrics, colours, xs).items():
            if room:
                write_names(sheet, ax, names[each], colours)
        if final:
            strip = sheet.axes(grid.left, ends_top, width - grid.left - margin(width) - 0.05, STRIP)
            draw_ends(strip, tested, trials, final, colours)
            place_name(strip, grid)
        if key:
            samples = {
                arm: (style.text_colour(colour), style.sample(colour, 2.2)) for arm, colour in colours.items()
            }
            key.draw(sheet, margin(width), key_top, samples)
        if row:
            row.draw(sheet, row_top)
        if maps:
            maps.draw(sheet, maps_top)
    sheet.figure.caption += row.caption if row and not caption else ""
    return sheet.figure


def paths_figure(
    records: pd.DataFrame, paths: pd.DataFrame, colours: Mapping[str, str] | None = None, width: float = WIDTH
) -> Picture:
    """The paths of the weights alone, in the colours that the arms have in the comparison."""
    seen = list(_reported(records)["arm"].unique())
    looks = style.arm_colours(seen) if colours is None else colours
    maps = Maps(paths, {arm: looks[arm] for arm in looks if arm in seen and len(arm_path(paths, arm))}, width)
    with style.plain():
        sheet = Sheet(width, maps.height + 0.2)
        maps.draw(sheet, 0.2)
    sheet.figure.caption = maps.caption
    return sheet.figure


class _Heading:
    """Title and subtitle of the comparison; ``height`` is in inches, the same whether text is drawn in one
    line or many.
    """

    def __init__(self, width: float, title: str, said: str, shown: bool) -> None:
        self.size, self.large = text_size(width), float(np.interp(width, (3.4, 10), (9, style.LARGE)))
        room, self.edge = 72 * (width - 2 * margin(width)), margin(width)
        self.text = "\n".join(filter(None, [title, said]))
        self.title = style.folded(title, room, self.large, "bold") if shown else []
        self.said = style.folded(said, room, self.size) if shown else []
        self.below = 0.24 * self.large / style.LARGE * len(self.title)
        self.height = (
            self.below
            + 0.17 * self.size / style.SMALL * len(self.said)
            + (0.38 if shown else self.edge + 0.1)
        )

    def draw(self, sheet: Sheet) -> None:
        """Write it, and keep it as the figure's caption."""
        sheet.figure.caption = self.text
        if self.title:
            sheet.text(self.edge, 0.15, "\n".join(self.title), size=self.large, weight="bold", va="top")
        if self.said:
            sheet.text(self.edge, 0.22 + self.below, "\n".join(self.said), style.MUTED, self.size, va="top")
