"""Names that want out, and a strategy of any name."""

from __future__ import annotations

from optcompare import Strategy

NAMES = [
    "../../escaped",
    "/etc/passwd",
    "a\\b",
    "..",
    "<script>alert(1)</script>",
    "line\nbreak",
    "tab\there",
    "\x1b[31mred",
    "$math$ _under^",
    "100%",
    "a" * 3000,
    "名前",
    "\u202ertl",
    "  ",
    "comma, and : colon @ at",
    "[bold]rich[/bold]",
]


def strategy(name):
    made = type("Named", (Strategy,), {"batches": lambda self, epoch: iter(epoch.order.split(4))})
    made.__name__ = name
    return made()
