"""The gap of large batches: the numbers that are found in known ends of training."""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd
import pytest
from optcompare_plugins.reproductions import large_batch_gap

HOFFER = {  # test accuracy and sharpness; the accuracies of small, large, adapted as in Hoffer's table 1, C1
    "same passes": [(0.8780, 10.0), (0.8395, 30.0)],
    "tuned": [(0.8780, 10.0), (0.8615, 9.0)],
    "same updates": [(0.8700, 40.0), (0.8820, 8.0)],
}


class Attempt:
    """An attempt whose two seeds end two points of accuracy apart, around what is given."""

    full = False

    def __init__(self, ends):
        self.ends, self.questions = ends, {}

    def choose(self, *, quick, full):
        return quick

    def compare(self, part, workload, strategies, lr=0.1, **question):
        self.questions[part] = strategies, lr, question
        rows = [("tune", "a", 0, 0.0, 0.1, 2.0, 1.0)]
        for arm, (accuracy, sharpness) in zip("ab", self.ends[part], strict=True):
            for seed, shift in ((1, -0.01), (2, 0.01)):
                rows.append(("report", arm, seed, 0.1, 2.3, 0.1, 1.0))
                rows.append(("report", arm, seed, accuracy + shift, 0.2, 0.1, sharpness))
        columns = ["phase", "arm", "seed", "test_accuracy", "train_loss", "lr", "sharpness"]
        return SimpleNamespace(records=pd.DataFrame(rows, columns=columns))


def test_the_numbers_are_those_of_the_ends_of_training():
    """Hoffer et al. 2017, arXiv 1705.08741, table 1, C1; at a larger rate the large batch had 86.15%."""
    attempt = Attempt(HOFFER)
    about, found = large_batch_gap.large_batch_gap(), large_batch_gap.find(attempt)
    wanted = {"gap": 3.85, "tuned": 1.65 / 3.85, "adapted": -0.4, "updates": 0.8}
    assert found.values == pytest.approx({**wanted, "sharper": 3.0, "sharper, updates": 4.0})
    assert all(about.expected[key].holds(value) for key, value in found.values.items())
    assert len(found.notes) == 6
    assert found.notes[0] == "small: rate 0.1, training loss 0.2, sharpness 10 (2/rate 20)"
    assert len(found.figure.axes) == 2


def test_regime_adaptation_makes_as_many_updates_at_a_rate_times_the_root_of_the_ratio():
    attempt = Attempt(HOFFER)
    large_batch_gap.find(attempt)
    strategies, rates, question = attempt.questions["same updates"]
    assert strategies == "mini:200"
    assert rates == pytest.approx([0.03, 0.03 * 12.5**0.5])
    assert question["epochs"] == 375  # 30 epochs × 200/16


def test_equal_ends_do_not_hold():
    attempt = Attempt(
        {part: [(0.87, 10.0), (0.87, 10.0)] for part in HOFFER}
        | {"same passes": [(0.87, 10.0), (0.869, 10.0)]}
    )
    about, found = large_batch_gap.large_batch_gap(), large_batch_gap.find(attempt)
    missed = [key for key, each in about.expected.items() if not each.holds(found.values[key])]
    assert missed == ["gap", "updates", "sharper", "sharper, updates"]
