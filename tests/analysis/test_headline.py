"""The title of a figure claims what the verdict claims, and ranks only where claims bear the ranks."""

from __future__ import annotations

import pandas as pd
import pytest

from optcompare.analysis.headline import headline


def pairs(**claims: str) -> pd.DataFrame:
    """Arms against ``full``: what is claimed of the final loss and of the goal, in words, or nothing."""
    rows = [
        {
            "arm": arm.replace("_", ":"),
            "claimed": "lower" in said or "higher" in said,
            "lower": "lower" in said,
            "goal_claimed": "fewer" in said or "more" in said,
            "goal_fewer": "fewer" in said,
            "equal_claimed": "equal" in said,
        }
        for arm, said in claims.items()
    ]
    return pd.DataFrame(rows)


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"single": "lower", "mini_2": "higher"}, "single lowest, full second"),
        ({"single": "higher"}, "full lowest, single second"),
        ({"single": "lower"}, "single lowest, full second"),
        ({"single": "higher", "mini_2": "higher"}, "full lowest"),
        ({"single": "lower", "mini_2": "lower"}, "single and mini:2 lower than full"),
        ({"single": "lower", "mini_2": ""}, "single lower than full"),
        ({"single": "higher", "mini_2": "", "once": "lower"}, "once lower than full, single higher"),
        ({**dict.fromkeys("abcd", "lower"), "e": "higher"}, "4 of 5 arms lower than full, e higher"),
        ({"single": "", "mini_2": ""}, "no difference claimed"),
        (
            {"single": "fewer", "mini_2": "more"},
            "samples to train_loss=1: single fewer than full, mini:2 more",
        ),
        ({"single": "equal", "mini_2": "equal"}, "single and mini:2 within the margin of full"),
        ({"single": "equal", "mini_2": ""}, "no difference claimed"),
    ],
)
def test_it_says_what_is_claimed(claims, found):
    assert headline("digits", pairs(**claims), "full", 10, "train_loss=1") == f"digits: {found} (10 seeds)"


def test_one_arm_and_one_seed():
    assert headline("digits", pd.DataFrame(), "full", 1) == "digits: full (1 seed)"
    assert headline("digits", pairs(single="fewer"), "full", 3) == "digits: no difference claimed (3 seeds)"


def test_a_figure_of_another_column_names_the_one_that_is_compared():
    """Lowest loss is not lowest accuracy."""
    said = headline("digits", pairs(single="lower"), "full", 6, compared="valid_loss")
    assert said == "digits, final valid_loss: single lowest, full second (6 seeds)"
    none = headline("digits", pairs(single=""), "full", 6, compared="valid_loss")
    assert none == "digits, final valid_loss: no difference claimed (6 seeds)"
    goal = headline("digits", pairs(single="fewer"), "full", 6, "train_loss=1", compared="valid_loss")
    assert goal == "digits: samples to train_loss=1: single fewer than full (6 seeds)"
    assert headline("digits", pd.DataFrame(), "full", 1, compared="valid_loss") == "digits: full (1 seed)"
