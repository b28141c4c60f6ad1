"""What the verdict of a real run speaks of: the test set, the splits, and how rates were found."""

from __future__ import annotations

import pytest

from optcompare import compare
from tests.helpers.workloads import held_out, small_workload

ASKED = {"strategies": ["full", "mini:4"], "epochs": 2, "trainer": "loop"}


def test_it_speaks_of_the_test_set_where_there_is_one():
    result = compare(held_out(), **ASKED, seeds=6)
    assert result.verdict()[0].startswith("Final test_loss: ")
    assert [claim["measure"] for claim in result.claims()] == ["final test_loss"]
    assert result.pairs()["difference"][0] == (
        result.summary()["final_test_loss"][1] - result.summary()["final_test_loss"][0]
    )


@pytest.mark.slow
def test_it_says_on_how_many_splits_it_rests_and_counts_them_as_observations():
    asked = {**ASKED, "workload": held_out(test=None), "seeds": 4}
    one, two = compare(**asked), compare(**asked, split_seeds=2)
    assert one.verdict()[-1].startswith("One workload (custom), 1 split, 4 seeds.")
    assert two.verdict()[-1].startswith("One workload (custom), 2 splits, 4 seeds.")
    assert two.verdict()[0] == "Too few splits for a firm claim (2; 6 needed for 1 comparison)."
    assert (one.pairs()["n"][0], two.pairs()["n"][0]) == (4, 2)


@pytest.mark.slow
def test_it_says_how_rates_were_found():
    asked = {**ASKED, "workload": small_workload(), "seeds": 2}
    assert "Nothing was tuned: " in " ".join(compare(**asked).verdict())
    tuned = compare(**asked, tune=2, tune_seeds=1, tune_range=(0.01, 0.02))
    assert "Learning rates were tuned once: " in " ".join(tuned.verdict())
    repeated = compare(**asked, tune=2, tune_seeds=1, tune_repeats=3)
    assert "Learning rates were tuned 3 times; " in " ".join(repeated.verdict())
    assert (repeated.pairs()["n"][0], repeated.pairs()["wins"][0] + repeated.pairs()["losses"][0]) == (2, 6)
