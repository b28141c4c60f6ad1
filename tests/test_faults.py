"""The list of faults names tests that there are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
HELD_BY = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", (ROOT / "docs" / "faults.md").read_text("utf-8"))


def test_every_fault_has_a_test():
    rows = [
        line for line in (ROOT / "docs" / "faults.md").read_text("utf-8").splitlines() if line.startswith("|")
    ][2:]
    assert len(rows) == len(HELD_BY) > 10


@pytest.mark.parametrize(("file", "name"), HELD_BY)
def test_the_test_that_is_named_is_there(file, name):
    assert f"def {name}" in (ROOT / file).read_text("utf-8")
