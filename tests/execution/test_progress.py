"""What progress shows: lines, a bar, and that a run is about to finish."""

from __future__ import annotations

import io
import time

import pytest
from rich.console import Console

from optcompare import compare
from optcompare.cli.printer import Printer
from optcompare.execution import progress
from optcompare.execution.progress import Bar, Lines


def test_a_long_end_is_a_line(capsys):
    with Lines(patience=0.0) as lines:
        lines.advanced(5, 6, 0.9, 3.0)
        lines.advanced(6, 6, 1.0, 2.0)
        lines._end.join()
        lines.advanced(6, 6, 1.0, 2.0)
    assert capsys.readouterr().err == "6 of 6 trials, finishing…\n"


def test_a_short_end_is_none(capsys):
    with Lines(patience=600.0) as lines:
        lines.advanced(6, 6, 1.0, 2.0)
    assert not lines._end.is_alive()
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("quiet", [False, True])
def test_a_long_preparation_is_a_line_unless_quiet(capsys, monkeypatch, quiet):
    monkeypatch.setattr(progress, "_LONG_PREPARATION_SECONDS", 0.0)
    lines = []
    with Printer(quiet).preparation():
        while not quiet and not lines:  # printed by another thread
            time.sleep(0.001)
            lines = capsys.readouterr().err.splitlines()
    assert capsys.readouterr().err == ""
    assert [line.split(":")[0] for line in lines] == ([] if quiet else ["preparing"])


def test_a_short_preparation_is_silent(capsys):
    with progress.preparation():
        pass
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("shown", "printed"), [(True, True), (False, False), (None, False)])
def test_python_says_that_it_prepares_where_progress_is_shown(capsys, monkeypatch, shown, printed):
    """The timer of this test is at its end at once, so that nothing depends on seconds."""
    monkeypatch.setattr(progress.threading, "Timer", Expired)
    compare("line", "full", seeds=1, epochs=1, progress=shown)
    assert ("preparing: " in capsys.readouterr().err) == printed


class Expired:
    def __init__(self, seconds, call, arguments):
        self._end = (call, arguments)

    def start(self):
        call, arguments = self._end
        call(*arguments)

    def cancel(self):
        pass

    join = cancel


def test_lines_stand_apart(capsys, monkeypatch):
    with Lines() as lines:
        lines.advanced(1, 6, 0.1, 42.0)
        monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", 0.0)
        lines.advanced(2, 6, 0.3, 42.0)
    assert capsys.readouterr().err == "2 of 6 trials, 30%, about 42 s left\n"


def test_a_bar_ends_as_a_spinner(monkeypatch):
    """The spinner turns as long as the bar is not full."""
    shown = io.StringIO()
    monkeypatch.setattr(
        "rich.console.Console", lambda stderr: Console(file=shown, force_terminal=True, width=80)
    )
    with Bar() as bar:
        bar.advanced(1, 6, 0.2, 42.0)
        bar._bar.refresh()
        bar.advanced(6, 6, 1.0, 2.0)
        bar._bar.refresh()
        (task,) = bar._bar.tasks
        assert not task.finished
    assert "trial 2 of 6" in shown.getvalue()
    assert "about 42 s left" in shown.getvalue()
    assert "6 of 6 trials" in shown.getvalue()
    assert "finishing…" in shown.getvalue()
