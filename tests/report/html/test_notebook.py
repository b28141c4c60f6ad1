"""How a result shows itself: in a notebook as HTML, elsewhere as text; and progress below a cell."""

from __future__ import annotations

import base64
import dataclasses
import re
import sys
import types

import pytest

from optcompare import compare
from optcompare.execution.progress import Lines, NotebookBar, in_notebook, progress
from tests.helpers.hostile_names import NAMES, strategy
from tests.helpers.html import Outline
from tests.helpers.workloads import small_workload


@pytest.fixture(scope="module")
def result():
    return compare(small_workload(), ["full", "mini:2"], seeds=2, epochs=2, goal="train_loss=0.5")


def test_a_notebook_sees_verdict_figure_summary_and_the_rest_folded(result):
    html = result._repr_html_()
    outline = Outline(html)
    for sentence in result.verdict():
        assert sentence in html
    (source,) = [value for name, value in outline.attributes if name == "src"]
    picture = base64.b64decode(source.removeprefix("data:image/png;base64,"))
    assert picture.startswith(b"\x89PNG")
    assert len(html) < 300_000
    assert html.index("final train loss") > html.index("<img")
    assert re.findall("<summary>(.*?)</summary>", html)[:2] == [
        "against full, seed by seed",
        f"fairness: all {len(result.certificate)} checks held",
    ]
    assert "script" not in outline.tags
    assert html.count("<details>") == html.count("</details>")


def test_text_says_the_same_in_a_few_lines(result):
    first, *verdict, fairness = repr(result).splitlines()
    assert first == "custom: 2 arms, 4 trials, finished"
    assert verdict == result.verdict()
    assert fairness == f"fairness: all {len(result.certificate)} checks held"


@pytest.mark.slow
def test_a_check_that_does_not_hold_is_not_said_to(result):
    check = dataclasses.replace(result.certificate[0], held=False)
    changed = dataclasses.replace(result, certificate=[check, *result.certificate[1:]])
    assert f"fairness: 1 of {len(result.certificate)} checks did NOT hold" in changed._repr_html_()
    assert f"✗ {check.name}" in changed._repr_html_()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_hostile_names_are_escaped(name):
    html = compare(small_workload(), [strategy(name), "full"], seeds=1, epochs=1)._repr_html_()
    outline = Outline(html)
    assert "script" not in outline.tags
    assert not [attribute for attribute, _ in outline.attributes if attribute.startswith("on")]
    assert {value[:22] for name, value in outline.attributes if name == "src"} == {"data:image/png;base64,"}


class Cell:
    """What IPython shows below a cell."""

    def __init__(self):
        self.shown = []

    def update(self, value, raw=False):
        self.shown.append(value if raw else value._repr_mimebundle_((), ())["text/plain"])


@pytest.fixture
def cell(monkeypatch):
    """A kernel, as far as optcompare looks at it."""
    cell = Cell()
    display = types.ModuleType("IPython.display")
    display.display = lambda value, display_id: cell.update(value) or cell
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return cell


def test_progress_in_a_notebook_is_one_output_that_ends_as_a_line(cell, capsys):
    assert in_notebook()
    result = compare(small_workload(), ["full", "mini:2"], seeds=3, epochs=2)
    assert len(result.trials) == 6
    assert cell.shown[0].startswith("training")
    assert re.fullmatch(r"trial \d of 6 .* \d+% .*(left|finishing…)\s*", cell.shown[1])
    assert re.fullmatch(r"6 of 6 trials in \d.*s", cell.shown[-1]["text/plain"])
    assert len(cell.shown) < 10
    assert capsys.readouterr() == ("", "")


def test_progress_can_be_left_out_of_a_notebook(cell):
    compare(small_workload(), "full", seeds=1, epochs=1, progress=False)
    assert cell.shown == []


def test_scripts_are_silent_unless_they_ask(capsys):
    compare(small_workload(), "full", seeds=1, epochs=1)
    assert capsys.readouterr() == ("", "")
    with progress() as shown:
        assert type(shown) is Lines
    assert not in_notebook()


def test_a_refusal_leaves_a_line_instead_of_a_bar(cell):
    with pytest.raises(ZeroDivisionError), NotebookBar():
        raise ZeroDivisionError
    assert cell.shown[-1] == {"text/plain": "nothing was trained"}
