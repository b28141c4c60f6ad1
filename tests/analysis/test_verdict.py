"""The verdict's sentences, in full, on hand-made tables."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from optcompare.analysis.limits import Setting
from optcompare.analysis.looks import Claim, Contrast, Look, PastLook
from optcompare.analysis.paired import pairs
from optcompare.analysis.paired_tests import PairedTests
from optcompare.analysis.verdict import verdict
from optcompare.core.goal import Goal
from optcompare.errors import ComparisonError
from tests.helpers.tables import INF, NAN, ended, tables, trial

Ends = list[tuple[float, float]]
"""For each seed: the samples after which a loss of 1 is reached (infinite: never), and the final loss
(infinite: the trial diverged).
"""
GOAL = Goal("train_loss", 1.0)
LEAN = [0.0, 0.01, 0.02, -0.01, -0.02, 0.0, 0.01, -0.01, 0.015, -0.015]
"""What a seed does to every arm: it sums to 0."""
FULL: Ends = [(100, 0.5 + lean) for lean in LEAN]
MINI: Ends = [(at, 0.5 + 1.5 * lean - 0.25) for at, lean in zip([50, 25] * 5, LEAN, strict=True)]
"""Half or a quarter of the samples, and lower by 0.25 - lean/2: Σ lean² = .00165 gives s = .00677 and, with
t(9, .975) = 2.262, ± .00484. The ratio is √(1/8) = 0.354 times or over exp(2.262·.3653/√10) = 1.299."""


def tell(goal: Goal | None = GOAL, control: str | None = None, **arms: Ends) -> list[str]:
    """What is said of the arms, without the lines on failures and looks, which all verdicts share."""
    lines = verdict(
        *measured(arms),
        PairedTests(next(iter(arms)), "train_loss", goal=goal, control=control),
        workload="digits",
    )
    return [each for each in lines if "may still fail" not in each and "looks" not in each]


def measured(arms: dict[str, Ends]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Each goal is reached within a hundredth of its samples."""
    made = []
    for arm, ends in arms.items():
        for seed, (at, final) in enumerate(ends):
            samples = [0, 500, 1000] if at == INF else [0, int(at * 99), int(at * 100), 100_000]
            losses = [9.0, 5.0, final] if at == INF else [9.0, 5.0, 1.0, final]
            made.append(trial(arm, seed, losses, "diverged" if final == INF else "finished", samples=samples))
    return tables(*made)


def ends_of(n: int) -> str:
    return f"One workload (digits), {n} seed{'s' if n > 1 else ''}. Other workloads may differ."


LOWER = "difference -0.25 (95% interval -0.255 to -0.245), better on 10 of 10 seeds: claimed lower"
FEWER = "2.83 times fewer samples (95% interval 2.18 to 3.67), fewer on 10 of 10 seeds: claimed fewer"


def test_claimed():
    """Ten of ten: 2/2¹⁰ = .00195, times 2 comparisons by Holm."""
    assert tell(full=FULL, mini=MINI) == [
        "Samples to train_loss 1: mini needs fewer than full, seed by seed; both reached it on all 10 "
        "seeds. Fewest: mini.",
        f"1. mini: {FEWER} (Holm p = 0.00391)",
        "2. full: baseline, reached on 10 of 10 seeds",
        "Final train_loss: mini ends lower than full, seed by seed. Lowest mean: mini.",
        f"1. mini: {LOWER} (Holm p = 0.00391)",
        "2. full: baseline, mean 0.5",
        ends_of(10),
    ]


def test_whole_verdict_says_what_it_cannot_exclude_and_which_look_it_is():
    assert verdict(
        *measured({"full": FULL, "mini": MINI}), PairedTests("full", "train_loss"), workload="digits"
    )[3:] == [
        "Each arm may still fail on up to 26% of all seeds: only 10 seeds were tried.",
        "Earlier looks were not recorded: tested at the level of a first look, 0.035.",
        ends_of(10),
    ]


def test_later_look_has_its_own_level_and_names_claims_that_no_longer_hold():
    final = Contrast("mini", "full", "final train_loss")
    goal = Contrast("mini", "full", "samples to train_loss=1")
    past = PastLook("x", 8, (final, goal), (Claim(final, "higher"), Claim(goal, "fewer")))
    told = verdict(
        *measured({"full": FULL, "mini": MINI}),
        PairedTests("full", "train_loss", goal=GOAL),
        workload="digits",
        look=Look((past,), True),
    )
    assert told[-3:-1] == [
        "Look 2 at these trials: tested at level 0.0091; the levels of all looks sum to 0.05.",
        "No longer claimed, though it was on 8 seeds: mini ends higher than full (final train_loss).",
    ]


def test_nothing_is_claimed_of_a_run_that_is_under_way():
    told = verdict(
        *measured({"full": FULL, "mini": MINI}),
        PairedTests("full", "train_loss"),
        workload="digits",
        look=Look(withheld="it is under way"),
    )
    assert told[:4] == [
        "Nothing is claimed: it is under way.",
        "Final train_loss, lowest mean: mini.",
        f"1. mini: {LOWER.replace('claimed lower', 'not claimed')}",
        "2. full: baseline, mean 0.5",
    ]
    assert "ook" not in " ".join(told)


@pytest.mark.slow
def test_each_line_fits_two_lines_of_a_terminal():
    """With arms of up to 35 characters, three of which the first line names."""
    names = [f"mini:batch_size={2**n}@adamw:lr=0.00{n}" for n in range(12, 17)]
    arms = dict.fromkeys(["full@sgd:momentum=0.9", *names], MINI)
    arms["full@sgd:momentum=0.9"] = FULL
    for goal in (None, GOAL):
        for margin in (None, 0.4):
            told = verdict(
                *measured(arms),
                PairedTests("full@sgd:momentum=0.9", "train_loss", goal=goal, margin=margin),
                workload="digits",
            )
            assert max(map(len, told)) <= 2 * 80 - 3 + (40 if margin else 0)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            Setting(tunings=0),
            "Nothing was tuned: the order may differ at other learning rates (try tuning over 5 of them).",
        ),
        (Setting(tunings=1), "Learning rates were tuned once: another tuning may find others."),
        (Setting(tunings=5), "Learning rates were tuned 5 times; the differences are over all of them."),
    ],
)
def test_how_rates_were_chosen_is_said(setting, said):
    assert said in verdict(
        *measured({"full": FULL, "mini": MINI}),
        PairedTests("full", "train_loss"),
        workload="digits",
        setting=setting,
    )


def test_difference_smaller_than_that_between_neighbouring_rates_is_named():
    arms = {"full": FULL, "mini": MINI, "far": [(at, final + 9) for at, final in FULL]}
    setting = Setting(tunings=1, sensitivity={"full": 0.3, "mini": 0.1, "far": NAN})
    told = verdict(*measured(arms), PairedTests("full", "train_loss"), workload="digits", setting=setting)
    assert (
        "A neighbouring learning rate changes the result by more than the arms differ: mini (rate 0.3, arms "
        "0.25)." in told
    )


@pytest.mark.parametrize(("splits", "said"), [(0, ""), (1, "1 split, "), (5, "5 splits, ")])
def test_on_how_many_splits_is_said(splits, said):
    told = verdict(
        *measured({"full": FULL}),
        PairedTests("full", "train_loss"),
        workload="digits",
        setting=Setting(splits=splits),
    )
    assert told[-1] == f"One workload (digits), {said}10 seeds. Other workloads may differ."


def test_margin_is_claimed_or_not_beside_the_difference():
    told = verdict(
        *measured({"full": FULL, "mini": MINI}),
        PairedTests("full", "train_loss", margin=0.4),
        workload="digits",
    )
    assert (
        told[0]
        == "Final train_loss: mini ends lower than full, seed by seed; within 0.4 of full: mini. Lowest "
        "mean: mini."
    )
    assert told[1].endswith(": claimed lower (Holm p = 0.00195); within 0.4: claimed (Holm p = 0.00195)")
    told = verdict(
        *measured({"full": FULL, "mini": MINI}),
        PairedTests("full", "train_loss", margin=0.2),
        workload="digits",
    )
    assert told[0] == "Final train_loss: mini ends lower than full, seed by seed. Lowest mean: mini."
    assert told[1].endswith(": claimed lower (Holm p = 0.00391); within 0.2: not claimed (Holm p = 1)")


def test_equality_that_fewer_seeds_allow_is_said_beside_the_difference_that_they_do_not():
    """Six seeds and two comparisons: 1/64·2 = .031 for equality, 2/64·2 = .0625 for a difference."""
    told = verdict(
        *measured({"full": FULL[:6], "mini": MINI[:6]}),
        PairedTests("full", "train_loss", margin=0.4),
        workload="digits",
    )
    assert (
        told[0]
        == "Too few seeds for a firm claim (6; 7 needed for 2 comparisons). Add 1 seed, for 7 in all: "
        "resume a run, or merge another."
    )
    assert told[1] == "Final train_loss: within 0.4 of full: mini. Lowest mean: mini."
    assert told[2].endswith(": not claimed; within 0.4: claimed (Holm p = 0.0312)")


def test_mean_and_wins_that_point_apart_are_no_claim_and_said_so():
    full: Ends = [(100, 20.0 + seed) for seed in range(20)]
    mini: Ends = [(100, value + (0.001 if seed < 14 else -10 - seed)) for seed, (_, value) in enumerate(full)]
    told = verdict(
        *measured({"full": full, "mini": mini}), PairedTests("full", "train_loss"), workload="digits"
    )
    assert told[0] == "Final train_loss: no difference from full can be claimed. Lowest mean: mini."
    assert told[1].endswith(
        "better on 6 of 20 seeds: not claimed (Holm p = 0.0312, rests on few large differences)"
    )


def test_failures_that_may_go_unseen_are_of_arms_that_show_none():
    lost: Ends = [*FULL[:9], (INF, INF)]
    told = verdict(
        *measured({"full": FULL, "mini": lost}), PairedTests("full", "train_loss"), workload="digits"
    )
    assert (
        "Arms without a failure may still fail on up to 26% of all seeds: only 10 seeds were tried." in told
    )
    told = verdict(
        *measured({"full": lost, "mini": lost}), PairedTests("full", "train_loss"), workload="digits"
    )
    assert "may still fail" not in " ".join(told)


def test_without_a_goal():
    found = [line.replace("0.00391", "0.00195") for line in tell(full=FULL, mini=MINI)[3:]]
    assert tell(goal=None, full=FULL, mini=MINI) == found


def test_baseline_takes_its_place_in_the_list():
    assert tell(goal=None, mini=MINI, full=FULL)[:3] == [
        "Final train_loss: full ends higher than mini, seed by seed. Lowest mean: mini.",
        "1. mini: baseline, mean 0.25",
        "2. full: difference 0.25 (95% interval 0.245 to 0.255), better on 0 of 10 seeds: claimed higher "
        "(Holm p = 0.00195)",
    ]


def test_metric_of_which_more_is_better_is_ranked_from_the_highest():
    finals = {"a": [0.5] * 6, "b": [0.6, 0.7, 0.6, 0.7, 0.6, 0.7], "c": [0.4, 0.3, 0.4, 0.3, 0.4, 0.3]}
    told = verdict(*ended(finals, "valid_accuracy"), PairedTests("a", "valid_accuracy"), workload="w")
    assert told[1] == "Final valid_accuracy, highest mean: b."
    assert [line.partition(":")[0] for line in told[2:5]] == ["1. b", "2. a", "3. c"]
    assert told[2].endswith("better on 6 of 6 seeds: not claimed")


def test_too_few_seeds_name_the_number_that_it_takes():
    assert tell(full=FULL[:5], mini=MINI[:5]) == [
        "Too few seeds for a firm claim (5; 7 needed for 2 comparisons). Add 2 seeds, for 7 in all: "
        "resume a run, or merge another.",
        "Samples to train_loss 1: both reached it on all 5 seeds. Fewest: mini.",
        "1. mini: 2.64 times fewer samples (95% interval 1.65 to 4.23), fewer on 5 of 5 seeds: not claimed",
        "2. full: baseline, reached on 5 of 5 seeds",
        "Final train_loss, lowest mean: mini.",
        "1. mini: difference -0.25 (95% interval -0.26 to -0.24), better on 5 of 5 seeds: not claimed",
        "2. full: baseline, mean 0.5",
        ends_of(5),
    ]
    assert (
        tell(goal=None, full=FULL[:6], mini=MINI[:6], other=FULL[:6])[4]
        == "3. other: equals full on 6 of 6 seeds"
    )
    assert tell(goal=None, full=FULL[:1], mini=MINI[:1])[:3] == [
        "Too few seeds for a firm claim (1; 6 needed for 1 comparison). Add 5 seeds, for 6 in all: "
        "resume a run, or merge another.",
        "Final train_loss, lowest mean: mini.",
        "1. mini: difference -0.25, better on 1 of 1 seed: not claimed",
    ]


def test_not_claimed():
    """Differences -2·lean: mean 0, s = .02708, ± .01937.

    Samples 95 or 105 of 100: logs -.00125 ± .03773, which fewer than half of the sign patterns reach: the sum
    of five logs of each kind is -.0125, within .1 of which lie those patterns with equally many signs of
    both, 252 of 1024.
    """
    other: Ends = [(100 + more, 0.5 - lean) for more, lean in zip([-5, 5] * 5, LEAN, strict=True)]
    assert tell(full=FULL, mini=other) == [
        "Samples to train_loss 1: no difference from full can be claimed; both reached it on all 10 seeds. "
        "Fewest: mini.",
        "1. mini: 0.999 times the samples (95% interval 0.962 to 1.04), fewer on 5 of 10 seeds: not claimed "
        "(Holm p = 1)",
        "2. full: baseline, reached on 10 of 10 seeds",
        "Final train_loss: no difference from full can be claimed. Lowest mean: full.",
        "1. full: baseline, mean 0.5",
        "2. mini: difference 0 (95% interval -0.0194 to 0.0194), better on 4 of 10 seeds and equal on 2: "
        "not claimed "
        "(Holm p = 1)",
        ends_of(10),
    ]


def test_equal_arms():
    assert tell(full=FULL, mini=FULL) == [
        "Samples to train_loss 1: no arm differs from full; both reached it on all 10 seeds.",
        "1. full: baseline, reached on 10 of 10 seeds",
        "2. mini: as many samples as full (10 seeds)",
        "Final train_loss: no arm differs from full.",
        "1. full: baseline, mean 0.5",
        "2. mini: equals full on 10 of 10 seeds",
        ends_of(10),
    ]


def test_same_difference_on_all_seeds_and_rounding_are_not_tested():
    assert tell(goal=None, full=[(100, 0.5)] * 7, mini=[(100, 0.25)] * 7)[:2] == [
        "Final train_loss: no difference from full can be claimed. Lowest mean: mini.",
        "1. mini: lower by the same 0.25 on all 7 seeds: one observation, not tested",
    ]
    close: Ends = [(100, 0.5 + 1e-16 * seed) for seed in range(7)]
    assert tell(goal=None, full=[(100, 0.5)] * 7, mini=close)[2] == (
        "2. mini: differs by no more than rounding on all 7 seeds: not tested"
    )


def test_no_ratio_is_claimed_with_a_miss_which_ranks_as_the_worst():
    eight: Ends = [(50, 0.25 + 1.5 * lean) for lean in LEAN[:8]] + [(INF, 1.5)] * 2
    assert tell(full=FULL, mini=eight)[:3] == [
        "Samples to train_loss 1: no difference from full can be claimed. Best ranked: mini.",
        "1. mini: reached on 8 of 10 seeds (median 5,000 samples), fewer on 8 of 10 seeds: not claimed "
        "(Holm p = 0.219)",
        "2. full: baseline, reached on 10 of 10 seeds",
    ]
    assert tell(full=[(INF, 1.5)] * 3 + FULL[3:], mini=MINI)[:3] == [
        "Samples to train_loss 1: mini needs fewer than full, seed by seed. Best ranked: mini.",
        "1. mini: reached on 10 of 10 seeds (median 3,750 samples), fewer on 10 of 10 seeds: claimed fewer, "
        "a miss as the "
        "most (Holm p = 0.00391)",
        "2. full: baseline, reached on 7 of 10 seeds",
    ]


def test_where_the_baseline_misses_arms_are_ranked_by_their_median_samples():
    told = tell(
        full=[(INF, 2.0)] * 10, slow=[(80, 0.5)] * 10, fast=[(20 + seed % 2, 0.5) for seed in range(10)]
    )
    assert (
        told[0]
        == "Samples to train_loss 1: slow and fast need fewer than full, seed by seed. Best ranked: fast."
    )
    assert told[1].startswith(
        "1. fast: reached on 10 of 10 seeds (median 2,050 samples), fewer on 10 of 10 seeds"
    )
    assert told[2].startswith(
        "2. slow: reached on 10 of 10 seeds (median 8,000 samples), fewer on 10 of 10 seeds"
    )
    assert told[3] == "3. full: baseline, reached on 0 of 10 seeds"


def test_where_the_baseline_is_lost_arms_are_ranked_by_their_means():
    told = tell(goal=None, full=[(INF, INF)] * 10, high=[(INF, 0.5)] * 10, low=[(INF, 0.25)] * 10)
    assert [line.partition(":")[0] for line in told[1:4]] == ["1. low", "2. high", "3. full"]


def test_goal_that_nobody_reaches():
    told = tell(full=[(INF, 2.0)] * 6, mini=[(INF, 3.0)] * 6)
    assert told[1] == "Goal train_loss 1: no arm reached it on any of 6 seeds."


def test_coarse_measurements_make_the_ratio_rough():
    made = [
        trial(arm, seed, [9, 1, 0.5 + lean], samples=[0, at, 1000])
        for arm, at in (("full", 400), ("mini", 100))
        for seed, lean in enumerate(LEAN)
    ]
    told = verdict(*tables(*made), PairedTests("full", "train_loss", goal=GOAL), workload="digits")
    assert told[1].startswith(
        "1. mini: 4 times fewer samples (95% interval 4 to 4), fewer on 10 of 10 seeds: claimed fewer"
    )
    assert (
        told[3] == "Ratios are approximate: measured too rarely (100% of the samples apart); raise measure."
    )
    assert "approximate" not in " ".join(tell(full=FULL, mini=MINI))


def test_diverged_trials_are_the_worst_and_leave_no_mean():
    """Eight wins and two losses: P = 2·(45 + 10 + 1)/1024 = .109, times 2."""
    assert tell(full=FULL, mini=[*MINI[:8], (INF, INF), (INF, INF)])[3:5] == [
        "Final train_loss: no difference from full can be claimed. Best ranked: mini.",
        "1. mini: better on 8 of 10 seeds, diverged on 2 of 10 seeds: not claimed (Holm p = 0.219)",
    ]


def test_losses_far_above_their_start_are_said_to_have_blown_up():
    """Each trial begins at 9: 9,001 is more than a thousand times as high."""
    told = tell(
        goal=None, full=FULL[:2], high=[(INF, 9001.0), (INF, 5.7e17)], less=[(INF, 8999.0), (INF, 5.7e17)]
    )
    assert [line.partition(",")[0] for line in told[2:5]] == [
        "1. full: baseline",
        "2. high: blew up on all 2 seeds",
        "3. less: difference 2.85e+17 (95% interval -3.34e+18 to 3.91e+18)",
    ]


def test_diverged_baseline_of_which_all_others_are_better():
    assert tell(goal=None, full=[*FULL[:9], (INF, INF)], mini=MINI)[:3] == [
        "Final train_loss: mini ends lower than full, seed by seed. Best ranked: mini.",
        "1. mini: better on 10 of 10 seeds, lost trials as the worst: claimed lower (Holm p = 0.00195)",
        "2. full: baseline, diverged on 1 of 10 seeds",
    ]


def test_diverged_and_failed_trials_tie_with_too_few_seeds():
    made = [trial("full", 0, [9, 1]), trial("full", 1, [], "failed"), trial("mini", 0, [9, NAN], "diverged")]
    told = verdict(
        *tables(*made, trial("mini", 1, [], "failed")), PairedTests("full", "train_loss"), workload="digits"
    )
    assert told[:4] == [
        "Too few seeds for a firm claim (2; 6 needed for 1 comparison). Add 4 seeds, for 6 in all: "
        "resume a run, or merge another.",
        "Final train_loss, best ranked: full.",
        "1. full: baseline, failed on 1 of 2 seeds",
        "2. mini: better on 0 of 2 seeds and equal on 1, diverged on 1 and failed on 1 of 2 seeds: not "
        "claimed",
    ]


def test_control_says_how_far_rounding_moves_one_seed_and_takes_no_claim_away():
    """full minus .75 has the standard deviation of the leans, √(.00165/9) = .0135."""
    told = tell(goal=None, full=FULL, mini=MINI, copy=[(100, 0.75)] * 10, control="copy")
    assert told[0] == "Final train_loss: mini ends lower than full, seed by seed. Lowest mean: mini."
    assert (
        told[3]
        == "Rounding alone moves the final train_loss of full by 0.0135 on one seed (standard deviation)."
    )


def test_control_that_is_lost_where_the_baseline_is_not():
    told = tell(goal=None, full=FULL, mini=MINI, copy=[*FULL[:9], (INF, INF)], control="copy")
    assert told[3] == (
        "Rounding alone decides on which seeds full is lost: its rounding control is lost on others."
    )


@pytest.mark.parametrize("control", [None, "copy"])
def test_nothing_to_compare_with(control):
    arms = {"full": FULL} | ({"copy": FULL} if control else {})
    rounding = ["Rounding alone moves the final train_loss of full by 0 on one seed (standard deviation)."]
    expected = ["There is no arm to compare full with.", *(rounding if control else []), ends_of(10)]
    assert tell(control=control, **arms) == expected


def test_arms_are_ranked_on_either_side_of_the_baseline():
    """Twelve comparisons: ten of ten is 2/1024·12 = .023."""
    slow: Ends = [(at * 8, 0.75 + 1.5 * lean) for (at, _), lean in zip(MINI, LEAN, strict=True)]
    slightly: Ends = [(90 + seed % 2, 0.45 + 1.5 * lean) for seed, lean in enumerate(LEAN)]
    lost: Ends = [*FULL[:9], (INF, INF)]
    assert tell(
        full=FULL, mini=MINI, slow=slow, same=FULL, never=[(INF, 1.5)] * 10, close=slightly, lost=lost
    ) == [
        "Samples to train_loss 1: mini and close need fewer, slow and never need more than full, seed by "
        "seed. "
        "Best ranked: mini.",
        f"1. mini: {FEWER} (Holm p = 0.0234)",
        "2. close: 1.1 times fewer samples (95% interval 1.1 to 1.11), fewer on 10 of 10 seeds: claimed "
        "fewer "
        "(Holm p = 0.0234)",
        "3. full: baseline, reached on 10 of 10 seeds",
        "4. same: as many samples as full (10 seeds)",
        "5. slow: 2.83 times more samples (95% interval 2.18 to 3.67), fewer on 0 of 10 seeds: claimed more "
        "(Holm p = 0.0234)",
        "6. lost: reached on 9 of 10 seeds (median 10,000 samples), fewer on 0 of 10 seeds and equal on 9: "
        "not claimed (Holm p = 1)",
        "7. never: reached on 0 of 10 seeds, fewer on 0 of 10 seeds: claimed more, a miss as the most (Holm "
        "p = 0.0234)",
        "Final train_loss: mini and close end lower, slow and never end higher than full, seed by seed. "
        "Best ranked: mini.",
        f"1. mini: {LOWER} (Holm p = 0.0234)",
        "2. close: difference -0.05 (95% interval -0.0548 to -0.0452), better on 10 of 10 seeds: claimed "
        "lower "
        "(Holm p = 0.0234)",
        "3. full: baseline, mean 0.5",
        "4. same: equals full on 10 of 10 seeds",
        "5. slow: difference 0.25 (95% interval 0.245 to 0.255), better on 0 of 10 seeds: claimed higher "
        "(Holm p = 0.0234)",
        "6. never: difference 1 (95% interval 0.99 to 1.01), better on 0 of 10 seeds: claimed higher (Holm "
        "p = 0.0234)",
        "7. lost: better on 0 of 10 seeds and equal on 9, diverged on 1 of 10 seeds: not claimed (Holm p = "
        "1)",
        ends_of(10),
    ]


def test_of_many_arms_the_first_eight_and_the_baseline_have_a_line():
    arms = {"full": FULL} | {f"mini{n}": MINI for n in range(10)} | {"same": FULL}
    told = tell(goal=None, **arms)
    assert [line.partition(":")[0] for line in told[1:-1]] == [
        *(f"{n + 1}. mini{n}" for n in range(8)),
        "11. full",
        "3 more arms",
    ]
    assert told[0] == "Final train_loss: 10 of 11 arms end lower than full, seed by seed. Lowest mean: mini0."
    assert told[-2] == "3 more arms: 2 claimed lower, 1 not tested"


def test_interrupted_trials_are_left_out_and_named():
    made = [trial(arm, seed, [9, 1]) for arm in ("full", "mini") for seed in (0, 1)]
    told = verdict(
        *tables(*made, trial("mini", 2, [9], "interrupted")),
        PairedTests("full", "train_loss"),
        workload="line",
    )
    assert (
        told[-1] == "One workload (line), 3 seeds (1 interrupted trial left out). Other workloads may differ."
    )


def test_arms_that_share_no_seed():
    made = [trial("full", 0, [9, 1]), trial("mini", 1, [9, 1])]
    told = verdict(*tables(*made), PairedTests("full", "train_loss"), workload="line")
    assert told[0] == "Too few seeds for a firm claim (0; 6 needed for 1 comparison)."
    assert told[3] == "2. mini: shares no seed with full"


def test_unknown_baseline_is_refused():
    with pytest.raises(ComparisonError, match=r"^the baseline 'none' is no arm; there are full, mini$"):
        verdict(*measured({"full": FULL, "mini": MINI}), PairedTests("none", "train_loss"), workload="digits")


def repeated(finals, fingerprints):
    records, trials = ended(finals)
    return records, trials.assign(weights_sha256=[fingerprints[seed] for seed in trials["seed"]])


def test_seeds_that_change_nothing_are_one_run():
    """Seven copies of one experiment are one observation: no interval, no p, whatever the last bits are."""
    records, trials = repeated({"a": [0.5 + 1e-8 * seed for seed in range(7)], "b": [0.4] * 7}, "x" * 7)
    (row,) = pairs(records, trials, PairedTests("a", "train_loss")).to_dict("records")
    assert (row["n"], row["one_run_seeds"], row["same_start"], row["claimed"]) == (1, 7, True, False)
    assert math.isnan(row["low"])
    assert math.isnan(row["p_holm"])
    assert verdict(records, trials, PairedTests("a", "train_loss"), workload="w")[:2] == [
        "Final train_loss: no difference from a can be claimed. Lowest mean: b.",
        "1. b: 0.1 lower than a in one run that all 7 seeds repeat (the seed changes nothing): not tested",
    ]


def test_an_arm_that_varies_from_one_start_is_compared_as_ever_which_is_said():
    finals = {"a": [0.5] * 7, "b": [0.4, 0.41, 0.42, 0.4, 0.41, 0.42, 0.4]}
    records, trials = repeated(finals, "x" * 7)
    (row,) = pairs(records, trials, PairedTests("a", "train_loss")).to_dict("records")
    assert (row["n"], row["one_run_seeds"], row["claimed"]) == (7, 0, True)
    assert verdict(records, trials, PairedTests("a", "train_loss"), workload="w")[3] == (
        "All seeds start from the same weights: only the order of samples, or random draws in training, vary."
    )


def test_equal_ends_from_different_starts_are_seven_observations():
    records, trials = repeated({"a": [0.5] * 7, "b": [0.4] * 7}, "abcdefg")
    (row,) = pairs(records, trials, PairedTests("a", "train_loss")).to_dict("records")
    assert (row["n"], row["one_run_seeds"], row["same_start"]) == (7, 0, False)
    assert "start from the same weights" not in " ".join(
        verdict(records, trials, PairedTests("a", "train_loss"), workload="w")
    )
