"""Pairs against values computed by hand, and what they promise against simulation."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_ind, ttest_rel

from optcompare.analysis.paired import COLUMNS, holm, paired, pairs, seeds_needed
from optcompare.core.goal import Goal
from optcompare.errors import ComparisonError
from tests.helpers.tables import INF, NAN, ended, tables, trial

T_1, T_2, T_5 = 12.7062047362, 4.3026527297, 2.5705818366
"""The 97.5% points of Student's t with 1, 2 and 5 degrees of freedom."""
FINALS = {"full": [2, 4, 3, 6, 6, 9], "mini": [1, 2, 3, 4, 5, 6]}
"""Differences -1, -2, 0, -2, -1, -3: mean -1.5, s² = 5.5 / 5 = 1.1, standard error √(1.1 / 6)."""


def compared(finals, column="train_loss", control=None) -> pd.DataFrame:
    return pairs(*ended(finals, column), next(iter(finals)), column, control=control).set_index("arm")


def same(found, expected) -> bool:
    return list(found) == pytest.approx(expected, rel=1e-6, nan_ok=True)


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # differences 0 and 2: s² = 2, t = 1/√(2/2) = 1, and with 1 degree of freedom p = 1 - 2/π·atan(1)
        ([1.0, 4.0], [1.0, 2.0], (1.0, 1 - T_1, 1 + T_1, 0.5)),
        # differences 1, 2, 3: s² = 1, t = 2√3, and with 2 degrees of freedom p = 1 - t/√(t² + 2)
        ([2.0, 4.0, 6.0], [1.0, 2.0, 3.0], (2.0, 2 - T_2 / 3**0.5, 2 + T_2 / 3**0.5, 1 - 12**0.5 / 14**0.5)),
        # no spread: no doubt
        ([2.0, 3.0, 4.0], [1.0, 2.0, 3.0], (1.0, 1.0, 1.0, 0.0)),
        ([1.5, 2.5, 0.1], [1.5, 2.5, 0.1], (0.0, 0.0, 0.0, 1.0)),
        ([5.0], [3.0], (2.0, NAN, NAN, NAN)),
        ([], [], (NAN, NAN, NAN, NAN)),
        ([1.0, INF], [1.0, 2.0], (NAN, NAN, NAN, NAN)),
        ([1.0, 2.0], [NAN, 2.0], (NAN, NAN, NAN, NAN)),
    ],
)
def test_paired_interval_and_p(a, b, expected):
    assert same(paired(a, b), expected)


def test_almost_equal_and_huge_differences_leak_no_warning():
    assert paired([1.1, 2.1, 3.1], [1.0, 2.0, 3.0]).difference == pytest.approx(0.1)
    assert not paired([1e300, 1.0, 2.0], [0.0, 0.0, 0.0]).p < 0.05


@pytest.mark.parametrize(
    ("p", "corrected"),
    [
        # 4·0.005, then 3·0.01, 2·0.03 and 1·0.04, which may not fall below 0.06
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.03], [0.03]),
        ([0.5, 0.9, 0.4], [1.0, 1.0, 1.0]),
        ([0.02, 0.02], [0.04, 0.04]),
        ([0.01, NAN, 0.03], [0.03, NAN, 0.06]),  # the comparison that could not be made counts
        ([NAN, NAN], [NAN, NAN]),
        ([], []),
    ],
)
def test_holm(p, corrected):
    assert same(holm(p), corrected)


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (2, 7), (3, 7), (4, 8), (5, 8), (6, 8), (7, 9), (11, 9)])
def test_seeds_needed_for_a_claim(comparisons, seeds):
    assert seeds_needed(comparisons) == seeds
    assert comparisons * 2 / 2**seeds <= 0.05 < comparisons * 2 / 2 ** (seeds - 1)


def test_difference_of_final_values():
    row = compared(FINALS).loc["mini"]
    half = T_5 * math.sqrt(1.1 / 6)
    assert same(row[["n", "difference", "low", "high"]], [6, -1.5, -1.5 - half, -1.5 + half])
    assert row[["baseline", "wins", "losses", "ties"]].tolist() == ["full", 5, 0, 1]
    assert row["p"] == row["p_holm"] == pytest.approx(0.0172, abs=5e-5)  # t = -3.5032 with 5 degrees of freedom
    assert row[["enough_seeds", "claimed", "indistinguishable"]].tolist() == [True, True, False]
    assert math.isnan(row["control_spread"])


def test_table_has_a_row_an_arm_in_the_order_of_the_comparison():
    records, trials = ended({"z": [1, 2], "full": [1, 2], "copy": [1, 2], "a": [1, 2]})
    found = pairs(records, trials, "full", "train_loss", control="copy")
    assert found.columns.tolist() == list(COLUMNS)
    assert found["arm"].tolist() == ["z", "a"]
    assert pairs(*ended({"full": [1, 2]}), "full", "train_loss").columns.tolist() == list(COLUMNS)


def test_too_few_seeds_claim_nothing_however_small_p_is():
    """Five differences of about -5: p < .0001, yet the smallest exact p is 2/2⁵ = .0625."""
    row = compared({"full": [6, 7, 8, 9, 10], "mini": [1, 2, 3, 4, 5.1]}).loc["mini"]
    assert row["p_holm"] < 1e-4
    assert (row["enough_seeds"], row["claimed"]) == (False, False)


def test_p_is_corrected_over_the_arms():
    found = compared(FINALS | {"single": [2, 4.5, 3, 6, 6, 9.25]})
    assert same(found["p_holm"], [2 * found["p"]["mini"], found["p"]["single"]])
    assert found["enough_seeds"].tolist() == [False, False]  # six seeds are enough for one comparison, not for two


def test_equal_arms_tie():
    row = compared({"full": [1, 2, 3, 4, 5, 6], "copy": [1, 2, 3, 4, 5, 6]}).loc["copy"]
    assert row[["difference", "low", "high", "wins", "losses", "ties", "p", "p_holm"]].tolist() == [0] * 5 + [6, 1, 1]
    assert (row["claimed"], row["indistinguishable"]) == (False, False)


def test_only_shared_seeds_are_compared():
    row = compared({"full": [1, 2, 3, NAN], "mini": [2, NAN, 5, 7]}).loc["mini"]
    assert same(row[["n", "difference", "wins", "losses", "ties"]], [2, 1.5, 0, 2, 0])


def test_interrupted_trial_takes_no_part():
    made = [trial(arm, seed, [9, 1 + seed]) for arm in ("full", "mini") for seed in (0, 1)]
    row = pairs(*tables(*made, trial("full", 2, [9, 1]), trial("mini", 2, [9, 5], "interrupted")), "full", "train_loss")
    assert row[["n", "difference", "ties"]].to_numpy().tolist() == [[2, 0, 2]]


@pytest.mark.parametrize(
    ("full", "mini", "wins", "losses", "ties"),
    [
        ([1, 2, 3], [0.5, INF, INF], 1, 2, 0),
        ([INF, 2, 3], [0.5, 3, 3], 1, 1, 1),
        ([INF, INF, 3], [INF, 1, 2], 2, 0, 1),
    ],
)
def test_diverged_trial_loses_and_leaves_no_mean_difference(full, mini, wins, losses, ties):
    row = compared({"full": full, "mini": mini}).loc["mini"]
    assert row[["wins", "losses", "ties"]].tolist() == [wins, losses, ties]
    assert row["n"] == sum(math.isfinite(a) and math.isfinite(b) for a, b in zip(full, mini, strict=True))
    assert all(math.isnan(row[name]) for name in ("difference", "low", "high", "p", "p_holm"))
    assert not row["claimed"]


def test_higher_wins_for_a_metric_that_is_no_loss_and_a_diverged_trial_still_loses():
    row = compared({"full": [0.5, 0.6, INF, 0.9], "mini": [0.7, INF, INF, 0.8]}, "valid_accuracy").loc["mini"]
    assert row[["n", "wins", "losses", "ties"]].tolist() == [2, 1, 2, 1]
    assert math.isnan(row["difference"])


def test_finished_trial_without_a_finite_value_is_lost():
    made = [trial("full", 0, [9, 1], valid_loss=[9, 1]), trial("mini", 0, [9, 1], valid_loss=[9, NAN])]
    row = pairs(*tables(*made), "full", "valid_loss").iloc[0]
    assert row[["n", "wins", "losses"]].tolist() == [0, 0, 1]


def test_trials_that_failed_unmeasured_tie():
    lost = [trial(arm, 0, [], "failed") for arm in ("full", "mini")]
    row = pairs(*tables(*lost), "full", "train_loss", goal=Goal("train_loss", 1.0)).iloc[0]
    assert row[["n", "wins", "losses", "ties", "goal_pairs", "goal_seeds", "goal_hits"]].tolist() == [
        0,
        0,
        0,
        1,
        0,
        1,
        0,
    ]
    row = pairs(*tables(*lost, trial("full", 1, [9, 1])), "full", "train_loss").iloc[0]
    assert row[["n", "ties"]].tolist() == [0, 1]


@pytest.mark.parametrize(
    ("copy", "spread", "indistinguishable"),
    [
        ([2, 4, 3, 6, 6, 7.4], 1.6, True),
        ([2, 4, 3, 6, 6, 10.4], 1.4, False),
        ([2, 4, 3, 6, 6, 9], 0.0, False),
        ([2, 4, 3, 6, 6, INF], INF, True),  # rounding alone decides whether it diverges
        ([NAN, NAN, NAN, NAN, NAN, 10.5], 1.5, True),
    ],
)
def test_difference_within_the_spread_of_the_control_is_not_claimed(copy, spread, indistinguishable):
    row = compared(FINALS | {"copy": copy}, control="copy").loc["mini"]
    assert row["p_holm"] == pytest.approx(0.0172, abs=5e-5)  # the control is no comparison
    assert row["control_spread"] == pytest.approx(spread)
    assert (row["indistinguishable"], row["claimed"]) == (indistinguishable, not indistinguishable)


def test_control_that_diverges_with_its_original_shows_the_rest():
    found = compared({"full": [1, INF], "copy": [1.5, INF], "mini": [2, 2]}, control="copy")
    assert found["control_spread"].tolist() == [0.5]


def reaching(**samples: list[float]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Arms by the samples after which their seeds reach a loss of 1, measured 10 before; infinite: never."""
    made = []
    for arm, of_arm in samples.items():
        for seed, at in enumerate(of_arm):
            steps = [0, 40, 50] if at == INF else [0] if at == 0 else [0, int(at) - 10, int(at)]
            losses = [1.0] if at == 0 else [9.0, 5.0, 5.0 if at == INF else 1.0]
            made.append(trial(arm, seed, losses, samples=steps))
    return tables(*made)


def test_ratio_of_samples_to_the_goal_is_a_geometric_mean_with_an_interval_on_logs():
    """Ratios 1/2, 1/4, 1/8: logs -1, -2, -3 times log 2, so 1/4, and 2^(-2 ± t/√3); the third seed is the coarsest."""
    measured = reaching(full=[100, 200, 160], mini=[50, 50, 20])
    row = pairs(*measured, "full", "train_loss", goal=Goal("train_loss", 1.0)).iloc[0]
    half = T_2 / math.sqrt(3)
    found = row[["goal_pairs", "goal_ratio", "goal_ratio_low", "goal_ratio_high", "goal_resolution"]]
    assert same(found, [3, 0.25, 2 ** (-2 - half), 2 ** (-2 + half), 0.5])
    assert row["goal_p_holm"] == pytest.approx(1 - 12**0.5 / 14**0.5)  # t = 2√3, as above
    assert row[["goal_seeds", "goal_hits", "goal_baseline_hits", "goal_claimed"]].tolist() == [3, 3, 3, False]


def test_misses_leave_the_ratio_to_the_seeds_on_which_both_reached_the_goal():
    measured = reaching(full=[100, 100, INF, 100], mini=[50, INF, 50, 200])
    row = pairs(*measured, "full", "train_loss", goal=Goal("train_loss", 1.0)).iloc[0]
    assert row[["goal_pairs", "goal_seeds", "goal_hits", "goal_baseline_hits"]].tolist() == [2, 4, 3, 3]
    assert row["goal_ratio"] == pytest.approx(1.0)


def test_goal_that_held_at_the_start_has_no_ratio():
    row = pairs(*reaching(full=[0, 0], mini=[0, 0]), "full", "train_loss", goal=Goal("train_loss", 1.0)).iloc[0]
    assert row[["goal_pairs", "goal_hits"]].tolist() == [0, 2]
    assert math.isnan(row["goal_ratio"])


def test_ratio_is_claimed_with_enough_pairs():
    measured = reaching(full=[100, 110, 120, 130, 140, 150], mini=[50, 60, 60, 70, 70, 70])
    row = pairs(*measured, "full", "train_loss", goal=Goal("train_loss", 1.0)).iloc[0]
    assert row["goal_claimed"]
    assert row["goal_ratio_high"] < 1


def test_ratio_of_too_few_pairs_is_not_claimed_however_small_p_is():
    measured = reaching(full=[100, 110, 120, 130, 140, INF], mini=[10, 11, 12, 13, 14, 20])
    row = pairs(*measured, "full", "train_loss", goal=Goal("train_loss", 1.0)).iloc[0]
    assert row["goal_p_holm"] < 1e-4
    assert (row["goal_pairs"], row["goal_claimed"]) == (5, False)


def test_seed_interrupted_on_the_way_to_the_goal_is_neither_hit_nor_miss():
    made = [trial(arm, seed, [9, 1]) for arm in ("full", "mini") for seed in (0, 1)]
    cut = trial("full", 2, [9, 5], "interrupted"), trial("mini", 2, [9, 1])
    row = pairs(*tables(*made, *cut), "full", "train_loss", goal=Goal("train_loss", 1.0)).iloc[0]
    assert row[["goal_seeds", "goal_hits", "goal_baseline_hits"]].tolist() == [2, 2, 2]


def test_without_a_goal_there_is_no_ratio():
    row = compared(FINALS).loc["mini"]
    assert row[["goal_pairs", "goal_seeds", "goal_hits", "goal_claimed"]].tolist() == [0, 0, 0, False]
    assert math.isnan(row["goal_ratio"])


def test_arms_that_do_not_exist_are_refused():
    measured = ended(FINALS)
    with pytest.raises(ComparisonError, match=r"^the baseline 'ful' is no arm; there are full, mini$"):
        pairs(*measured, "ful", "train_loss")
    with pytest.raises(ComparisonError, match=r"^the control 'copy' is no arm; there are full, mini$"):
        pairs(*measured, "full", "train_loss", control="copy")


def test_goal_of_an_unknown_metric_is_refused():
    with pytest.raises(ComparisonError, match=r"there is no metric 'valid_loss'; there are train_loss$"):
        pairs(*ended(FINALS), "full", "train_loss", goal=Goal("valid_loss", 1.0))


def test_what_is_compared_is_left_as_it_was():
    records, trials = ended(FINALS)
    before = records.copy(), trials.copy()
    pairs(records, trials, "full", "train_loss", goal=Goal("train_loss", 3.0))
    pd.testing.assert_frame_equal(records, before[0])
    pd.testing.assert_frame_equal(trials, before[1])


def monte_carlo(share: float, draws: int) -> float:
    """Three standard errors of a share that was counted in so many draws."""
    return 3 * math.sqrt(share * (1 - share) / draws)


@pytest.mark.parametrize("n", [3, 10])
def test_interval_covers_the_truth_in_95_of_100(n):
    """SCIENCE.md, Statistics: Student's interval is exact on normal data even for three pairs."""
    rng, draws, truth = np.random.default_rng(n), 3000, 0.3
    covered = 0
    for _ in range(draws):
        seed = rng.normal(size=n)
        found = paired(seed + truth + 0.3 * rng.normal(size=n), seed + 0.3 * rng.normal(size=n))
        covered += found.low <= truth <= found.high
    assert covered / draws == pytest.approx(0.95, abs=monte_carlo(0.95, draws))


def correlated(rng: np.random.Generator, effects: list[float], n: int = 10, correlation: float = 0.9) -> np.ndarray:
    """Final values float[arms, n] of unit variance that share their seed: correlated between arms, the first without
    an effect."""
    own = rng.normal(size=(len(effects) + 1, n))
    return math.sqrt(correlation) * rng.normal(size=n) + math.sqrt(1 - correlation) * own + np.array([[0, *effects]]).T


@pytest.mark.parametrize("effects", [[0, 0, 0, 0], [0, 0, 0, 2]], ids=["none differs", "one differs"])
def test_false_claims_among_all_arms_are_at_most_5_in_100(effects):
    rng, draws = np.random.default_rng(1), 1500
    null = [i for i, effect in enumerate(effects) if effect == 0]
    wrong = 0
    for _ in range(draws):
        baseline, *arms = correlated(rng, effects)
        wrong += bool((holm([paired(arm, baseline).p for arm in arms])[null] <= 0.05).any())
    assert wrong / draws <= 0.05 + monte_carlo(0.05, draws)


@pytest.mark.parametrize(
    ("effects", "power"), [([0.5, 0, 0, 0], 0.66), ([0.5] * 4, 0.78)], ids=["one differs", "all differ"]
)
def test_pairs_find_what_unpaired_seeds_hide(effects, power):
    """SCIENCE.md, Statistics: correlation .9, half a standard deviation, ten seeds, five arms: the power of each test
    is .66 where one arm differs and .78 where all do; without pairing it is hardly anything."""
    rng, draws = np.random.default_rng(2), 1000
    found, unpaired = 0, 0
    for _ in range(draws):
        baseline, *arms = correlated(rng, effects)
        found += holm([paired(arm, baseline).p for arm in arms])[0] <= 0.05
        unpaired += holm(ttest_ind(np.array(arms), baseline[None], axis=1).pvalue)[0] <= 0.05
    assert found / draws == pytest.approx(power, abs=monte_carlo(power, draws))
    assert unpaired / draws < 0.1


def test_import_stays_light():
    code = "import sys; from optcompare.analysis import lr_scores, paired, profiles, time_to_goal, verdict; "
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + "print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert {"scipy.stats", "torch", "matplotlib.pyplot"}.isdisjoint(loaded.stdout.split())


@pytest.mark.parametrize("n", [2, 3, 10, 40])
def test_paired_numbers_are_those_of_scipys_paired_t_test(n):
    generator = np.random.default_rng(n)
    a, b = generator.normal(size=n), generator.normal(0.5, size=n)
    test = ttest_rel(a, b)
    interval = test.confidence_interval(0.95)
    assert paired(a, b) == pytest.approx(((a - b).mean(), interval.low, interval.high, test.pvalue), rel=1e-12)
