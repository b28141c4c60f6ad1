"""Whose seconds are measured and whose estimated, where both stand on one axis; jumps that are drawn as
steps.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import optcompare
from optcompare.report.plots import scales, style
from optcompare.report.plots.builtin_panels import PANELS
from optcompare.report.plots.clocks import clock_notes, clock_sentence
from optcompare.report.plots.comparison import Content, comparison_figure
from optcompare.report.plots.curves import with_status
from optcompare.report.plots.panel_figure import panel_figure
from optcompare.report.plots.panel_row import PanelRow
from tests.helpers.figures import assert_readable, assert_rows_readable, labelled, said


def records(clocks: dict[str, str]) -> pd.DataFrame:
    """Two seeds of each arm, at five marks, with seconds of these clocks."""
    rows = [
        (
            arm,
            seed,
            mark,
            mark,
            mark / 4,
            8 * mark,
            0.1 * mark,
            3.0 / (1 + mark) + 0.1 * seed,
            clock,
            8 if mark < 3 else 32,
        )
        for arm, clock in clocks.items()
        for seed in (0, 1)
        for mark in range(5)
    ]
    names = [
        "arm",
        "seed",
        "mark",
        "update",
        "epoch",
        "samples",
        "seconds",
        "train_loss",
        "clock",
        "batch_size",
    ]
    return pd.DataFrame(rows, columns=names).assign(workload="line", phase="report")


MIXED = {"full": "measured", "mini:2": "estimated", "single": "estimated"}


def trials(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop_duplicates(["arm", "seed"])[["arm", "seed"]].assign(status="finished")


def test_clocks_are_named_only_where_they_differ():
    notes = {"full": "time measured", "mini:2": "time estimated", "single": "time estimated"}
    assert clock_notes(records(MIXED)) == notes
    assert clock_notes(records(dict.fromkeys(MIXED, "estimated"))) == {}
    assert clock_notes(records(MIXED).drop(columns="clock")) == {}, "a run of an earlier version"
    partly = records(MIXED)
    partly.loc[partly["arm"].eq("full") & partly["seed"].eq(1), "clock"] = "estimated"
    assert clock_notes(partly)["full"] == "time partly estimated"
    assert clock_sentence(records(MIXED)).replace("\u00a0", " ") == (
        "Time measured: full; time estimated: mini:2, single. Estimated: updates × time of one alone."
    )
    assert clock_sentence(records(dict.fromkeys(MIXED, "shared"))) == ""


@pytest.mark.slow
@pytest.mark.parametrize("count", [3, 9], ids=["beside", "in a key"])
def test_each_arm_of_the_comparison_plot_has_its_clock_beside_its_name(count):
    arms = {f"arm{i}": "estimated" if i else "measured" for i in range(count)}
    table = records(arms)
    fig = comparison_figure(table, trials(table))
    assert said(fig).count("time estimated") == count - 1
    assert said(fig).count("time measured") == 1
    assert "training time (s; some estimated:\nupdates × time of one alone)" in said(fig)
    assert_readable(fig)
    assert "time measured" not in said(
        comparison_figure(table, trials(table), content=Content(xs=["epochs", "updates"]))
    )


@pytest.mark.parametrize("width", [3.4, 7.0])
def test_a_panel_over_seconds_names_the_clocks_in_its_key(width):
    table = with_status(records(MIXED))
    fig = panel_figure(
        PANELS["batch_size"](), table, style.arm_colours(list(MIXED)), x="seconds", width=width
    )
    assert_rows_readable(fig)
    assert said(fig).count("time estimated") == 2
    assert "Estimated time: updates × time of one alone." in said(fig)
    over_epochs = panel_figure(PANELS["batch_size"](), table, style.arm_colours(list(MIXED)), width=width)
    assert "time" not in said(over_epochs)


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.4, 7.0])
def test_goal_over_seconds_says_which_seconds_are_estimated(width):
    result = optcompare.compare(
        "line", strategies=["full", "mini"], seeds=2, epochs=5, goal="train_loss=9", progress=False
    )
    result.records["clock"] = np.where(result.records["arm"] == "full", "measured", "estimated")
    fig = optcompare.figure("goal", result, x="seconds", width=width)
    assert "Time measured: full; time estimated: mini:2." in said(fig)
    assert "seconds of training to train_loss" in said(fig)
    assert_rows_readable(fig)


def upright(points: np.ndarray) -> bool:
    """Whether every segment is horizontal or vertical."""
    finite = points[np.isfinite(points).all(axis=1)]
    return bool((np.diff(finite, axis=0) == 0).any(axis=1).all())


def test_batch_sizes_that_jump_are_steps_from_the_start_on():
    table = with_status(records(MIXED))
    fig = panel_figure(
        PANELS["batch_size"](), table.assign(mean_batch_size=table["batch_size"]), {"full": "#000000"}
    )
    points = labelled(fig.axes[0], "full")[0].get_xydata()
    assert upright(points)
    assert points[0].tolist() == [0, 8]
    assert [0.5, 8] in points.tolist()
    assert [0.5, 32] in points.tolist()


@pytest.mark.parametrize(
    ("edges", "steps"), [([40, 40, 400, 400, 400], True), ([40, 50, 70, 100, 200], False)]
)
def test_an_edge_of_stability_that_jumps_is_steps(edges, steps):
    table = with_status(records({"full": "measured"}))
    table = table.assign(sharpness=1.0 + table["seed"], edge=[edges[mark] for mark in table["mark"]])
    fig = panel_figure(PANELS["sharpness"](), table, {"full": "#000000"})
    (line,) = labelled(fig.axes[0], "_edge")
    assert upright(line.get_xydata()) == steps
    if steps:  # the rate of a record holds until the next one is seen to be another
        assert [0.5, 40] in line.get_xydata().tolist()


def test_steps_hold_from_the_point_before():
    assert scales.stepped(np.array([[0.0, 1], [2, 5], [3, 4]])).tolist() == [
        [0, 1],
        [0, 5],
        [2, 5],
        [2, 4],
        [3, 4],
    ]
    assert scales.stepped(np.empty((0, 2))).shape == (0, 2)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_panels_fill_their_row(count):
    table = with_status(records(MIXED))
    wanted = [(f"p{i}", PANELS["batch_size"](), table) for i in range(count)]
    row = PanelRow(wanted, style.arm_colours(list(MIXED)))
    sheet = style.Sheet(style.WIDTH, row.height)
    row.draw(sheet, 0.0)
    boxes = [ax.get_position() for ax in sheet.figure.axes]
    assert boxes[-1].x1 * style.WIDTH == pytest.approx(style.WIDTH - style.MARGIN)
    assert sum(box.width for box in boxes) > 0.6
