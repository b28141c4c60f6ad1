"""Scores of learning rates, the choice among them, and the expected best of k."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis.lr_scores import best_rates, expected_best, rate_scores
from optcompare.errors import ComparisonError
from tests.helpers.tables import INF, NAN, in_repeats, tables, trial


def tuning(finals: dict[tuple[str, float], list[float]]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Final losses of tuning seeds by arm and rate; infinite: diverged."""
    return tables(
        *(
            trial(arm, seed, [9.0, final], "diverged" if final == INF else "finished", lr=lr)
            for (arm, lr), values in finals.items()
            for seed, final in enumerate(values)
        )
    )


def scored(*rows: tuple[str, float, float]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["arm", "lr", "score"])


def test_score_is_the_mean_over_tuning_seeds_for_each_arm_and_rate():
    found = rate_scores(
        *tuning({("b", 0.1): [1, 2, 6], ("a", 0.1): [3, 3, 3], ("b", 0.01): [4, 5, 9]}), "train_loss"
    )
    assert found.columns.tolist() == ["arm", "lr", "score", "median", "seeds", "samples", "seconds"]
    assert found.to_numpy().tolist() == [
        ["b", 0.1, 3, 2, 3, 30, 3.0],
        ["a", 0.1, 3, 3, 3, 30, 3.0],
        ["b", 0.01, 6, 5, 3, 30, 3.0],
    ]


def test_lost_seed_makes_the_score_infinite_and_takes_part_in_the_median():
    found = rate_scores(*tuning({("a", 0.1): [1, INF, 3], ("a", 1.0): [INF, INF, 3]}), "train_loss")
    assert found[["score", "median"]].to_numpy().tolist() == [[INF, 3], [INF, INF]]


@pytest.mark.parametrize("last", [NAN, INF, -INF])
def test_final_loss_that_is_not_finite_counts_as_lost(last):
    tried = tables(trial("a", 0, [9, 1], valid_loss=[9, 2]), trial("a", 1, [9, 1], valid_loss=[9, last]))
    assert rate_scores(*tried, "valid_loss")["score"].tolist() == [INF]


def test_trial_that_failed_unmeasured_is_lost_and_costs_nothing():
    lost, whole = trial("a", 0, [], "failed"), trial("a", 0, [9, 2], lr=0.2)
    assert rate_scores(*tables(lost, whole), "train_loss")["score"].tolist() == [INF, 2]
    found = rate_scores(*tables(lost), "train_loss")
    assert found[["score", "seeds", "samples"]].to_numpy().tolist() == [[INF, 1, 0]]


def test_seeds_beyond_the_reach_of_a_float_are_told_apart():
    tried = tables(
        *(trial("a", 2**62 + i, [9, i]) for i in range(3)), trial("a", 2**62 + 3, [], "failed", lr=0.2)
    )
    assert rate_scores(*tried, "train_loss")[["score", "seeds"]].to_numpy().tolist() == [[1, 3], [INF, 1]]


def test_rate_of_an_interrupted_trial_has_no_score():
    tried = tables(trial("a", 0, [9, 1]), trial("a", 1, [9], "interrupted"), trial("a", 0, [9, 3], lr=0.2))
    found = rate_scores(*tried, "train_loss")
    assert found["score"].tolist() == pytest.approx([NAN, 3], nan_ok=True)
    assert best_rates(found)["lr"].tolist() == [0.2]


def test_rates_are_chosen_by_a_loss():
    message = "^rates are chosen by a loss, the lowest; valid_accuracy is none$"
    with pytest.raises(ComparisonError, match=message):
        rate_scores(*tuning({("a", 0.1): [1]}), "valid_accuracy")


def test_lowest_score_wins_for_each_arm():
    found = best_rates(
        scored(("b", 0.1, 2), ("b", 0.01, 3), ("b", 1, 5), ("a", 0.1, 2), ("a", 0.2, 1), ("a", 0.3, INF))
    )
    assert found.columns.tolist() == ["arm", "lr", "score", "at_edge", "all_diverged"]
    assert found.to_numpy().tolist() == [["b", 0.1, 2, False, False], ["a", 0.2, 1, False, False]]


@pytest.mark.parametrize(
    ("by_rate", "rate", "at_edge", "all_diverged"),
    [
        ({0.3: 1.0, 0.2: 1.0, 0.1: 2.0}, 0.2, False, False),  # of equal scores the smaller rate
        ({0.3: 1.0, 0.2: 2.0, 0.1: 3.0}, 0.3, True, False),
        ({0.3: 3.0, 0.2: 2.0, 0.1: 1.0}, 0.1, True, False),
        (
            {0.3: INF, 0.2: 1.0, 0.1: 2.0},
            0.2,
            False,
            False,
        ),  # a rate that diverges bounds the grid as any other
        ({0.3: INF, 0.2: INF, 0.1: INF}, 0.1, True, True),
        ({0.3: NAN, 0.2: NAN}, NAN, False, False),
    ],
)
def test_best_rate_says_whether_a_better_one_may_lie_outside(by_rate, rate, at_edge, all_diverged):
    (found,) = best_rates(scored(*(("a", lr, score) for lr, score in by_rate.items()))).to_dict("records")
    assert found["lr"] == pytest.approx(rate, nan_ok=True)
    assert (found["at_edge"], found["all_diverged"]) == (at_edge, all_diverged)


def test_repeats_are_scored_and_chosen_one_by_one():
    first, second = (
        tuning({("a", 0.1): [1, 3], ("a", 1.0): [4, 6]}),
        tuning({("a", 0.1): [8, 8], ("a", 2.0): [5, 5]}),
    )
    found = rate_scores(*in_repeats(first, second), "train_loss")
    assert found[["arm", "repeat", "lr", "score"]].to_numpy().tolist() == [
        ["a", 1, 0.1, 2],
        ["a", 1, 1.0, 5],
        ["a", 2, 0.1, 8],
        ["a", 2, 2.0, 5],
    ]
    best = best_rates(found)
    assert best[["arm", "repeat", "lr", "score"]].to_numpy().tolist() == [["a", 1, 0.1, 2], ["a", 2, 2.0, 5]]


def test_expected_best_of_1_to_n():
    """The minimum has (n+1)/(k+1), the maximum k(n+1)/(k+1): for n=10, k=5 these are 1.8333 and 9.1667."""
    values = np.random.default_rng(0).permutation(np.arange(1.0, 11.0))
    assert expected_best(values, 5) == pytest.approx(11 / 6)
    assert -expected_best(-values, 5) == pytest.approx(9.1667, abs=5e-5)
    assert [expected_best(values, k) for k in range(1, 11)] == pytest.approx(
        [11 / (k + 1) for k in range(1, 11)]
    )


@pytest.mark.parametrize("values", [[3.0, 1.0, 4.0, 1.0, 5.0], [2.0, INF, 7.0, INF, 1.0], [INF] * 5])
def test_expected_best_is_the_mean_over_all_draws(values):
    for k in range(1, 6):
        assert expected_best(values, k) == pytest.approx(
            np.mean([min(drawn) for drawn in combinations(values, k)])
        )


def test_expected_best_is_finite_as_soon_as_every_draw_holds_a_finite_value():
    assert [expected_best([INF, 2.0, INF], k) for k in (1, 2, 3)] == [INF, INF, 2.0]


@pytest.mark.parametrize("k", [0, 4, -1])
def test_expected_best_of_more_than_were_made_is_refused(k):
    with pytest.raises(ComparisonError, match=f"needs k from 1 to the 3 that were made, got {k}$"):
        expected_best([1.0, 2.0, 3.0], k)
