"""The checks of ``verify`` and ``check`` on the terminal: a line each, with progress meanwhile."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from .printer import Printer

if TYPE_CHECKING:
    from ..execution.progress import Lines
    from ..verification.finding import Finding

Advanced = Callable[[int, int, float], None]
"""Called with the trials that are done, all of them, and the share of the current check that is done."""
Checks = Callable[[Advanced], "Iterator[Finding]"]
_HELD = {True: "held", False: "NOT HELD", None: "not checked"}


def print_findings(printer: Printer, checks: Checks) -> list[Finding]:
    """Print each check in a line as soon as it is made, and how many held.

    Args:
        printer: The printer of lines and progress; a quiet one prints nothing.
        checks: An iterator that makes the checks one after another.

    Returns:
        All checks.
    """
    clock = _CheckClock()
    coming = checks(clock.advanced)
    findings: list[Finding] = []
    while True:
        with printer.progress() as clock.bar:
            finding = next(coming, None)
        if finding is None:
            break
        findings.append(finding)
        if not printer.quiet:
            printer.line(f"{_HELD[finding.held]:<11}  {finding.name}: {finding.detail}")
    if not printer.quiet:
        printer.line()
        printer.line(_total(findings))
    return findings


def _total(findings: list[Finding]) -> str:
    """Return the number of checks that held, in words."""
    broken = [finding.name for finding in findings if finding.held is False]
    made = [finding for finding in findings if finding.held is not None]
    if broken:
        return f"{len(broken)} of {len(made)} checks did not hold: {', '.join(broken)}"
    return f"all {len(made)} checks{' that could be made' * (len(made) < len(findings))} held"


class _CheckClock:
    """Estimate the time left of the check under way, and show it in a bar."""

    def __init__(self) -> None:
        self.bar: Lines | None = None
        self._began, self._share = time.monotonic(), 1.0

    def advanced(self, done: int, of: int, share: float) -> None:
        """Show progress; a smaller share than before is that of the next check."""
        if share < self._share:
            self._began = time.monotonic()
        elif self.bar is not None and share > 0:
            self.bar.advanced(done, of, share, (time.monotonic() - self._began) * (1 - share) / share)
        self._share = share
