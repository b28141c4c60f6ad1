"""Numbers and dates as people write them: what they are read as, and what is said about it."""

from __future__ import annotations

import pytest
import torch
from optcompare_plugins.workloads import table_files
from optcompare_plugins.workloads.csv_table import CsvTable
from optcompare_plugins.workloads.number_cells import number
from optcompare_plugins.workloads.table_columns import TableLog
from optcompare_plugins.workloads.tables import csv as table

from optcompare import WorkloadError

AMOUNTS = [1234.5, 57429.25, 158.75, 79433.5, 1000.25, 12.5, 999.75, 4321.0, 20500.5, 3.25] * 3


@pytest.fixture
def write(tmp_path):
    def write(text: str) -> str:
        path = tmp_path / "table.csv"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def both_ways(monkeypatch, tmp_path):
    """Reads a table at once, and in portions of seven rows; both must be the same."""
    monkeypatch.setattr(table_files, "batch_rows", lambda columns: 7)

    def read(path, y="y", **settings):
        memory = table(path, y, **settings)
        mapped = table(path, y, mapped=True, store=tmp_path / "store", **settings)
        assert mapped.notes[:-1] == memory.notes
        for one, other in zip((*memory.train, *memory.valid), (*mapped.train, *mapped.valid), strict=True):
            assert torch.equal(one, other)
        return memory

    return read


def rows(cells, separator=",", other=lambda k: f"{k}.25"):
    body = [f'"{cell}"{separator}{other(k)}' for k, cell in enumerate(cells)]
    return "\n".join([f"c{separator}y", *body]) + "\n"


def cells_of(path) -> list[float]:
    return CsvTable(path, "utf-8", TableLog("csv")).column("c").tolist()


def european(value: float) -> str:
    return f"{value:,.2f}".translate(str.maketrans(",.", ".,"))


@pytest.mark.parametrize(
    ("write_one", "separator", "note"),
    [
        (lambda v: f"{v:,.2f}", ",", "'c' holds numbers such as 1,234.50, read as 1234.50"),
        (lambda v: f"${v:,.2f}", ",", "'c' holds amounts such as $1,234.50, read as 1234.50"),
        (lambda v: f"{european(v)} €", ";", "'c' holds amounts such as 1.234,50 €, read as 1234.50"),
        (
            lambda v: f"CHF {v:,.2f}".replace(",", "’"),
            ",",
            "'c' holds amounts such as CHF 1’234.50, read as 1234.50",
        ),
        (
            lambda v: f"{v:,.2f}".replace(",", "\u202f"),
            ",",
            "'c' holds numbers such as 1\u202f234.50, read as 1234.50",
        ),
        (lambda v: f"{v:.2f} kg", ",", "'c' holds numbers with a unit such as 1234.50 kg, read as 1234.50"),
        (lambda v: f"{v:.2f}%", "\t", "'c' holds percentages such as 1234.50%, read as 1234.50"),
        (
            lambda v: f"{v:.2f} ± 0.4",
            ",",
            "'c' holds numbers with a margin such as 1234.50 ± 0.4, read as 1234.50 without",
        ),
        (lambda v: f"{v:.2f}".replace(".", ","), "\t", "decimal commas in 'c': 1234,50 is read as 1234.50"),
        (lambda v: f"{v:.2f}".replace(".", ","), ",", "decimal commas in 'c': 1234,50 is read as 1234.50"),
    ],
)
def test_numbers_in_other_notations_are_numbers_and_said(write, both_ways, write_one, separator, note):
    path = write(rows(map(write_one, AMOUNTS), separator))
    assert cells_of(path) == AMOUNTS
    assert any(told.startswith(f"csv: {note}") for told in both_ways(path).notes)


@pytest.mark.parametrize("form", ["({:,.2f})", "−{:.2f}", "$({:,.2f})", "{:.2f}-", "-{:.2f} °C"])
def test_negative_numbers_are_negative(write, both_ways, form):
    path = write(rows(form.format(value) for value in AMOUNTS))
    assert cells_of(path) == [-value for value in AMOUNTS]
    assert any("'c' holds" in note for note in both_ways(path).notes)


PRICES = [57429, 269, 15386, 1234567, 158, 79433, 12000, 900, 4321, 20500] * 3


@pytest.mark.parametrize("most", [1e9, 1e6])
def test_points_are_thousands_beside_decimal_commas(write, both_ways, most):
    """57.429 is fifty-seven thousand, whether or not a number has two points."""
    prices = [price for price in PRICES if price < most]
    text = "area;y\n" + "".join(f"{k},5;{f'{price:,}'.replace(',', '.')}\n" for k, price in enumerate(prices))
    workload = both_ways(write(text), hidden=0)
    assert "csv: 'y' holds numbers such as 57.429, read as 57429" in workload.notes
    assert CsvTable(write(text), "utf-8", TableLog("csv")).column("y").astype(float).tolist() == prices


def test_points_are_decimal_where_no_comma_is(write):
    text = "acidity;density;quality\n" + "".join(f"{k}.2;1.{k + 100};{k % 3}\n" for k in range(30))
    workload = table(write(text), "quality")
    assert workload.notes == (
        "csv: 24 training and 6 validation rows, 2 inputs",
        "csv: y = 'quality' is numeric with the classes 0, 1, 2: classification (task=regression to change)",
    )


@pytest.mark.parametrize(
    ("cell", "separator", "value", "advice"),
    [
        ("1,{}", ",", 1100, "if the comma is a decimal sign, write a point"),
        ("1,{}", "\t", 1100, "if the comma is a decimal sign, write a point"),
        ("1,{}", ";", 1.1, "if the comma separates thousands, take it out"),
        ("1.{}", ";", 1.1, "if the point separates thousands, take it out"),
        ("1.{}", ",", 1.1, "if the point separates thousands, take it out"),
    ],
)
def test_what_the_file_leaves_open_is_said(write, both_ways, cell, separator, value, advice):
    path = write(rows((cell.format(k + 100) for k in range(30)), separator, other=lambda k: str(3 * k)))
    assert cells_of(path)[0] == value
    (note,) = [note for note in both_ways(path).notes if "'c' holds" in note]
    assert note.endswith(advice)


def test_another_column_decides_what_one_leaves_open(write):
    path = write(rows((f"1,{k + 100}" for k in range(30)), other=lambda k: f'"{k},5"'))
    assert cells_of(path)[0] == 1.1
    assert not any("if the comma" in note for note in table(path, "y").notes)


@pytest.mark.parametrize(
    ("forms", "reason"),
    [
        (["{} kg", "{} lb"], "it holds numbers with different units ('10 kg', '11 lb'); convert them to one"),
        (["{} m2", "{} m3"], "it holds numbers with different units ('10 m2', '11 m3'); convert them to one"),
        (["{}%", "{}%", "0.{}"], "it mixes percentages and plain numbers (10%, 0.12); write one of them"),
        (
            ["1,2{}.5", "1.2{},5"],
            "it mixes decimal commas and decimal points (1.211,5, 1,210.5); write one of them",
        ),
        (["12:{}", "13:{}"], "it holds times such as 12:30, which are not read as numbers"),
        (
            ["<{}", "{}.5", "{}"],
            "it holds 20 numbers and limits such as <5 or 10+, which are not read as numbers",
        ),
        (["{}/13/2021", "13/{}/2021"], "it mixes dates of day/month and of month/day"),
    ],
)
def test_a_column_that_mixes_notations_is_left_out_with_the_reason(write, forms, reason):
    cells = [forms[k % len(forms)].format(k % 9 + 1 if "2021" in forms[0] else k + 10) for k in range(30)]
    with pytest.raises(
        WorkloadError, match=r"to predict y from: 'c' is (left out: text with|taken)"
    ) as refusal:
        table(write(rows(cells)), "y")
    assert reason in str(refusal.value)


@pytest.mark.parametrize(
    "text", ["A1", "city75", "12-b", "1.2.3", "555-1234", "3rd", "19-Sep-03", "12 PM", "1,2345,6", ""]
)
def test_what_is_no_number(text):
    assert number(text) is None


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ([f"{k + 1:02d}.03.2021" for k in range(30)], "such as 13.03.2021, read as day.month.year"),
        ([f"3/{k + 1}/2021" for k in range(30)], "such as 3/13/2021, read as month/day/year"),
        ([f"{k + 1}/3/2021" for k in range(30)], "such as 13/3/2021, read as day/month/year"),
        ([f"{k + 1}-Mar-21" for k in range(30)], "such as 1-Mar-21"),
        ([f"March {k + 1}, 2021" for k in range(30)], "such as March 1, 2021"),
        (
            [f"3/{k + 1}/2021 12:00 AM" for k in range(30)],
            "such as 3/13/2021 12:00 AM, read as month/day/year",
        ),
    ],
)
def test_dates_are_days(write, both_ways, cells, words):
    """They are consecutive days, and so is y: both are standardised to the same numbers."""
    path = write(rows(cells, other=lambda k: f"{k}.5"))
    workload = both_ways(path)
    assert f"csv: 'c' holds dates {words}" in workload.notes
    for x, y in (workload.train, workload.valid):
        assert torch.allclose(x, y, atol=1e-5)


def test_dates_that_do_not_tell_day_from_month_are_said(write):
    path = write(rows(f"{k % 5 + 1}/{k % 7 + 1}/2021" for k in range(30)))
    (note,) = [note for note in table(path, "y").notes if "such as" in note]
    assert note == (
        "csv: 'c' holds dates such as 1/1/2021, read as month/day/year; no cell distinguishes day "
        "and month, so write them as 2024-12-31 if that is wrong"
    )


def test_a_date_that_does_not_exist_is_missing_and_named(write, both_ways):
    workload = both_ways(write(rows(["31.02.2021", *(f"{k + 1}.03.2021" for k in range(29))])))
    assert "csv: 'c' holds dates, taken as a number of days; 31.02.2021 is taken as missing" in workload.notes


@pytest.mark.parametrize("sign", ["?", "-", "k. A."])
def test_many_signs_for_missing_leave_a_column_numeric(write, both_ways, sign):
    workload = both_ways(write(rows([sign if k % 3 == 0 else f"{k},5" for k in range(30)])))
    assert workload.columns == ("c",)
    assert f"csv: 'c' is numeric, and {sign} there is taken as missing" in workload.notes


@pytest.mark.parametrize("sign", ["nan", "NaN", "N/A", "?", ""])
@pytest.mark.parametrize("value", ["{}.5", "class {}"])
def test_a_row_whose_y_is_missing_in_any_notation_is_left_out(write, both_ways, sign, value):
    cells = [sign if k % 5 == 0 else value.format(k % 3) for k in range(30)]
    workload = both_ways(write("x,y\n" + "".join(f"{k},{cell}\n" for k, cell in enumerate(cells))))
    assert "csv: 6 of 30 rows have no y and are left out" in workload.notes
    assert workload.size + len(workload.valid[0]) == 24


def test_categories_that_differ_in_case_or_spaces_are_named(write, both_ways):
    workload = both_ways(write(rows(["Berlin", "Berlin ", "berlin", "Rome"][k % 4] for k in range(32))))
    assert workload.columns == ("c=Berlin", "c=Rome", "c=berlin")
    assert "csv: spaces at the ends of cells do not count in 'c': 'Berlin ' is 'Berlin'" in workload.notes
    (note,) = [note for note in workload.notes if "differ in case" in note]
    assert note.startswith(
        "csv: 'c' has categories that differ in case or spaces alone: 'Berlin' and 'berlin'; "
    )


def test_few_decimals_are_numbers_and_no_categories(write, both_ways):
    workload = both_ways(write(rows((["1,0", "1,3", "1,7"][k % 3] for k in range(30)), "\t")))
    assert workload.columns == ("c",)


@pytest.mark.parametrize("unit", ["k", "M", "Mio"])
def test_numbers_in_a_multiple_are_not_mixed_with_plain_ones(write, both_ways, unit):
    cells = [f"{k}{unit}" if k % 4 else f"{k}000" for k in range(2, 32)]
    notes = both_ways(
        write("c,a,y\n" + "".join(f"{cell},{k},{k}.25\n" for k, cell in enumerate(cells)))
    ).notes
    assert any(f"it mixes numbers in {unit} and plain ones" in note for note in notes)


def test_whole_numbers_that_float64_does_not_hold_are_said(write, both_ways):
    large, small = (
        both_ways(write("c,y\n" + "".join(f"{start + k},{k}.25\n" for k in range(30)))).notes
        for start in (10**16, 10**6)
    )
    assert any("'c' holds numbers above 2^53, whose units are rounded" in note for note in large)
    assert not any("2^53" in note for note in small)
