"""CSV that a spreadsheet opens without computing anything."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from optcompare.results.csv_text import csv_text

FORMULAS = [
    "=1+1", "=cmd|'/C calc'!A0", "+1+1", "-1+1", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "＝1+1", "＠x",
    '=HYPERLINK("http://a.example","b")', "--x",
]  # fmt: skip


def cells(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@pytest.mark.parametrize("name", FORMULAS)
def test_a_cell_of_text_is_no_formula(name):
    header, row = cells(csv_text(pd.DataFrame({"arm": [name], name: [1]})))
    assert row[0] == header[1]
    assert row[0].startswith("'")
    assert row[0].replace("'", "") == name.replace("\r", " ").replace("'", "")


@pytest.mark.parametrize("separator", [";", "\t", "; "])
def test_no_cell_begins_with_a_formula_where_another_separator_is_used(separator):
    ((_,), (cell,)) = cells(csv_text(pd.DataFrame({"arm": [f"x{separator}=1"]})))
    assert cell == f"x{separator}'=1"


def test_numbers_and_other_names_are_as_they_were():
    table = pd.DataFrame({"arm": ["mini:32@adam:lr=0.1", "-0.5", None], "loss": [-1.5, float("nan"), float("-inf")]})
    assert csv_text(table) == table.to_csv(index=False, lineterminator="\n")


def test_an_empty_table_keeps_its_titles():
    assert csv_text(pd.DataFrame(columns=["arm", "loss"])) == "arm,loss\n"
