"""The summary and the certificate as text: what the terminal shows. Formats; computes nothing."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from statistics import fmean

import pandas as pd

from ..analysis.certificate import Check
from ..analysis.lr_scores import best_rates, expected_best, tuned_key
from ..analysis.pairing import FEWEST_REPEATS
from ..analysis.summary import WRONG, short_summary
from ..core.formatting import duration, number, probability
from ..core.tuning import Tuning

Row = list[str]


def summary_cells(summary: pd.DataFrame) -> tuple[Row, list[Row]]:
    """Header and one row an arm: ``mean ± half of the 95% t interval``, and the median where a seed was
    lost.
    """
    measured = [
        name for name in summary.columns if f"{name}_median" in summary.columns and _is_shown(name, summary)
    ]
    plain = {
        "updates": _whole,
        "samples": _whole,
        "train_seconds": _seconds,
        "diverged": _whole,
        "failed": _whole,
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


def short_cells(summary: pd.DataFrame, columns: Sequence[str]) -> tuple[Row, list[Row]]:
    """Header and one row an arm: what the verdict speaks of, the goal, what it took, and what went wrong, if
    anything did.

    Args:
        summary: All columns of it.
        columns: As those of :func:`.summary.short_summary`.
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
            _whole(row["updates"]),
            _seconds(row["train_seconds"]),
            *(_whole(counts[name]) for name in wrong),
        ]
        rows.append(cells)
    return header, rows


def _reached(row: pd.Series) -> str:
    return f"{round(row['goal_reached'])} of {round(row.get('trials', row['seeds']))}"


def _rates(row: pd.Series) -> str:
    """An arm's learning rate, or the lowest and the highest of its tuning repeats."""
    return _from_to(float(row["lr_min"]), float(row["lr_max"])) if "lr_min" in row else f"{row['lr']:.4g}"


def _from_to(low: float, high: float) -> str:
    return f"{low:.4g}" if low == high else f"{low:.4g} to {high:.4g}"


def interval_words(summary: pd.DataFrame) -> str:
    """What the mean and the ± of :func:`summary_cells` are over."""
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
    """``Negative: better than the baseline.``: what stands below :func:`pair_cells`."""
    return f"{'Negative' if column.endswith('_loss') else 'Positive'}: better than the baseline."


OF_GOAL = 6
"""The first column of :func:`pair_cells` that is about the goal."""


def pair_cells(pairs: pd.DataFrame, column: str) -> tuple[Row, list[Row]]:
    """Header and one row an arm against the baseline: the paired difference, who won how often, Holm's p, the
    goal.
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
    """The seeds that a ratio of samples is over, where it is not over all: without misses and goals reached
    at the start.
    """
    all_reached = pair["goal_hits"] == pair["goal_baseline_hits"] == pair["goal_seeds"]
    which = "that do not start at it" if all_reached else "on which both did"
    return f"the {pair['goal_pairs']} seeds {which}"


def spread_cells(summary: pd.DataFrame, column: str) -> tuple[Row, list[Row]]:
    """Header and one row an arm: how the final values of a loss lie over trials."""
    header = ["arm", f"final {column}: mean", "median", "best", "worst"]
    names = [f"final_{column}{end}" for end in ("", "_median", "_min", "_max")]
    return header, [
        [str(row["arm"]), *(number(float(row[name])) for name in names)] for _, row in summary.iterrows()
    ]


def goal_cells(summary: pd.DataFrame, goal: str) -> tuple[Row, list[Row]]:
    """Header and one row an arm: the medians of what the goal took, a miss being infinite, and how exactly it
    is known.
    """
    header = ["arm", f"reached {goal}", "samples", "updates", "train time", "known to within"]
    rows = [
        [
            str(row["arm"]),
            _reached(row),
            number(row["goal_samples"]),
            number(row["goal_updates"]),
            _seconds(row["goal_seconds"]) if math.isfinite(row["goal_seconds"]) else "∞",
            f"{number(row['goal_resolution'])} samples" if not math.isnan(row["goal_resolution"]) else "–",
        ]
        for _, row in summary.iterrows()
    ]
    return header, rows


def tuning_cells(scores: pd.DataFrame, column: str) -> tuple[Row, list[Row]]:
    """Header and one row an arm: the best rate and its score, what the best of fewer trials is expected to
    be, the cost.

    Where arms are tuned several times, the lowest and the highest best rate, and means over the repeats.
    """
    key = tuned_key(scores)
    tried = int(scores.groupby(key, sort=False).size().max())
    counts = [k for k in (1, 2, 4, 8, 16, 32) if k < tried]
    header = ["arm", "best lr", column, *(f"best of {k}" for k in counts), "samples", "train time"]
    best = best_rates(scores)
    rows = []
    for arm, group in scores.groupby("arm", sort=False):
        found = best[best["arm"] == arm]
        repeats = [one["score"] for _, one in group.groupby(key, sort=False)]
        expected = [number(fmean(expected_best(values, k) for values in repeats)) for k in counts]
        edges = int(found["at_edge"].sum())
        where = f" (edge{f' in {edges}' if len(found) > 1 else ''})" if edges else ""
        chosen = [
            _from_to(found["lr"].min(), found["lr"].max()) + where,
            number(float(found["score"].mean())),
        ]
        rows.append(
            [str(arm), *chosen, *expected, _whole(group["samples"].sum()), _seconds(group["seconds"].sum())]
        )
    return header, rows


def tuning_words(tuning: Tuning) -> str:
    """What stands below :func:`tuning_cells`."""
    seeds = f"{tuning.seeds} seed{'s' if tuning.seeds > 1 else ''}"
    if not tuning.repeats:
        return f"tuned on {seeds}, separate from the reported seeds"
    return (
        f"tuned {len(tuning.repeats)} times, each on {seeds} of its own, separate from the reported seeds, "
        "and on grids "
        "shifted at random; scores are means over these repeats"
    )


def trial_name(trial: pd.Series) -> str:
    """'full, seed 3', with the tuning repeat where there are several, from a row of the trials."""
    repeat = f", repeat {trial['repeat']}" if "repeat" in trial else ""
    return f"{trial['arm']}, seed {trial['seed']}{repeat}"


SCALING_LEGEND = (
    "medians over seeds, a miss infinite; fit: updates of the curve",
    "*: Pareto-optimal, no other batch size takes fewer updates and fewer samples",
)


def scaling_cells(table: pd.DataFrame) -> tuple[Row, list[Row]]:
    """Header and one row a batch size of a study, not wider than 80 columns."""
    header = ["batch size", "best lr", "reached", "updates", "samples", "time", "clock", "fit"]
    rows = [
        [
            f"{one['batch_size']}{'*' if one['front'] else ''}",
            f"{one['lr']:.4g}{' edge' if one['at_edge'] else ' jump' if one['jumps'] else ''}",
            f"{one['reached']} of {one['seeds']}",
            *(_or_miss(one[name], number) for name in ("updates", "samples")),
            _or_miss(one["seconds"], _seconds),
            one["clock"] or "–",
            number(one["fitted"]) if math.isfinite(one["fitted"]) else "–",
        ]
        for one in table.to_dict("records")
    ]
    return header, rows


def _or_miss(value: float, shown: Callable[[float], str]) -> str:
    return shown(value) if math.isfinite(value) else "miss" if math.isinf(value) else "–"


def latex(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A ``tabular`` for a paper, for use with booktabs."""
    body = [" & ".join(map(_escaped, line)) + r" \\" for line in (header, *rows)]
    top = [r"\begin{tabular}{l" + "r" * (len(header) - 1) + "}", r"\toprule", body[0], r"\midrule"]
    return "\n".join([*top, *body[1:], r"\bottomrule", r"\end{tabular}"])


def certificate_lines(certificate: Iterable[Check]) -> list[str]:
    """One line a check."""
    return [f"{'✓' if check.held else '✗'} {check.name}: {check.detail}" for check in certificate]


def aligned(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Lines of a plain table: the first column to the left, the others to the right."""
    table = [header, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(header))]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in table
    ]


def _escaped(text: str) -> str:
    special = {
        "±": r"$\pm$",
        "∞": r"$\infty$",
        "–": "--",
        "<": "$<$",
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\^{}",
    }
    special |= {character: "\\" + character for character in "&%$#_{}"}
    return "".join(special.get(character, character) for character in text)


def _is_shown(name: str, summary: pd.DataFrame) -> bool:
    """Losses, and each metric on the validation and the test data; on the training data only where there is
    no other.
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


def _whole(value: float) -> str:
    return f"{round(value):,}" if math.isfinite(value) else "–"


def _seconds(value: float) -> str:
    return duration(value) if math.isfinite(value) else "–"
