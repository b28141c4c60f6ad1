"""The table of pairs against values computed by hand."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from optcompare.analysis.looks import FIRST_LOOK, Contrast, Look, PastLook
from optcompare.analysis.paired import COLUMNS, pairs
from optcompare.analysis.paired_tests import PairedTests
from optcompare.core.goal import Goal
from optcompare.errors import ComparisonError
from tests.helpers.tables import INF, NAN, ended, tables, trial

T_2, T_5 = 4.3026527297, 2.5705818366
"""The 97.5% points of Student's t with 2 and 5 degrees of freedom."""
FINALS = {"full": [2, 4, 3, 6, 6, 9], "mini": [1, 2, 3, 4, 5, 6]}
"""Differences -1, -2, 0, -2, -1, -3: mean -1.5, s² = 5.5 / 5 = 1.1, standard error √(1.1 / 6).

Of the 32 sign patterns of the five that are not 0 two reach a sum of 9: p = 2/32.
"""

LOWER = {"full": [2, 4, 3, 6, 6, 9], "mini": [1, 2, 2.5, 4, 5, 6]}
"""Differences -1, -2, -.5, -2, -1, -3."""


def compared(finals, column="train_loss", look=FIRST_LOOK, **tested) -> pd.DataFrame:
    tests = PairedTests(next(iter(finals)), column, **tested)
    return pairs(*ended(finals, column), tests, look).set_index("arm")


def same(found, expected) -> bool:
    return list(found) == pytest.approx(expected, rel=1e-6, nan_ok=True)


def test_difference_of_final_values():
    row = compared(FINALS).loc["mini"]
    half = T_5 * math.sqrt(1.1 / 6)
    assert same(row[["n", "difference", "low", "high"]], [6, -1.5, -1.5 - half, -1.5 + half])
    assert row[["baseline", "wins", "losses", "ties"]].tolist() == ["full", 5, 0, 1]
    assert row["p"] == row["p_holm"] == 2 / 32
    assert row[["test", "lower", "enough_seeds", "claimed", "median"]].tolist() == [
        "sign flips",
        True,
        True,
        False,
        -1.5,
    ]
    assert math.isnan(row["control_spread"])


def test_ends_lower_is_claimed_where_few_flips_reach_as_far():
    """All six differ in one direction: p = 2/64 = .031, at most the .035 of a first look."""
    row = compared(LOWER).loc["mini"]
    assert (row["p_holm"], row["claimed"], row["lower"]) == (2 / 64, True, True)


def test_table_has_a_row_an_arm_in_the_order_of_the_comparison():
    records, trials = ended({"z": [1, 2], "full": [1, 2], "copy": [1, 2], "a": [1, 2]})
    found = pairs(records, trials, PairedTests("full", "train_loss", control="copy"))
    assert found.columns.tolist() == list(COLUMNS)
    assert found["arm"].tolist() == ["z", "a"]
    assert pairs(*ended({"full": [1, 2]}), PairedTests("full", "train_loss")).columns.tolist() == list(
        COLUMNS
    )


def test_too_few_seeds_claim_nothing():
    """Five differences of about -5: the smallest exact p is 2/2⁵ = .0625."""
    row = compared({"full": [6, 7, 8, 9, 10], "mini": [1, 2, 3, 4, 5.1]}).loc["mini"]
    assert (row["p"], row["enough_seeds"], row["claimed"], row["seeds_needed"]) == (2 / 32, False, False, 6)


def test_p_is_corrected_over_the_arms():
    found = compared(LOWER | {"single": [2, 4.5, 3, 6, 6, 9.25]})
    assert found["p_holm"].tolist() == [2 * 2 / 64, found["p"]["single"]]
    assert found["comparisons"].tolist() == [2, 2]
    assert found["enough_seeds"].tolist() == [
        False,
        False,
    ]  # six seeds are enough for one comparison, not for two


def test_goal_final_value_and_margin_are_one_family():
    """Six seeds, three tests: the smallest p is 1/64 of the margin, times 3; the others 2/64 times 2, carried
    up.
    """
    measured = reaching(full=[100, 110, 120, 130, 140, 150], mini=[50, 60, 60, 70, 70, 75])
    records, _ = measured
    at_end = records["samples"] == records.groupby(["arm", "seed"])["samples"].transform("max")
    records.loc[at_end & (records["arm"] == "mini"), "train_loss"] -= 0.1 + 0.001 * records["seed"]
    row = pairs(*measured, PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0), margin=0.5)).iloc[
        0
    ]
    assert row[["p", "goal_p", "equal_p", "comparisons"]].tolist() == [2 / 64, 2 / 64, 1 / 64, 3]
    assert row[["equal_p_holm", "p_holm", "goal_p_holm"]].tolist() == [3 / 64, 4 / 64, 4 / 64]
    assert row["seeds_needed"] == 8


def test_comparisons_of_earlier_looks_stay_in_the_family():
    """Six seeds would do for one comparison at a first look; the second look's level is .0091, and the family
    has 2.
    """
    earlier = PastLook(
        "x", 5, (Contrast("gone", "full", "final train_loss"), Contrast("mini", "full", "final train_loss"))
    )
    row = compared(LOWER, look=Look((earlier,), True)).loc["mini"]
    assert (row["p_holm"], row["comparisons"], row["claimed"]) == (2 * 2 / 64, 2, False)
    assert row["seeds_needed"] == 9  # 2·2/2⁹ = .0078


def test_nothing_is_claimed_where_claims_are_withheld():
    assert not compared(LOWER, look=Look(withheld="it is under way")).loc["mini", "claimed"]


def test_equal_arms_tie_and_are_not_tested():
    row = compared({"full": [1, 2, 3, 4, 5, 6], "copy": [1, 2, 3, 4, 5, 6]}).loc["copy"]
    assert row[["difference", "low", "high", "wins", "losses", "ties"]].tolist() == [0] * 5 + [6]
    assert (row["rounding_only"], row["claimed"], math.isnan(row["p"])) == (True, False, True)


@pytest.mark.parametrize(
    ("differences", "dtype", "untested"),
    [
        ([1, 2, 1, 2, 1, 1, 2], "float64", "rounding_only"),  # 6e-16 on .3: 9 units in the last place
        ([100, 200, 100, 200, 100, 100, 250], "float64", ""),
        ([100, 200, 100, 200, 100, 100, 250], "float32", "rounding_only"),
        ([3e13] * 7, "float64", "one_difference"),  # .009 on every seed: one observation, seven times
    ],
)
def test_nothing_above_rounding_has_no_p(differences, dtype, untested):
    finals = {"full": [0.3] * 7, "mini": [0.3 + 3e-16 * each for each in differences]}
    row = compared(finals, dtype=dtype).loc["mini"]
    assert [name for name in ("rounding_only", "one_difference") if row[name]] == (
        [untested] if untested else []
    )
    assert math.isnan(row["p"]) == bool(untested)


@pytest.mark.parametrize(
    ("margin", "p", "claimed"), [(3.5, 1 / 64, True), (2.5, 12 / 64, False), (0.1, 1.0, False)]
)
def test_equality_is_claimed_against_a_margin_alone(margin, p, claimed):
    """Differences -1, -2, -.5, -2, -1, -3 plus 3.5 are all positive: of 64 patterns one.

    Plus 2.5 they are 1.5, .5, 2, .5, 1.5, -.5, and their sum, 5.5, is reached or passed by the 1 + 3 + 3·...
    patterns that a count finds: 12.
    """
    row = compared(LOWER, margin=margin).loc["mini"]
    if margin == 2.5:
        shifted = np.array([1.5, 0.5, 2, 0.5, 1.5, -0.5])
        sums = [np.dot(shifted, [1 - 2 * (i >> k & 1) for k in range(6)]) for i in range(64)]
        p = np.mean([each >= shifted.sum() for each in sums])
    assert row["equal_p"] == p
    assert row["equal_claimed"] == claimed
    assert row["margin"] == margin


def test_without_a_margin_no_equality_is_tested():
    row = compared(LOWER).loc["mini"]
    assert math.isnan(row["equal_p"])
    assert not row["equal_claimed"]


def test_a_lost_trial_lies_outside_of_every_margin():
    """Nine within and one lost: P(9 or more heads of 10) = 11/1024."""
    row = compared({"full": [1.0] * 9 + [INF], "mini": [1.01] * 10}, margin=0.5).loc["mini"]
    assert row["equal_p"] == 11 / 1024


def test_only_shared_seeds_are_compared():
    row = compared({"full": [1, 2, 3, NAN], "mini": [2, NAN, 5, 7]}).loc["mini"]
    assert same(row[["n", "difference", "wins", "losses", "ties"]], [2, 1.5, 0, 2, 0])


def test_interrupted_trial_takes_no_part():
    made = [trial(arm, seed, [9, 1 + seed]) for arm in ("full", "mini") for seed in (0, 1)]
    row = pairs(
        *tables(*made, trial("full", 2, [9, 1]), trial("mini", 2, [9, 5], "interrupted")),
        PairedTests("full", "train_loss"),
    )
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
    assert (row["n"], row["test"]) == (3, "signs")
    assert all(math.isnan(row[name]) for name in ("difference", "low", "high", "median"))
    assert not row["claimed"]


def test_ten_of_ten_against_none_of_ten_is_a_claim():
    """2/2¹⁰ = .002, whatever the values: lost trials are the worst."""
    row = compared({"full": [INF] * 10, "mini": [1.0] * 10}).loc["mini"]
    assert (row["p"], row["claimed"], row["lower"], row["wins"]) == (2 / 1024, True, True, 10)
    row = compared({"full": [INF] * 10, "mini": [0.9] * 10}, "valid_accuracy").loc["mini"]
    assert (row["p"], row["claimed"], row["lower"]) == (2 / 1024, True, False)


def test_trials_that_both_lost_take_no_part_in_the_test():
    """Six wins and four ties: 2/2⁶."""
    row = compared({"full": [INF] * 10, "mini": [1.0] * 6 + [INF] * 4}).loc["mini"]
    assert (row["p"], row["ties"]) == (2 / 64, 4)


def test_higher_wins_for_a_metric_that_is_no_loss_and_a_diverged_trial_still_loses():
    row = compared({"full": [0.5, 0.6, INF, 0.9], "mini": [0.7, INF, INF, 0.8]}, "valid_accuracy").loc["mini"]
    assert row[["n", "wins", "losses", "ties"]].tolist() == [4, 1, 2, 1]
    assert math.isnan(row["difference"])


def test_finished_trial_without_a_finite_value_is_lost():
    made = [trial("full", 0, [9, 1], valid_loss=[9, 1]), trial("mini", 0, [9, 1], valid_loss=[9, NAN])]
    row = pairs(*tables(*made), PairedTests("full", "valid_loss")).iloc[0]
    assert row[["n", "wins", "losses"]].tolist() == [1, 0, 1]


def test_trials_that_failed_unmeasured_tie():
    lost = [trial(arm, 0, [], "failed") for arm in ("full", "mini")]
    row = pairs(*tables(*lost), PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))).iloc[0]
    assert row[["n", "wins", "losses", "ties", "goal_pairs", "goal_seeds", "goal_hits"]].tolist() == [
        1,
        0,
        0,
        1,
        0,
        1,
        0,
    ]
    row = pairs(*tables(*lost, trial("full", 1, [9, 1])), PairedTests("full", "train_loss")).iloc[0]
    assert row[["n", "ties"]].tolist() == [1, 1]


@pytest.mark.parametrize(
    ("copy", "spread"),
    [
        ([3, 5, 4, 7, 7, 10], 0.0),  # each moved by 1: no spread, which is of seeds
        ([2, 4, 3, 6, 6, 9.6], 0.6 / 6**0.5),  # one of six by .6: s² = .36·(1 - 1/6)/5
        ([2, 4, 3, 6, 6, INF], INF),  # rounding alone decides whether it diverges
        ([NAN, NAN, NAN, NAN, NAN, 10.5], NAN),  # of one seed there is none
    ],
)
def test_spread_of_the_control_is_the_standard_deviation_of_one_seed(copy, spread):
    row = compared(LOWER | {"copy": copy}, control="copy").loc["mini"]
    assert row["control_spread"] == pytest.approx(spread, nan_ok=True)
    assert (row["p_holm"], row["claimed"]) == (
        2 / 64,
        True,
    )  # the control is no comparison, and takes no claim away


def test_control_that_diverges_with_its_original_shows_the_rest():
    found = compared({"full": [1, 1, INF], "copy": [1.5, 2.5, INF], "mini": [2, 2, 2]}, control="copy")
    assert found["control_spread"].tolist() == pytest.approx([0.5**0.5])


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
    """Ratios 1/2, 1/4, 1/8: logs -1, -2, -3 times log 2, so 1/4, and 2^(-2 ± t/√3); the third seed is the
    coarsest.
    """
    measured = reaching(full=[100, 200, 160], mini=[50, 50, 20])
    row = pairs(*measured, PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))).iloc[0]
    half = T_2 / math.sqrt(3)
    found = row[["goal_pairs", "goal_ratio", "goal_ratio_low", "goal_ratio_high", "goal_resolution"]]
    assert same(found, [3, 0.25, 2 ** (-2 - half), 2 ** (-2 + half), 0.5])
    assert row[["goal_test", "goal_p", "goal_n"]].tolist() == ["sign flips", 2 / 8, 3]
    assert row[["goal_seeds", "goal_hits", "goal_baseline_hits", "goal_claimed"]].tolist() == [3, 3, 3, False]


def test_misses_leave_the_ratio_to_the_seeds_on_which_both_reached_the_goal():
    measured = reaching(full=[100, 100, INF, 100], mini=[50, INF, 50, 200])
    row = pairs(*measured, PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))).iloc[0]
    assert row[["goal_pairs", "goal_seeds", "goal_hits", "goal_baseline_hits"]].tolist() == [2, 4, 3, 3]
    assert row["goal_ratio"] == pytest.approx(1.0)
    assert row[["goal_test", "goal_wins", "goal_losses", "goal_ties"]].tolist() == ["signs", 2, 2, 0]
    assert row["goal_p"] == 1.0


def test_an_arm_that_misses_more_often_is_never_claimed_to_need_fewer_samples():
    """Where both reach the goal, mini needs half: over the six survivors that would be a claim.

    It misses it on four.
    """
    measured = reaching(
        full=[100 + seed for seed in range(10)], mini=[50 + seed for seed in range(6)] + [INF] * 4
    )
    row = pairs(*measured, PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))).iloc[0]
    assert row[["goal_wins", "goal_losses", "goal_claimed"]].tolist() == [6, 4, False]
    assert row["goal_ratio_high"] < 1


def test_misses_are_the_worst_rank():
    measured = reaching(full=[INF] * 4 + [90] * 3, mini=[50] * 7)
    row = pairs(*measured, PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))).iloc[0]
    assert row[["goal_test", "goal_p", "goal_claimed"]].tolist() == ["signs", 2 / 128, True]


def test_goal_that_held_at_the_start_has_no_ratio():
    row = pairs(
        *reaching(full=[0, 0], mini=[0, 0]), PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))
    ).iloc[0]
    assert row[["goal_pairs", "goal_hits"]].tolist() == [0, 2]
    assert math.isnan(row["goal_ratio"])


def test_ratio_is_claimed_with_enough_pairs():
    measured = reaching(full=[100, 110, 120, 130, 140, 150, 160], mini=[50, 60, 60, 70, 70, 70, 70])
    row = pairs(*measured, PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))).iloc[0]
    assert row["goal_claimed"]
    assert row["goal_ratio_high"] < 1


def test_seed_interrupted_on_the_way_to_the_goal_is_neither_hit_nor_miss():
    made = [trial(arm, seed, [9, 1]) for arm in ("full", "mini") for seed in (0, 1)]
    cut = trial("full", 2, [9, 5], "interrupted"), trial("mini", 2, [9, 1])
    row = pairs(*tables(*made, *cut), PairedTests("full", "train_loss", goal=Goal("train_loss", 1.0))).iloc[0]
    assert row[["goal_seeds", "goal_hits", "goal_baseline_hits"]].tolist() == [2, 2, 2]


def test_without_a_goal_there_is_no_ratio():
    row = compared(FINALS).loc["mini"]
    assert row[["goal_pairs", "goal_seeds", "goal_hits", "goal_claimed"]].tolist() == [0, 0, 0, False]
    assert math.isnan(row["goal_ratio"])


def test_arms_that_do_not_exist_are_refused():
    measured = ended(FINALS)
    with pytest.raises(ComparisonError, match=r"^the baseline 'ful' is no arm; there are full, mini$"):
        pairs(*measured, PairedTests("ful", "train_loss"))
    with pytest.raises(ComparisonError, match=r"^the control 'copy' is no arm; there are full, mini$"):
        pairs(*measured, PairedTests("full", "train_loss", control="copy"))


def test_goal_of_an_unknown_metric_is_refused():
    with pytest.raises(ComparisonError, match=r"there is no metric 'valid_loss'; there are train_loss$"):
        pairs(*ended(FINALS), PairedTests("full", "train_loss", goal=Goal("valid_loss", 1.0)))


def test_what_is_compared_is_left_as_it_was():
    records, trials = ended(FINALS)
    before = records.copy(), trials.copy()
    pairs(records, trials, PairedTests("full", "train_loss", goal=Goal("train_loss", 3.0)))
    pd.testing.assert_frame_equal(records, before[0])
    pd.testing.assert_frame_equal(trials, before[1])


@pytest.mark.slow
def test_import_stays_light():
    code = "import sys; from optcompare.analysis import lr_scores, paired, profiles, time_to_goal, verdict; "
    loaded = subprocess.run(
        [sys.executable, "-W", "error", "-c", code + "print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"scipy.stats", "torch", "matplotlib.pyplot"}.isdisjoint(loaded.stdout.split())


def test_seeds_of_one_split_and_repeats_of_one_tuning_are_one_observation_each():
    records, trials = ended({"full": [1.0, 2.0, 3.0, 4.0], "mini": [0.5, 1.0, 2.5, 3.0]})
    (row,) = pairs(
        records, trials.assign(split=trials["seed"] % 2), PairedTests("full", "train_loss")
    ).to_dict("records")
    assert (row["n"], row["wins"], row["difference"], row["p"]) == (2, 4, -0.75, 0.5)


def test_a_claim_has_the_direction_of_what_was_tested():
    """Two repeats of two seeds: tested are repeat 0 with seed 0 and repeat 1 with seed 1, each 1 higher; all
    four average -2.
    """
    records, trials = (
        table.assign(repeat=table["seed"] // 2, seed=table["seed"] % 2)
        for table in ended({"full": [6.0] * 4, "mini": [7.0, 1.0, 1.0, 7.0 + 1e-3]})
    )
    (row,) = pairs(records, trials, PairedTests("full", "train_loss")).to_dict("records")
    assert (row["n"], row["lower"], row["p"]) == (2, False, 0.5)
    assert row["difference"] == pytest.approx(-2, abs=1e-3)


def test_nothing_is_claimed_seed_by_seed_where_mean_and_wins_point_apart():
    """Fourteen differences of .001 and six of -10: hardly any flip reaches the mean, and mini loses on 14 of
    20 seeds.
    """
    finals = {"full": [20.0 + seed for seed in range(20)]}
    finals["mini"] = [
        value + (0.001 if seed < 14 else -10 - seed) for seed, value in enumerate(finals["full"])
    ]
    row = compared(finals).loc["mini"]
    assert row["p_holm"] == 2 / 64  # whatever the fourteen, the six agree in 2 of 64 patterns
    assert (row["lower"], row["at_odds"], row["claimed"]) == (True, True, False)


def test_a_control_that_failed_is_no_arm_and_has_no_spread():
    made = [trial(arm, seed, [9, 1 + 0.1 * seed]) for arm in ("full", "mini", "copy") for seed in range(3)]
    found = pairs(
        *tables(*made, trial("full", 3, [9, 1]), trial("copy", 3, [], "failed")),
        PairedTests("full", "train_loss", control="copy"),
    )
    assert found["arm"].tolist() == ["mini"]
    assert math.isnan(found["control_spread"][0])
