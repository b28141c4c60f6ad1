"""The figure of a batch-size study: what stands on its six panels, by measuring it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from optcompare.analysis.batch_scaling import Curve, StudyContext, curves
from optcompare.analysis.critical_batch_size import SizeEstimate
from optcompare.report.plots import style
from optcompare.report.plots.batch_scaling import scaling_figure, what_is_drawn
from optcompare.report.plots.batch_scaling_axes import log_limits
from optcompare.report.plots.batch_scaling_critical import EstimateRow, critical_rows, row_text
from tests.helpers.figures import assert_rows_readable, labelled, said
from tests.helpers.tables import INF, NAN

SIZES = tuple(2**power for power in range(11))
UPDATES, PARETO, CRITICAL, NOISE, SECONDS, RATES = range(6)


def noise(
    optimizer: str, arm: str = "mini:16", blocks: bool = True, squared: float = 1.0, block: float = 1.0
) -> list[dict]:
    """Points that say 20 each; of the third |G|² is ``squared``, and without the second block of rows
    ``block`` times that.
    """
    rows = []
    for i in range(6):
        size = squared if i == 2 else 1.0 + 0.1 * i
        row = {"optimizer": optimizer, "batch_size": 16, "update": 10 * i, "samples": 160 * i}
        row |= {"trace": 20 * abs(size), "squared": size}
        more = {
            "arm": arm,
            "seed": 3,
            "rows": 512,
            "traces": [20 * abs(size), 20.4 * abs(size)],
            "squares": [size, block * size],
        }
        rows.append(row | more if blocks else row)
    return rows


def study(
    optimizers=("sgd",),
    sizes=SIZES,
    *,
    seeds=9,
    jitter=0.05,
    least=10.0,
    samples=200.0,
    missed=None,
    points=True,
    timed=True,
    updates=None,
    seconds=None,
    **beside,
) -> list[Curve]:
    """Curves of S = least + samples/B, the next optimizer's 1.5 times as high; ``missed``: seeds by batch
    size.

    Arms are b1, b2, …, of the second optimizer b1@NAME, …; an update takes B + 50 µs, and 4% less to 6% more
    in the rounds that are timed.
    """
    random, times, arms, rounds = np.random.default_rng(0), [], [], []
    for i, optimizer in enumerate(optimizers):
        for size in sizes:
            arm, pace = f"b{size}@{optimizer}" if i else f"b{size}", 1e-6 * (size + 50)
            arms.append((arm, optimizer, size, 0.1 * size**0.5))
            rounds += [{"arm": arm, "batch_size": size, "seconds": pace * by} for by in (0.96, 1.0, 1.06)]
            for seed in range(seeds):
                own = (updates or {}).get(size, least + samples / size) * 1.5**i
                own *= math.exp(jitter * random.standard_normal())
                own = INF if seed < (missed or {}).get(size, 0) else own
                spent = own * pace if seconds is None else seconds
                times.append((arm, seed, own * size, own, spent, size / 2, own))
    columns = ["arm", "seed", "samples", "updates", "seconds", "resolution", "dip"]
    beside.setdefault(
        "noise", pd.DataFrame([row for name in optimizers for row in noise(name)] if points else [])
    )
    return curves(
        pd.DataFrame(times, columns=columns),
        pd.DataFrame(arms, columns=["arm", "optimizer", "batch_size", "lr"]),
        StudyContext(update_times=rounds if timed else (), **beside),
    )


def figure(found: list[Curve], width: float = 7.0) -> Figure:
    return scaling_figure(
        found,
        style.arm_colours([curve.optimizer for curve in found]),
        width=width,
        title="Batch sizes to train_loss=0.3",
    )


def panel(found: list[Curve], which: int, width: float = 7.0) -> Axes:
    return figure(found, width).axes[which]


def caption(found: list[Curve], which: int) -> str:
    return what_is_drawn(found)[which].replace("\u00a0", " ")


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


SGD = style.arm_colours(["sgd"])["sgd"]


def marks(ax: Axes, marker: str, fill: str | None = None) -> list[float]:
    """Where such markers stand along x."""
    lines = [line for line in ax.lines if line.get_marker() == marker and line.get_label() != "_lost"]
    kept = [line for line in lines if fill is None or to_hex(line.get_markerfacecolor()) == to_hex(fill)]
    return [x for line in kept for x in np.asarray(line.get_xdata(), dtype=float).tolist()]


def ends(line: Line2D) -> list[float]:
    return np.asarray(line.get_xdata(), dtype=float).tolist()


LONG = "sgd:momentum=0.9:nesterov=true:weight_decay=0.0005"
ADAM = {f"b{size}@adam": {"beta1": 0.9, "beta2": 0.999} for size in SIZES}
STUDIES = {
    "one": lambda: study(),
    "two": lambda: study(("sgd", "adam"), averages=ADAM),
    "three with long names": lambda: study(("sgd", LONG, "adam")),
    "misses": lambda: study(("sgd", "adam"), missed={1: 9, 2: 3, 1024: 9}),
    "misses of one": lambda: study(missed={1: 2, 512: 9, 1024: 9}),
    "no fit": lambda: study(sizes=(4, 64)),
    "one size": lambda: study(sizes=(32,)),
    "four sizes": lambda: study(sizes=(1, 8, 64, 512)),
    "nothing reached": lambda: study(sizes=(1, 8), missed={1: 9, 8: 9}, points=False),
    "an early version": lambda: study(
        timed=False, seconds=NAN, noise=pd.DataFrame(noise("sgd", blocks=False))
    ),
    "clocks": lambda: study(timed=False, clocks=CLOCKS),
    "knee far above": lambda: study(least=1e-9),
    "knee far below": lambda: study(samples=1e-9),
    "noise hides the gradient": lambda: study(noise=pd.DataFrame(noise("sgd", squared=-9.0))),
    "endless": lambda: study(noise=pd.DataFrame(noise("sgd", block=-1.0))),
    "jumps": lambda: study(("sgd", "adam"), at_edge={"b1": True, "b64": True}),
}
CLOCKS = {
    f"b{2**i}": clock
    for i, clock in enumerate(["measured", "estimated", "mixed", "shared", *["measured"] * 6])
}


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.4, 7.0, 10.0])
@pytest.mark.parametrize("kind", STUDIES)
def test_no_text_touches_another_or_is_cut(kind, width):
    picture = figure(STUDIES[kind](), width)
    assert picture.get_figwidth() == width
    assert len(picture.axes) == 6
    assert_rows_readable(picture)
    if "long" not in kind:
        assert "…" not in said(picture)


@pytest.mark.slow
def test_panels_stand_in_two_columns_or_below_each_other():
    for width, columns in ((3.4, 1), (7.0, 2), (10.0, 2)):
        lefts = {round(ax.get_position().x0 * width) for ax in figure(study(), width).axes[:2]}
        assert len(lefts) == columns


class TestUpdates:
    def test_perfect_scaling_is_the_least_samples_of_the_fit_and_not_the_first_point(self):
        """S = 10 + 200/B: at a batch size of 1 it takes 210 updates, and 200 would be perfect."""
        (line,) = labelled(panel(study(jitter=0.0), UPDATES), "_perfect")
        x, y = (np.asarray(values) for values in line.get_data())
        assert x[0] == 1
        np.testing.assert_allclose(x * y, 200, rtol=1e-6)

    def test_without_a_fit_there_is_none_and_no_mark(self):
        found = study(sizes=(4, 64))
        ax = panel(found, UPDATES)
        assert [labelled(ax, name) for name in ("_perfect", "_20%", "_knee")] == [[], [], []]
        assert "perfect" not in caption(found, UPDATES)
        assert texts(ax) == []

    def test_both_critical_batch_sizes_are_marked_up_to_the_fit(self):
        """At the knee, 20, it takes twice the least of 10; at 4, 10 + 50."""
        ax = panel(study(jitter=0.0), UPDATES)
        for name, at, updates in (("20%", 4, 60), ("knee", 20, 20)):
            (line,) = labelled(ax, f"_{name}")
            assert ends(line) == pytest.approx([at, at], rel=1e-4)
            assert float(line.get_ydata()[1]) == pytest.approx(updates, rel=1e-4)
            assert name in texts(ax)

    @pytest.mark.slow
    def test_those_beyond_the_sizes_are_named_at_the_edge(self):
        assert "20%, knee →" in texts(panel(study(least=1e-9), UPDATES))
        assert "← 20%, knee" in texts(panel(study(samples=1e-9), UPDATES))
        assert "knee →" in texts(panel(study(sizes=(1, 2, 4, 8), jitter=0.0), UPDATES))
        assert labelled(panel(study(least=1e-9), UPDATES), "_knee") == []

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("width", "knee", "first"),
        [
            (10.0, 640, "perfect scaling\nsamples within 20%"),
            (3.4, 640, "perfect scaling\nsamples within 20%"),
            (7.0, 64, "perfect\nscaling\nsamples\nwithin 20%"),
            (7.0, 36, "perfect\nscaling\nsamples\n≤ +20%"),
        ],
    )
    def test_the_regions_say_their_percentages_and_end_a_factor_of_five_around_the_knee(
        self, width, knee, first
    ):
        ax = panel(
            study(sizes=[4**power for power in range(7)], samples=10.0 * knee, jitter=0.0), UPDATES, width
        )
        (grey,) = ax.patches
        borders = grey.get_extents().transformed(ax.transData.inverted()).intervalx
        assert borders == pytest.approx([knee / 5, knee * 5], rel=1e-3)
        names = [text for text in texts(ax) if "\n" in text]
        assert names[:2] == [first, "diminishing\nreturns"]
        assert all("updates" in name and "20%" in name for name in names[2:])
        assert len(names) == (2 if knee == 640 else 3)

    def test_sizes_that_are_set_apart_from_the_fewest_updates_are_hollow(self):
        found = study(sizes=(1, 16, 128, 160), jitter=0.05)
        assert found[0].table["fewest_updates"].tolist() == [False, False, True, True]
        ax = panel(found, UPDATES)
        assert marks(ax, style.marker(SGD), SGD) == [128, 160]
        assert marks(ax, style.marker(SGD), "white") == [1, 16]

    def test_sizes_with_misses_have_a_cross_on_the_edge(self):
        found = study(missed={2: 3, 1024: 9})
        ax = panel(found, UPDATES)
        (cross,) = labelled(ax, "_lost")
        assert ends(cross) == [2, 1024]
        assert set(cross.get_ydata()) == {ax.get_ylim()[1]}
        assert "×: seeds missed" in caption(found, UPDATES)
        assert 1024 not in marks(ax, "o")


class TestPareto:
    def test_points_that_no_other_betters_are_filled_and_named_by_batch_size(self):
        """16 takes as many samples as 64 and more updates than that."""
        found = study(sizes=(1, 4, 16, 64), updates={1: 400, 4: 100, 16: 100, 64: 25}, jitter=0.0)
        assert found[0].table["front"].tolist() == [False, True, False, True]
        ax = panel(found, PARETO)
        assert sorted(marks(ax, style.marker(SGD), SGD)) == [25, 100]
        assert sorted(marks(ax, style.marker(SGD), "white")) == [100, 400]
        assert set(texts(ax)) == {"1", "4", "16", "64"}

    @pytest.mark.slow
    def test_names_avoid_the_lines(self):
        """Each name of a falling front stands where no line crosses it."""
        ax = panel(study(("sgd", "adam")), PARETO)
        renderer = FigureCanvasAgg(ax.figure).get_renderer()
        ax.figure.draw(renderer)
        fronts = [
            line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == len(SIZES)
        ]
        paths = [line.get_transform().transform_path(line.get_path()) for line in fronts]
        boxes = [text.get_window_extent(renderer) for text in ax.texts]
        assert len(fronts) == 2
        assert sum(path.intersects_bbox(box, filled=False) for path in paths for box in boxes) == 0


class TestCritical:
    def test_it_has_a_row_for_each_definition_with_its_source_and_numbers(self):
        (curve,) = found = study(jitter=0.0)
        rows = list(critical_rows(found))
        assert [row.name for row in rows] == ["20% (Zhang 2024)", "knee (McCandlish 2018)", "noise scale"]
        assert [row.estimate.value for row in rows] == pytest.approx([4, 20, 20], rel=1e-4)
        assert curve.noise is not None
        assert rows[2].estimate == (curve.noise.value, curve.noise.low, curve.noise.high)
        shown = texts(panel(found, CRITICAL, 3.4))
        assert shown == [row_text(row) for row in rows]
        assert shown[1].startswith("knee (McCandlish 2018): 20 (20 to 20)")

    def test_a_bar_goes_from_end_to_end_and_a_point_stands_at_the_value(self):
        (curve,) = found = study(jitter=0.2)
        ax = panel(found, CRITICAL)
        bars, values = labelled(ax, "_interval"), labelled(ax, "_value")
        assert curve.fit is not None
        assert ends(bars[1]) == pytest.approx([curve.fit.critical.low, curve.fit.critical.high])
        assert ends(values[1]) == pytest.approx([curve.fit.critical.value])
        assert len(bars) == len(values) == 3
        assert labelled(ax, "_beyond") == []

    def test_each_optimizer_has_its_rows_in_its_colour(self):
        ax, looks = panel(study(("sgd", "adam")), CRITICAL), style.arm_colours(["sgd", "adam"])
        assert [line.get_color() for line in labelled(ax, "_value")] == [
            looks[name] for name in ("sgd", "adam") for _ in range(3)
        ]

    @pytest.mark.parametrize(
        ("numbers", "words"),
        [
            ((20.0, 10.0, 40.0), "knee: 20 (10 to 40)"),
            ((20.0, NAN, NAN), "knee: 20, no interval"),
            ((20.0, NAN, INF), "knee: 20, no interval"),
            ((INF, 12.0, INF), "knee: ∞ (12 to ∞)"),
        ],
    )
    def test_a_row_says_what_is_not_known(self, numbers, words):
        assert row_text(EstimateRow("sgd", "knee", SizeEstimate(*numbers))) == words

    def test_without_an_interval_there_is_only_a_point(self):
        found = study(noise=pd.DataFrame(noise("sgd", blocks=False)))
        ax = panel(found, CRITICAL)
        assert [len(labelled(ax, name)) for name in ("_interval", "_value")] == [2, 3]
        assert texts(ax)[2] == "noise scale: 20, no interval"

    def test_what_is_missing_is_said(self):
        shown = texts(panel(study(sizes=(4, 64), points=False), CRITICAL))
        assert shown == [
            "20% (Zhang 2024): no fit",
            "knee (McCandlish 2018): no fit",
            "noise scale: not measured",
        ]

    @pytest.mark.slow
    def test_an_endless_interval_ends_in_an_arrow_at_the_edge(self):
        """|G|² is positive from all rows, and not without the second block of them: the upper end is
        infinite.
        """
        found = study(noise=pd.DataFrame(noise("sgd", block=-1.0)))
        assert found[0].noise is not None
        assert math.isinf(found[0].noise.high)
        ax = panel(found, CRITICAL)
        (arrow,) = labelled(ax, "_beyond")
        assert (arrow.get_marker(), ends(arrow)) == (">", [ax.get_xlim()[1]])
        assert ends(labelled(ax, "_interval")[2])[1] == ax.get_xlim()[1]
        assert "Arrow: goes on" in caption(found, CRITICAL)

    @pytest.mark.slow
    def test_a_knee_far_beyond_the_sizes_does_not_squeeze_them(self):
        found = study(least=1e-9)
        ax = panel(found, CRITICAL)
        assert ax.get_xlim()[1] < 30 * 1024 * 3
        assert [line.get_marker() for line in labelled(ax, "_beyond")] == [">", ">"]


class TestNoise:
    def test_its_trial_is_named(self):
        assert caption(study(), NOISE).startswith(
            "Along mini:16, seed 3 (6 points). Dotted: ratio of means, band: 95%"
        )

    @pytest.mark.slow
    def test_points_of_an_early_version_have_no_band(self):
        found = study(noise=pd.DataFrame(noise("sgd", blocks=False)))
        assert caption(found, NOISE).startswith(
            "Along a batch size of 16 (6 points). Dotted: ratio of means. "
        )
        assert panel(found, NOISE).patches == [] or not len(panel(found, NOISE).patches)

    @pytest.mark.slow
    def test_a_point_without_a_gradient_stands_on_the_edge(self):
        found = study(noise=pd.DataFrame(noise("sgd", squared=-0.5)))
        ax = panel(found, NOISE)
        assert marks(ax, "^") == [320]
        assert "▲: infinite" in caption(found, NOISE)

    def test_under_adam_it_is_said_to_be_too_low(self):
        found = study(("sgd", "adam"), averages=ADAM)
        assert caption(found, NOISE).endswith("Too low under adam (Merrill 2025).")
        assert "Merrill" not in caption(study(averages={"b1": {"momentum": 0.9}}), NOISE)

    @pytest.mark.slow
    def test_a_knee_far_off_does_not_squeeze_it(self):
        """The points say 20 and the knee is more than a million."""
        found = study(least=1e-9)
        assert panel(found, NOISE).get_ylim()[1] < 100
        assert "Dashed: knee, if near." in caption(found, NOISE)
        assert "Dashed: knee." in caption(study(), NOISE)

    @pytest.mark.slow
    def test_none_is_said(self):
        found = study(points=False)
        assert texts(panel(found, NOISE)) == ["not measured"]


class TestSeconds:
    def test_of_one_clock_are_joined_with_the_spread_of_its_rounds(self):
        """At a batch size of 50 an update takes 100 µs, so 14 updates 1.4 ms, and 0.96 and 1.06 times as
        much.
        """
        found = study(sizes=(10, 50, 200), jitter=0.0)
        ax = panel(found, SECONDS)
        (line,) = [line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) == 3]
        assert float(line.get_ydata()[1]) == pytest.approx(1.4e-3)
        (spread,) = ax.collections
        np.testing.assert_allclose(spread.get_segments()[1][:, 1], [1.344e-3, 1.484e-3])
        assert caption(found, SECONDS).startswith("One clock timed all sizes in turn.")

    @pytest.mark.slow
    def test_of_several_clocks_each_size_shows_its_own_and_none_are_joined(self):
        found = study(timed=False, clocks=CLOCKS)
        ax = panel(found, SECONDS)
        assert not [line for line in ax.lines if line.get_linestyle() == "-" and len(line.get_xdata()) > 1]
        assert marks(ax, "o", SGD) == [1, 16, 32, 64, 128, 256, 512]
        assert (marks(ax, "o", "white"), marks(ax, "D", "white"), marks(ax, "s", "white")) == ([2], [4], [8])
        assert marks(ax, "v", "white") == [1024]
        text = caption(found, SECONDS)
        assert text.startswith(
            "Filled: measured; hollow: estimated; diamond: mixed; square: beside other trials;"
        )
        assert "triangle: clock not recorded. Not one clock in turn: do not compare." in text

    def test_one_kind_of_clock_that_was_not_in_turn_is_not_to_be_compared_either(self):
        found = study(timed=False, clocks={f"b{size}": "measured" for size in SIZES})
        assert caption(found, SECONDS).startswith("Filled: measured. Not one clock in turn: do not compare.")

    def test_seconds_that_were_not_recorded_are_not_drawn(self):
        found = study(timed=False, seconds=NAN)
        ax = panel(found, SECONDS)
        assert texts(ax) == ["not recorded"]
        assert caption(found, SECONDS) == "The seconds were not recorded."

    def test_a_spread_without_an_end_runs_to_the_edge(self):
        ax = panel(
            study(missed={4: 1}, timed=False, clocks={f"b{size}": "measured" for size in SIZES}), SECONDS
        )
        (spread,) = ax.collections
        assert spread.get_segments()[2][1, 1] == ax.get_ylim()[1]


class TestRates:
    @pytest.mark.slow
    def test_a_rate_at_the_edge_is_a_diamond_and_one_that_jumps_has_a_ring(self):
        (curve,) = found = study(at_edge={"b4": True})
        curve.table["jumps"] = curve.table["batch_size"] == 16
        ax = panel(found, RATES)
        assert marks(ax, "D", "white") == [4]
        rings = [
            line for line in ax.lines if line.get_marker() == "o" and line.get_markerfacecolor() == "none"
        ]
        assert ends(rings[0]) == [16]
        assert caption(found, RATES).endswith(
            "Diamond: at the edge of those tried. Ring: jumps from its neighbours."
        )

    def test_what_is_not_there_is_not_named(self):
        assert caption(study(), RATES) == "Dashed: the linear rule, dotted: the square-root rule."


@pytest.mark.parametrize(
    ("values", "low", "high"),
    [([1, 100], 100**-0.06, 100**1.06), ([10], 10 / 1.15 / 3**0.5, 11.5 * 3**0.5), ([0, INF, NAN], 0.7, 15)],
)
def test_a_log_axis_has_air_around_what_it_can_show(values, low, high):
    limits = log_limits(values)
    assert (limits.low, limits.high) == pytest.approx((low, high))
