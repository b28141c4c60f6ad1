"""Names in scripts that DejaVu Sans lacks are drawn with a font that has them, the user's own before any
other.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pytest
from matplotlib import font_manager

from optcompare import compare
from optcompare.report.plots import style
from optcompare.report.plots.fonts import FIRST, families, without_glyphs
from tests.helpers.commands import run

FontBuilder = pytest.importorskip("fontTools.fontBuilder").FontBuilder  # comes with matplotlib
TTGlyphPen = pytest.importorskip("fontTools.pens.ttGlyphPen").TTGlyphPen
KOREAN, CHINESE = "한글", "价格半分"


def made(path: Path, name: str, characters: str) -> Path:
    """A font in which each of these characters is a square of one em."""
    names = [".notdef", *(f"uni{ord(each):04X}" for each in characters)]
    font = FontBuilder(1000, isTTF=True)
    font.setupGlyphOrder(names)
    font.setupCharacterMap({ord(each): f"uni{ord(each):04X}" for each in characters})
    font.setupGlyf({each: _square() for each in names})
    font.setupHorizontalMetrics(dict.fromkeys(names, (1000, 0)))
    font.setupHorizontalHeader(ascent=900, descent=-100)
    font.setupNameTable({"familyName": name, "styleName": "Regular"})
    font.setupOS2()
    font.setupPost()
    font.save(path)
    return path


def _square():
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 900), (900, 900), (900, 0)):
        pen.lineTo(corner)
    pen.closePath()
    return pen.glyph()


@pytest.fixture
def fonts(tmp_path, monkeypatch) -> Iterator[None]:
    """Beside DejaVu Sans: one font for Korean whose name says so, and one for Chinese whose name does not."""
    own = [entry for entry in font_manager.fontManager.ttflist if entry.name.startswith("DejaVu Sans")]
    monkeypatch.setattr(font_manager.fontManager, "ttflist", own)
    for name, characters in (("Test Gothic", KOREAN), ("Of Mine", CHINESE)):
        font_manager.fontManager.addfont(made(tmp_path / f"{name}.ttf", name, characters))
    style._width.cache_clear()
    yield
    style._width.cache_clear()


def test_a_font_for_a_script_is_found_by_what_it_has_and_the_users_by_its_setting(fonts):
    assert families() == [FIRST, "Test Gothic"]
    assert without_glyphs(["full", f"{KOREAN} 半 半"]) == "半"
    with matplotlib.rc_context({"font.family": "Of Mine"}):
        assert families() == [FIRST, "Of Mine", "Test Gothic"]
        assert without_glyphs([KOREAN, CHINESE]) == ""
    with matplotlib.rc_context({"font.sans-serif": ["No Such Font", "Of Mine"]}):
        assert families() == [FIRST, "Of Mine", "Test Gothic"]


def test_widths_of_latin_text_are_those_of_dejavu_sans_and_of_the_rest_those_of_its_own_font(fonts):
    assert style.text_width("mini:64", 10.0) == pytest.approx(
        style._width("mini:64", 10.0, "normal", (FIRST,))
    )
    assert style.text_width(KOREAN, 10.0) == pytest.approx(1.08 * 20, rel=0.06)


@pytest.mark.slow
@pytest.mark.parametrize("text", [KOREAN, CHINESE])
def test_a_plot_with_such_names_warns_of_no_glyph(fonts, tmp_path, text):
    result = compare("line", "full", seeds=1, epochs=1, device="cpu")
    with matplotlib.rc_context({"font.family": ["Of Mine", "serif"]}):
        result.comparison = _named(result.comparison, text)
        result.plot().savefig(tmp_path / "plot.png")
        assert matplotlib.rcParams["font.family"] == ["Of Mine", "serif"]


def _named(comparison, text):
    return dataclasses.replace(comparison, workload=dataclasses.replace(comparison.workload, label=text))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "said"), [("半分", "no installed font has 半分: pictures show boxes"), ("한글", "")]
)
def test_the_command_says_once_which_characters_no_font_has(fonts, tmp_path, monkeypatch, capsys, name, said):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "from dataclasses import dataclass\nfrom optcompare import Strategy, hookimpl\n@dataclass\nclass "
        "Mine(Strategy):\n"
        "    def batches(self, epoch):\n        yield epoch.order\n"
        f"@hookimpl\ndef optcompare_strategies():\n    return {{'{name}': Mine}}\n",
        encoding="utf-8",
    )
    line = (
        "--plugin",
        "mine.py",
        "--strategies",
        f"full,{name}",
        "--seeds",
        1,
        "--epochs",
        1,
        "--device",
        "cpu",
    )
    assert run("run", *line, "--out", "here") == 0
    warned = [line for line in capsys.readouterr().err.splitlines() if "font" in line]
    assert len(warned) == bool(said)
    assert said in "".join(warned)
    assert run("report", "here") == 0
    assert said in capsys.readouterr().err
