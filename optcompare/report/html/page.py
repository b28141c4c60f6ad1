"""Write results as one HTML page that opens offline.

It shows the verdict, the certificate, interactive curves and sortable tables. The page loads nothing: it
contains its style and its script. Its security policy lists their SHA-256 and forbids everything else, so
that even a name that was not escaped could run no code and load nothing.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

from ...analysis.statistics import final_values
from ...core.columns import trial_key
from ...core.formatting import duration, number
from ...core.goal import ROWS_COLUMNS
from ..plots import style
from ..plots.comparison import what_is_drawn, what_was_shared
from ..plots.curves import with_status
from ..plots.looks import lightness
from ..table import better_side, goal_cells, pair_cells, spread_cells, summary_cells
from ..tuning_table import tuning_cells, tuning_words
from .markup import question, sentence, short, table, text
from .series import VALUES, embedded
from .summary_words import summary_words

if TYPE_CHECKING:
    from ..result import Result

ROWS = 1_000
"""The most rows of the table of trials."""
DASHES = ("none", "8 3", "2 3", "10 3 2 3")
"""The dashes of a line 2.5 pixels wide. These lines have no markers; each marker has its dashes instead."""


def page(results: Sequence[Result]) -> str:
    """Return the HTML page, with one section for each result.

    Args:
        results: One for each workload.
    """
    colours = list(dict.fromkeys(str(colour) for result in results for colour in result.colours().values()))
    look, script = _style(colours), _file("page.js")
    policy = f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(look)}'"
    title = ", ".join(text(result.comparison.workload.label) for result in results)
    links = "".join(
        f'<li><a href="#run-{i}">{text(short(result.comparison.workload.label))}</a></li>'
        for i, result in enumerate(results)
    )
    sections = "\n".join(
        _section(result, i, VALUES // len(results), colours) for i, result in enumerate(results)
    )
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}; base-uri 'none'; form-action 'none'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="generator" content="optcompare">
<title>{title[:200]} – optcompare</title>
<style>{look}</style>
</head>
<body>
{f'<nav aria-label="Workloads"><ul>{links}</ul></nav>' if len(results) > 1 else ""}
<main>
{sections}
</main>
<script>{script}</script>
</body>
</html>
"""


def _section(result: Result, place: int, values: int, colours: Sequence[str]) -> str:
    records, trials = result.reported
    comparison = result.comparison
    parts = [
        f'<section class="run" id="run-{place}">',
        f'<header><p class="over">optcompare · workload</p><h1>{text(comparison.workload.label)}</h1>',
        f'<p class="lead">{text(question(result))}</p></header>',
    ]
    if result.status != "finished":
        why = (
            result.unfinished
            if result.is_under_way
            else f"{result.status}: stopped; results so far are saved"
        )
        parts.append(f'<p class="warning">{text(why)}.</p>')
    parts += ['<div class="answer">', _verdict(result), _certificate(result), "</div>"]
    if len(records):
        parts += _chart(result, place, values, colours)
        parts += _tables(result)
    else:
        parts.append("<p>Nothing was measured: there is nothing to draw.</p>")
    parts += [_trials(result, trials), _notes(result), _environment(result), "</section>"]
    return "\n".join(part for part in parts if part)


def _verdict(result: Result) -> str:
    name = "Recommendation" if result.is_finished_study else "Verdict"
    sentences = "".join(f"<p>{text(sentence)}</p>" for sentence in result.answer())
    return f'<section class="card" aria-label="{name}"><h2>{name}</h2>{sentences}</section>'


def _certificate(result: Result) -> str:
    checks = result.certificate
    broken = sum(not check.held for check in checks)
    count = f"{broken} of {len(checks)} checks did not hold" if broken else f"all {len(checks)} checks held"
    rows = "".join(
        "<li "
        f'class="{"held" if check.held else "broken"}"><strong>{"✓ held" if check.held else "✗ not held"}: '
        f"{text(check.name)}</strong> <span>{text(check.detail)}</span></li>"
        for check in checks
    )
    head = f"Fairness certificate: {count if checks else 'none, as the run did not come to its end'}"
    return (
        f'<section class="card {"bad" if broken or not checks else "good"}" aria-label="Certificate">'
        f"<h2>{head}</h2><ul>{rows}</ul></section>"
    )


def _chart(result: Result, place: int, values: int, colours: Sequence[str]) -> Iterator[str]:
    records, trials = result.reported
    goal = (result.goal.metric, result.goal.value) if result.goal else None
    data = embedded(
        records,
        trials,
        metric=result.compared,
        errors=result.comparison.errors,
        goal=goal,
        values=values,
        looks=result.colours(),
        colours=colours,
    )
    shown = ["workload", *trial_key(records), "mark", "train_loss"]
    rows = [name for name in ROWS_COLUMNS if name in records]
    drawn = with_status(records[[*shown, *rows]], trials)
    yield f"<h2>{text(what_was_shared(records, trials))}</h2>"
    yield (
        f'<figure class="curves" data-from="data-{place}"><noscript><p>The curves need '
        "JavaScript.</p></noscript>"
    )
    yield f"<figcaption>{text(what_is_drawn(drawn, trials))}</figcaption></figure>"
    # Without a "<" no text in the data can end the script element.
    yield f'<script type="application/json" id="data-{place}">{data.replace("<", chr(92) + "u003c")}</script>'


def _tables(result: Result) -> Iterator[str]:
    summary, several = result.summary(wide=True), len(result.comparison.seeds) * result.comparison.repeats > 1
    yield "<h2>Summary</h2>"
    yield table(*summary_cells(summary), summary_words(result, summary))
    if result.goal is not None:
        yield table(*goal_cells(summary, str(result.goal)), f"Medians of what {result.goal} took; ∞: a miss.")
    what = style.what_counts(result.reported[1])
    for column in _columns(result) if several else ():
        yield table(*spread_cells(summary, column), f"How the final values lie over {what}.")
    pairs = result.pairs()
    if len(pairs):
        yield f"<h2>Against {text(result.baseline)}, seed by seed</h2>"
        yield table(*pair_cells(pairs, result.verdict_on), better_side(result.verdict_on))
    if result.comparison.tuning is not None and result.status == "finished":
        yield "<h2>Tuning</h2>"
        yield table(
            *tuning_cells(result.tuning(), result.compared), sentence(tuning_words(result.comparison.tuning))
        )


def _columns(result: Result) -> list[str]:
    """Return the losses whose final values are listed: the compared one, and the one on a test set if any."""
    return list(dict.fromkeys([result.compared, result.verdict_on]))


def _trials(result: Result, trials: pd.DataFrame) -> str:
    """Return the table of trials; of too many, those that did not finish are shown first of all."""
    if trials.empty:
        return ""
    whole = trials["status"] == "finished"
    order = pd.concat([trials[~whole], trials[whole]]) if len(trials) > ROWS else trials
    shown = order.head(ROWS)
    shown = shown.loc[trials.index[trials.index.isin(shown.index)]]
    caption = "One row a trial; weights: the first digits of the SHA-256 of the initial ones."
    if len(trials) > ROWS:
        caption = (
            f"{ROWS:,} of {len(trials):,} trials, those that did not finish before others; trials.parquet "
            f"has all. {caption}"
        )
    listed = table(*_trial_cells(result, shown), caption)
    return f"<details{' open' * (len(shown) <= 60)}><summary><h2>Trials</h2></summary>{listed}</details>"


def _trial_cells(result: Result, trials: pd.DataFrame) -> tuple[list[str], list[list[str]]]:
    """Return the header and one row for each trial; a column of reasons only if a trial has one."""
    columns, key = _columns(result), trial_key(trials)
    finals = {
        column: final_values(*result.reported, column).set_index(key)["final"]
        for column in (columns if len(result.reported[0]) else ())
    }
    reasons = (trials["reason"].fillna("") != "").any()
    header = [
        *key,
        "lr",
        "status",
        *(f"final {column}" for column in columns),
        "updates",
        "samples",
        "train time",
        "trainer",
        "weights",
    ]
    rows = []
    for row in trials.to_dict("records"):
        name = tuple(row[each] for each in key)
        ends = [
            number(float(finals[column].get(name, math.nan)) if finals else math.nan) for column in columns
        ]
        cells = [
            *map(str, name),
            f"{row['lr']:.4g}",
            str(row["status"]),
            *ends,
            f"{row['updates']:,}",
            f"{row['samples']:,}",
            duration(float(row["train_seconds"])),
            str(row["trainer"]),
            str(row["weights_sha256"])[:8],
        ]
        rows.append([*cells, str(row["reason"] or "")] if reasons else cells)
    return [*header, "reason"] if reasons else header, rows


def _notes(result: Result) -> str:
    items = "".join(f"<li>{text(note)}</li>" for note in result.notes)
    return f"<h2>Notes</h2><ul>{items}</ul>" if items else ""


def _environment(result: Result) -> str:
    comparison, known = result.comparison, dict(result.environment)
    plugins = known.pop("plugins", None) or []
    # The answer of a batch-size study already states what these measurements show.
    for measured in ("noise", "update_times", "moving_averages"):
        known.pop(measured, None)
    settings: dict[str, Any] = {
        "baseline": result.baseline,
        "threads of a trial": comparison.threads,
        "measurements per epoch": comparison.measure,
        "order of samples": comparison.order,
    }
    rows = "".join(
        f"<dt>{text(key)}</dt><dd>{text(_shown(value))}</dd>" for key, value in {**settings, **known}.items()
    )
    listed = ""
    if plugins and all(isinstance(plugin, Mapping) for plugin in plugins):
        names = ["name", "version", "source", "sha256"]
        cells = [
            [str(plugin.get(name, ""))[: 12 if name == "sha256" else None] for name in names]
            for plugin in plugins
        ]
        listed = table(names, cells, "Plugins; SHA-256 of their sources.")
    return f"<details><summary><h2>Environment</h2></summary><dl>{rows}</dl>{listed}</details>"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _style(colours: Sequence[str]) -> str:
    """Return the style sheet with the colours and dashes of the arms.

    In dark mode, colours are made light enough to be seen.
    """
    light = "".join(f".c{i}{{--c:{colour}}}" for i, colour in enumerate(colours))
    dark = "".join(f".c{i}{{--c:{_on_dark(colour)}}}" for i, colour in enumerate(colours))
    dashes = "".join(f".d{i}{{stroke-dasharray:{dash}}}" for i, dash in enumerate(DASHES))
    return f"{_file('page.css')}\n{light}{dashes}\n@media screen and (prefers-color-scheme:dark){{{dark}}}\n"


def _on_dark(colour: str) -> str:
    """Mix a colour with white, so that it stands out from a dark background.

    The share of white is 30%, or 90% for a colour that is almost black.
    """
    share = 0.9 if lightness(np.array(to_rgb(colour))) < 20 else 0.3
    return "#" + "".join(f"{round(255 * (part + share * (1 - part))):02x}" for part in to_rgb(colour))


def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _digest(source: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()}"
