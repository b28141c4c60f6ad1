"""The comparison plot: what it computes, by hand, and what stands on the figure, by measuring it."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable, Mapping
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optcompare.report.plots import comparison as figure
from optcompare.report.plots import paths as paths_module
from optcompare.report.plots import scales, style
from optcompare.report.plots.comparison import Content, comparison_figure
from optcompare.report.plots.contours import refined
from optcompare.report.plots.curve_axes import draw_loss
from optcompare.report.plots.curve_limits import loss_limits
from optcompare.report.plots.curves import arm_curves, with_status
from optcompare.report.plots.ends import draw_ends
from optcompare.report.plots.path_maps import Maps
from optcompare.report.plots.path_tables import loss_grid
from optcompare.report.plots.paths import draw_paths
from tests.helpers.figures import assert_readable, assert_rows_readable, labelled

Tables = tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]
LINE = {"full": (6, 0.01), "mini:2": (2, 0.01), "single": (1, 0.01)}
X, Y = np.arange(1.0, 7.0), np.arange(1.0, 7.0)
LONG = "mini:{}@some_custom_optimizer:lr={:g}:betas=(0.9,0.999)"


def simulated(arms: Mapping[str, tuple[int, float]], seeds: int = 10, epochs: int = 100) -> Tables:
    """Fits y = x to six points by stochastic gradient descent; arms are batch size and lr; records, trials,
    paths.
    """
    marks = [0, 1, 2, 4, *range(6, 6 * epochs + 1, 6)]
    records, trials, paths = [], [], []
    for (arm, (batch, lr)), seed in itertools.product(arms.items(), range(seeds)):
        w, b = np.random.default_rng([1, seed]).uniform(-1, 1, 2)
        order, clock = np.random.default_rng([2, seed]), np.random.default_rng([3, seed, batch])
        steps = [
            p[i : i + batch]
            for p in (order.permutation(6) for _ in range(epochs))
            for i in range(0, 6, batch)
        ]
        samples, seconds, status = 0, 0.0, "finished"
        for update in range(len(steps) + 1):
            if update:
                x, error = X[steps[update - 1]], w * X[steps[update - 1]] + b - Y[steps[update - 1]]
                w, b = w - 2 * lr * np.mean(error * x), b - 2 * lr * np.mean(error)
                samples += len(x)
                seconds += 4e-5 + 2e-6 * len(x) + clock.exponential(4e-6)
            if seed == 0:
                paths.append(("path", arm, seed, update, w, b, np.nan))
            passed = [mark for mark in marks if samples - batch < mark <= samples or update == mark == 0]
            if passed:
                loss = float(np.mean((w * X + b - Y) ** 2))
                loss = loss if loss < 1e30 else np.inf
                records.append((arm, seed, passed[-1], update, samples / 6, samples, seconds, loss))
                if not np.isfinite(loss):
                    status = "diverged"
                    break
        trials.append((arm, seed, status))
    names = ["arm", "seed", "mark", "update", "epoch", "samples", "seconds", "train_loss"]
    about = {"workload": "line", "phase": "report"}
    return (
        pd.DataFrame(records, columns=names).assign(**about),
        pd.DataFrame(trials, columns=["arm", "seed", "status"]).assign(**about),
        pd.concat(
            [pd.DataFrame(paths, columns=["kind", "arm", "seed", "update", "x", "y", "loss"]), line_grid()]
        ),
    )


def line_grid() -> pd.DataFrame:
    w, b = (axis.ravel() for axis in np.meshgrid(np.linspace(-1.2, 2.2, 41), np.linspace(-1.5, 1.5, 41)))
    loss = np.mean((np.outer(w, X) + b[:, None] - Y) ** 2, axis=1)
    return pd.DataFrame({"kind": "grid", "arm": "", "seed": 0, "update": -1, "x": w, "y": b, "loss": loss})


@pytest.fixture(scope="module")
def line() -> Tables:
    return simulated(LINE)


@pytest.fixture(scope="module")
def diverging() -> Tables:
    return simulated({"full": (6, 0.01), "mini:2": (2, 0.01), "single": (1, 0.09)})


def small(losses: Mapping[int, Iterable[float]], arm: str = "a") -> pd.DataFrame:
    """Records of one arm: the losses of each seed, one mark an epoch of four samples, one second an epoch."""
    rows = [
        {
            "arm": arm,
            "seed": seed,
            "mark": 4 * i,
            "update": i,
            "epoch": float(i),
            "samples": 4 * i,
            "seconds": i * (seed + 1.0),
        }
        | {"train_loss": loss}
        for seed, values in losses.items()
        for i, loss in enumerate(values)
    ]
    return pd.DataFrame(rows)


def drawn(fig: Figure) -> Figure:
    FigureCanvasAgg(fig).draw()
    return fig


def medians(ax: Axes) -> dict[str, Line2D]:
    return {str(line.get_label()): line for line in ax.lines if not str(line.get_label()).startswith("_")}


@pytest.mark.slow
def test_three_panels_over_one_log_axis(line):
    records, trials, _ = line
    fig = drawn(comparison_figure(records, trials))
    epochs, updates, seconds = fig.axes
    assert [ax.get_xscale() for ax in fig.axes] == ["linear", "log", "log"]
    assert {ax.get_yscale() for ax in fig.axes} == {"log"}
    assert epochs.get_ylim() == updates.get_ylim() == seconds.get_ylim()
    assert epochs.get_xlabel() == "epochs\n(passes over the training set)"
    assert updates.get_xlabel() == "updates\n(optimizer steps)"
    assert seconds.get_xlabel().startswith("training time (s)")
    assert [ax.get_ylabel() for ax in fig.axes] == ["training loss", "", ""]
    assert fig.get_figwidth() == 10
    texts = [text.get_text() for text in fig.texts]
    assert texts[0] == "10 seeds, identical weights and sample order"
    assert texts[1] == "Workload line. Thick lines: median over seeds; thin lines: each seed."


@pytest.mark.slow
def test_an_arm_has_one_colour_everywhere(line):
    records, trials, paths = line
    fig = comparison_figure(records, trials, content=Content(paths=paths))
    expected = dict(zip(LINE, style.PALETTE, strict=False))
    for ax in fig.axes[:3]:
        assert {arm: line.get_color() for arm, line in medians(ax).items()} == expected
        thin = [to_hex(c.get_color()[0]) for c in ax.collections if isinstance(c, LineCollection)]
        assert [hue.upper() for hue in thin] == list(expected.values())
    for ax, colour in zip(fig.axes[3:], expected.values(), strict=True):
        assert colour in {line.get_color() for line in ax.lines}
    names = {text.get_text(): text.get_color() for text in fig.texts}
    assert {arm: names[arm] for arm in LINE} == {
        arm: style.text_colour(colour) for arm, colour in expected.items()
    }


def test_every_seed_is_a_thin_line_in_one_collection_an_arm(line):
    records, trials, _ = line
    for ax in comparison_figure(records, trials).axes:
        thin = [c for c in ax.collections if isinstance(c, LineCollection)]
        assert [len(c.get_segments()) for c in thin] == [10, 10, 10]
        assert all(
            line.get_linewidth() > 2 * c.get_linewidth()[0]
            for line, c in zip(medians(ax).values(), thin, strict=True)
        )


def test_median_of_loss_and_of_seconds_at_each_mark():
    records = with_status(small({0: [8, 4, 1], 1: [8, 2, 3], 2: [8, 6, 2]}))
    assert arm_curves(records, "epochs").median.tolist() == [[0, 8], [1, 4], [2, 2]]
    assert arm_curves(records, "seconds").median.tolist() == [[0, 8], [2, 4], [4, 2]]


def test_a_diverged_trial_stays_in_the_median_as_infinity():
    one = arm_curves(with_status(small({0: [8, 4, 1, 1], 1: [8, np.inf], 2: [8, 6, 2, 3]})), "epochs")
    assert one.median[:, 1].tolist() == [8, 6, 2, 3]
    assert one.end == (3, 3)
    two = arm_curves(with_status(small({0: [8, 4, 1, 1], 1: [8, np.nan], 2: [8, 6, np.inf]})), "epochs")
    assert two.median[:2, 1].tolist() == [8, 6]
    assert np.isnan(two.median[2:, 1]).all()
    assert two.end[1] == np.inf
    assert sorted(two.stopped["diverged"].tolist()) == [[0, 8], [1, 6]]


def test_a_trial_cut_short_stays_out_of_the_median_unless_all_were():
    records = small({0: [8, 4, 1, 1], 1: [8, 0.1], 2: [8, 6, 2, 3]})
    trials = pd.DataFrame({"arm": "a", "seed": [0, 1, 2], "status": ["finished", "interrupted", "finished"]})
    assert arm_curves(with_status(records, trials), "epochs").median[:, 1].tolist() == [8, 5, 1.5, 2]
    every = with_status(records, trials.assign(status="interrupted"))
    assert arm_curves(every, "epochs").median[:, 1].tolist() == [8, 4]


def test_the_records_need_no_order_and_are_not_changed(line):
    records = line[0]
    shuffled = records.sample(frac=1, random_state=0)
    before = shuffled.copy()
    colours = style.arm_colours(list(LINE))
    one, two = (
        draw_loss(Figure().add_subplot(), table, x="updates", colours=colours)
        for table in (records, shuffled)
    )
    for arm in LINE:
        np.testing.assert_array_equal(medians(one)[arm].get_xydata(), medians(two)[arm].get_xydata())
    pd.testing.assert_frame_equal(shuffled, before)


@pytest.mark.slow
def test_a_diverged_arm_does_not_stretch_the_axis(diverging):
    records, trials, _ = diverging
    assert set(trials.loc[trials["arm"] == "single", "status"]) == {"diverged"}
    fig = comparison_figure(records, trials)
    well = records[records["arm"] != "single"]
    assert (
        fig.axes[0].get_ylim()
        == comparison_figure(well, trials[trials["arm"] != "single"]).axes[0].get_ylim()
    )
    low, high = fig.axes[0].get_ylim()
    assert low < well["train_loss"].min()
    assert well["train_loss"].max() < high < 2 * well["train_loss"].max()
    for ax in fig.axes:
        (crosses,) = [line for line in ax.lines if line.get_marker() == "x"]
        assert len(crosses.get_xdata()) == 10
        assert set(crosses.get_ydata()) == {high}
    texts = [text.get_text() for text in fig.texts]
    assert "× diverged" in texts
    assert "× diverged (last finite value)." in texts[1]


def test_a_cross_inside_the_axes_stands_at_the_last_finite_value():
    records = pd.concat([small({0: [8, 4, 1], 1: [8, 4, 2]}), small({0: [8, 5, np.nan], 1: [8, 6, 3]}, "b")])
    ax = draw_loss(Figure().add_subplot(), records, x="epochs", colours=style.arm_colours(["a", "b"]))
    (cross,) = [line for line in ax.lines if line.get_marker() == "x"]
    assert cross.get_xydata().tolist() == [[1, 5]]


@pytest.mark.parametrize(
    ("losses", "scale", "low", "high"),
    [
        ([[10, 1, 0.1]], "log", (0.05, 0.1), (10, 20)),
        ([[10, 1, 0.1, 0]], "symlog", (-0.1, 0), (10, 20)),
        ([[10, 1, 0, -5]], "linear", (-6, -5), (10, 11)),
        ([[0, 0, 0]], "linear", (-1, 0), (0, 1)),
        ([[3, 3, 3]], "log", (1, 3), (3, 9)),
        ([[10, *[1] * 40, 1e12, *[1] * 40]], "log", (0.5, 1), (10, 40)),
        ([[10, 1, 0.1], [10, 1e3, 1e30]], "log", (0.01, 0.1), (1e3, 2e3)),
        ([[1, -1, -2], [1, 1e3, 1e30]], "linear", (-3, -2), (7, 8)),
        ([[np.nan], [np.inf]], "linear", (-1, 0), (1, 2)),
        ([[10, 100, np.inf]], "log", (5, 10), (100, 200)),
    ],
    ids=[
        "log",
        "zero",
        "negative",
        "all-zero",
        "constant",
        "spike",
        "grows",
        "grows-linear",
        "nothing",
        "all-diverged",
    ],
)
def test_limits_of_the_loss(losses, scale, low, high):
    records = pd.concat([small({0: values}, f"arm{i}") for i, values in enumerate(losses)])
    limits = loss_limits(with_status(records))
    assert limits.scale == scale
    assert low[0] <= limits.low <= low[1]
    assert high[0] <= limits.high <= high[1]


def test_the_start_stands_at_the_left_end_of_a_log_axis(line):
    records, trials, _ = line
    _, updates, seconds = drawn(comparison_figure(records, trials)).axes
    for ax in (updates, seconds):
        left = ax.get_xlim()[0]
        assert left > 0
        assert {line.get_xdata()[0] for line in medians(ax).values()} == {left}
        assert ax.get_xticklabels()[0].get_text() == "0"
        assert ax.get_xticks()[0] == left
    assert "1" in [label.get_text() for label in updates.get_xticklabels()]


def test_one_seed_has_no_thin_lines():
    records, trials, _ = simulated(LINE, seeds=1, epochs=5)
    fig = comparison_figure(records, trials)
    assert not any(ax.collections for ax in fig.axes)
    assert [text.get_text() for text in fig.texts[:2]] == [
        "1 seed, identical weights and sample order",
        "Workload line.",
    ]


def test_the_title_claims_what_the_fingerprints_bear_out(line):
    records, trials, _ = line
    alike = trials.assign(weights_sha256=trials["seed"].astype(str), order_sha256=trials["seed"].astype(str))
    assert figure.what_was_shared(records, alike) == "10 seeds, identical weights and sample order"
    other = alike.assign(order_sha256=alike["arm"])
    assert figure.what_was_shared(records, other) == "10 seeds, identical weights"
    assert figure.what_was_shared(records, other.assign(weights_sha256=alike["arm"])) == "10 seeds"
    ended = other.assign(epochs_begun=other["arm"].map({"full": 3, "mini:2": 2, "single": 1}))
    assert figure.what_was_shared(records, ended) == "10 seeds, identical weights and sample order", (
        "of as many epochs"
    )
    fewer = records[(records["arm"] != "single") | (records["seed"] < 4)]
    assert figure.what_was_shared(fewer, alike) == "4 to 10 seeds, identical weights and sample order"
    assert figure.what_was_shared(records[records["arm"] == "full"], alike) == "10 seeds"


def test_title_subtitle_and_note():
    records, trials, _ = simulated(LINE, seeds=1, epochs=3)
    fig = comparison_figure(records, trials, title="A $title$", note="interrupted")
    assert [text.get_text() for text in fig.texts[:2]] == [
        "A $title$",
        "1 seed, identical weights and sample order. Workload line. Interrupted.",
    ]
    assert not fig.texts[0].get_parse_math()


def test_only_reported_trials_are_drawn(line):
    records, trials, _ = line
    tuning = records[records["arm"] == "full"].assign(arm="tried", phase="tune")
    fig = comparison_figure(pd.concat([tuning, records]), trials)
    assert list(medians(fig.axes[0])) == list(LINE)


def test_failed_and_unmeasured_arms_are_named(line):
    records, trials, _ = line
    failed = trials.assign(
        status=trials["status"].where((trials["arm"] != "full") | (trials["seed"] > 1), "failed")
    )
    never = pd.DataFrame({"arm": ["broken"], "seed": [0], "status": ["failed"], "phase": ["report"]})
    fig = comparison_figure(records, pd.concat([failed, never]))
    texts = [text.get_text() for text in fig.texts]
    assert "+ 2 of 10 failed" in texts
    assert "+ failed (last finite value). Without a measurement: broken." in texts[1]
    assert_readable(fig)


def arms_named(count: int, label: str) -> dict[str, tuple[int, float]]:
    settings = itertools.product((0.01, 0.003, 0.001), (1, 2, 3, 6))
    return {label.format(batch, lr): (batch, lr) for lr, batch in itertools.islice(settings, count)}


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 3, 7, 8, 12])
@pytest.mark.parametrize("label", ["m{}:{:g}", "mini:{}@adam:lr={:g}", LONG, "x" * 150 + "{}{:g}"])
def test_no_text_touches_another(count, label):
    records, trials, paths = simulated(arms_named(count, label), seeds=2, epochs=8)
    assert_readable(comparison_figure(records, trials, content=Content(paths=paths)))


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 4, 12])
def test_no_text_touches_another_where_all_diverge(count):
    records, trials, paths = simulated(
        {f"arm{i}": (1, 0.08 + 0.005 * i) for i in range(count)}, seeds=3, epochs=100
    )
    assert set(trials["status"]) == {"diverged"}
    assert_readable(
        comparison_figure(
            records, trials, content=Content(paths=paths), note="interrupted: what was measured until then"
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("low", "high"), [(1e-30, 1e3), (0.31, 0.69), (0.5, 0.501), (1e-9, 3e-9), (1e-3, 20), (2, 30)]
)
def test_no_tick_names_touch_whatever_the_range(low, high):
    places = np.geomspace(low, high, 5)
    records = small({0: [high, *places[::-1]], 1: [high, *places[::-1]]}).assign(seconds=[0, *places] * 2)
    assert_readable(comparison_figure(records, pd.DataFrame(columns=["arm", "seed", "status"])))
    assert_readable(comparison_figure(pd.concat([records, small({0: [1, 0, 0]}, "b")]), pd.DataFrame()))


def test_names_stand_beside_their_lines_in_the_order_of_their_ends(line):
    records, trials, _ = line
    fig = comparison_figure(records, trials)
    heights = {text.get_text(): text.get_position()[1] for text in fig.texts}
    assert heights["full"] > heights["mini:2"] > heights["single"]
    ax = fig.axes[0]
    for arm, median in medians(ax).items():
        end = ax.transData.transform(median.get_xydata()[-1])[1] / fig.bbox.height
        assert heights[arm] == pytest.approx(end, abs=0.01)


def test_long_names_become_a_key_below():
    records, trials, _ = simulated(arms_named(3, LONG), seeds=1, epochs=3)
    fig = comparison_figure(records, trials)
    bottom = min(ax.get_position().y0 for ax in fig.axes)
    names = [text for text in fig.texts if text.get_text().startswith("mini:")]
    assert len(names) == 3
    assert all(text.get_position()[1] < bottom for text in names)


def test_more_arms_than_colours_differ_in_their_dashes():
    colours = style.arm_colours([f"arm{i}" for i in range(12)])
    looks = [(colour, style.line_styles(colours)[arm]) for arm, colour in colours.items()]
    assert len(set(looks)) == 12
    assert {dash for _, dash in looks[:7]} == {"solid"}


@pytest.mark.parametrize("rows", [0, 1])
def test_nothing_or_only_the_start_was_measured(rows):
    records, trials, _ = simulated(LINE, seeds=2, epochs=1)
    fig = comparison_figure(records[records["update"] < rows], trials)
    assert_readable(fig)
    assert [len(medians(ax)) for ax in fig.axes] == [3 * rows] * 3
    for arm, line in medians(fig.axes[0]).items():
        assert (line.get_marker(), line.get_markevery()) == (
            style.marker(style.arm_colours(list(LINE))[arm]),
            None,
        )


def test_epochs_are_log_where_the_budget_ends_the_arms_far_apart():
    near, far = (pd.concat([small({0: np.ones(n)}, f"{n}") for n in counts]) for counts in ((3, 40), (3, 99)))
    colours = style.arm_colours(["3", "40", "99"])
    assert draw_loss(Figure().add_subplot(), near, x="epochs", colours=colours).get_xscale() == "linear"
    assert draw_loss(Figure().add_subplot(), far, x="epochs", colours=colours).get_xscale() == "log"


def test_another_metric_and_samples():
    records = small({0: [8, 4, 1], 1: [8, 2, 3]}).assign(valid_loss=[9, 5, 2, 9, 3, 4])
    ax = draw_loss(Figure().add_subplot(), records, x="samples", metric="valid_loss", colours={"a": "red"})
    assert ax.get_ylabel() == "validation loss"
    assert ax.get_xlabel() == "samples\n(gradients evaluated)"
    assert medians(ax)["a"].get_ydata().tolist() == [9, 4, 3]


def test_maps_of_the_paths(line):
    records, trials, paths = line
    fig = drawn(
        comparison_figure(
            records, trials, content=Content(paths=paths.assign(x_name="weight", y_name="bias"))
        )
    )
    maps = fig.axes[3:]
    assert len(maps) == 3
    assert [ax.get_xlabel() for ax in maps] == ["weight"] * 3
    assert [ax.get_ylabel() for ax in maps] == ["bias", "", ""]
    texts = {text.get_text() for text in fig.texts}
    assert {"full, 100\u00a0updates", "mini:2, 300\u00a0updates", "single, 600\u00a0updates"} <= texts
    for arm, ax in zip(LINE, maps, strict=True):
        assert (ax.get_xlim(), ax.get_ylim()) == ((-1.2, 2.2), (-1.5, 1.5))
        walked = paths.loc[paths["arm"] == arm, ["x", "y"]].to_numpy()
        marks = {line.get_marker(): line.get_xydata()[-1] for line in ax.lines}
        line = next(c for c in ax.collections if isinstance(c, LineCollection))
        np.testing.assert_array_equal(line.get_segments()[0], walked)
        np.testing.assert_array_equal(marks["D"], walked[-1])
        assert marks["*"] == pytest.approx([1, 0], abs=0.04)
    starts = [next(line.get_xydata()[0] for line in ax.lines if line.get_marker() == "o") for ax in maps]
    assert {tuple(start) for start in starts} == {tuple(paths.loc[paths["update"] == 0, ["x", "y"]].iloc[0])}


def test_short_paths_lie_over_long_ones_on_a_joint_map(line):
    paths = line[2]
    paths.attrs["x_name"] = "slope"
    ax = draw_paths(Figure().add_subplot(), paths, style.arm_colours(list(LINE)))
    order = {
        len(c.get_segments()[0]): c.get_zorder() for c in ax.collections if isinstance(c, LineCollection)
    }
    assert order[101] > order[301] > order[601]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("slope", "weight y")


def test_a_path_that_leaves_does_not_stretch_the_map(diverging):
    records, trials, paths = diverging
    paths.loc[paths.index[paths["arm"] == "single"][-1], "x"] = np.nan
    fig = drawn(comparison_figure(records, trials, content=Content(paths=paths)))
    assert fig.axes[5].get_xlim() == (-1.2, 2.2)
    assert any(text.get_text().endswith("ends\u00a0outside") for text in fig.texts)


@pytest.mark.parametrize(
    ("count", "rows", "columns"), [(1, 1, 1), (4, 1, 4), (5, 2, 3), (8, 2, 4), (12, 3, 4)]
)
def test_maps_wrap(count, rows, columns):
    _, _, paths = simulated(arms_named(count, "m{}:{:g}"), seeds=1, epochs=2)
    maps = Maps(paths, style.arm_colours(list(arms_named(count, "m{}:{:g}"))))
    assert (maps.rows, maps.columns) == (rows, columns)


@pytest.mark.slow
def test_grids_with_holes_without_points_or_without_relief(line):
    records, trials, paths = line
    grid = paths["kind"] == "grid"
    holes = paths.assign(loss=paths["loss"].where(paths["x"] < 1.5, np.inf))
    for table in (holes, paths[~grid], paths.assign(loss=paths["loss"].where(~grid, 0.3)), paths[grid]):
        fig = drawn(comparison_figure(records, trials, content=Content(paths=table)))
        assert len(fig.axes) == (3 if table["kind"].eq("grid").all() else 6)


def test_a_finer_grid_finds_the_lowest_point_and_keeps_off_cliffs():
    x, y, loss = loss_grid(line_grid())
    fine_x, fine_y, fine = refined(x, y, loss)
    assert fine.shape == (161, 161)
    np.testing.assert_allclose(fine[::4, ::4], loss, rtol=1e-6, atol=1e-9)
    row, column = np.unravel_index(fine.argmin(), fine.shape)
    assert (fine_x[column], fine_y[row]) == pytest.approx((1, 0), abs=0.04)
    cliff = loss + 1e6 * (x > 1.7)
    assert refined(x, y, cliff)[2] is cliff


@pytest.mark.slow
def test_the_callers_settings_change_nothing_and_are_kept(line):
    records, trials, paths = line
    pixels = []
    for settings in (
        {},
        {"axes.facecolor": "black", "font.size": 20, "text.color": "red", "lines.linewidth": 9},
    ):
        with matplotlib.rc_context(settings):
            before = dict(matplotlib.rcParams)
            fig = comparison_figure(records, trials, content=Content(paths=paths))
            assert dict(matplotlib.rcParams) == before
            pixels.append(np.asarray(drawn(fig).canvas.buffer_rgba()))
    np.testing.assert_array_equal(*pixels)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_saves_in_every_format(line, suffix):
    records, trials, paths = line
    buffer = io.BytesIO()
    comparison_figure(records, trials, content=Content(paths=paths)).savefig(buffer, format=suffix)
    assert len(buffer.getvalue()) > 20_000


def test_nothing_global_is_drawn_on():
    for module in (figure, paths_module, style):
        assert "pyplot" not in Path(module.__file__).read_text(encoding="utf-8")


def test_dodged_boxes_do_not_overlap_and_stay_near_their_targets():
    assert style.dodge([5, 50, 90], [10, 10, 10], 0, 100).tolist() == [5, 50, 90]
    assert style.dodge([50, 50], [10, 10], 0, 100).tolist() == [55, 45]
    assert style.dodge([100, 99, 20], [10, 20, 10], 0, 100).tolist() == [95, 80, 20]
    rng = np.random.default_rng(0)
    for _ in range(50):
        heights, targets = rng.uniform(2, 9, 10), rng.choice([0.0, 30.0, 31.0, 100.0], 10)
        centres = style.dodge(list(targets), list(heights), 0, 100)
        order = np.argsort(centres)
        edges = np.column_stack([centres - heights / 2, centres + heights / 2])[order].ravel()
        assert (np.diff(edges) > -1e-9).all()
        assert edges[0] >= -1e-9
        assert edges[-1] <= 100 + 1e-9


@pytest.mark.parametrize(
    ("low", "high", "names"),
    [
        (0.5, 2000, ["1", "10", "100", "1000"]),
        (1e-5, 0.2, ["$10^{-5}$", "$10^{-4}$", "$10^{-3}$", "$10^{-2}$", "$10^{-1}$"]),
        (1e-30, 1, ["$10^{-30}$", "$10^{-24}$", "$10^{-18}$", "$10^{-12}$", "$10^{-6}$", "$10^{0}$"]),
        (0.3, 5, ["0.5", "1", "2", "5"]),
        (0.31, 0.72, ["0.4", "0.5", "0.6", "0.7"]),
    ],
)
def test_ticks_of_a_log_axis(low, high, names):
    assert scales.named_ticks(scales.Limits(low, high, "log"), 6)[1] == names


def test_text_is_folded_where_it_may_be_and_cut_where_it_must():
    width = style.text_width("mini:32@adam", 9) + 1
    assert style.folded("mini:32@adam:lr=0.1", width, 9, before="@:") == ["mini:32@adam", ":lr=0.1"]
    assert style.folded("one two three", style.text_width("one two", 9) + 1, 9) == ["one two", "three"]
    cut = style.shortened("abcdefghijklmnopqrstuvwxyz", 60, 9)
    assert (cut[0], cut[-1], cut.count("…")) == ("a", "z", 1)
    assert style.text_width(cut, 9) <= 60


def test_names_read_on_white():
    for colour in style.PALETTE:
        rgb = np.array(style.text_colour(colour))
        linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
        assert 1.05 / (linear @ [0.2126, 0.7152, 0.0722] + 0.05) >= 4.5


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.4, 7, 10])
@pytest.mark.parametrize(
    ("count", "label"), [*itertools.product([2, 5, 8, 12], ["m{}:{:g}", LONG]), (2, "x" * 150 + "{}{:g}")]
)
def test_no_text_touches_another_at_any_width(count, label, width):
    records, trials, paths = simulated(arms_named(count, label), seeds=2, epochs=8)
    records = records.assign(valid_loss=records["train_loss"] + 0.1, test_loss=records["train_loss"] + 0.2)
    fig = comparison_figure(
        records,
        trials,
        content=Content(paths=paths, metrics=["valid_loss", "train_loss"], final="test_loss"),
        width=width,
        title="line: no difference claimed (2 seeds)",
        note="interrupted: what was measured until then",
    )
    assert fig.get_figwidth() == width
    assert_rows_readable(fig)
    bare = comparison_figure(records, trials, content=Content(xs=["samples"]), width=width, caption=False)
    assert_rows_readable(bare)
    assert bare.get_figheight() < 0.75 * fig.get_figheight()


def test_panels_stand_below_each_other_in_a_column_of_a_paper(line):
    records, trials, _ = line
    for width, rows in ((3.4, 3), (7, 1), (10, 1)):
        axes = comparison_figure(records, trials, width=width).axes
        assert len({round(ax.get_position().y0, 6) for ax in axes}) == rows


@pytest.mark.slow
def test_markers_tell_arms_apart_on_every_line_and_in_the_key(line):
    records, trials, _ = line
    looks = style.arm_colours(list(LINE))
    for width in (7, 10):
        fig = comparison_figure(records, trials, width=width)
        for ax in fig.axes:
            assert {arm: each.get_marker() for arm, each in medians(ax).items()} == {
                arm: style.marker(look) for arm, look in looks.items()
            }
        samples = [
            artist for artist in fig.artists if isinstance(artist, Line2D) and artist.get_markevery() == [1]
        ]
        assert [each.get_marker() for each in samples] == [style.marker(look) for look in looks.values()]


def test_final_values_stand_by_arm_with_their_median_or_a_cross():
    tables = [small({0: [8, 4], 1: [8, 2], 2: [8, 3]}, "a"), small({0: [8, np.inf], 1: [8, 2]}, "b")]
    records = pd.concat([table.assign(test_loss=table["train_loss"]) for table in tables], ignore_index=True)
    trials = records[["arm", "seed"]].drop_duplicates()
    trials = trials.assign(status=["finished", "finished", "finished", "diverged", "finished"])
    ax = draw_ends(Figure().add_subplot(), records, trials, "test_loss", style.arm_colours(["a", "b"]))
    assert [list(each.get_ydata()) for each in medians(ax).values()] == [[2, 3, 4], [2]]
    (median,) = labelled(ax, "_median")
    assert list(median.get_ydata()) == [3, 3]
    (cross,) = labelled(ax, "_lost")
    assert cross.get_xdata()[0] == 1


def test_an_accuracy_has_a_linear_axis_and_a_diagnostic_its_own():
    records = with_status(small({0: [0.01, 0.5, 0.9], 1: [0.1, 0.6, 0.99]}).assign(status="finished"))
    records = records.assign(valid_accuracy=records["train_loss"], grad_norm=1000 ** records["train_loss"])
    assert loss_limits(records, "valid_accuracy").scale == "linear"
    assert loss_limits(records, "train_loss").scale == "log"
    assert loss_limits(records, "grad_norm").scale == "log"


def test_short_names_in_a_key_stay_in_one_line(line):
    records, trials, _ = line
    fig = comparison_figure(records, trials, width=3.4)
    assert set(LINE) <= {text.get_text() for text in fig.texts}
