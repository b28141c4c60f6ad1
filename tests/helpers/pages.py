"""The pages of the documentation, and their code blocks in the order in which a reader follows them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
_FENCE = re.compile(r"^```([a-z-]+)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
_NOTE = re.compile(r"<!-- (slow|not run: (.+?)) -->\s*\Z")
_FILE = re.compile(r"[Ss]ave\s+(?:it\s+)?as\s+`([\w./-]+)`:\s*\Z")


@dataclass(frozen=True)
class Block:
    """A code block of a page.

    ``file``: the file that the text before it says to save it as, empty for none. ``slow``: it is run with
    ``--slow`` alone. ``not_run``: why no test can run it, empty where one does.
    """

    language: str
    text: str
    file: str = ""
    slow: bool = False
    not_run: str = ""

    @property
    def commands(self) -> list[str]:
        """The commands of a block of shell lines, without comments."""
        lines = (re.sub(r"\s+#.*", "", line).strip() for line in self.text.splitlines())
        return [line for line in lines if line and not line.startswith("#")]


def pages() -> list[Path]:
    """Return README, CONTRIBUTING and all written pages of the documentation."""
    written = [page for page in (ROOT / "docs").rglob("*.md") if not {"_build", "gallery"} & set(page.parts)]
    return [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(written)]


def blocks(page: Path) -> list[Block]:
    """Return the code blocks of a page that a reader may run, in their order."""
    text, found, end = page.read_text(encoding="utf-8"), [], 0
    for fence in _FENCE.finditer(text):
        before, end = text[end : fence.start()], fence.end()
        note = _NOTE.search(before)
        saved = _FILE.search(before)
        found.append(
            Block(
                fence[1],
                fence[2],
                file=saved[1] if saved else "",
                slow=note is not None and note[1] == "slow",
                not_run=note[2] or "" if note else "",
            )
        )
    return found
