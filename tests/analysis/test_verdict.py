"""The verdict's sentences, in full, on hand-made tables."""

from __future__ import annotations

import math

import pandas as pd
import pytest

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
    return verdict("digits", *measured(arms), next(iter(arms)), "train_loss", goal=goal, control=control)


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
    assert tell(full=FULL, mini=MINI) == [
        "mini reaches train_loss 1 with 0.354 times the samples of full (95% interval 0.272 to 0.459, 10 of 10 seeds).",
        "On final train_loss, mini ends 0.25 lower than full (95% interval 0.245 to 0.255, Holm p < 0.0001, "
        "better on 10 of 10 seeds).",
        ends_of(10),
    ]


def test_without_a_goal():
    assert tell(goal=None, full=FULL, mini=MINI) == tell(full=FULL, mini=MINI)[1:]


def test_higher_is_said_as_it_is():
    assert tell(goal=None, mini=MINI, full=FULL)[0] == (
        "On final train_loss, full ends 0.25 higher than mini (95% interval 0.245 to 0.255, Holm p < 0.0001, "
        "better on 0 of 10 seeds)."
    )


def test_too_few_seeds_name_the_number_that_it_takes():
    assert tell(full=FULL[:5], mini=MINI[:5]) == [
        "mini reaches train_loss 1 on 5 of 5 seeds and full on 5.",
        "On final train_loss, no difference is claimed: 5 seeds are too few for 1 comparison, 6 are needed; "
        "mini is better on 5 of 5 seeds.",
        ends_of(5),
    ]
    assert tell(goal=None, full=FULL[:6], mini=MINI[:6], other=FULL[:6])[0] == (
        "On final train_loss, no difference is claimed: 6 seeds are too few for 2 comparisons, 7 are needed; "
        "mini is better on 6 of 6 seeds; other equals full on 6 of 6 seeds."
    )
    assert tell(goal=None, full=FULL[:1], mini=MINI[:1]) == [
        "On final train_loss, no difference is claimed: 1 seed is too few for 1 comparison, 6 are needed; "
        "mini is better on 1 of 1 seed.",
        ends_of(1),
    ]


def test_not_claimed():
    """Differences -2·lean: mean 0, s = .02708, ± .01937. Samples 95 or 105 of 100: logs -.00125 ± .03773."""
    other: Ends = [(100 + more, 0.5 - lean) for more, lean in zip([-5, 5] * 5, LEAN, strict=True)]
    assert tell(full=FULL, mini=other) == [
        "No difference in samples to train_loss 1 can be claimed between mini and full (0.999 times, "
        "95% interval 0.962 to 1.04, 10 of 10 seeds).",
        "On final train_loss, no difference between mini and full can be claimed (mean difference 0, "
        "95% interval -0.0194 to 0.0194, Holm p 1, better on 4 of 10 seeds and equal on 2).",
        ends_of(10),
    ]


def test_equal_arms():
    assert tell(full=FULL, mini=FULL) == [
        "mini reaches train_loss 1 after as many samples as full (10 of 10 seeds).",
        "On final train_loss, mini equals full on 10 of 10 seeds.",
        ends_of(10),
    ]


def test_misses_are_counted_and_the_ratio_is_of_the_seeds_that_both_reach():
    eight: Ends = [(50, 0.25 + 1.5 * lean) for lean in LEAN[:8]] + [(INF, 1.5)] * 2
    assert tell(full=FULL, mini=eight)[0] == (
        "mini reaches train_loss 1 with 0.5 times the samples of full (95% interval 0.5 to 0.5, 8 of 10 seeds); "
        "mini reaches train_loss 1 on 8 of 10 seeds and full on 10."
    )


def test_no_ratio_from_fewer_seeds_than_a_claim_needs():
    assert tell(full=FULL, mini=MINI[:5] + [(INF, 1.5)] * 5)[0] == (
        "mini reaches train_loss 1 on 5 of 10 seeds and full on 10."
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
        "mini reaches train_loss 1 with 0.25 times the samples of full (95% interval 0.25 to 0.25, 10 of 10 seeds, "
        "roughly, for measurements lie up to 100% of the samples apart)."
    )


def test_diverged_arm_has_wins_and_no_mean_difference():
    assert tell(full=FULL, mini=[*MINI[:8], (INF, INF), (INF, INF)]) == [
        "mini reaches train_loss 1 with 0.354 times the samples of full (95% interval 0.259 to 0.482, 8 of 10 seeds); "
        "mini reaches train_loss 1 on 8 of 10 seeds and full on 10.",
        "On final train_loss, mini diverged on 2 of 10 seeds and is better on 8 of 10 seeds, without a mean difference.",
        ends_of(10),
    ]


def test_diverged_baseline():
    assert tell(goal=None, full=[*FULL[:9], (INF, INF)], mini=MINI)[0] == (
        "On final train_loss, full diverged on 1 of 10 seeds; "
        "mini is better on 10 of 10 seeds, without a mean difference."
    )


def test_diverged_and_failed_trials_tie_with_too_few_seeds():
    made = [trial("full", 0, [9, 1]), trial("full", 1, [], "failed"), trial("mini", 0, [9, NAN], "diverged")]
    told = verdict("digits", *tables(*made, trial("mini", 1, [], "failed")), "full", "train_loss")
    assert told[0] == (
        "On final train_loss, no difference is claimed: 2 seeds are too few for 1 comparison, 6 are needed; "
        "full failed on 1 of 2 seeds; mini diverged on 1 and failed on 1 of 2 seeds and is better on 0 of 2 seeds "
        "and equal on 1, without a mean difference."
    )


def test_difference_inside_the_control_is_indistinguishable():
    assert tell(goal=None, full=FULL, mini=MINI, copy=[(100, 0.75)] * 10, control="copy") == [
        "On final train_loss, mini is indistinguishable from rounding (mean difference -0.25); "
        "rounding alone moves full by up to 0.27.",
        ends_of(10),
    ]


def test_spread_of_the_control_stands_beside_a_claimed_difference():
    assert tell(goal=None, full=FULL, mini=MINI, copy=[(100, 0.5)] * 10, control="copy")[0] == (
        "On final train_loss, mini ends 0.25 lower than full (95% interval 0.245 to 0.255, Holm p < 0.0001, "
        "better on 10 of 10 seeds); rounding alone moves full by up to 0.02."
    )


@pytest.mark.parametrize("control", [None, "copy"])
def test_nothing_to_compare_with(control):
    arms = {"full": FULL} | ({"copy": FULL} if control else {})
    rounding = ["On final train_loss, rounding alone moves full by up to 0."] if control else []
    assert tell(control=control, **arms) == ["There is no arm to compare full with.", *rounding, ends_of(10)]


def test_many_arms_are_counted():
    slow: Ends = [(at * 8, 0.75 + 1.5 * lean) for (at, _), lean in zip(MINI, LEAN, strict=True)]
    slightly: Ends = [(90 + seed % 2, 0.45 + 1.5 * lean) for seed, lean in enumerate(LEAN)]
    lost: Ends = [*FULL[:9], (INF, INF)]
    assert tell(full=FULL, mini=MINI, slow=slow, same=FULL, never=[(INF, 1.5)] * 10, close=slightly, lost=lost) == [
        "full reaches train_loss 1 on 10 of 10 seeds; of 6 arms against it: "
        "2 with fewer samples (furthest mini: 0.354 times, 95% interval 0.272 to 0.459), "
        "1 with more samples (furthest slow: 2.83 times, 95% interval 2.18 to 3.67), "
        "2 where no difference in samples can be claimed, 1 that never reach it.",
        "On final train_loss, of 6 arms against full: "
        "2 lower (furthest mini: 0.25, 95% interval 0.245 to 0.255, Holm p < 0.0001), "
        "2 higher (furthest never: 1, 95% interval 0.99 to 1.01, Holm p < 0.0001), "
        "1 where no difference can be claimed, 1 without a mean difference, for seeds were lost.",
        ends_of(10),
    ]


def test_many_arms_with_too_few_seeds():
    lost: Ends = [*FULL[:4], (INF, INF)]
    told = tell(goal=None, full=FULL[:5], a=MINI[:5], b=MINI[:5], c=lost, d=MINI[:5])
    assert told[0] == (
        "On final train_loss, no difference is claimed: 5 seeds are too few for 4 comparisons, 8 are needed; "
        "1 of 4 arms against full diverged or failed on a seed or more."
    )


def test_interrupted_trials_are_left_out_aloud():
    made = [trial(arm, seed, [9, 1]) for arm in ("full", "mini") for seed in (0, 1)]
    told = verdict("line", *tables(*made, trial("mini", 2, [9], "interrupted")), "full", "train_loss")
    assert (
        told[-1]
        == "This is one workload, line, on 3 seeds (1 interrupted trial left out): it says nothing about others."
    )


def test_arms_that_share_no_seed():
    made = [trial("full", 0, [9, 1]), trial("mini", 1, [9, 1])]
    assert verdict("line", *tables(*made), "full", "train_loss")[0] == (
        "On final train_loss, no difference is claimed: 0 seeds are too few for 1 comparison, 6 are needed; "
        "mini shares no seed with full."
    )


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
    assert (row["n"], row["repeats"], row["same_start"], row["claimed"]) == (1, 7, True, False)
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
    assert (row["n"], row["repeats"], row["claimed"]) == (7, 0, True)
    sentences = verdict("w", records, trials, "a", "train_loss")
    assert (
        sentences[1]
        == "The start is the same on all seeds: only the order of samples varies, or what is drawn in training."
    )


def test_equal_ends_from_different_starts_are_seven_observations():
    records, trials = repeated({"a": [0.5] * 7, "b": [0.4] * 7}, "abcdefg")
    (row,) = pairs(records, trials, "a", "train_loss").to_dict("records")
    assert (row["n"], row["repeats"], row["same_start"]) == (7, 0, False)
    assert "The start is the same" not in " ".join(verdict("w", records, trials, "a", "train_loss"))


def test_pairs_that_repeat_are_counted_apart_where_there_are_many():
    finals = {"a": [0.5] * 7, **{name: [0.1 * number] * 7 for number, name in enumerate("bcdef", 1)}}
    records, trials = repeated(finals, "x" * 7)
    assert "5 that are one run, which all seeds repeat" in verdict("w", records, trials, "a", "train_loss")[0]
