"""What the rates beside the chosen one would have scored, and what a step between them is worth."""

from __future__ import annotations

import pandas as pd
import pytest

from optcompare.analysis.rate_sensitivity import neighbours, rate_sensitivity
from tests.helpers.tables import INF, NAN


def scores(*by_rate: dict[float, float], arm: str = "a") -> pd.DataFrame:
    """Scores of one arm by rate; of several dictionaries each is a repeat."""
    rows = [(arm, number, lr, score) for number, one in enumerate(by_rate, 1) for lr, score in one.items()]
    table = pd.DataFrame(rows, columns=["arm", "repeat", "lr", "score"])
    return table if len(by_rate) > 1 else table.drop(columns="repeat")


CASES = {
    "neighbours in any order": ({1.0: 2.0, 0.1: 5.0, 10.0: 3.5, 0.01: 9.0}, (0.1, 3.0, 10.0, 1.5, 1.5)),
    "a neighbour that diverged": ({0.1: 5.0, 1.0: 2.0, 10.0: INF}, (0.1, 3.0, 10.0, INF, 3.0)),
    "both diverged": ({0.1: INF, 1.0: 2.0, 10.0: INF}, (0.1, INF, 10.0, INF, INF)),
    "the smallest is best": ({0.1: 2.0, 1.0: 3.0, 10.0: 4.0}, (NAN, NAN, 1.0, 1.0, 1.0)),
    "the largest is best": ({0.1: 4.0, 1.0: 3.0, 10.0: 2.0}, (1.0, 1.0, NAN, NAN, 1.0)),
    "a rate that is not known is no neighbour": ({0.1: 4.0, 1.0: NAN, 10.0: 2.0}, (0.1, 2.0, NAN, NAN, 2.0)),
    "all diverged": ({0.1: INF, 1.0: INF}, (NAN, NAN, 1.0, NAN, NAN)),
    "nothing is known": ({0.1: NAN, 1.0: NAN}, (NAN, NAN, NAN, NAN, NAN)),
}


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_worth_what_the_better_neighbour_loses(case):
    by_rate, (lr_below, below, lr_above, above, loss) = CASES[case]
    (row,) = neighbours(scores(by_rate)).to_dict("records")
    found = [row[name] for name in ("lr_below", "below", "lr_above", "above")]
    assert found == pytest.approx([lr_below, below, lr_above, above], nan_ok=True)
    (summed,) = rate_sensitivity(scores(by_rate)).to_dict("records")
    assert [summed[name] for name in ("below", "above", "loss")] == pytest.approx(
        [below, above, loss], nan_ok=True
    )
    assert (summed["arm"], summed["repeats"]) == ("a", 1)


def test_over_repeats_it_is_the_median():
    """Losses of the better neighbour 1, 2 and 4; below 1, 2 and 4; above 3, infinite, and none at the edge:
    median of two.
    """
    table = scores({0.1: 3, 1.0: 2, 10.0: 5}, {0.2: 4, 2.0: 2, 20.0: INF}, {0.3: 9, 3.0: 6, 30.0: 2})
    found = rate_sensitivity(table)
    assert found.columns.tolist() == ["arm", "repeats", "below", "above", "loss"]
    assert found.to_numpy().tolist() == [["a", 3, 2.0, INF, 2.0]]


def test_each_arm_has_a_row_in_the_order_of_the_arms():
    found = rate_sensitivity(
        pd.concat([scores({0.1: 1, 1.0: 2}, arm="b"), scores({0.1: 4, 1.0: 1}, arm="a")])
    )
    assert found[["arm", "loss"]].to_numpy().tolist() == [["b", 1.0], ["a", 3.0]]
