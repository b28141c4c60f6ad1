"""The verdict's sentences, in full, on hand-made tables."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from optcompare.analysis.limits import Setting
from optcompare.analysis.looks import Claim, Contrast, Look, PastLook
from optcompare.analysis.paired import pairs
from optcompare.analysis.verdict import verdict
from optcompare.core.goal import Goal
from optcompare.errors import ComparisonError
from tests.helpers.tables import INF, NAN, ended, tables, trial

Ends = list[tuple[float, float]]
"""For each seed: the samples after which a loss of 1 is reached (infinite: never), and the final loss (infinite: the
trial diverged)."""
GOAL = Goal("train_loss", 1.0)
LEAN = [0.0, 0.01, 0.02, -0.01, -0.02, 0.0, 0.01, -0.01, 0.015, -0.015]
"""What a seed does to every arm: it sums to 0."""
FULL: Ends = [(100, 0.5 + lean) for lean in LEAN]
MINI: Ends = [(at, 0.5 + 1.5 * lean - 0.25) for at, lean in zip([50, 25] * 5, LEAN, strict=True)]
"""Half or a quarter of the samples, and lower by 0.25 - lean/2: Σ lean² = .00165 gives s = .00677 and, with
t(9, .975) = 2.262, ± .00484. The ratio is √(1/8) = 0.354 times or over exp(2.262·.3653/√10) = 1.299."""


def tell(goal: Goal | None = GOAL, control: str | None = None, **arms: Ends) -> list[str]:
    """What is said of the arms, without the sentences on seeds and looks, which all verdicts share."""
    sentences = verdict("digits", *measured(arms), next(iter(arms)), "train_loss", goal=goal, control=control)
    return [each for each in sentences if "gone unseen" not in each and not each.startswith("Looks not recorded")]


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
    return f"This is one workload, digits, on {n} seed{'s' if n > 1 else ''}: it says nothing about others."


def test_claimed():
    """Ten of ten: 2/2¹⁰ = .00195, times 2 comparisons by Holm."""
    assert tell(full=FULL, mini=MINI) == [
        "mini needs fewer samples to train_loss 1 than full, seed by seed (0.354 times, 95% interval 0.272 to 0.459, "
        "fewer on 10 of 10 seeds, Holm p = 0.00391).",
        "On final train_loss, mini ends lower than full, seed by seed (better on 10 of 10 seeds, Holm p = 0.00391, "
        "mean difference -0.25, 95% interval -0.255 to -0.245, median -0.25).",
        ends_of(10),
    ]


def test_whole_verdict_says_what_it_cannot_exclude_and_which_look_it_is():
    assert verdict("digits", *measured({"full": FULL, "mini": MINI}), "full", "train_loss")[1:] == [
        "With 10 seeds, failures on up to 26% of all seeds may have gone unseen.",
        "Looks not recorded: tested at the level of a first look, 0.035.",
        ends_of(10),
    ]


def test_later_look_has_its_own_level_and_names_claims_that_no_longer_hold():
    final = Contrast("mini", "full", "final train_loss")
    goal = Contrast("mini", "full", "samples to train_loss=1")
    past = PastLook("x", 8, (final, goal), (Claim(final, "higher"), Claim(goal, "fewer")))
    told = verdict(
        "digits", *measured({"full": FULL, "mini": MINI}), "full", "train_loss", goal=GOAL, look=Look((past,), True)
    )
    assert told[-3:-1] == [
        "This is look 2 at these trials, tested at level 0.0091; the levels of all looks sum to 0.05.",
        "The verdict on 8 seeds claimed that mini ends higher than full (final train_loss); that can no longer be claimed.",
    ]


def test_nothing_is_claimed_of_a_run_that_is_under_way():
    told = verdict(
        "digits", *measured({"full": FULL, "mini": MINI}), "full", "train_loss", look=Look(withheld="it is under way")
    )
    assert told[:2] == [
        "Nothing is claimed: it is under way.",
        "On final train_loss, mini is better on 10 of 10 seeds, mean difference -0.25, 95% interval -0.255 to -0.245, "
        "median -0.25.",
    ]
    assert "ook" not in " ".join(told)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        (
            Setting(tunings=0),
            "Nothing was tuned: this holds at the learning rates given, and may be the other way round at others.",
        ),
        (Setting(tunings=1), "This holds at the rates found: another tuning may find others."),
        (Setting(tunings=5), "Learning rates were tuned 5 times, and the differences are over all of them."),
    ],
)
def test_how_rates_were_chosen_is_said(setting, said):
    assert said in verdict("digits", *measured({"full": FULL, "mini": MINI}), "full", "train_loss", setting=setting)


def test_difference_smaller_than_that_between_neighbouring_rates_is_named():
    arms = {"full": FULL, "mini": MINI, "far": [(at, final + 9) for at, final in FULL]}
    setting = Setting(tunings=1, sensitivity={"full": 0.3, "mini": 0.1, "far": NAN})
    told = verdict("digits", *measured(arms), "full", "train_loss", setting=setting)
    assert "Smaller than what a neighbouring learning rate changes: the difference of mini (0.25 against 0.3)." in told


@pytest.mark.parametrize(("splits", "said"), [(0, ""), (1, "one split and "), (5, "5 splits and ")])
def test_on_how_many_splits_is_said(splits, said):
    told = verdict("digits", *measured({"full": FULL}), "full", "train_loss", setting=Setting(splits=splits))
    assert told[-1] == f"This is one workload, digits, on {said}10 seeds: it says nothing about others."


def test_margin_is_claimed_or_not_beside_the_difference():
    told = verdict("digits", *measured({"full": FULL, "mini": MINI}), "full", "train_loss", margin=0.4)[0]
    assert told.endswith("median -0.25), and within 0.4 of it (Holm p = 0.00195).")
    told = verdict("digits", *measured({"full": FULL, "mini": MINI}), "full", "train_loss", margin=0.2)[0]
    assert told.endswith("median -0.25); that it lies within 0.2 cannot be claimed (Holm p = 1).")


def test_equality_that_fewer_seeds_allow_is_said_beside_the_difference_that_they_do_not():
    """Six seeds and two comparisons: 1/64·2 = .031 for equality, 2/64·2 = .0625 for a difference."""
    told = verdict("digits", *measured({"full": FULL[:6], "mini": MINI[:6]}), "full", "train_loss", margin=0.4)
    assert told[0] == "No difference is claimed: 6 seeds are too few for 2 comparisons, 7 are needed."
    assert told[1].endswith(", and within 0.4 of it (Holm p = 0.0312).")


def test_mean_and_wins_that_point_apart_are_no_claim_and_said_so():
    full: Ends = [(100, 20.0 + seed) for seed in range(20)]
    mini: Ends = [(100, value + (0.001 if seed < 14 else -10 - seed)) for seed, (_, value) in enumerate(full)]
    told = verdict("digits", *measured({"full": full, "mini": mini}), "full", "train_loss")[0]
    assert told.startswith(
        "On final train_loss, no difference between mini and full can be claimed (better on 6 of 20 seeds, "
    )
    assert told.endswith(", which rests on few large differences).")


def test_failures_that_may_go_unseen_are_of_arms_that_show_none():
    lost: Ends = [*FULL[:9], (INF, INF)]
    told = verdict("digits", *measured({"full": FULL, "mini": lost}), "full", "train_loss")
    assert "With 10 seeds, failures on up to 26% of all seeds may have gone unseen in arms that show none." in told
    told = verdict("digits", *measured({"full": lost, "mini": lost}), "full", "train_loss")
    assert "unseen" not in " ".join(told)


def test_without_a_goal():
    assert tell(goal=None, full=FULL, mini=MINI)[0] == tell(full=FULL, mini=MINI)[1].replace("0.00391", "0.00195")


def test_higher_is_said_as_it_is():
    assert tell(goal=None, mini=MINI, full=FULL)[0] == (
        "On final train_loss, full ends higher than mini, seed by seed (better on 0 of 10 seeds, Holm p = 0.00195, "
        "mean difference 0.25, 95% interval 0.245 to 0.255, median 0.25)."
    )


def test_too_few_seeds_name_the_number_that_it_takes():
    of_mini = "mean difference -0.25, 95% interval -0.26 to -0.24, median -0.25"
    assert tell(full=FULL[:5], mini=MINI[:5]) == [
        "mini reaches train_loss 1 on 5 of 5 seeds and full on 5; fewer on 5 of 5 seeds, too few for a claim (7 are needed).",
        "No difference is claimed: 5 seeds are too few for 2 comparisons, 7 are needed.",
        f"On final train_loss, mini is better on 5 of 5 seeds, {of_mini}.",
        ends_of(5),
    ]
    assert tell(goal=None, full=FULL[:6], mini=MINI[:6], other=FULL[:6])[::2] == [
        "No difference is claimed: 6 seeds are too few for 2 comparisons, 7 are needed.",
        "On final train_loss, other equals full on 6 of 6 seeds.",
    ]
    assert tell(goal=None, full=FULL[:1], mini=MINI[:1]) == [
        "No difference is claimed: 1 seed is too few for 1 comparison, 6 are needed.",
        "On final train_loss, mini is better on 1 of 1 seed, mean difference -0.25, median -0.25.",
        ends_of(1),
    ]


def test_not_claimed():
    """Differences -2·lean: mean 0, s = .02708, ± .01937. Samples 95 or 105 of 100: logs -.00125 ± .03773, which fewer than
    half of the sign patterns reach: the sum of five logs of each kind is -.0125, within .1 of which lie those patterns
    with equally many signs of both, 252 of 1024."""
    other: Ends = [(100 + more, 0.5 - lean) for more, lean in zip([-5, 5] * 5, LEAN, strict=True)]
    assert tell(full=FULL, mini=other) == [
        "No difference in samples to train_loss 1 can be claimed between mini and full (0.999 times, "
        "95% interval 0.962 to 1.04, fewer on 5 of 10 seeds, Holm p = 1).",
        "On final train_loss, no difference between mini and full can be claimed (better on 4 of 10 seeds and equal on 2, "
        "Holm p = 1, mean difference 0, 95% interval -0.0194 to 0.0194, median 0).",
        ends_of(10),
    ]


def test_equal_arms():
    assert tell(full=FULL, mini=FULL) == [
        "mini reaches train_loss 1 after as many samples as full (10 seeds).",
        "On final train_loss, mini equals full on 10 of 10 seeds.",
        ends_of(10),
    ]


def test_same_difference_on_all_seeds_and_rounding_are_not_tested():
    assert tell(goal=None, full=[(100, 0.5)] * 7, mini=[(100, 0.25)] * 7)[0] == (
        "On final train_loss, mini ends lower than full by the same 0.25 on all 7 seeds: that is one observation, and is not "
        "tested."
    )
    close: Ends = [(100, 0.5 + 1e-16 * seed) for seed in range(7)]
    assert tell(goal=None, full=[(100, 0.5)] * 7, mini=close)[0] == (
        "On final train_loss, mini and full differ by no more than rounding on all 7 seeds: that is not tested."
    )


def test_no_ratio_is_claimed_with_a_miss_which_ranks_as_the_worst():
    eight: Ends = [(50, 0.25 + 1.5 * lean) for lean in LEAN[:8]] + [(INF, 1.5)] * 2
    assert tell(full=FULL, mini=eight)[0] == (
        "No difference in samples to train_loss 1 can be claimed between mini and full (fewer on 8 of 10 seeds, Holm p = 0.219); "
        "mini reaches train_loss 1 on 8 of 10 seeds and full on 10."
    )
    assert tell(full=[(INF, 1.5)] * 3 + FULL[3:], mini=MINI)[0] == (
        "mini needs fewer samples to train_loss 1 than full, seed by seed, a miss as the most (fewer on 10 of 10 seeds, "
        "Holm p = 0.00391); mini reaches train_loss 1 on 10 of 10 seeds and full on 7."
    )


def test_goal_that_nobody_reaches():
    assert tell(full=[(INF, 2.0)] * 6, mini=[(INF, 3.0)] * 6)[0] == "No arm reaches train_loss 1 on any of 6 seeds."


def test_coarse_measurements_make_the_ratio_rough():
    made = [
        trial(arm, seed, [9, 1, 0.5 + lean], samples=[0, at, 1000])
        for arm, at in (("full", 400), ("mini", 100))
        for seed, lean in enumerate(LEAN)
    ]
    assert verdict("digits", *tables(*made), "full", "train_loss", goal=GOAL)[0] == (
        "mini needs fewer samples to train_loss 1 than full, seed by seed (0.25 times, 95% interval 0.25 to 0.25, roughly, "
        "for measurements lie up to 100% of the samples apart, fewer on 10 of 10 seeds, Holm p = 0.00391)."
    )


def test_diverged_trials_are_the_worst_and_leave_no_mean():
    """Eight wins and two losses: P = 2·(45 + 10 + 1)/1024 = .109, times 2."""
    assert tell(full=FULL, mini=[*MINI[:8], (INF, INF), (INF, INF)])[1] == (
        "On final train_loss, no difference between mini and full can be claimed (better on 8 of 10 seeds, Holm p = 0.219, "
        "mini diverged on 2 of 10 seeds)."
    )


def test_diverged_baseline_of_which_all_others_are_better():
    assert tell(goal=None, full=[*FULL[:9], (INF, INF)], mini=MINI)[:2] == [
        "full diverged on 1 of 10 seeds.",
        "On final train_loss, mini ends lower than full, seed by seed, lost trials as the worst (better on 10 of 10 "
        "seeds, Holm p = 0.00195).",
    ]


def test_diverged_and_failed_trials_tie_with_too_few_seeds():
    made = [trial("full", 0, [9, 1]), trial("full", 1, [], "failed"), trial("mini", 0, [9, NAN], "diverged")]
    told = verdict("digits", *tables(*made, trial("mini", 1, [], "failed")), "full", "train_loss")
    assert told[:3] == [
        "No difference is claimed: 2 seeds are too few for 1 comparison, 6 are needed.",
        "full failed on 1 of 2 seeds.",
        "On final train_loss, mini is better on 0 of 2 seeds and equal on 1, mini diverged on 1 and failed on 1 of 2 seeds.",
    ]


def test_control_says_how_far_rounding_moves_one_seed_and_takes_no_claim_away():
    """full minus .75 has the standard deviation of the leans, √(.00165/9) = .0135."""
    told = tell(goal=None, full=FULL, mini=MINI, copy=[(100, 0.75)] * 10, control="copy")
    assert told[0].startswith("On final train_loss, mini ends lower than full, seed by seed")
    assert told[1] == "Rounding alone moves the final train_loss of full by 0.0135 on one seed (standard deviation)."


def test_control_that_is_lost_where_the_baseline_is_not():
    told = tell(goal=None, full=FULL, mini=MINI, copy=[*FULL[:9], (INF, INF)], control="copy")
    assert told[1] == (
        "Rounding alone decides on which seeds full is lost: its copy in other rounding is lost on others."
    )


@pytest.mark.parametrize("control", [None, "copy"])
def test_nothing_to_compare_with(control):
    arms = {"full": FULL} | ({"copy": FULL} if control else {})
    rounding = ["Rounding alone moves the final train_loss of full by 0 on one seed (standard deviation)."]
    expected = ["There is no arm to compare full with.", *(rounding if control else []), ends_of(10)]
    assert tell(control=control, **arms) == expected


def test_many_arms_are_counted():
    """Twelve comparisons: ten of ten is 2/1024·12 = .023."""
    slow: Ends = [(at * 8, 0.75 + 1.5 * lean) for (at, _), lean in zip(MINI, LEAN, strict=True)]
    slightly: Ends = [(90 + seed % 2, 0.45 + 1.5 * lean) for seed, lean in enumerate(LEAN)]
    lost: Ends = [*FULL[:9], (INF, INF)]
    assert tell(full=FULL, mini=MINI, slow=slow, same=FULL, never=[(INF, 1.5)] * 10, close=slightly, lost=lost) == [
        "full reaches train_loss 1 on 10 of 10 seeds; of 6 arms against it: "
        "2 with fewer samples (furthest mini: 0.354 times, 95% interval 0.272 to 0.459), "
        "1 with more samples (furthest slow: 2.83 times, 95% interval 2.18 to 3.67), "
        "1 that never reach it, 2 where no difference in samples can be claimed.",
        "On final train_loss, of 6 arms against full: "
        "2 lower (furthest mini: mean 0.25, 95% interval 0.245 to 0.255, Holm p = 0.0234), "
        "2 higher (furthest never: mean 1, 95% interval 0.99 to 1.01, Holm p = 0.0234), "
        "1 where no difference can be claimed, 1 where nothing varies above rounding.",
        ends_of(10),
    ]


def test_many_arms_with_too_few_seeds():
    lost: Ends = [*FULL[:4], (INF, INF)]
    told = tell(goal=None, full=FULL[:5], a=MINI[:5], b=MINI[:5], c=lost, d=MINI[:5])
    assert told[:2] == [
        "No difference is claimed: 5 seeds are too few for 4 comparisons, 8 are needed.",
        "On final train_loss, 1 of 4 arms against full diverged or failed on a seed or more.",
    ]


def test_interrupted_trials_are_left_out_and_named():
    made = [trial(arm, seed, [9, 1]) for arm in ("full", "mini") for seed in (0, 1)]
    told = verdict("line", *tables(*made, trial("mini", 2, [9], "interrupted")), "full", "train_loss")
    assert (
        told[-1]
        == "This is one workload, line, on 3 seeds (1 interrupted trial left out): it says nothing about others."
    )


def test_arms_that_share_no_seed():
    made = [trial("full", 0, [9, 1]), trial("mini", 1, [9, 1])]
    assert verdict("line", *tables(*made), "full", "train_loss")[:2] == [
        "No difference is claimed: 0 seeds are too few for 1 comparison, 6 are needed.",
        "On final train_loss, mini shares no seed with full.",
    ]


def test_unknown_baseline_is_refused():
    with pytest.raises(ComparisonError, match=r"^the baseline 'none' is no arm; there are full, mini$"):
        verdict("digits", *measured({"full": FULL, "mini": MINI}), "none", "train_loss")


def repeated(finals, fingerprints):
    records, trials = ended(finals)
    return records, trials.assign(weights_sha256=[fingerprints[seed] for seed in trials["seed"]])


def test_seeds_that_change_nothing_are_one_run():
    """Seven copies of one experiment are one observation: no interval, no p, whatever the last bits are."""
    records, trials = repeated({"a": [0.5 + 1e-8 * seed for seed in range(7)], "b": [0.4] * 7}, "x" * 7)
    (row,) = pairs(records, trials, "a", "train_loss").to_dict("records")
    assert (row["n"], row["one_run_seeds"], row["same_start"], row["claimed"]) == (1, 7, True, False)
    assert math.isnan(row["low"])
    assert math.isnan(row["p_holm"])
    assert verdict("w", records, trials, "a", "train_loss")[0] == (
        "On final train_loss, b ends 0.1 lower than a, in one run that all 7 seeds repeat: the seed changes nothing in these "
        "arms."
    )


def test_an_arm_that_varies_from_one_start_is_compared_as_ever_which_is_said():
    finals = {"a": [0.5] * 7, "b": [0.4, 0.41, 0.42, 0.4, 0.41, 0.42, 0.4]}
    records, trials = repeated(finals, "x" * 7)
    (row,) = pairs(records, trials, "a", "train_loss").to_dict("records")
    assert (row["n"], row["one_run_seeds"], row["claimed"]) == (7, 0, True)
    sentences = verdict("w", records, trials, "a", "train_loss")
    assert (
        sentences[1]
        == "The start is the same on all seeds: only the order of samples varies, or what is drawn in training."
    )


def test_equal_ends_from_different_starts_are_seven_observations():
    records, trials = repeated({"a": [0.5] * 7, "b": [0.4] * 7}, "abcdefg")
    (row,) = pairs(records, trials, "a", "train_loss").to_dict("records")
    assert (row["n"], row["one_run_seeds"], row["same_start"]) == (7, 0, False)
    assert "The start is the same" not in " ".join(verdict("w", records, trials, "a", "train_loss"))


def test_pairs_that_repeat_are_counted_apart_where_there_are_many():
    finals = {"a": [0.5] * 7, **{name: [0.1 * number] * 7 for number, name in enumerate("bcdef", 1)}}
    records, trials = repeated(finals, "x" * 7)
    assert "5 that are one run, which all seeds repeat" in verdict("w", records, trials, "a", "train_loss")[0]
