"""Tables of arms as cells of text: the summary, the pairs, the final values and the goal."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from ..analysis.pairing import FEWEST_REPEATS
from ..analysis.statistics import estimated, on_shared_clock
from ..analysis.summary import WRONG, short_summary
from ..core.formatting import number, probability
from .table_text import Cells, lowest_to_highest, seconds_cell, whole_cell

OF_GOAL = 6
"""The index of the first column of :func:`pair_cells` that is about the goal."""


def summary_cells(summary: pd.DataFrame) -> tuple[Cells, list[Cells]]:
    """Return the cells of the full summary, one row for each arm.

    A measured value is ``mean ± half of the 95% t interval``; where a seed was lost it is the median.

    Args:
        summary: The summary, from :func:`.summary.summarize`.

    Returns:
        The header and the rows.
    """
    measured = [
        name for name in summary.columns if f"{name}_median" in summary.columns and _is_shown(name, summary)
    ]
    plain = {
        "updates": whole_cell,
        "samples": whole_cell,
        "train_seconds": seconds_cell,
        "diverged": whole_cell,
        "failed": whole_cell,
    }
    titles = {"train_seconds": "train time"}
    rates = "lr_min" in summary or summary["lr"].nunique() > 1
    header = [
        "arm",
        *(["lr"] if rates else []),
        *map(_title, measured),
        *(titles.get(name, name) for name in plain),
    ]
    rows = [
        [
            str(row["arm"]),
            *([_rates(row)] if rates else []),
            *(_with_interval(row, name) for name in measured),
            *(show(row[name]) for name, show in plain.items()),
        ]
        for _, row in summary.iterrows()
    ]
    return header, rows


def short_cells(summary: pd.DataFrame, columns: Sequence[str]) -> tuple[Cells, list[Cells]]:
    """Return the cells of the short summary, one row for each arm.

    It shows the final losses that the verdict compares, how often the goal was reached, the cost of training,
    and failures where there are any.

    Args:
        summary: All columns, as :func:`.summary.summarize` returns them.
        columns: The loss columns, as :func:`.summary.short_summary` takes them.

    Returns:
        The header and the rows.
    """
    chosen = short_summary(summary, columns)
    wrong, with_goal = [name for name in WRONG if name in chosen], "goal_reached" in chosen
    finals = [name for name in dict.fromkeys(f"final_{column}" for column in columns) if name in summary]
    header = [
        "arm",
        *map(_title, finals),
        *(["reached goal"] if with_goal else []),
        "updates",
        "train time",
        *wrong,
    ]
    rows = []
    for (_, row), counts in zip(summary.iterrows(), chosen.to_dict("records"), strict=True):
        cells = [
            str(row["arm"]),
            *(_with_interval(row, name) for name in finals),
            *([_reached(row)] if with_goal else []),
        ]
        cells += [
            whole_cell(row["updates"]),
            seconds_cell(row["train_seconds"]),
            *(whole_cell(counts[name]) for name in wrong),
        ]
        rows.append(cells)
    return header, rows


def _reached(row: pd.Series) -> str:
    return f"{round(row['goal_reached'])} of {round(row.get('trials', row['seeds']))}"


def _rates(row: pd.Series) -> str:
    """Return an arm's learning rate, or the lowest and the highest of its tuning repeats."""
    if "lr_min" in row:
        return lowest_to_highest(float(row["lr_min"]), float(row["lr_max"]))
    return f"{row['lr']:.4g}"


def clock_words(records: pd.DataFrame, jobs: int) -> list[str]:
    """Explain seconds that are estimates, or that were measured while other trials ran.

    Args:
        records: The records, which hold the clock of seconds.
        jobs: The number of trials at once.

    Returns:
        Sentences without a full stop; none for trials that ran alone in the loop.
    """
    words, clean = list[str](), "; give --jobs 1 to compare times"
    if estimated(records):
        measured = f"measured while other trials ran{clean}" if jobs > 1 else "measured alone"
        words.append(f"train time of trials in lanes is estimated: updates × median update time, {measured}")
    if on_shared_clock(records):
        words.append(f"train time was measured while other trials ran{clean}")
    return words


def interval_words(summary: pd.DataFrame) -> str:
    """Explain the averages of :func:`summary_cells`, and the meaning of ±.

    Args:
        summary: The summary, from :func:`.summary.summarize`.
    """
    if "repeats" in summary:
        repeats = int(summary["repeats"].max()) if len(summary) else 0
        over = f"mean over seeds and {repeats} tuning repeats"
        if repeats >= FEWEST_REPEATS and (summary["seeds"] > 1).any():
            return f"{over} ± half-width of the 95% confidence interval over both"
        return f"{over}; no interval, for it takes {FEWEST_REPEATS} repeats and 2 seeds or more"
    several = bool((summary["seeds"] > 1).any())
    return (
        "mean over seeds ± half-width of the 95% confidence interval" if several else "one seed: no interval"
    )


def better_side(column: str) -> str:
    """Say on which side of zero an arm is better than the baseline, for a note below :func:`pair_cells`.

    Args:
        column: The compared column; less is better if it is a loss.
    """
    return f"{'Negative' if column.endswith('_loss') else 'Positive'}: better than the baseline."


def pair_cells(pairs: pd.DataFrame, column: str) -> tuple[Cells, list[Cells]]:
    """Return the cells of the paired comparison with the baseline, one row for each arm.

    They hold the mean difference, how many seeds were won, lost and tied, Holm's p, and the cost of the goal.

    Args:
        pairs: The table of pairs, from :func:`optcompare.analysis.paired.pairs`.
        column: The compared column.

    Returns:
        The header and the rows.
    """
    with_goal = (pairs["goal_seeds"] > 0).any() if len(pairs) else False
    header = ["arm", f"final {column}, difference (95%)", "won", "lost", "tied", "Holm p"]
    header += ["samples to the goal, ratio (95%)", "fewer", "more", "Holm p"] if with_goal else []
    rows = []
    for _, pair in pairs.iterrows():
        known = not math.isnan(pair["difference"])
        interval = "" if math.isnan(pair["low"]) else f" ({number(pair['low'])} to {number(pair['high'])})"
        between = f"{number(pair['difference'])}{interval}" if known else "–"
        row = [str(pair["arm"]), between, *(str(int(pair[name])) for name in ("wins", "losses", "ties"))]
        row.append(probability(float(pair["p_holm"])))
        if with_goal:
            ratio = [
                number(float(pair[name])) for name in ("goal_ratio", "goal_ratio_low", "goal_ratio_high")
            ]
            if pair["goal_pairs"] == pair["goal_seeds"]:
                row.append(f"{ratio[0]} ({ratio[1]} to {ratio[2]})")
            else:
                row.append(f"{ratio[0]} among {_ratio_over(pair)}" if pair["goal_pairs"] else "–")
            row += [str(int(pair[name])) for name in ("goal_wins", "goal_losses")]
            row.append(probability(float(pair["goal_p_holm"])))
        rows.append(row)
    return header, rows


def _ratio_over(pair: pd.Series) -> str:
    """Name the seeds that a ratio of samples is computed over, if these are not all seeds.

    Seeds that miss the goal, or start at it, have no ratio.
    """
    all_reached = pair["goal_hits"] == pair["goal_baseline_hits"] == pair["goal_seeds"]
    which = "that do not start at it" if all_reached else "on which both did"
    return f"the {pair['goal_pairs']} seeds {which}"


def spread_cells(summary: pd.DataFrame, column: str) -> tuple[Cells, list[Cells]]:
    """Return the cells of how the final values of a loss vary over trials, one row for each arm.

    Args:
        summary: The summary, from :func:`.summary.summarize`.
        column: The loss.

    Returns:
        The header and the rows.
    """
    header = ["arm", f"final {column}: mean", "median", "best", "worst"]
    names = [f"final_{column}{end}" for end in ("", "_median", "_min", "_max")]
    return header, [
        [str(row["arm"]), *(number(float(row[name])) for name in names)] for _, row in summary.iterrows()
    ]


def goal_cells(summary: pd.DataFrame, goal: str) -> tuple[Cells, list[Cells]]:
    """Return the cells of the cost of the goal, one row for each arm.

    Costs are medians, in which a miss counts as infinite. The last column is the resolution of the samples.

    Args:
        summary: The summary, from :func:`.summary.summarize`.
        goal: The goal as a user writes it, such as ``valid_loss=0.2``.

    Returns:
        The header and the rows.
    """
    header = ["arm", f"reached {goal}", "samples", "updates", "train time", "known to within"]
    rows = [
        [
            str(row["arm"]),
            _reached(row),
            number(row["goal_samples"]),
            number(row["goal_updates"]),
            seconds_cell(row["goal_seconds"]) if math.isfinite(row["goal_seconds"]) else "∞",
            f"{number(row['goal_resolution'])} samples" if not math.isnan(row["goal_resolution"]) else "–",
        ]
        for _, row in summary.iterrows()
    ]
    return header, rows


def _is_shown(name: str, summary: pd.DataFrame) -> bool:
    """Return whether a column of final values is shown.

    Losses always are. A metric on the training data is shown only if it was measured on no other data.
    """
    others = {name.replace("_train_", part, 1) for part in ("_valid_", "_test_")} - {name}
    return name.endswith("_loss") or not others & set(summary.columns)


def _title(column: str) -> str:
    when, *rest = column.split("_")
    return f"{when} {' '.join(rest)}"


def _with_interval(row: pd.Series, name: str) -> str:
    mean, low, median = (float(row[key]) for key in (name, f"{name}_low", f"{name}_median"))
    if math.isnan(mean):
        return number(mean) if math.isnan(median) else f"median {number(median)}"
    return number(mean) if math.isnan(low) else f"{number(mean)} ± {mean - low:.2g}"
