"""What the command line shows, within the columns of a terminal."""

from __future__ import annotations

import click
import pytest

from optcompare.cli import runs
from optcompare.cli.printer import wrapped

ENTRY = (
    "1. mini:32: difference -2.01 (95% interval -2.02 to -1.99), better on 10 of 10 seeds: claimed lower "
    "(Holm p = 0.00391)"
)


@pytest.mark.parametrize(("width", "lines"), [(60, 3), (80, 2), (120, 1)])
def test_entries_of_the_verdict_are_wrapped_below_the_name(width, lines):
    shown = wrapped(ENTRY, width).split("\n")
    assert len(shown) == lines
    assert max(map(len, shown)) <= width
    assert all(line.startswith("   ") for line in shown[1:])
    assert " ".join(line.strip() for line in shown) == ENTRY


def test_names_are_never_broken():
    assert wrapped("Lowest mean: a-very-long-name", 10).split("\n") == ["Lowest", "mean:", "a-very-long-name"]


def test_a_dry_run_counts_the_seconds_since_the_command_began(monkeypatch):
    monkeypatch.setattr("optcompare.cli.runs.time.perf_counter", lambda: 14.0)
    assert runs._seconds_so_far() == 0.0, "outside a command"
    with click.Context(click.Command("run"), obj=10.0):
        assert runs._seconds_so_far() == 4.0
