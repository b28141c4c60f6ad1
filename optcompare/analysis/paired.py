"""The table of pairs: each arm compared with the baseline, seed by seed, with every test of a verdict."""

from __future__ import annotations

import pandas as pd

from ..errors import ComparisonError
from .claims import with_claims
from .looks import FIRST_LOOK, Look
from .paired_ends import control_spread, end_row, is_constant
from .paired_goals import goal_row
from .paired_tests import PairedTests
from .pairing import ArmValues, paired_trials, values_by_arm
from .statistics import final_values
from .time_to_goal import time_to_goal

COLUMNS = (
    "arm",
    "baseline",
    "n",
    "difference",
    "low",
    "high",
    "median",
    "wins",
    "losses",
    "ties",
    "lower",
    "at_odds",
    "test",
    "p",
    "p_holm",
    "claimed",
    "enough_seeds",
    "rounding_only",
    "one_difference",
    "control_spread",
    "margin",
    "equal_p",
    "equal_p_holm",
    "equal_claimed",
    "goal_n",
    "goal_ratio",
    "goal_ratio_low",
    "goal_ratio_high",
    "goal_wins",
    "goal_losses",
    "goal_ties",
    "goal_fewer",
    "goal_at_odds",
    "goal_test",
    "goal_p",
    "goal_p_holm",
    "goal_claimed",
    "goal_enough_seeds",
    "goal_resolution",
    "goal_pairs",
    "goal_seeds",
    "goal_hits",
    "goal_baseline_hits",
    "goal_median",
    "same_start",
    "one_run_seeds",
    "comparisons",
    "seeds_needed",
)


def pairs(
    records: pd.DataFrame, trials: pd.DataFrame, tests: PairedTests, look: Look = FIRST_LOOK
) -> pd.DataFrame:
    """Compare each arm with the baseline, seed by seed.

    Columns about the final values of ``column``, arm minus baseline:

    - ``n``: the number of independent observations (see :mod:`.pairing`);
    - ``difference, low, high, median``: the mean with its 95% t interval, and the median; all nan if a trial
      of either arm was lost (diverged, failed, or without a finite value);
    - ``wins, losses, ties`` over all shared trials: the lower ``*_loss`` wins, the higher of other metrics. A
      lost trial loses to any other, and two lost ones tie. Interrupted trials are left out;
    - ``at_odds`` (and ``goal_at_odds``): the mean and the wins point to opposite sides, as with a few large
      differences against many small ones. Then nothing is claimed "seed by seed", for any p;
    - ``lower``: whether the arm ends lower: by the mean, or, if a trial was lost, by wins and losses;
    - ``test, p``: the test "sign flips" of the differences, or, if a trial was lost, "signs" of wins against
      losses;
    - ``rounding_only``: no difference exceeds ten units in the last place of ``dtype``; ``one_difference``:
      all differences are equal within that. There is no p for either, since only rounding varies;
    - ``control_spread``: the standard deviation over seeds of control minus baseline (infinite if only one
      of them was lost; nan without a control, or with one seed);
    - ``margin, equal_p``: the test that the differences lie within ±margin, by both one-sided tests against
      its ends.

    Columns about the samples to the goal (0 and nan without one):

    - ``goal_ratio, goal_ratio_low, goal_ratio_high``: the geometric mean of arm/baseline with its 95% t
      interval, on logs, over the ``goal_pairs`` seeds on which both reached it after the start;
    - ``goal_wins, goal_losses, goal_ties``: fewer samples win; a miss loses to any hit and ties with a miss;
    - ``goal_fewer``: whether the arm needs fewer: by the mean log, or, with any miss, by wins and losses;
    - ``goal_n, goal_test, goal_p``: the observations and the test of the logs, or, with any miss, of wins
      against losses. Equal logs are tested, too: evaluation points are coarse, so trials that differ may
      reach the goal at the same point;
    - ``goal_resolution``: the largest share of a trial's samples between the measurement that reached the
      goal and the previous one;
    - ``goal_seeds, goal_hits, goal_baseline_hits``: the number of shared trials, and how many of each arm
      reached the goal; ``goal_median``: the arm's median samples over the shared trials, infinite for a miss.

    Columns about the family of tests:

    - ``p_holm, goal_p_holm, equal_p_holm``: p, corrected by Holm over all tests of the table and of previous
      looks at the same trials; ``claimed, goal_claimed, equal_claimed``: p is at most the level of the look;
    - ``comparisons``: the number of tests of the family; ``seeds_needed``: the fewest observations that allow
      a claim; ``enough_seeds, goal_enough_seeds``: whether there are as many;
    - ``same_start``: all trials of both arms begin with the same weights, for all seeds; ``one_run_seeds``:
      the number of seeds that repeat one run, since in addition no final value varies by more than rounding;
      else 0. Of repeated runs n is 1, without interval and p.

    Args:
        records: The report's records.
        trials: The report's trials.
        tests: The tests to make for each arm.
        look: The look, with its level and the comparisons of previous looks.

    Returns:
        One row for each arm other than the baseline and the control, in the order of the comparison.

    Raises:
        ComparisonError: The baseline or the control is not an arm, or the goal is not a metric.
    """
    arms = list(trials["arm"].unique())
    if not arms:
        return pd.DataFrame(columns=list(COLUMNS))
    for role, label in (("baseline", tests.baseline), ("control", tests.control)):
        if label is not None and label not in arms:
            raise ComparisonError(f"the {role} '{label}' is no arm; there are {', '.join(arms)}")
    if records.empty:
        records = trials[["arm", "seed"]][:0].assign(**{tests.column: 0.0})
    finals = values_by_arm(final_values(records, trials, tests.column), "final")
    costs = _costs(records, trials, tests)
    spread = control_spread(records, trials, tests)
    rows = [
        {
            "arm": arm,
            "baseline": tests.baseline,
            "control_spread": spread,
            **_compared(arm, finals, costs, trials, tests),
        }
        for arm in arms
        if arm not in (tests.baseline, tests.control)
    ]
    return with_claims(pd.DataFrame(rows, columns=list(COLUMNS)), tests.measures, look)


def _costs(records: pd.DataFrame, trials: pd.DataFrame, tests: PairedTests) -> dict[str, ArmValues] | None:
    """Return the samples to the goal with their resolution, by arm; None without a goal."""
    if tests.goal is None:
        return None
    times = time_to_goal(records, trials, tests.goal)
    if "split" in trials:
        times = times.merge(trials[["seed", "split"]].drop_duplicates(), on="seed")
    return values_by_arm(times, "samples", "resolution")


def _compared(
    arm: str,
    finals: dict[str, ArmValues],
    costs: dict[str, ArmValues] | None,
    trials: pd.DataFrame,
    tests: PairedTests,
) -> dict[str, object]:
    """Compare one arm with the baseline; if all its seeds repeat one run, by the first seed alone."""
    ends = paired_trials(finals, arm, tests.baseline)
    samples = None if costs is None else paired_trials(costs, arm, tests.baseline)
    same_start, one_run = _same_start(trials[trials["arm"].isin([arm, tests.baseline])]), 0
    if same_start and is_constant(ends):
        one_run, ends, samples = len(ends.ours), ends.first(), samples and samples.first()
    return {
        "same_start": same_start,
        "one_run_seeds": one_run,
        **end_row(ends, tests),
        **goal_row(samples),
    }


def _same_start(trials: pd.DataFrame) -> bool:
    """Return whether trials of several seeds all begin with the same weights."""
    if "weights_sha256" not in trials or trials["seed"].nunique() < 2:
        return False
    begun = trials["weights_sha256"][trials["weights_sha256"] != ""]
    return len(begun) > 0 and begun.nunique() == 1
