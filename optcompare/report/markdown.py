"""Write tables in Markdown in which names of arms create no links, images, mentions or other markup."""

from __future__ import annotations

import re
from collections.abc import Sequence

_LIVE = re.compile(
    r"""[\[\]`\\&*~$] | !\[ | <[A-Za-z/!?] | ://  # links, images, code, entities, emphasis, formulas, HTML
    | \b (?: www\. | mailto: | xmpp: | javascript: | data: )
    | [\w.+-]@[\w-]+\.\w  # an address of mail
    | (?<!\w)@\w | \#\d | \bGH-\d | \b(?=[0-9]*[a-f])[0-9a-f]{7,40}\b  # people, issues, commits
    | (?<!\w)_ | _(?!\w)  # emphasis""",
    re.VERBOSE | re.IGNORECASE,
)


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table for a README or an issue.

    Args:
        header: A title for each column.
        rows: The rows, with as many cells each. ``|`` is escaped; a cell with markup is set as code.
    """
    lines = [[_cell(text) for text in line] for line in (header, *rows)]
    lines.insert(1, ["---", *["---:"] * (len(header) - 1)])
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    text = " ".join(text.split())
    return (_as_code(text) if _LIVE.search(text) else text).replace("|", "\\|")


def _as_code(text: str) -> str:
    """Return the text between more backticks than it contains in a row, so that nothing in it is markup."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * (longest + 1)
    return f"{fence} {text} {fence}" if longest else f"{fence}{text}{fence}"
