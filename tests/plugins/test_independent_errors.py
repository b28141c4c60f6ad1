"""The spread of accuracy over seeds, on predictions whose deviations can be worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from optcompare_plugins.reproductions.independent_errors import Spread, drawn


def test_two_seeds_that_differ_on_half_of_the_rows():
    spread = Spread(np.array([[1.0, 1, 1, 0], [1.0, 1, 0, 1]]))
    assert spread.accuracies.tolist() == [0.75, 0.75]
    assert spread.deviation == 0
    assert spread.error == 0.25
    assert spread.disagreement == pytest.approx(0.5)
    assert list(spread.predicted()) == ["√(D/2n)", "√(err/2n)", "√(p(1-p)/n)"]
    assert list(spread.predicted().values()) == pytest.approx([0.25, (0.25 / 8) ** 0.5, (0.1875 / 4) ** 0.5])


def test_disagreement_is_the_mean_over_all_pairs_of_seeds():
    spread = Spread(np.array([[1.0, 0, 1], [1.0, 1, 0], [0.0, 0, 0]]))
    pairs = [2 / 3, 2 / 3, 2 / 3]
    assert spread.disagreement == pytest.approx(np.mean(pairs))


def test_errors_of_a_calibrated_ensemble_have_the_variance_of_half_the_error_rate():
    rng = np.random.default_rng(1)
    q = rng.choice([0.5, 0.9, 0.99], size=4000)  # of the seeds, a share q puts the row into class 1
    y = rng.random(4000) < q
    spread = Spread(((rng.random((400, 4000)) < q) == y).astype(float))
    assert spread.error == pytest.approx(2 * np.mean([0.25, 0.09, 0.0099]), rel=0.05)
    assert spread.ratios[:2] == pytest.approx([1, 1], abs=0.1)
    assert spread.ratios[2] ** 2 == pytest.approx(0.5 / (1 - spread.error), rel=0.2)


def test_an_error_that_all_rows_share_adds_to_the_spread():
    rng = np.random.default_rng(0)
    share = rng.choice([0.7, 0.9], size=(100, 1))
    assert Spread((rng.random((100, 1000)) < share).astype(float)).ratios[0] > 5


def test_the_figure_shows_seeds_and_three_predictions():
    ax = drawn(Spread(np.eye(20)[:, :10]), Figure().subplots())
    assert [line.get_label() for line in ax.lines] == [
        "normal, deviation √(D/2n)",
        "normal, deviation √(err/2n)",
        "normal, deviation √(p(1-p)/n)",
    ]
    assert sum(bar.get_height() * bar.get_width() for bar in ax.patches) == pytest.approx(1)
