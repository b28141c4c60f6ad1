"""CSV that a spreadsheet opens without computing anything."""

from __future__ import annotations

import csv
import io

import pandas as pd
import pytest

from optcompare import compare
from optcompare.results.csv_text import csv_text
from optcompare.results.tables import ResultTables
from optcompare.storage.run_dir import read_json, write_json
from optcompare.verification.recompute import check_conclusions
from tests.helpers.hostile_names import strategy
from tests.helpers.workloads import small_workload

FORMULAS = [
    "=1+1",
    "=cmd|'/C calc'!A0",
    "+1+1",
    "-1+1",
    "@SUM(1)",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "＝1+1",
    "＠x",
    '=HYPERLINK("http://a.example","b")',
    "--x",
]


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
    table = pd.DataFrame(
        {"arm": ["mini:32@adam:lr=0.1", "-0.5", None], "loss": [-1.5, float("nan"), float("-inf")]}
    )
    assert csv_text(table) == table.to_csv(index=False, lineterminator="\n")


def test_an_empty_table_keeps_its_titles():
    assert csv_text(pd.DataFrame(columns=["arm", "loss"])) == "arm,loss\n"


@pytest.mark.slow
@pytest.mark.parametrize("own", [True, False], ids=["these sources", "other sources"])
def test_a_summary_of_other_sources_may_hold_what_they_wrote(own, tmp_path):
    result = compare(
        small_workload(), [strategy("=1+1"), "full"], seeds=2, epochs=1, trainer="loop", out=tmp_path / "run"
    )
    path = tmp_path / "run" / "summary.csv"
    assert "\n'=1+1," in path.read_text()
    path.write_text(result.summary(wide=True).to_csv(index=False, lineterminator="\n"))
    about = read_json(tmp_path / "run")
    about["environment"] |= {} if own else {"code_sha256": "other"}
    write_json(tmp_path / "run", about)
    found = check_conclusions(ResultTables.read(tmp_path / "run"), tmp_path / "run", about)
    assert ("summary.csv is not what the tables give" in found.detail) is own
