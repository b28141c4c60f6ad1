"""What tuning would have chosen without one of its seeds, and rates that jump from size to size."""

from __future__ import annotations

import math

import numpy as np
import pytest

from optcompare.analysis.lr_scores import best_rates, rate_scores
from optcompare.analysis.retuning import jumps, without_each_tuning_seed
from optcompare.core.goal import Goal
from tests.helpers.tables import INF, NAN, tables, trial

GOAL = Goal("train_loss", 1.0)


def tuning(updates):
    """Trials that reach the goal after so many updates of 10 samples, by arm and rate a list over seeds 100,
    101, …; infinite: after three updates it had not.
    """
    made = []
    for (arm, lr), by_seed in updates.items():
        for seed, count in enumerate(by_seed, 100):
            losses = [9.0, 9.0, 9.0, 8.0] if math.isinf(count) else [9.0] * count + [1.0]
            made.append(trial(arm, seed, losses, lr=lr))
    return tables(*made)


def again(updates) -> list[tuple]:
    """``arm, left_out, lr, ratio``."""
    found = without_each_tuning_seed(*tuning(updates), "train_loss", GOAL)
    assert found.columns.tolist() == ["arm", "left_out", "lr", "ratio"]
    return list(found.itertuples(index=False, name=None))


def test_each_seed_is_left_out_and_the_same_rule_chooses_again():
    """Medians 10 and 12 choose .1; without seed 101 they are 20 and 12, so .2 would be chosen, and at it the
    seeds take 12/10, 12/10 and 12/30 as many samples: in the geometric mean (.576)^(1/3).
    """
    tried = {("a", 0.1): [10, 10, 30], ("a", 0.2): [12, 12, 12]}
    records, trials = tuning(tried)
    assert best_rates(rate_scores(records, trials, "train_loss", GOAL))["lr"].tolist() == [0.1]
    ratio = pytest.approx((1.2 * 1.2 * 0.4) ** (1 / 3))
    assert again(tried) == [("a", 100, 0.2, ratio), ("a", 101, 0.2, ratio), ("a", 102, 0.1, 1.0)]


def test_arms_stand_in_their_order_and_do_not_mix():
    tried = {("b", 0.1): [1, 2], ("a", 0.1): [2, 1], ("b", 0.2): [2, 3], ("a", 0.2): [1, 3]}
    assert [row[:2] for row in again(tried)] == [("b", 100), ("b", 101), ("a", 100), ("a", 101)]
    assert [row[2:] for row in again(tried)] == [
        (0.1, 1.0),
        (0.1, 1.0),
        (0.1, 1.0),
        (0.2, pytest.approx(1.5**0.5)),
    ]


def test_a_seed_that_missed_at_either_rate_tells_nothing():
    """Medians are equal, so .1 is chosen; without seed 102 they are 5 and 4.

    Seeds 100 and 103 reached the goal at both.
    """
    found = again({("a", 0.1): [5, INF, 3, 3], ("a", 0.2): [4, 4, INF, 4]})
    assert found[2] == ("a", 102, 0.2, pytest.approx((4 / 5 * 4 / 3) ** 0.5))


def test_rates_that_no_seed_reached_the_goal_at_have_no_factor():
    found = again({("a", 0.1): [2, INF], ("a", 0.2): [INF, 2]})
    assert found == [("a", 100, 0.2, pytest.approx(NAN, nan_ok=True)), ("a", 101, 0.1, 1.0)]


def test_an_arm_of_unknown_rate_has_no_factor():
    cut = [trial("a", seed, [9.0], "interrupted", lr=0.1) for seed in (100, 101)]
    found = without_each_tuning_seed(*tables(*cut), "train_loss", GOAL)
    assert found["ratio"].isna().all()
    assert found["lr"].isna().all()


def test_one_tuning_seed_cannot_be_left_out():
    assert again({("a", 0.1): [1], ("a", 0.2): [2]}) == []


SIZES = (8, 32, 128, 512, 2048)


@pytest.mark.parametrize(
    ("rates", "named"),
    [
        ((0.24, 0.48, 0.97, 0.62, 0.88), [128]),
        ((0.24, 0.48, 0.55, 0.62, 0.88), []),
        ((0.1, 0.1, 0.3, 0.1, 0.1), [128]),  # not its neighbours, which are off by √3 only for its sake
        ((0.1, 0.1, 0.1, 1.0, 1.0), [128, 512]),
        ((0.2, 0.8, 0.2, 0.9, 0.2), [32, 128, 512]),
        ((9.0, 0.1, 0.1, 0.1, 9.0), [32, 512]),  # the first and the last are never named
        ((0.1, NAN, 0.3, 0.1, 0.1), [128]),
    ],
)
def test_jumps_are_named(rates, named):
    assert jumps(SIZES, rates) == named


def test_few_sizes_have_no_jump():
    assert jumps([], []) == jumps([1], [0.1]) == jumps([1, 2], [0.1, 9.0]) == []


def test_exactly_the_factor_is_no_jump():
    assert jumps([1, 4, 16], [1.0, 1.5, 1.0]) == []
    assert jumps([1, 4, 16], [1.0, 1.51, 1.0]) == [4]


def rounded(rates: np.ndarray, offset: float) -> list[float]:
    """To a grid of factor 1.5."""
    return list(1.5 ** (np.round(np.log(rates) / math.log(1.5) - offset) + offset))


@pytest.mark.parametrize("step", [2, 4, 16])
@pytest.mark.parametrize("power", [0.0, 0.3, 0.5, 1.0, -0.5])
def test_a_power_law_on_any_grid_has_no_jump(step, power):
    sizes = [step**at for at in range(6)]
    for offset in np.random.default_rng(0).random((200, 6)):
        assert jumps(sizes, rounded(0.3 * np.array(sizes, dtype=float) ** power, offset)) == []


@pytest.mark.parametrize("step", [2, 4])
@pytest.mark.parametrize("at", [1, 5, 23, 64, 1000])
def test_the_known_rules_on_one_grid_have_no_jump(step, at):
    sizes = np.array([step**power for power in range(6)])
    for offset in np.linspace(0, 1, 50):
        for rates in (1 / (1 + at / sizes), 2 / (np.sqrt(at / sizes) + np.sqrt(sizes / at))):
            assert jumps(list(sizes), rounded(rates, offset)) == []


def test_the_bend_of_the_known_rules_is_no_jump_between_sizes_far_apart():
    """At K the rate is 1/2, between 1/17 and 16/17 at K/16 and 16·K: 2.1 times what these two say."""
    assert jumps([1, 16, 256], [1 / 17, 1 / 2, 16 / 17]) == []
    assert jumps([1, 16, 256], [1 / 17, 1 / 2 * 1.3, 16 / 17]) == [16]
