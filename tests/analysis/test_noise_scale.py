"""The noise scale along a trial: a ratio of means, its interval, and what agrees with it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis.noise_scale import NoiseScale, agreement, noise_scale

T_1 = 12.7062047362  # the 97.5% point of Student's t with 1 degree of freedom


def points(traces, squares, left_traces=None, left_squares=None):
    """A row a point, with the estimates that leave blocks out as a list for each point."""
    table = pd.DataFrame(
        {"arm": "mini:8", "seed": 3, "batch_size": 8, "rows": 512, "trace": traces, "squared": squares}
    )
    table = table.assign(update=range(0, 5 * len(table), 5), samples=0)
    return table if left_squares is None else table.assign(traces=left_traces, squares=left_squares)


def test_it_is_the_ratio_of_the_means_and_names_its_trial():
    """(1 + 3)/(2 + 0): a mean of the ratios would be infinite."""
    found = noise_scale(points([1.0, 3.0], [2.0, 0.0]))
    assert found.value == 2
    assert (found.arm, found.seed, found.batch_size) == ("mini:8", 3, 8)
    assert (found.rows, found.updates) == (512, (0, 5))


def test_blocks_of_rows_make_an_interval_of_the_logarithm():
    """Two blocks whose absence moves log |G|² by ±a at three equal points: variance a², one degree."""
    a = 0.01
    left = [2 * math.exp(a), 2 * math.exp(-a)]
    found = noise_scale(points([10.0] * 3, [2.0] * 3, [[10.0, 10.0]] * 3, [left] * 3))
    assert found.value == 5
    assert found.high == pytest.approx(5 * math.exp(T_1 * a))
    assert found.low == pytest.approx(5 * math.exp(-T_1 * a))


def test_a_trend_along_the_trial_does_not_widen_it():
    """Blocks that are alike leave nothing open at points as different as 1/2 and 1/4."""
    found = noise_scale(points([1.0, 1.0], [2.0, 4.0], [[1.0, 1.0]] * 2, [[2.0, 2.0], [4.0, 4.0]]))
    assert (found.low, found.value, found.high) == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_the_upper_end_is_infinite_where_one_block_carries_the_gradient():
    """|G|²/trΣ is .2, and -.1 or .5 without a block: .2 ± 12.7·.3, whose upper end is that of 1/B."""
    found = noise_scale(points([10.0] * 2, [2.0] * 2, [[10.0, 10.0]] * 2, [[-1.0, 5.0]] * 2))
    assert found.value == 5
    assert found.high == math.inf
    assert found.low == pytest.approx(1 / (0.2 + T_1 * 0.3))


def test_noise_that_hides_the_gradient_is_an_infinite_scale():
    found = noise_scale(points([10.0], [-1.0], [[10.0, 10.0]], [[-1.0, -1.0]]))
    assert found.value == found.high == math.inf
    assert math.isnan(found.low)  # |G|²/trΣ is -.1 whichever block is left out


@pytest.mark.parametrize("left", [None, ([[]], [[]]), ([[1.0]], [[1.0]]), ([[1.0, math.nan]], [[1.0, 1.0]])])
def test_without_what_an_interval_needs_its_ends_are_unknown(left):
    found = noise_scale(points([2.0], [1.0], *(left or ())))
    assert found.value == 2
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_rows_of_earlier_versions_are_read():
    """With neither blocks nor the trial's seed."""
    old = points([2.0], [1.0])[["batch_size", "update", "samples", "trace", "squared"]]
    found = noise_scale(old)
    assert (found.value, found.seed, found.rows, found.arm) == (2, None, None, "")
    assert noise_scale(old[:0]) is None
    assert noise_scale(pd.DataFrame([])) is None
    assert math.isnan(noise_scale(points([math.nan], [math.nan])).value)


def test_its_interval_covers_a_known_noise_scale():
    """Gradients N(μ, I) of 64 rows in 20 dimensions, |μ| = 1: trΣ/|G|² = 20 lies in about 95% of 200."""
    random, hits = np.random.default_rng(0), 0
    for _ in range(200):
        gradients = random.standard_normal((64, 20)) + np.eye(20)[0]
        without = [unbiased(np.delete(gradients, block, axis=0)) for block in np.split(np.arange(64), 8)]
        left = [[[pair[place] for pair in without]] * 9 for place in (0, 1)]
        trace, squared = unbiased(gradients)
        found = noise_scale(points([trace] * 9, [squared] * 9, *left))
        hits += found.low <= 20 <= found.high
    assert 184 <= hits <= 198


def unbiased(gradients):
    """trΣ̂ and |G|²̂ of gradients [n, d]."""
    trace = gradients.var(axis=0, ddof=1).sum()
    return trace, (gradients.mean(axis=0) ** 2).sum() - trace / len(gradients)


def scale(low, value, high):
    return NoiseScale(value, low, high, "a", 0, 8, 512, pd.DataFrame(), (0, 9))


@pytest.mark.parametrize(
    ("noise", "critical", "said"),
    [
        ((18, 20, 22), (18, 20, 22), "agrees"),
        ((20, 20, 20), (39, 39, 39), "agrees"),
        ((20, 20, 20), (41, 41, 41), "apart"),
        ((50, 60, 72), (18, 20, 22), "apart"),
        ((5, 6, 7), (18, 20, 22), "apart"),
        ((10, 20, 40), (18, 20, 22), "unknown"),  # it is a factor of two by itself
        ((18, 30, 50), (18, 20, 22), "unknown"),
        ((18, 20, math.inf), (18, 20, 22), "unknown"),
        ((60, 100, math.inf), (18, 20, 22), "apart"),
        ((math.nan, 20, math.nan), (18, 20, 22), "unknown"),
        ((18, 20, 22), (math.nan, 20, math.nan), "unknown"),
        ((18, 20, 22), (0, 20, math.inf), "unknown"),
        ((18, math.inf, math.inf), (18, 20, 22), "unknown"),
    ],
)
def test_they_agree_only_where_the_whole_interval_lies_within_a_factor_of_two(noise, critical, said):
    assert agreement(scale(*noise), *critical) == said


def test_half_widths_are_added_in_squares():
    """Factors of e^.3 and e^.4 make e^.5 of the ratio, within 2 = e^.69; e^.6 and e^.4 make e^.72."""
    one, other = (20 / math.exp(0.4), 20, 20 * math.exp(0.4)), (20 / math.exp(0.3), 20, 20 * math.exp(0.3))
    assert agreement(scale(*one), *other) == "agrees"
    wider = (20 / math.exp(0.6), 20, 20 * math.exp(0.6))
    assert agreement(scale(*wider), *one) == "unknown"
