"""Show a result in a notebook: the verdict, the plot and the summary; further parts fold out."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

from ..table import better_side, goal_cells, pair_cells, summary_cells
from ..table_text import certificate_lines
from .markup import question, table, text
from .summary_words import summary_words

if TYPE_CHECKING:
    from ..result import Result

DPI = 90
STYLE = """<style>
.optcompare { max-width: 960px; line-height: 1.45; }
.optcompare .lead, .optcompare caption { opacity: .75; font-size: 90%; text-align: left; }
.optcompare .lead { margin: 0 0 6px; }
.optcompare p { margin: 4px 0; }
.optcompare img { display: block; max-width: 100%; margin: 8px 0; background: #fff; }
.optcompare .scroll { overflow-x: auto; }
.optcompare table { border-collapse: collapse; margin: 4px 0; font-size: 90%;
  font-variant-numeric: tabular-nums; }
.optcompare caption { caption-side: bottom; padding-top: 2px; white-space: nowrap; }
.optcompare th, .optcompare td { padding: 2px 12px 2px 0; text-align: right; white-space: nowrap; }
.optcompare th:first-child { text-align: left; }
.optcompare summary { cursor: pointer; }
.optcompare li { overflow-wrap: anywhere; }
</style>"""


def result_html(result: Result) -> str:
    """Return a result as HTML for a notebook.

    Its style applies to nothing else in the notebook, and follows the colours of the notebook.

    Args:
        result: The result of a comparison.
    """
    parts = [
        STYLE,
        '<div class="optcompare">',
        f"<p><strong>{text(result.comparison.workload.label)}</strong></p>",
        f'<p class="lead">{text(question(result))}</p>',
    ]
    if result.status != "finished":
        head, rest = (
            (result.unfinished, "")
            if result.is_under_way
            else (result.status, ": stopped; these are the results so far")
        )
        parts.append(f"<p><strong>{text(head)}</strong>{rest}.</p>")
    parts += [f"<p>{text(sentence)}</p>" for sentence in result.answer()]
    if len(result.reported[0]):
        parts += [_picture(result), *_tables(result)]
    parts += [_certificate(result), _notes(result), "</div>"]
    return "\n".join(part for part in parts if part)


def result_text(result: Result) -> str:
    """Return a result in a few lines of plain text.

    Args:
        result: The result of a comparison.
    """
    label, arms = result.comparison.workload.label, len(result.comparison.arms)
    trials = len(result.reported[1])
    first = f"{label}: {arms} arm{'s' * (arms != 1)}, {trials} trial{'s' * (trials != 1)}, {result.status}"
    return "\n".join([first, *result.answer(), _held(result)])


def _picture(result: Result) -> str:
    from PIL import Image  # slow to import, and only a notebook needs it

    drawn, image = io.BytesIO(), io.BytesIO()
    result.plot().savefig(drawn, format="png", dpi=DPI)
    # 256 colours are enough for lines and shades, and halve the size of the notebook.
    with Image.open(drawn) as picture:
        reduced = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
        reduced.save(image, format="png", optimize=True)
    data = base64.b64encode(image.getvalue()).decode()
    return f'<img alt="The comparison plot: loss curves of all arms." src="data:image/png;base64,{data}">'


def _tables(result: Result) -> list[str]:
    summary = result.summary(wide=True)
    tables = [table(*summary_cells(summary), summary_words(result, summary))]
    if result.goal is not None:
        tables.append(
            table(*goal_cells(summary, str(result.goal)), f"Medians of what {result.goal} took; ∞: a miss.")
        )
    pairs = result.pairs()
    if len(pairs):
        shown = table(*pair_cells(pairs, result.verdict_on), better_side(result.verdict_on))
        tables.append(_folded(f"against {result.baseline}, seed by seed", shown))
    return tables


def _held(result: Result) -> str:
    checks = result.certificate
    broken = sum(not check.held for check in checks)
    if not checks:
        return "fairness: no certificate, as the run did not come to its end"
    return (
        f"fairness: {broken} of {len(checks)} checks did NOT hold"
        if broken
        else f"fairness: all {len(checks)} checks held"
    )


def _certificate(result: Result) -> str:
    lines = "".join(f"<li>{text(line)}</li>" for line in certificate_lines(result.certificate))
    return _folded(_held(result), f"<ul>{lines}</ul>") if lines else f"<p>{text(_held(result))}</p>"


def _notes(result: Result) -> str:
    lines = "".join(f"<li>{text(note)}</li>" for note in result.notes)
    count = len(result.notes)
    return _folded(f"{count} note{'s' * (count != 1)}", f"<ul>{lines}</ul>") if lines else ""


def _folded(title: str, inside: str) -> str:
    return f"<details><summary>{text(title)}</summary>{inside}</details>"
