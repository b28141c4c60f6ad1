"""One table for every reproduction: what it claims, what it expects, and how long its code is."""

from __future__ import annotations

import importlib
import math
from pathlib import Path

import pytest

from optcompare import Reproduction, reproduce
from optcompare.registry.manager import Registry
from tests.helpers.pages import ROOT

FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")
ENTRIES = Registry.load().entries("reproductions")


@pytest.mark.parametrize("name", ENTRIES)
def test_every_reproduction_states_claim_source_setting_and_ranges(name):
    about = ENTRIES[name].factory()
    assert isinstance(about, Reproduction)
    assert all(text.endswith((".", "?")) or ":" in text for text in (about.claim, about.setting))
    assert about.source
    assert about.expected
    for each in about.expected.values():
        assert each.words
        assert each.low <= each.high
        assert math.isfinite(each.low) or math.isfinite(each.high), f"{each.words}: any number would hold"


@pytest.mark.parametrize("name", ENTRIES)
def test_every_reproduction_has_at_most_80_lines(name):
    module = importlib.import_module(ENTRIES[name].factory.__module__)
    lines = Path(module.__file__).read_text("utf-8").splitlines()
    assert len(lines) <= 80


AT_THE_EDGE = {"mnist1d": ["mlp"]}
"""Numbers that lie at an end of their ranges, so that rounding and seeds decide: 0.659 of at least 0.66."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "growth",
        "grab",
        "large-batch-gap",
        "mnist1d",
        "noise-scale",
        "noisy-quadratic",
        "seeds",
        "three-regions",
    ],
)
def test_quick_reproductions_find_what_was_expected(name, tmp_path):
    if name not in ("grab", "mnist1d", "noisy-quadratic") and not FASHION_MNIST.is_dir():
        pytest.skip("needs the package dataset-fashion-mnist")
    result = reproduce(name, out=tmp_path / name)
    assert set(result.missed) <= set(AT_THE_EDGE.get(name, []))
    assert (tmp_path / name / "figure.png").stat().st_size > 10_000


def test_every_reproduction_is_documented():
    page = (ROOT / "docs" / "how-to" / "reproduce.md").read_text("utf-8")
    assert [name for name in ENTRIES if f"| `{name}` |" not in page] == []
