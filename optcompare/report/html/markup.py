"""Build the parts of HTML that the page and the notebook share: texts, tables, the question."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from html import escape
from typing import TYPE_CHECKING

from ...errors import printable

if TYPE_CHECKING:
    from ..result import Result

_UNITS = {"s": 1.0, "min": 60.0, "h": 3600.0}


def question(result: Result) -> str:
    """Describe the comparison in one line: arms, rates, seeds, budget, device.

    Args:
        result: The result of a comparison.

    Returns:
        Plain text, not escaped.
    """
    comparison = result.comparison
    tuned = "tuned lr" if comparison.repeats > 1 else ""
    rates = list(
        dict.fromkeys(f"{arm.optimizer.label} {tuned or f'lr {arm.lr:g}'}" for arm in comparison.arms)
    )
    some = rates if len(rates) <= 6 else [*rates[:5], f"{len(rates) - 5} more"]
    seeds = f"{len(comparison.seeds):,} seed{'s' if len(comparison.seeds) > 1 else ''}"
    seeds += f" on {comparison.split_seeds:,} splits" if comparison.split_seeds > 1 else ""
    seeds += f" at the rates of {comparison.repeats} tuning repeats" if comparison.repeats > 1 else ""
    arms = [short(arm.label) for arm in comparison.arms]
    named = ", ".join(arms if len(arms) <= 12 else [*arms[:11], f"{len(arms) - 11} more"])
    return (
        f"{named} · {', '.join(some)} · {seeds} · {comparison.budget} each · {comparison.device}, "
        f"{comparison.precision}"
    )


def table(header: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Return a table that the script of the page makes sortable.

    A cell that is not plain text carries the number that it is sorted by.

    Args:
        header: A title for each column, as plain text.
        rows: The rows, with as many cells each, as plain text; the first cell names the row.
        caption: The text below the table.
    """
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in header)
    body = "".join(
        f'<tr><th scope="row">{text(row[0])}</th>' + "".join(map(_cell, row[1:])) + "</tr>\n" for row in rows
    )
    return (
        f'<div class="scroll"><table><caption>{text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
    )


def _cell(shown: str) -> str:
    value = sort_value(shown)
    return (
        f"<td>{text(shown)}</td>"
        if value is None
        else f'<td class="n" data-v="{value:.6g}">{text(shown)}</td>'
    )


def sort_value(shown: str) -> float | None:
    """Return the number that a cell is sorted by.

    Args:
        shown: The text of the cell, such as ``median 0.2`` or ``1 min 5 s``.

    Returns:
        The number at its beginning, in seconds for a duration; NaN for '–' or an empty cell; None for other
        text.
    """
    plain = shown.removeprefix("median ").replace(",", "").replace("-∞", "-inf").replace("∞", "inf")
    if plain in ("–", ""):
        return math.nan
    times = re.fullmatch(r"(?:[\d.e-]+ (?:s|min|h) ?)+", plain)
    if times:
        return sum(
            float(value) * _UNITS[unit] for value, unit in re.findall(r"([\d.e-]+) (s|min|h)\b", plain)
        )
    number = re.fullmatch(r"<?(-?(?:inf|(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?))(?: .*)?", plain)
    return float(number[1]) if number else None


def short(name: str) -> str:
    """Return a name cut to 60 characters, with an ellipsis in place of what is left out.

    Args:
        name: Any text.
    """
    return name if len(name) <= 60 else f"{name[:40]}…{name[-19:]}"


def sentence(words: str) -> str:
    """Return the words as a sentence, with a capital letter and a full stop.

    Args:
        words: A sentence without these.
    """
    return f"{words[:1].upper()}{words[1:]}."


def text(plain: str) -> str:
    """Return plain text as HTML: escaped, and without characters that change the writing direction.

    Args:
        plain: Any text.
    """
    return escape(printable(plain), quote=True)
