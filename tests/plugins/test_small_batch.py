"""Small batches of language models: the rule of β₂, and the numbers that are found in known losses."""

from __future__ import annotations

import pandas as pd
import pytest
from optcompare_plugins.reproductions import small_batch


class Attempt:
    """An attempt whose losses are given by optimizer and batch size, with two seeds 0.02 apart.

    Args:
        losses: The mean validation loss of each arm, by the start of its optimizer and its batch size.
    """

    full = False

    def __init__(self, losses):
        self.losses, self.questions = losses, {}

    def choose(self, *, quick, full):
        return quick

    def compare(self, part, workload, arms, **question):
        self.questions[part] = question
        rows = [("tune", arm, 0, 99.0) for arm in arms]
        for arm in arms:
            size, optimizer = arm.removeprefix("mini:").split("@")
            kind = "fixed" if "0.95)" in optimizer else optimizer.split(":")[0]
            mean = self.losses[kind, int(size)]
            rows += [
                ("report", arm, 1, 9.0),
                ("report", arm, 1, mean - 0.01),
                ("report", arm, 2, mean + 0.01),
            ]
        self.records = pd.DataFrame(rows, columns=["phase", "arm", "seed", "valid_loss"])
        return self


def losses(*rows):
    """Return the losses of adam, fixed and sgd at B = 1, 8 and 64."""
    return {
        (kind, size): value
        for kind, row in zip(("adam", "fixed", "sgd"), rows, strict=True)
        for size, value in zip((1, 8, 64), row, strict=True)
    }


def test_the_half_life_in_samples_is_kept():
    """0.95 at 512 is 0.99989982 at 1 (Marek et al. 2025, arXiv 2507.07101)."""
    assert small_batch.kept(1, 512) == pytest.approx(0.99989982, abs=5e-9)
    assert small_batch.kept(small_batch.REFERENCE) == pytest.approx(small_batch.BETA)
    assert small_batch.kept(1) ** 8 == pytest.approx(small_batch.kept(8))


def test_the_numbers_are_differences_of_the_means_over_the_seeds_that_are_reported():
    attempt = Attempt(losses((2.0, 1.99, 2.4), (2.1, 2.0, 2.5), (2.03, 2.2, 2.9)))
    about, found = small_batch.small_batch(), small_batch.find(attempt)
    assert found.values == pytest.approx({"small": 0.01, "fixed": 0.1, "sgd": 0.03, "grows": 0.47})
    assert all(about.expected[key].holds(value) for key, value in found.values.items())
    assert {question["epochs"] for question in attempt.questions.values()} == {1}
    assert len(found.figure.axes) == 1


def test_small_batches_that_train_worse_do_not_hold():
    attempt = Attempt(losses((2.2, 1.9, 2.0), (2.2, 1.9, 2.0), (2.9, 2.6, 2.7)))
    about, found = small_batch.small_batch(), small_batch.find(attempt)
    assert found.values == pytest.approx({"small": 0.3, "fixed": 0.0, "sgd": 0.7, "grows": 0.0})
    assert not any(about.expected[key].holds(value) for key, value in found.values.items())
