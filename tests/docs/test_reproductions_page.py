"""The page of reproductions shows what was recorded, which is of the present claims and ranges."""

from __future__ import annotations

import importlib.util
import json
import math

import pytest

from optcompare.registry.manager import Registry
from tests.helpers.pages import ROOT

ENTRIES = Registry.load().entries("reproductions")
RECORDS = {
    path.stem: json.loads(path.read_text("utf-8")) for path in (ROOT / "docs/reproductions").glob("*.json")
}


def or_else(value, default):
    return default if value is None else value


def script():
    spec = importlib.util.spec_from_file_location("recorded", ROOT / "docs" / "record_reproductions.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_what_the_records_give():
    made = script()
    assert made.PAGE.read_text("utf-8") == made.page(made.recorded()), "run docs/record_reproductions.py"


def test_every_reproduction_is_recorded():
    assert sorted(RECORDS) == sorted(ENTRIES)


@pytest.mark.parametrize("name", RECORDS)
def test_what_was_recorded_is_of_the_present_claim_and_ranges(name):
    about, record = ENTRIES[name].factory(), RECORDS[name]
    assert record["claim"] == about.claim
    assert record["source"] == about.source
    assert record["setting"] == about.setting
    present = about.expected_at(full=record["size"] == "full").items()
    for each, (key, expected) in zip(record["expected"], present, strict=True):
        low, high = or_else(each["low"], -math.inf), or_else(each["high"], math.inf)
        assert (each["name"], each["words"], low, high) == (key, expected.words, expected.low, expected.high)
        assert each["holds"] == expected.holds(or_else(each["found"], math.nan))


def test_the_page_shows_what_does_not_hold_with_its_likely_reason():
    record = {**RECORDS["grab"], "name": "other", "notes": ["measured twice"]}
    first = {**record["expected"][0], "words": "a slope", "low": -1.0, "high": None, "found": None}
    record["expected"] = [{**first, "holds": False, "likely_reason": "the goal is too easy"}]
    page = script().page([record])
    assert "| [`other`](#other) | Lu et al. 2022" in page
    assert "| 0 of 1 |" in page
    assert "| a slope | at least -1 | nan | **no** |" in page
    assert "- Not as expected: a slope. Likely reason: the goal is too easy\n- measured twice\n" in page
    assert "figure" not in page.split("## other")[1].lower()
