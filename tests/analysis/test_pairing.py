"""Which pairs are independent observations, and intervals over tuning repeats: numbers by hand and by
simulation.
"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis.pairing import Pairing, crossed_interval, paired_trials, values_by_arm
from tests.helpers.tables import INF

T_4 = 2.7764451052
"""The 97.5% point of Student's t with 4 degrees of freedom."""


def pairing_of(ours, theirs, **columns) -> Pairing:
    """Two arms' values by row, with columns that both share."""
    rows = pd.DataFrame(columns)
    both = pd.concat(
        [rows.assign(arm="mini", final=ours), rows.assign(arm="full", final=theirs)], ignore_index=True
    )
    return paired_trials(values_by_arm(both, "final"), "mini", "full")


def test_every_seed_is_an_observation():
    pairing = pairing_of([1.0, 2.0, 3.0], [0.0, 0.0, 0.0], seed=[5, 3, 4])
    differences = pairing.ours[:, 0] - pairing.theirs[:, 0]
    assert pairing.observations == 3
    assert sorted(pairing.independent(differences)) == [1.0, 2.0, 3.0]
    assert pairing.interval(differences)[0] == 2.0


def test_seeds_of_one_split_are_one_observation():
    pairing = pairing_of([1.0, 2.0, 3.0, 6.0], [0.0] * 4, seed=[0, 1, 2, 3], split=[0, 1, 0, 1])
    assert pairing.observations == 2
    assert pairing.independent(pairing.ours[:, 0]).tolist() == [2.0, 4.0]


def test_repeats_and_seeds_are_dealt_out_so_that_no_two_observations_share_either():
    """Two repeats of four seeds: repeat 0 with seeds 0 and 2, and repeat 1 with seeds 1 and 3."""
    seeds, repeats = [0, 1, 2, 3] * 2, [0] * 4 + [1] * 4
    ours = [1.0, 10.0, 3.0, 10.0, 10.0, 5.0, 10.0, 7.0]
    pairing = pairing_of(ours, [0.0] * 8, seed=seeds, repeat=repeats)
    assert pairing.observations == 2
    assert pairing.independent(pairing.ours[:, 0]).tolist() == [2.0, 6.0]


def test_more_repeats_than_seeds_are_dealt_out_too():
    seeds, repeats = [0, 1] * 3, [0, 0, 1, 1, 2, 2]
    ours = [1.0, 9.0, 9.0, 2.0, 3.0, 9.0]  # repeats 0 and 2 with seed 0, repeat 1 with seed 1
    pairing = pairing_of(ours, [0.0] * 6, seed=seeds, repeat=repeats)
    assert pairing.independent(pairing.ours[:, 0]).tolist() == [2.0, 2.0]


def test_interval_over_repeats_is_that_of_their_means_where_seeds_have_nothing_in_common():
    """Repeat means 1 to 5 exactly alike on both seeds: t(4)·√(2.5/5) around 3."""
    table = np.array([[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [4.0, 4.0], [5.0, 5.0]])
    half = T_4 * math.sqrt(2.5 / 5)
    assert crossed_interval(table) == pytest.approx((3.0, 3 - half, 3 + half))


def test_fewer_than_five_repeats_have_no_interval():
    mean, low, high = crossed_interval(np.ones((4, 10)))
    assert mean == 1.0
    assert math.isnan(low)
    assert math.isnan(high)


def test_a_lost_trial_leaves_no_interval():
    pairing = pairing_of([1.0, INF], [0.0, 0.0], seed=[0, 1])
    assert all(map(math.isnan, pairing.interval(pairing.ours[:, 0])))


@pytest.mark.parametrize(("of_repeats", "of_seeds"), [(1.0, 0.0), (1.0, 1.0), (0.3, 1.0)])
def test_interval_over_repeats_and_seeds_covers_the_truth(of_repeats, of_seeds):
    """What seeds have in common over all repeats counts: over repeat means alone .95, .91 and .79 would be
    covered.
    """
    rng, draws = np.random.default_rng(4), 2000
    covered = 0
    for _ in range(draws):
        table = (
            of_repeats * rng.normal(size=(5, 1))
            + of_seeds * rng.normal(size=10)
            + 0.5 * rng.normal(size=(5, 10))
        )
        _, low, high = crossed_interval(table)
        covered += low <= 0 <= high
    assert 0.93 <= covered / draws <= 0.975
