"""Paths with colons, commas and equals signs in specs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from optcompare.core.file_paths import comma_hints, join_path_parts, join_script_path, split_items
from optcompare.core.grammar import Spec, parse
from optcompare.core.parameters import bind, parameters
from optcompare.errors import SpecError


def table(path: Path, y: str, *, hidden: int = 32) -> None: ...


@pytest.fixture
def files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("v1.2:final/h.csv", "run=3/h.csv", "Daten, 2024/h.csv", "a:b=1/h.csv", "my, models/m.py"):
        Path(name).parent.mkdir(parents=True)
        Path(name).write_text("")


@pytest.mark.parametrize(
    "path", ["v1.2:final/h.csv", "run=3/h.csv", "a:b=1/h.csv", "C:/Users/h.csv", "c:\\data\\h.csv"]
)
@pytest.mark.usefixtures("files")
def test_a_path_that_is_a_file_or_begins_with_a_drive_needs_no_quotes(path):
    expected = {"path": Path(path), "y": "price", "hidden": 3}
    assert bind(parameters(table), parse(f"csv:{path}:y=price:hidden=3"), kind="workload") == expected
    if "=" not in path:
        assert bind(parameters(table), parse(f"csv:{path}:price:hidden=3"), kind="workload") == expected


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("csv:v1.3:final/h.csv:y=price", "'csv:\"v1.3:final/h.csv\":y=price'"),
        ("csv:run=4/h.csv:y=price:hidden=0", "'csv:\"run=4/h.csv\":y=price:hidden=0'"),
    ],
)
@pytest.mark.usefixtures("files")
def test_a_path_that_is_no_file_is_shown_in_quotes(text, hint):
    with pytest.raises(
        SpecError, match=re.escape(f"; a path with ':' or '=' in it has to be quoted: {hint}")
    ):
        bind(parameters(table), parse(text), kind="workload")


def test_what_is_no_path_gets_no_hint():
    with pytest.raises(SpecError, match=r"needs y; write csv:data\.csv:y=…$"):
        bind(parameters(table), parse("csv:data.csv"), kind="workload")
    assert join_path_parts(parse("csv:a.csv:y:3")) == Spec("csv", ("a.csv", "y", "3"))


@pytest.mark.usefixtures("files")
def test_a_comma_in_the_path_of_a_file_does_not_separate():
    assert split_items("line,csv:Daten, 2024/h.csv:y=price,digits") == [
        "line",
        "csv:Daten, 2024/h.csv:y=price",
        "digits",
    ]
    assert split_items("sgd,my, models/m.py:Lion") == ["sgd", "my, models/m.py:Lion"]
    assert split_items("full@my, models/m.py:Lion,mini:32") == ["full@my, models/m.py:Lion", "mini:32"]
    assert split_items("csv:Daten, 2025/h.csv:y=price") == ["csv:Daten", " 2025/h.csv:y=price"]


def test_an_error_about_a_part_of_a_path_says_how_to_quote_it():
    items = split_items("csv:Daten, 2025/h.csv:y=price")
    hint = "a path with a comma has to be quoted: 'csv:\"Daten, 2025/h.csv\":y=price'"
    with pytest.raises(SpecError, match=re.escape(hint)), comma_hints(items, 0):
        raise SpecError("workload csv needs y")
    with pytest.raises(SpecError, match=r"^unknown 'ful'$"), comma_hints(["ful", "mini:32@adam"], 0):
        raise SpecError("unknown 'ful'")


def test_a_script_may_stand_on_a_drive():
    assert join_script_path(parse("C:/x/mine.py:make:3")) == Spec("C:/x/mine.py", ("make", "3"))
    assert join_script_path(parse("mine.py:make")) == Spec("mine.py", ("make",))
    assert join_script_path(parse("mini:32")) == Spec("mini", ("32",))
