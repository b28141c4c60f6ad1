"""What README and the documentation state as facts is so."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import pandas as pd
import pytest
from packaging.requirements import Requirement

import optcompare
from optcompare.core import bounds
from optcompare.core.columns import GOAL_COLUMNS, RECORD_COLUMNS, TRIAL_COLUMNS
from optcompare.registry.manager import Registry
from tests.helpers.pages import ROOT, blocks, pages

DOCS = ROOT / "docs"


def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def columns_of(table: str) -> list[list[str]]:
    """The first column of each table in a section of the page about run directories."""
    section = re.search(
        rf"^## `{table}`$(.*?)(?=^## |\Z)", text("docs/reference/run-directory.md"), re.M | re.S
    )
    assert section is not None
    tables = re.split(r"^\| column .*\n\|[-|]+\|\n", section[1], flags=re.M)[1:]
    return [
        [
            name
            for line in each.splitlines()
            if line.startswith("|")
            for name in re.findall(r"`([\w…]+)`", line.split("|")[1])
        ]
        for each in tables
    ]


def test_readme_is_short():
    assert len(text("README.md").splitlines()) <= 150


def test_readme_has_the_two_commands_that_continuous_integration_runs():
    patterns = re.findall(r"grep -m1 -E '(.+?)' README\.md", text(".ci/common.sh"))
    assert len(patterns) == 2
    for pattern in patterns:
        assert len(re.findall(pattern, text("README.md"), re.MULTILINE)) == 1, pattern


def test_the_cpu_build_of_torch_is_that_of_the_constraints():
    (version,) = re.findall(r"^torch==\S+$", text("constraints.txt"), re.MULTILINE)
    assert f"pip install {version} --index-url https://download.pytorch.org/whl/cpu" in text("README.md")


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_files_lead_somewhere(page):
    found = re.findall(r"(?<!`)\[[^\]]*\]\(([^)#\s]+)\)", page.read_text(encoding="utf-8"))
    found += re.findall(r"\{download\}`[^<]+<([^>]+)>`", page.read_text(encoding="utf-8"))
    for link in found:
        if link.startswith("../gallery/"):
            name = link.removeprefix("../gallery/")
            assert name == "index" or (ROOT / "examples" / f"{name}.py").exists(), link
        elif "://" not in link:
            assert (page.parent / link).exists(), link


def test_every_page_stands_in_the_table_of_contents():
    listed = set(re.findall(r"^([\w-]+(?:/[\w-]+)?)$", text("docs/index.md"), re.MULTILINE)) - {
        "gallery/index"
    }
    assert listed == {
        str(page.relative_to(DOCS).with_suffix("")) for page in pages() if DOCS in page.parents
    } - {"index"}


def test_the_columns_of_records_are_those_of_the_schema():
    always, sometimes = columns_of("records.parquet")
    assert tuple(always) == RECORD_COLUMNS
    assert {"split", "repeat"} <= set(sometimes)


def test_the_columns_of_trials_are_those_of_the_schema():
    always, sometimes = columns_of("trials.parquet")
    assert tuple(always) == TRIAL_COLUMNS
    assert set(GOAL_COLUMNS) <= set(sometimes)


@pytest.mark.slow
def test_every_column_and_file_of_a_run_is_documented(tmp_path):
    options = {"tune": 2, "tune_repeats": 2, "split_seeds": 2, "plane": True, "diagnostics": "grad_norm"}
    optcompare.compare("diabetes", "full", seeds=2, epochs=1, out=tmp_path / "run", **options)
    files = re.findall(r"^\| `([\w.]+)/?`", text("docs/reference/run-directory.md"), re.MULTILINE)
    assert {path.name for path in (tmp_path / "run").iterdir()} <= set(files)
    measured = {"grad_norm", "train_mae", "valid_mae"}  # the page says "a diagnostic", and "the metric NAME"
    for name in ("records", "trials"):
        known = {column for each in columns_of(f"{name}.parquet") for column in each}
        assert set(pd.read_parquet(tmp_path / "run" / f"{name}.parquet").columns) - known <= measured


def test_the_limits_are_those_of_the_code():
    page = text("docs/reference/limits.md")
    limits = (
        bounds.MAX_SEEDS,
        bounds.MAX_TRIALS,
        bounds.MAX_RATES,
        bounds.MAX_THREADS,
        bounds.MAX_AMOUNT,
    )
    found = [
        int(number.replace(",", ""))
        for number in re.findall(r"\| ([\d,]+)(?: \(2\^53\))? \|$", page, re.MULTILINE)
    ]
    assert tuple(found) == limits


@pytest.mark.parametrize("kind", ["strategies", "workloads"])
def test_every_bundled_name_is_documented(kind):
    page = text("docs/reference/names.md")
    for name in Registry.load().entries(kind):
        assert re.search(rf"`{name}[`:]", page), name


def test_every_public_name_is_in_the_python_reference():
    page = text("docs/reference/python.md")
    assert [name for name in optcompare.__all__ if f"optcompare.{name}" not in page] == []


def test_the_rooms_in_words_and_in_the_drawing_are_those_of_the_contract():
    rooms = setup()["importlinter:contract:rooms"]["layers"].split()
    table = re.findall(r"^\| `(\w+)` \|", text("docs/explanation/architecture.md"), re.MULTILINE)
    drawn = [
        word
        for word in re.findall(r'font-weight="600">(\w+)</text>', text("docs/_static/architecture.svg"))
        if word in rooms
    ]
    assert table == rooms
    assert drawn[-len(rooms) :] == rooms


def test_the_citation_names_this_version():
    assert f"\nversion: {optcompare.__version__}\n" in text("CITATION.cff")


def test_entry_points_of_recipes_follow_their_files():
    """A recipe in CONTRIBUTING saves a file and lists it; both must agree, as those of setup.cfg do."""
    files = [block.file for block in blocks(ROOT / "CONTRIBUTING.md") if block.file]
    lines = [block.text for block in blocks(ROOT / "CONTRIBUTING.md") if block.language == "ini"]
    kinds = [Path(file).parent.name for file in files]
    names = [Path(file).stem for file in files]
    assert kinds == ["strategies", "workloads", "diagnostics", "executors"]
    assert lines == [
        f"{kind}.{name} = optcompare_plugins.{kind}.{name}" for kind, name in zip(kinds, names, strict=True)
    ]
    listed = setup()["options.entry_points"]["optcompare"].split("\n")
    assert all(re.fullmatch(r"(\w+)\.(\w+) = optcompare_plugins\.\1\.\2", line) for line in listed if line)


def test_the_lowest_versions_are_those_that_setup_allows():
    """Of torch alone the version of constraints.txt is tested: older builds bring gigabytes."""
    lowest = {
        pin.name: str(pin.specifier).removeprefix("==")
        for line in text(".ci/constraints-lowest.txt").splitlines()
        if line and not line.startswith("#")
        for pin in [Requirement(line)]
    }
    wanted = [Requirement(line) for line in setup()["options"]["install_requires"].split("\n") if line]
    for each in wanted:
        (bound,) = each.specifier
        assert bound.operator == ">="
        pinned = lowest[each.name]
        if each.name == "torch":
            assert f"torch=={pinned}" in text("constraints.txt")
            continue
        assert pinned == bound.version or pinned.startswith(f"{bound.version}."), each
        assert set(pinned.removeprefix(bound.version)) <= {".", "0"}, each
