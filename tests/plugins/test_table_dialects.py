"""CSV files as programs export them: separators, titles, encodings, archives, and what is no CSV file at
all.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import pytest
import sklearn.datasets
import torch
from optcompare_plugins.workloads.tables import csv as table

from optcompare import WorkloadError

BODY = [f"{k},5;0,{k + 10};{'rot' if k % 2 else 'blau'};{k},25" for k in range(30)]
PLAIN = "a,b,y\n" + "".join(f"{k}.5,{'Müller' if k % 2 else 'Café'},{k}.25\n" for k in range(30))


@pytest.fixture
def write(tmp_path):
    def write(content: str | bytes, name: str = "table.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def zipped(**members: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return stream.getvalue()


def message(path, y="y", **settings) -> str:
    with pytest.raises(WorkloadError, match=r"^workload csv: ") as refusal:
        table(path, y, **settings)
    return str(refusal.value)


@pytest.mark.parametrize(
    "header",
    [
        "Temperatur, °C;Druck, bar;Farbe;y",
        '"Temperatur, °C";"Druck, bar";"Farbe";"y"',
        "sep=;\nTemp;Druck;Farbe;y",
        "a, b, c;d;e;y",
    ],
)
def test_the_cells_say_which_separator_it_is(write, header):
    workload = table(write("\n".join([header, *BODY])), "y")
    assert len(workload.columns) == 4
    assert any("decimal commas in" in note for note in workload.notes)


@pytest.mark.parametrize(
    ("lines", "y", "columns"),
    [
        (["Weg, m;Zeit", *(f"{k},5;{k}" for k in range(30))], "Zeit", ("Weg, m",)),
        (["x, m;z, m;y, m", *(f"{k},5;{3 * k},5;{k},25" for k in range(30))], "y, m", ("x, m", "z, m")),
        (
            ["id,pair,y", *(f"{k},2;{k % 3},{k}" for k in range(30))],
            "y",
            ("id", "pair=2;0", "pair=2;1", "pair=2;2"),
        ),
        (["a|y", *(f"{k}.5|{k}.25" for k in range(30))], "y", ("a",)),
        ([" a ,\u00a0b\u00a0, y ", *(f"{k}.5,{k % 7},{k}.25" for k in range(30))], " y", ("a", "b")),
    ],
)
def test_columns_are_cut_where_the_cells_agree(write, lines, y, columns):
    assert table(write("\n".join(lines)), y).columns == columns


@pytest.mark.parametrize(
    ("above", "cause"),
    [
        ("Messreihe 7\n", "line 1 has 1 field, the lines below have 3: is it a title? remove it"),
        ("Messreihe 7, März\n\n", "line 1 has 2 fields, the lines below have 3: is it a title? remove it"),
        ("Messreihe 7\nMärz\n", "are the 2 lines above the names a title? remove them"),
    ],
)
def test_a_title_above_the_header_is_named(write, above, cause):
    assert cause in message(write(above + PLAIN))


def test_tabs_in_a_message_are_seen(write):
    path = write('"a\tb",y\n' + "".join(f"{k},{k}.5\n" for k in range(20)))
    assert "its header line holds a\\tb, y" in message(path, "z")


def test_a_file_without_names_or_separators_says_so(write):
    assert "the first line holds numbers, so write a line with the names" in message(write("1.5,2\n2.5,3\n"))
    spaces = write("a  b  y\n" + "".join(f"{k}  {k}  {k}\n" for k in range(20)))
    assert "which no comma, semicolon, tab or bar separates" in message(spaces)


@pytest.mark.parametrize(
    "content",
    [
        PLAIN.encode("utf-8-sig"),
        PLAIN.encode("utf-16"),
        PLAIN.encode("utf-32"),
        gzip.compress(PLAIN.encode()),
        bz2.compress(PLAIN.encode("utf-16")),
        lzma.compress(PLAIN.encode()),
        zipped(**{"d/t.csv": PLAIN, "__MACOSX/d/._t.csv": "x"}),
        PLAIN.replace("\n", "\r").encode(),
    ],
    ids=["mark", "utf-16", "utf-32", "gzip", "bzip2 of utf-16", "xz", "zip", "old line ends"],
)
@pytest.mark.parametrize("mapped", [False, True])
def test_marks_and_archives_are_read(write, tmp_path, content, mapped):
    plain = table(write(PLAIN, "plain.csv"), "y")
    other = table(write(content), "y", mapped=mapped, store=tmp_path / "store")
    assert other.columns == plain.columns == ("a", "b=Café", "b=Müller")
    assert all(torch.equal(*pair) for pair in zip(plain.train, other.train, strict=True))


def test_another_encoding_is_found_out_and_can_be_given(write):
    path = write(PLAIN.encode("cp1252"))
    assert message(path).endswith(
        "is no CSV table: it is not in UTF-8: byte 0xe9 in line 2; give encoding=cp1252 (Windows, Western "
        "Europe: 'Café'), "
        "mac_roman (old Macs: 'CafÈ'), cp1250 (Windows, Central Europe: 'Café'), cp1251 (Windows, Cyrillic: "
        "'Cafй')"
    )
    assert "b=Müller" in table(path, "y", encoding="cp1252").columns
    assert "encoding=latin9x is not known; give one of Python's" in message(path, encoding="latin9x")


def test_a_byte_far_down_is_found(write):
    path = write(("x,y\n" + "1,2.5\n" * 100_000 + "é,1\n").encode("cp1252"))
    assert "byte 0xe9 in line 100002; give encoding=cp1252" in message(path)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (zipped(**{"[Content_Types].xml": "", "xl/workbook.xml": ""}), "it is a workbook of Excel (.xlsx)"),
        (
            zipped(**{"a.csv": PLAIN, "b.csv": PLAIN}),
            "it is a zip archive of 2 files (a.csv, b.csv); unpack it",
        ),
        (gzip.compress(PLAIN.encode() * 9)[:-20], "it cannot be unpacked"),
        (PLAIN.encode("utf-16-le"), "it seems to be UTF-16 without its mark; give encoding=utf-16-le"),
        (b"PAR1....", "it is a Parquet file; write parquet:PATH instead of csv:PATH"),
        (b"<!DOCTYPE html><html></html>", "it is a web page or XML"),
        (b'[{"a": 1}]', "it is JSON"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "it is a workbook of an old Excel (.xls)"),
    ],
)
def test_what_is_no_csv_file_is_called_by_its_name(write, content, cause):
    assert cause in message(write(content))


def test_the_tables_that_come_with_scikit_learn(tmp_path):
    """Their first line counts rows and columns, which is no header for most of them."""
    folder = Path(sklearn.datasets.__file__).parent / "data"
    assert (
        table(folder / "iris.csv", "virginica")
        .notes[1]
        .startswith("csv: y = 'virginica' is numeric with the classes 0, 1, 2")
    )
    assert "line 1 has 5 fields, the lines below have 14; name every column" in message(
        folder / "wine_data.csv"
    )
    assert "line 1 has 4 fields, the lines below have 31; name every column" in message(
        folder / "breast_cancer.csv"
    )
    assert "the first line holds numbers, so write a line with the names" in message(folder / "digits.csv.gz")
    assert "which no comma, semicolon, tab or bar separates" in message(
        folder / "linnerud_exercise.csv", "Chins"
    )
    (tmp_path / "chins.csv").write_text((folder / "linnerud_exercise.csv").read_text().replace(" ", "\t"))
    assert table(tmp_path / "chins.csv", "Chins").columns == ("Situps", "Jumps")


def test_a_row_with_too_many_cells_is_named_by_its_line(write):
    lines = PLAIN.splitlines()
    lines[3] += ",9"
    assert "line 4 has 4 fields, those above it 3; quote a cell that holds the separator" in message(
        write("\n".join(lines))
    )


def test_a_separator_at_the_end_of_each_line_is_no_column_that_numbers_them(write):
    notes = table(write("a;y;\n" + "".join(f"{k};{k}.5;\n" for k in range(20))), "y").notes
    assert "csv: 'Unnamed: 2' is left out: it has neither a name nor values" in notes
