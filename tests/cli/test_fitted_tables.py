"""Tables are never wider than the terminal, and nothing of them is lost."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from optcompare import compare
from optcompare.cli.fitted_tables import fitted, wrap
from optcompare.cli.terminal import Reporter

LONG = "mini:32@adam:betas=(0.9,0.999):weight_decay=0.01"


def lines(header, rows, width, breaks=()):
    blocks = fitted(header, rows, width, breaks)
    return [line for titles, body in blocks for line in (*titles, *body)]


def test_a_table_that_fits_is_as_wide_as_its_cells():
    assert lines(["arm", "loss"], [["full", "0.5"], ["mini:256", "12.25"]], 80) == [
        "arm        loss",
        "full        0.5",
        "mini:256  12.25",
    ]


def test_titles_wrap_at_spaces_before_columns_move_below():
    assert lines(["arm", "final valid loss", "updates"], [["full", "0.25 ± 0.01", "100"]], 26) == [
        "      final valid",
        "arm          loss  updates",
        "full  0.25 ± 0.01      100",
    ]


def test_a_long_name_wraps_between_its_settings_and_further_lines_are_indented():
    assert lines(["arm", "loss"], [[LONG, "0.5"], ["full", "0.25"]], 30) == [
        "arm                       loss",
        "mini:32@adam:              0.5",
        "  betas=(0.9,0.999):",
        "  weight_decay=0.01",
        "full                      0.25",
    ]


def test_what_does_not_fit_comes_below_with_the_names_again():
    header, rows = ["arm", "first", "second", "third"], [["full", "1" * 8, "2" * 8, "3" * 8]]
    assert lines(header, rows, 26) == [
        "arm      first    second",
        "full  11111111  22222222",
        "arm      third",
        "full  33333333",
    ]
    assert lines(header, rows, 26, breaks=[2])[:2] == ["arm      first", "full  11111111"]


@pytest.mark.parametrize("width", [20, 30, 45, 60, 80, 120, 200])
def test_no_line_is_wider_than_the_terminal_and_every_character_is_there(width):
    header = [
        "arm",
        "final valid_loss, difference (95%)",
        "won",
        "samples to the goal, ratio (95%)",
        "Holm p",
    ]
    rows = [
        [LONG, "-0.0781 (-0.0908 to -0.0653)", "6", "0.51 among the 3 seeds on which both did", "0.00195"],
        ["漢字" * 30, "–", "", "x" * 70, "1"],
    ]
    found = lines(header, rows, width, breaks=[3])
    assert max(map(cell_len, found)) <= width
    shown = "".join(found)
    for text in (*header, *rows[0], *rows[1]):
        assert all(shown.count(character) >= text.count(character) for character in text if character != " ")


def test_text_is_broken_anywhere_only_where_it_must_be():
    assert wrap("full@sgd:lr=0.1", 9, 2) == ["full@sgd:", "  lr=0.1"]
    assert wrap("abcdefgh", 3) == ["abc", "def", "gh"]
    assert wrap("", 5) == [""]
    assert wrap("weight_decay=0.001", 14) == ["weight_decay=", "0.001"]


@pytest.fixture(scope="module")
def result():
    arms = ["full", "mini:32", LONG, f"{LONG}:eps=1e-7"]
    return compare("digits", arms, seeds=2, epochs=1, tune=2, tune_seeds=1, goal="valid_loss=0.5")


@pytest.mark.slow
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("terminal", [False, True])
@pytest.mark.parametrize("width", [60, 80, 120])
def test_all_that_a_run_prints_fits_into_the_terminal(result, width, terminal, wide):
    say = Reporter(quiet=False, wide=wide)
    out = io.StringIO()
    say._out = Console(
        file=out,
        width=width,
        force_terminal=terminal,
        no_color=True,
        highlight=False,
        soft_wrap=True,
        color_system=None,
        legacy_windows=False,
    )
    say.result(result, [Path("runs/one/comparison.png")], 0)
    text = out.getvalue().replace("\x1b[1m", "").replace("\x1b[0m", "")
    tables = [line for line in text.splitlines() if terminal or "  " in line.lstrip()]
    assert len(tables) >= 15
    assert max(map(cell_len, tables)) <= width
    assert "…" not in text
