"""Results as one page of HTML that opens offline: the verdict, the certificate, interactive curves, sortable tables.

The page loads nothing: its style and its script stand in it, its policy names their SHA-256 and forbids all else, so
that not even a name that slipped through unescaped could run or call anybody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.colors import to_rgb

from ..errors import printable
from ..statistics import final_values
from . import style
from .curves import with_status
from .figure import what_is_drawn, what_was_shared
from .series import VALUES, embedded
from .table import duration, goal_cells, number, pair_cells, spread_cells, summary_cells, tuning_cells

if TYPE_CHECKING:
    from ..result import Result

ROWS = 1_000
"""The most rows of the table of trials."""
DASHES = ("none", "8 3", "2 3", "10 3 2 3")
"""Those of ``style.DASHES``, for a line 2.5 pixels wide."""
_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def page(results: Sequence[Result]) -> str:
    """The page, with a section for each result."""
    look, script = _style(), _file("page.js")
    policy = f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(look)}'"
    title = ", ".join(_text(result.comparison.workload.label) for result in results)
    links = "".join(
        f'<li><a href="#run-{i}">{_text(_short(result.comparison.workload.label))}</a></li>'
        for i, result in enumerate(results)
    )
    sections = "\n".join(_section(result, i, VALUES // len(results)) for i, result in enumerate(results))
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


def _section(result: Result, place: int, values: int) -> str:
    records, trials = result.reported
    comparison = result.comparison
    parts = [
        f'<section class="run" id="run-{place}">',
        f'<header><p class="over">optcompare · workload</p><h1>{_text(comparison.workload.label)}</h1>',
        f'<p class="lead">{_text(_question(result))}</p></header>',
    ]
    if result.status != "finished":
        parts.append(f'<p class="warning">{_text(result.status)}: this is what was measured until then.</p>')
    parts += ['<div class="answer">', _verdict(result), _certificate(result), "</div>"]
    if len(records):
        parts += _chart(result, place, values)
        parts += _tables(result)
    else:
        parts.append("<p>Nothing was measured: there is nothing to draw.</p>")
    parts += [_trials(result, trials, place), _notes(result), _environment(result), "</section>"]
    return "\n".join(part for part in parts if part)


def _question(result: Result) -> str:
    comparison = result.comparison
    rates = list(dict.fromkeys(f"{arm.optimizer.label} lr {arm.lr:g}" for arm in comparison.arms))
    some = rates if len(rates) <= 6 else [*rates[:5], f"{len(rates) - 5} more"]
    seeds = f"{len(comparison.seeds):,} seed{'s' if len(comparison.seeds) > 1 else ''}"
    arms = [_short(arm.label) for arm in comparison.arms]
    named = ", ".join(arms if len(arms) <= 12 else [*arms[:11], f"{len(arms) - 11} more"])
    return f"{named} · {', '.join(some)} · {seeds} · {comparison.budget} each · {comparison.device}, {comparison.precision}"


def _verdict(result: Result) -> str:
    sentences = "".join(f"<p>{_text(sentence)}</p>" for sentence in result.verdict())
    return f'<section class="card" aria-label="Verdict"><h2>Verdict</h2>{sentences}</section>'


def _certificate(result: Result) -> str:
    checks = result.certificate
    broken = sum(not check.held for check in checks)
    said = f"{broken} of {len(checks)} checks did not hold" if broken else f"all {len(checks)} checks held"
    rows = "".join(
        f'<li class="{"held" if check.held else "broken"}"><strong>{"✓ held" if check.held else "✗ not held"}: '
        f"{_text(check.name)}</strong> <span>{_text(check.detail)}</span></li>"
        for check in checks
    )
    head = f"Fairness certificate: {said if checks else 'none, as the run did not come to its end'}"
    return (
        f'<section class="card {"bad" if broken or not checks else "good"}" aria-label="Certificate">'
        f"<h2>{head}</h2><ul>{rows}</ul></section>"
    )


def _chart(result: Result, place: int, values: int) -> Iterator[str]:
    records, trials = result.reported
    goal = (result.goal.metric, result.goal.value) if result.goal else None
    data = embedded(
        records, trials, metric=result.compared, errors=result.comparison.errors, goal=goal, values=values
    )  # fmt: skip
    drawn = with_status(records[["workload", "arm", "seed", "mark", "train_loss"]], trials)
    yield f"<h2>{_text(what_was_shared(records, trials))}</h2>"
    yield f'<figure class="curves" data-from="data-{place}"><noscript><p>The curves need JavaScript.</p></noscript>'
    yield f"<figcaption>{_text(what_is_drawn(drawn, trials))}</figcaption></figure>"
    # In a script no character ends what is data, as long as no "<" is among them.
    yield f'<script type="application/json" id="data-{place}">{data.replace("<", chr(92) + "u003c")}</script>'


def _tables(result: Result) -> Iterator[str]:
    summary, several = result.summary(), len(result.comparison.seeds) > 1
    yield "<h2>Summary</h2>"
    yield _table(
        *summary_cells(summary),
        "Mean over seeds ± half of its 95% t interval." if several else "One seed: no interval.",
    )
    if result.goal is not None:
        yield _table(*goal_cells(summary, str(result.goal)), f"Medians of what {result.goal} took; ∞: a miss.")
    if several:
        yield _table(*spread_cells(summary, result.compared), "How the final values lie over seeds.")
    pairs = result.pairs()
    if len(pairs):
        yield f"<h2>Against {_text(result.baseline)}, seed by seed</h2>"
        yield _table(*pair_cells(pairs, result.compared), "Differences less than 0 are for the arm.")
    if result.comparison.tuning is not None and result.status == "finished":
        yield "<h2>Tuning</h2>"
        yield _table(*tuning_cells(result.tuning(), result.compared), "On seeds that no report seed ever is.")


def _trials(result: Result, trials: pd.DataFrame, place: int) -> str:
    if trials.empty:
        return ""
    column = result.compared
    finals = final_values(*result.reported, column).set_index(["arm", "seed"]) if len(result.reported[0]) else None
    whole = trials["status"] == "finished"
    order = pd.concat([trials[~whole], trials[whole]]) if len(trials) > ROWS else trials
    shown = order.head(ROWS)
    shown = shown.loc[trials.index[trials.index.isin(shown.index)]]
    reasons = (shown["reason"].fillna("") != "").any()
    header = [
        "arm",
        "seed",
        "lr",
        "status",
        f"final {column}",
        "updates",
        "samples",
        "train time",
        "trainer",
        "weights",
    ]
    rows = []
    for row in shown.to_dict("records"):
        key = (row["arm"], row["seed"])
        final = float(finals["final"].get(key, math.nan)) if finals is not None else math.nan
        cells = [
            str(row["arm"]), str(row["seed"]), f"{row['lr']:.4g}", str(row["status"]), number(final),
            f"{row['updates']:,}", f"{row['samples']:,}", duration(float(row["train_seconds"])), str(row["trainer"]),
            str(row["weights_sha256"])[:8],
        ]  # fmt: skip
        rows.append([*cells, str(row["reason"] or "")] if reasons else cells)
    said = "One row a trial; weights: the first digits of the SHA-256 of the initial ones."
    if len(trials) > ROWS:
        said = f"{ROWS:,} of {len(trials):,} trials, those that did not finish before others; trials.parquet has all. {said}"
    table = _table([*header, "reason"] if reasons else header, rows, said)
    return f"<details{' open' * (len(shown) <= 60)}><summary><h2>Trials</h2></summary>{table}</details>"


def _notes(result: Result) -> str:
    items = "".join(f"<li>{_text(note)}</li>" for note in result.notes)
    return f"<h2>Notes</h2><ul>{items}</ul>" if items else ""


def _environment(result: Result) -> str:
    comparison, known = result.comparison, dict(result.environment)
    plugins = known.pop("plugins", None) or []
    settings: dict[str, Any] = {
        "baseline": result.baseline, "threads of a trial": comparison.threads, "marks an epoch": comparison.measure,
        "order of samples": comparison.order,
    }  # fmt: skip
    rows = "".join(
        f"<dt>{_text(key)}</dt><dd>{_text(_shown(value))}</dd>" for key, value in {**settings, **known}.items()
    )
    table = ""
    if plugins and all(isinstance(plugin, Mapping) for plugin in plugins):
        names = ["name", "version", "source", "sha256"]
        cells = [
            [str(plugin.get(name, ""))[: 12 if name == "sha256" else None] for name in names] for plugin in plugins
        ]
        table = _table(names, cells, "Plugins; SHA-256 of their sources.")
    return f"<details><summary><h2>Environment</h2></summary><dl>{rows}</dl>{table}</details>"


def _shown(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """A table that the page's script makes sortable; what is no text carries the number that it is sorted by."""
    head = "".join(f'<th scope="col">{_text(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{_text(row[0])}</th>' + "".join(map(_cell, row[1:])) + "</tr>\n" for row in rows
    )
    return (
        f'<div class="scroll"><table><caption>{_text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _cell(text: str) -> str:
    value = sort_value(text)
    return f"<td>{_text(text)}</td>" if value is None else f'<td class="n" data-v="{value:.6g}">{_text(text)}</td>'


def sort_value(text: str) -> float | None:
    """The number that a cell begins with, a time in seconds; nan for '–'; None for a text."""
    plain = text.removeprefix("median ").replace(",", "").replace("-∞", "-inf").replace("∞", "inf")
    if plain in ("–", ""):
        return math.nan
    times = re.fullmatch(r"(?:[\d.e-]+ (?:s|min|h) ?)+", plain)
    if times:
        return sum(float(value) * _UNITS[unit] for value, unit in re.findall(r"([\d.e-]+) (s|min|h)\b", plain))
    found = re.fullmatch(r"<?(-?(?:inf|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?))(?: .*)?", plain)
    return float(found[1]) if found else None


def _style() -> str:
    """The style sheet with the colours and dashes of the arms, those on dark ground as light as it takes to be seen."""
    light = "".join(f".c{i}{{--c:{colour}}}" for i, colour in enumerate(style.PALETTE))
    dark = "".join(f".c{i}{{--c:{_on_dark(colour)}}}" for i, colour in enumerate(style.PALETTE))
    dashes = "".join(f".d{i}{{stroke-dasharray:{dash}}}" for i, dash in enumerate(DASHES))
    return f"{_file('page.css')}\n{light}{dashes}\n@media screen and (prefers-color-scheme:dark){{{dark}}}\n"


def _on_dark(colour: str) -> str:
    """A colour mixed with white until it stands out from dark ground: a third of the way, and black all of it."""
    share = 0.9 if colour == "#000000" else 0.3
    return "#" + "".join(f"{round(255 * (part + share * (1 - part))):02x}" for part in to_rgb(colour))


def _short(text: str) -> str:
    """A name as it stands among others."""
    return text if len(text) <= 60 else f"{text[:40]}…{text[-19:]}"


def _text(text: str) -> str:
    """Text as text: escaped, and without characters that would turn the direction of writing."""
    return escape(printable(text), quote=True)


def _file(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
