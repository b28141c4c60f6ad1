"""Final values, pairs, tuning, goals, profiles and ranks: what stands on the figures, by measuring it."""

from __future__ import annotations

import io
import itertools
import math
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from optcompare.analysis.statistics import mean_interval
from optcompare.report.plots import (
    beeswarm,
    forest,
    goal,
    layout,
    performance_profile,
    rank_diagram,
    scales,
    style,
    tuning,
)
from optcompare.report.plots import final_values as seeds
from optcompare.report.plots import row_chart as rows
from optcompare.report.plots.key import Key
from tests.helpers.figures import LONG, assert_rows_readable, labelled, names, said, visible_texts

KINDS = ["final", "pairs", "tuning", "goal", "profile", "ranks"]


def finals(arms: list[str], lost: dict[int, int] | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    rng, values, intervals = np.random.default_rng(0), [], []
    for i, arm in enumerate(arms):
        value = 10 ** rng.normal(0.15 * i - 2, 0.25, 10)
        value[: (lost or {}).get(i, 0)] = math.inf
        values += [(arm, seed, v) for seed, v in enumerate(value)]
        intervals.append((arm, *mean_interval(value)))
    columns = ["arm", "mean", "low", "high"]
    return pd.DataFrame(values, columns=["arm", "seed", "value"]), pd.DataFrame(intervals, columns=columns)


def pairs(arms: list[str], **changes: object) -> pd.DataFrame:
    """Of the arms after the first: every third is claimed, the fourth has no mean, the fifth lies far off."""
    table = []
    for i, arm in enumerate(arms[1:]):
        d, half = (math.nan,) * 2 if i == 3 else (0.09, 0.02) if i == 4 else (0.004 * (i % 4 - 1), 0.003)
        row = {"arm": arm, "baseline": arms[0], "n": 8 if i == 3 else 10, "difference": d, "low": d - half}
        row |= {"high": d + half, "wins": 7, "losses": 2, "ties": 1, "p": 0.01, "enough_seeds": True}
        row |= {
            "p_holm": math.nan if i == 3 else 0.02,
            "claimed": i % 3 == 0 and i != 3,
            "control_spread": 0.0015,
        }
        table.append(row | {"margin": math.nan, "equal_claimed": False} | changes)
    return pd.DataFrame(table)


def grid(arms: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Seven rates an arm; the best of the second at the right edge, of the third at the left; most diverge at
    last.
    """
    scores, best = [], []
    for i, arm in enumerate(arms):
        rates = np.geomspace(1e-4, 0.1, 7) * (1 if i % 2 else 3)
        score = 10 ** (0.1 * i - 2 + (np.arange(7) - [3, 6, 0, 4, 2][i % 5]) ** 2 / 8)
        score[-1 - i % 2 :] = score[-1 - i % 2 :] if i % 5 == 1 else math.inf
        scores += [(arm, rate, s, s / 1.3, s * 1.3) for rate, s in zip(rates, score, strict=True)]
        k = int(score.argmin())
        best.append((arm, rates[k], score[k], k in (0, 6)))
    columns = ["arm", "lr", "score", "low", "high"]
    return pd.DataFrame(scores, columns=columns), pd.DataFrame(
        best, columns=["arm", "lr", "score", "at_edge"]
    )


def times(arms: list[str]) -> pd.DataFrame:
    """The second arm misses the goal twice, the fourth seven times, the fifth always."""
    rng, table = np.random.default_rng(2), []
    for i, arm in enumerate(arms):
        values = np.round(np.exp(rng.normal(8 + 0.2 * (i % 4), 0.25, 10)), -1)
        values[: {1: 2, 3: 7, 4: 10}.get(i, 0)] = math.inf
        table += [(arm, seed, value) for seed, value in enumerate(values)]
    return pd.DataFrame(table, columns=["arm", "seed", "value"])


def profile(arms: list[str]) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    ratios = [
        np.sort(1 + rng.exponential(0.4 + 0.1 * i, 5) * (i > 0 or np.arange(5))) for i in range(len(arms))
    ]
    points = [
        (arm, r, (k + 1) / 5) for arm, each in zip(arms, ratios, strict=True) for k, r in enumerate(each)
    ]
    return pd.DataFrame(points, columns=["arm", "ratio", "share"])


def ranks(arms: list[str]) -> pd.Series:
    return pd.Series(
        np.linspace(1.2, len(arms) - 0.2, len(arms)) + 0.3 * np.sin(np.arange(len(arms))), index=arms
    )


def figure_of(kind: str, arms: list[str], width: float = 7.0, **more: object) -> Figure:
    colours = style.arm_colours(arms)
    settings = {"width": width, **more}
    if kind == "final":
        return seeds.final_figure(*finals(arms, {1: 3, 4: 10}), colours, **settings)
    if kind == "pairs":
        return forest.pairs_figure(pairs(arms), colours, **settings)
    if kind == "tuning":
        return tuning.tuning_figure(*grid(arms), colours, **settings)
    if kind == "goal":
        return goal.goal_figure(times(arms), colours, goal="valid_loss=0.2", **settings)
    if kind == "profile":
        return performance_profile.profile_figure(profile(arms), colours, **settings)
    return rank_diagram.ranks_figure(ranks(arms), 0.45 * len(arms), colours, **settings)


def bare(width: float = 7.0) -> Axes:
    return style.Sheet(width, 4).axes(2, 0.5, 3, 3)


@pytest.mark.parametrize("width", [3.4, 10])
@pytest.mark.parametrize(
    ("count", "label"),
    [*itertools.product([2, 5, 12], ["", LONG]), (2, "x" * 150 + "{}"), (5, "x" * 150 + "{}")],
)
@pytest.mark.parametrize("kind", KINDS)
def test_no_text_touches_another(kind, label, count, width):
    fig = figure_of(kind, names(count, label), width, note="Cut short.")
    assert fig.get_figwidth() == width
    assert_rows_readable(fig)


@pytest.mark.parametrize("kind", KINDS)
def test_an_arm_has_the_colour_of_the_comparison_plot(kind):
    arms = names(5)
    fig = figure_of(kind, arms)
    expected = style.arm_colours(arms)
    texts = {text.get_text(): text.get_color() for text in visible_texts(fig)}
    for arm in arms[kind == "pairs" :]:
        start = arm.split("@")[0]
        (written,) = {colour for text, colour in texts.items() if text.split("@")[0].split(": ")[0] == start}
        assert written == style.text_colour(expected[arm])
    (ax,) = fig.axes
    for line in ax.lines:
        if line.get_label() in arms:
            assert line.get_color() == expected[line.get_label()]


@pytest.mark.parametrize("kind", ["final", "pairs", "goal"])
@pytest.mark.parametrize("label", ["", LONG])
def test_rows_keep_the_order_of_the_arms(kind, label):
    arms = names(5, label)
    fig = figure_of(kind, arms, 3.4)
    FigureCanvasAgg(fig).draw()
    starts = [arm.split("@")[0] for arm in arms[kind == "pairs" :]]
    found = [text for text in fig.axes[0].texts if text.get_text().split("@")[0] in starts]
    assert [text.get_text().split("@")[0] for text in found] == starts
    heights = [text.get_window_extent().y0 for text in found]
    assert heights == sorted(heights, reverse=True)


def test_every_seed_is_a_dot_and_the_mean_has_its_interval():
    arms = names(3)
    table, intervals = finals(arms)
    ax = seeds.draw_final(bare(), table, intervals, style.arm_colours(arms))
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    for arm, line in zip(arms, dots, strict=True):
        assert line.get_xdata().tolist() == table.loc[table["arm"] == arm, "value"].tolist()
    assert [line.get_xdata()[0] for line in labelled(ax, "_mean")] == intervals["mean"].tolist()
    ends = [line.get_xdata().tolist() for line in labelled(ax, "_interval")]
    assert ends == intervals[["low", "high"]].to_numpy().tolist()
    assert ax.get_xscale() == "log"
    assert ax.get_xlabel() == "final training loss"


def test_diverged_seeds_are_marked_and_counted_and_leave_no_mean():
    arms = names(3)
    fig = seeds.final_figure(*finals(arms, {1: 3, 2: 10}), style.arm_colours(arms))
    (ax,) = fig.axes
    assert [line.get_color() for line in labelled(ax, "_lost")] == list(style.PALETTE[1:3])
    assert len(labelled(ax, "_mean")) == 1
    assert [len(line.get_xdata()) for line in ax.lines if line.get_marker() == "o"] == [10, 7, 0]
    assert {"3 of 10 lost", "10 of 10 lost"} <= {text.get_text() for text in ax.texts}
    assert "×: lost (diverged or failed)" in said(fig)
    assert "diverged" not in said(seeds.final_figure(*finals(arms), style.arm_colours(arms)))


@pytest.mark.parametrize(
    ("values", "scale"),
    [
        ([1, 2, 3], "linear"),
        ([1, 20], "log"),
        ([0, 1, 50], "symlog"),
        ([-1, 900], "linear"),
        ([5, 5], "linear"),
    ],
)
def test_scale_of_final_values(values, scale):
    limits = scales.limits_of(values)
    assert limits.scale == scale
    assert limits.low < min(values) <= max(values) < limits.high
    assert scales.limits_of([math.inf, math.nan]) == scales.Limits(0, 1, "linear")
    table = pd.DataFrame({"arm": "a", "seed": range(len(values)), "value": np.array(values, float)})
    interval = pd.DataFrame([("a", *mean_interval(values))], columns=["arm", "mean", "low", "high"])
    assert_rows_readable(seeds.final_figure(table, interval, {"a": "#0072B2"}, width=3.4))


def test_an_interval_that_leaves_the_axes_ends_in_an_arrow():
    table = pd.DataFrame({"arm": "a", "seed": [0, 1, 2], "value": [0.01, 0.02, 2.0]})
    interval = pd.DataFrame([("a", *mean_interval(table["value"]))], columns=["arm", "mean", "low", "high"])
    assert interval["low"][0] < 0
    ax = seeds.draw_final(bare(), table, interval, {"a": "#0072B2"})
    (arrow,), (line,) = labelled(ax, "_beyond"), labelled(ax, "_interval")
    assert arrow.get_marker() == "<"
    assert line.get_xdata()[0] == arrow.get_xdata()[0] == ax.get_xlim()[0]
    assert "Arrow: the interval goes on." in said(seeds.final_figure(table, interval, {"a": "#0072B2"}))
    within = seeds.final_figure(table, interval.assign(low=interval["mean"] * 0.99), {"a": "#0072B2"})
    assert "Arrow" not in said(within)


def test_dots_do_not_overlap_while_there_is_room():
    rng = np.random.default_rng(0)
    for places, room in ((rng.uniform(0, 60, 40), 60), (np.zeros(8), 60), (rng.uniform(0, 20, 300), 12)):
        offsets = beeswarm.beeswarm(places, 4.0, room)
        assert np.abs(offsets).max() <= room / 2
        np.testing.assert_array_equal(offsets, beeswarm.beeswarm(places, 4.0, room))
        if room == 60:
            x, y = (np.subtract.outer(v, v)[np.triu_indices(len(places), 1)] for v in (places, offsets))
            assert np.hypot(x, y).min() >= 4 - 1e-9
    assert beeswarm.beeswarm(np.array([0.0, 9, 18]), 4.0, 20).tolist() == [0, 0, 0]


def test_the_zero_line_the_differences_and_the_band_of_the_control():
    arms = names(6)
    table = pairs(arms)
    ax = forest.draw_pairs(bare(), table, style.arm_colours(arms))
    (zero,) = labelled(ax, "_zero")
    assert list(zero.get_xdata()) == [0, 0]
    shown = table[table["difference"].abs() < 0.05]
    assert [line.get_xdata()[0] for line in labelled(ax, "_mean")] == shown["difference"].tolist()
    ends = [line.get_xdata().tolist() for line in labelled(ax, "_interval")][:3]
    assert ends == shown[["low", "high"]].to_numpy().tolist()
    assert {(band.get_x(), band.get_width()) for band in ax.patches} == {(-0.0015, 0.003)}
    assert len(ax.patches) == 5
    assert not forest.draw_pairs(
        bare(), pairs(arms, control_spread=math.nan), style.arm_colours(arms)
    ).patches
    assert not forest.draw_pairs(
        bare(), pairs(arms, control_spread=math.inf), style.arm_colours(arms)
    ).patches


def test_what_is_claimed_is_filled_and_bold():
    arms = names(4)
    ax = forest.draw_pairs(bare(), pairs(arms), style.arm_colours(arms))
    claimed, *others = labelled(ax, "_mean")
    assert to_hex(claimed.get_markerfacecolor()).upper() == style.PALETTE[1]
    assert {line.get_markerfacecolor() for line in others} == {"white"}
    assert [text.get_weight() for text in ax.texts if text.get_text() == "0.02"] == [
        "bold",
        "normal",
        "normal",
    ]
    assert [text.get_text() for text in ax.texts].count("7/2/1") == 3


def test_pairs_say_in_words_what_has_no_mean_lies_far_off_or_is_not_claimed():
    arms = names(6)
    table = pairs(arms)
    ax = forest.draw_pairs(bare(5.5), table, style.arm_colours(arms))
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("7 of 10 won") == 1
    assert "–" in texts
    assert "+0.09" in texts
    assert {line.get_marker() for line in labelled(ax, "_beyond")} == {">"}
    assert ax.get_xlim()[1] < 0.05
    assert ax.get_xlabel() == "final training loss, difference to full\n(below 0: lower loss)"
    text = forest.what_is_claimed(table)
    assert "Grey band: ± how far rounding alone moves one seed (standard deviation)." in text
    assert "margin" not in text
    assert "No mean is given where a seed diverged." in text
    none = table.assign(claimed=False, enough_seeds=False)
    assert "Nothing is claimed: too few seeds." in forest.what_is_claimed(none)


def test_the_margin_is_drawn_on_both_sides_and_named_with_who_lies_within():
    arms = names(3)
    table = pairs(arms, margin=0.002).assign(equal_claimed=[False, True])
    ax = forest.draw_pairs(bare(), table, style.arm_colours(arms))
    dotted = [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert dotted == [-0.002, 0.002]
    assert f"Dotted: the margin; within it, as a test claims: {arms[2]}." in forest.what_is_claimed(table)


def test_wide_pairs_have_their_numbers():
    arms = names(3)
    fig = forest.pairs_figure(pairs(arms), style.arm_colours(arms), width=10)
    assert "−0.004 [−0.007, −0.001]" in said(fig)
    assert "mean difference [95% interval]" in said(fig)
    assert "mean difference [95% interval]" not in said(
        forest.pairs_figure(pairs(arms), style.arm_colours(arms), width=5)
    )


def test_rates_and_scores_are_log_and_the_optimum_is_marked():
    arms = names(3)
    scores, best = grid(arms)
    ax = tuning.draw_tuning(bare(), scores, best, style.arm_colours(arms))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "final validation loss")
    for arm in arms:
        (line,) = labelled(ax, arm)
        expected = scores[scores["arm"] == arm]
        np.testing.assert_array_equal(line.get_xdata(), expected["lr"])
        np.testing.assert_array_equal(line.get_ydata(), expected["score"].replace(math.inf, math.nan))
    assert [line.get_marker() for line in labelled(ax, "_best")] == ["o", ">", "<"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in labelled(ax, "_best")] == list(
        best[["lr", "score"]].itertuples(index=False, name=None)
    )


def test_an_optimum_at_the_edge_and_arms_without_one_are_said_in_words():
    arms = names(5)
    scores, best = grid(arms)
    best.loc[3:, "score"] = [math.inf, math.nan]
    text = said(tuning.tuning_figure(scores, best, style.arm_colours(arms), width=10))
    for words in (
        "full: best at 0.00949",
        "mini:2: best at 0.1, at the edge of its grid",
        "lr=0.1: all lost",
    ):
        assert words in text
    assert "Triangle: the best is at the edge of the grid" in text
    assert "not tuned" in text


def test_tuning_says_lost_only_of_what_was_lost():
    arms = names(5)
    scores, best = grid(arms)
    colours = style.arm_colours(arms)
    best.loc[3, "score"] = math.inf
    assert "×: lost (diverged or failed)." in said(tuning.tuning_figure(scores, best, colours, width=10))
    missed = said(tuning.tuning_figure(scores, best, colours, width=10, metric="samples to valid_loss=0.2"))
    assert "×: missed the goal." in missed
    assert "all missed the goal" in missed
    assert "lost" not in missed
    known = scores.assign(score=scores["score"].replace(math.inf, 9.0))
    assert "×" not in said(tuning.tuning_figure(known, best.drop(index=3), colours, width=10))


def test_diverged_rates_stand_at_the_top_edge_one_above_the_other():
    arms = names(5)
    scores, best = grid(arms)
    ax = tuning.draw_tuning(bare(), scores, best, style.arm_colours(arms))
    crosses = labelled(ax, "_diverged")
    lost = scores[np.isinf(scores["score"])].sort_values("lr", kind="stable")
    assert [line.get_xdata()[0] for line in crosses] == lost["lr"].tolist()
    assert {line.get_ydata()[0] for line in crosses} == {ax.get_ylim()[1]}
    places = np.array([line.get_transform().transform(line.get_xydata()[0]) for line in crosses])
    apart = [np.hypot(*(a - b)) for a, b in itertools.combinations(places, 2)]
    assert min(apart) > 5
    assert all(y >= ax.bbox.y1 - 1e-6 for _, y in places)
    assert all(math.isfinite(limit) for limit in ax.get_ylim())


def test_a_rate_that_all_but_diverged_does_not_stretch_the_axis():
    arms = names(2)
    scores, best = grid(arms)
    scores.loc[0, "score"] = 1e30
    assert tuning.score_limits(scores).high < 1e4
    leaves = "Lines that leave at the top: scores up to 1e+30."
    assert leaves in said(tuning.tuning_figure(scores, best, style.arm_colours(arms))).replace("\n", " ")
    inside = scores[scores["score"] <= 1]
    assert "leave at the top" not in said(tuning.tuning_figure(inside, best, style.arm_colours(arms)))
    everywhere = scores.assign(score=math.inf)
    fig = tuning.tuning_figure(
        everywhere, best.assign(score=math.inf, at_edge=True), style.arm_colours(arms), width=3.4
    )
    assert_rows_readable(fig)
    assert len(labelled(fig.axes[0], "_diverged")) == 14


def test_bars_end_at_the_median_and_misses_are_counted():
    arms = names(5)
    table = times(arms)
    fig = goal.goal_figure(table, style.arm_colours(arms), goal="valid_loss=0.2")
    (ax,) = fig.axes
    assert ax.get_xlim()[0] == 0
    assert ax.get_xlabel() == "samples to valid_loss=0.2"
    bars = [
        bar for bar in ax.patches if not bar.get_hatch() and to_hex(bar.get_facecolor(), True)[-2:] == "ff"
    ]
    medians = table.groupby("arm", sort=False)["value"].median()
    assert [bar.get_width() for bar in bars] == medians[np.isfinite(medians)].tolist()
    assert [bar.get_width() for bar in ax.patches if bar.get_hatch()] == [ax.get_xlim()[1]] * 2
    texts = [text.get_text() for text in ax.texts]
    assert [text for text in texts if "reached" in text] == [f"{k} of 10 reached it" for k in (8, 3, 0)]
    assert texts.count("never") == 1
    assert texts.count("∞") == 2
    looks = list(style.arm_colours(arms).values())
    assert [line.get_color() for line in labelled(ax, "_lost")] == [looks[i] for i in (1, 3, 4)]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [len(line.get_xdata()) for line in dots] == [10, 8, 10, 3, 0]
    assert "Hatched: the median is a miss." in said(fig)


def test_nobody_reached_the_goal_or_it_is_not_known():
    arms = names(2)
    none = times(arms).assign(value=math.inf)
    fig = goal.goal_figure(none, style.arm_colours(arms), width=3.4, goal="valid_loss=0.2", unit="seconds")
    assert_rows_readable(fig)
    assert [text.get_text() for text in fig.axes[0].texts].count("never") == 2
    assert fig.axes[0].get_xlabel() == "seconds of training to valid_loss=0.2"
    some = times(arms)
    some.loc[:3, "value"] = math.nan
    assert len(goal.draw_goal(bare(), some, style.arm_colours(arms)).lines[1].get_xdata()) == 6
    assert "miss" not in goal.what_is_missed(some[some["arm"] == "full"])


def test_profiles_are_steps_from_one_to_the_last_of_all_with_their_score():
    table = pd.DataFrame(
        [("a", 1.0, 0.5), ("a", 2.5, 1.0), ("b", 2.0, 0.5), ("b", 9.0, 1.0)],
        columns=["arm", "ratio", "share"],
    )
    assert performance_profile.steps(table, "a").tolist() == [[1, 0.5], [2.5, 1], [4, 1]]
    assert performance_profile.steps(table, "b").tolist() == [[1, 0], [2, 0.5], [4, 0.5]]
    assert performance_profile.area(performance_profile.steps(table, "a")) == pytest.approx(
        (1.5 * 0.5 + 1.5) / 3
    )
    assert performance_profile.area(performance_profile.steps(table, "b")) == pytest.approx(1 / 3)
    fig = performance_profile.profile_figure(table, style.arm_colours(["a", "b"]), width=10)
    (ax,) = fig.axes
    assert {"a: 0.75", "b: 0.33"} <= {text.get_text() for text in fig.texts}
    assert ax.get_xlim() == (1, pytest.approx(9.4))
    assert [line.get_drawstyle() for line in ax.lines] == ["steps-post"] * 2
    assert labelled(ax, "b")[0].get_xydata().tolist() == [[1, 0], [2, 0.5], [9, 1], [pytest.approx(9.4), 1]]


@pytest.mark.parametrize(
    ("last", "high", "scale"), [(1.0, 1.105, "linear"), (1.4, 1.42, "linear"), (50.0, 50**1.05, "log")]
)
def test_a_profile_ends_a_little_beyond_its_last_step(last, high, scale):
    table = pd.DataFrame([("a", 1.0, 1.0), ("b", last, 1.0)], columns=["arm", "ratio", "share"])
    (ax,) = performance_profile.profile_figure(table, style.arm_colours(["a", "b"])).axes
    assert ax.get_xlim() == (1, pytest.approx(high))
    assert ax.get_xscale() == scale


def test_profile_of_an_arm_that_solved_nothing():
    table = pd.DataFrame([("a", 1.0, 0.0)], columns=["arm", "ratio", "share"])
    assert performance_profile.area(performance_profile.steps(table, "a")) == 0
    empty = pd.DataFrame([("a", 5.0, 1.0)], columns=["arm", "ratio", "share"])
    assert performance_profile.steps(empty, "a").tolist() == [[1, 0], [4, 0]]


def test_bars_join_arms_that_do_not_differ():
    assert rank_diagram.cliques([1, 2, 3, 4.5], 1.2) == [(1, 2), (2, 3)]
    assert rank_diagram.cliques([4.5, 1, 3, 2], 2.0) == [(1, 3), (3, 4.5)]
    assert rank_diagram.cliques([1, 2, 3], 0.5) == []
    assert rank_diagram.cliques([1.5, 1.5, 3], 0.5) == [(1.5, 1.5)]
    assert rank_diagram.cliques([1, 2, 3], 9) == [(1, 3)]
    assert scales.stacked([(1, 2), (2, 3), (3.5, 4)], 0.1) == [0, 1, 0]


def test_ranks_stand_where_they_are_with_names_at_both_sides():
    arms = ["a", "b", "c", "d", "e"]
    means = pd.Series([3.0, 1.2, 2.1, 4.9, 3.8], index=arms)
    fig = rank_diagram.ranks_figure(means, 1.0, style.arm_colours(arms))
    (ax,) = fig.axes
    assert ax.get_xlim() == (1, 5)
    assert {arm: labelled(ax, arm)[0].get_xdata()[0] for arm in arms} == means.to_dict()
    left = [text.get_text() for text in ax.texts if text.get_ha() == "right"]
    assert sorted(left) == ["a", "b", "c"]
    heights = {text.get_text(): text.xy[1] for text in ax.texts}
    assert heights["b"] < heights["c"] < heights["a"]
    assert heights["d"] < heights["e"]
    reach = 0.008 * 4
    bars = [(bar.get_xdata()[0] + reach, bar.get_xdata()[1] - reach) for bar in labelled(ax, "_bar")]
    assert [tuple(np.round(bar, 6)) for bar in bars] == [(1.2, 2.1), (2.1, 3.0), (3.0, 3.8)]
    (ruler,) = labelled(ax, "_critical")
    assert ruler.get_xdata().tolist() == [1, 2]
    assert "critical difference 1.00" in said(fig)


def test_ranks_without_a_critical_difference_and_with_one_beyond_the_axis():
    arms = names(2)
    colours = style.arm_colours(arms)
    none = rank_diagram.ranks_figure(ranks(arms), math.nan, colours)
    assert "critical" not in said(none)
    assert not labelled(none.axes[0], "_bar")
    wide = rank_diagram.ranks_figure(ranks(arms), 1.96, colours, width=3.4).axes[0]
    assert labelled(wide, "_critical")[0].get_xdata().tolist() == [1, 2]
    assert any(line.get_marker() == ">" for line in wide.lines)


def test_names_are_broken_where_they_may_be_and_stand_above_where_they_must():
    assert layout.name_lines("mini:2", 100, 7) == ["mini:2"]
    assert layout.name_lines("mini:32@adam:lr=0.1", 60, 7) == ["mini:32", "@adam:lr=0.1"]
    assert not rows.fitted_names(names(5), 75, 200, 7).above
    assert rows.fitted_names(names(5, LONG), 75, 200, 7).above
    key = Key({"a": "a", "b": "b", "c": "c" * 60}, 3.0, 7)
    assert (key.columns, key.lines["a"]) == (1, ["a"])
    assert Key({"a": "a", "b": "b"}, 3.0, 7).columns == 2


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_settings_change_nothing_and_are_kept(kind):
    pixels = []
    for settings in (
        {},
        {"axes.facecolor": "black", "font.size": 20, "text.color": "red", "lines.linewidth": 9},
    ):
        with matplotlib.rc_context(settings):
            before = dict(matplotlib.rcParams)
            canvas = FigureCanvasAgg(figure_of(kind, names(5), 3.4))
            assert dict(matplotlib.rcParams) == before
            canvas.draw()
            pixels.append(np.asarray(canvas.buffer_rgba()))
    np.testing.assert_array_equal(*pixels)


@pytest.mark.parametrize("kind", KINDS)
def test_saves_in_every_format(kind):
    fig = figure_of(kind, names(3))
    for suffix in ("png", "svg", "pdf"):
        buffer = io.BytesIO()
        fig.savefig(buffer, format=suffix)
        assert len(buffer.getvalue()) > 5_000


def test_the_tables_are_not_changed():
    arms = names(5)
    tables = [*finals(arms), pairs(arms), *grid(arms), times(arms), profile(arms)]
    before = [table.copy() for table in tables]
    colours = style.arm_colours(arms)
    seeds.final_figure(*tables[:2], colours)
    forest.pairs_figure(tables[2], colours)
    tuning.tuning_figure(*tables[3:5], colours)
    goal.goal_figure(tables[5], colours)
    performance_profile.profile_figure(tables[6], colours)
    for table, copy in zip(tables, before, strict=True):
        pd.testing.assert_frame_equal(table, copy)


def test_nothing_global_is_drawn_on():
    for module in (performance_profile, rank_diagram, forest, goal, layout, rows, seeds, tuning):
        assert "pyplot" not in Path(module.__file__).read_text(encoding="utf-8")


@pytest.mark.parametrize("width", [3.4, 10])
def test_nothing_was_measured_or_one_arm_once(width):
    arms = ["full"]
    colours = style.arm_colours(arms)
    table, intervals = finals(arms)
    for kept in (0, 1):
        once = pd.DataFrame([("full", math.nan, math.nan, math.nan)], columns=intervals.columns)[:kept]
        assert_rows_readable(seeds.final_figure(table[:kept], once, colours, width=width))
        assert_rows_readable(goal.goal_figure(times(arms)[:kept], colours, width=width))
        scores, best = grid(arms)
        assert_rows_readable(tuning.tuning_figure(scores[:kept], best[:kept], colours, width=width))
        assert_rows_readable(performance_profile.profile_figure(profile(arms)[:kept], colours, width=width))
    assert_rows_readable(
        rank_diagram.ranks_figure(pd.Series([1.0], index=arms), math.nan, colours, width=width)
    )
