"""The paths of the weights, by pixels: where the star stands, what sets the frame, how a path leaves it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import optcompare
from optcompare.report.plots import style
from optcompare.report.plots.path_maps import Maps
from optcompare.report.plots.path_tables import minimum, within
from optcompare.report.plots.paths import draw_paths
from tests.helpers.figures import assert_readable, labelled, said

FRAMES = {
    "line, near": ("line", ["mini:2", "single"], 100, (1, 0)),
    "line, far off": ("line", ["full", "mini:2"], 5, (1, 0)),
    "line, one diverges": ("line", ["full", "mini:2@sgd:lr=0.05", "single@sgd:lr=3"], 20, (1, 0)),
    "quadratic, near": ("quadratic", ["full@sgd:lr=0.5", "mini:8"], 60, (0, 0)),
    "quadratic, far off": ("quadratic", ["full", "mini:8"], 5, (0, 0)),
    "quadratic, one diverges": ("quadratic", ["full@sgd:lr=0.3", "mini:8", "full@sgd:lr=2.5"], 30, (0, 0)),
}


def pixels(fig: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(fig)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba(), dtype=float)[:, :, :3]


def star_of(fig: Figure, ax: Axes) -> np.ndarray:
    """The centroid of the pixels that the star of these axes changes, from the lower left corner.

    Paths are hidden meanwhile: where one of the star's colour runs below it, it changes less there.
    """
    (star,) = labelled(ax, "_minimum")
    shown = [artist for artist in (*ax.lines, *ax.collections) if artist is not star and artist.get_visible()]
    for artist in shown:
        artist.set_visible(False)
    other = pixels(fig)
    star.set_visible(False)
    changed = np.abs(pixels(fig) - other).sum(axis=2)
    for artist in (star, *shown):
        artist.set_visible(True)
    rows, columns = np.nonzero(changed)
    weights = changed[rows, columns]
    return np.array(
        [np.average(columns + 0.5, weights=weights), np.average(len(changed) - rows - 0.5, weights=weights)]
    )


@pytest.mark.slow
@pytest.mark.parametrize(("workload", "strategies", "epochs", "lowest"), FRAMES.values(), ids=FRAMES)
def test_the_star_stands_within_a_pixel_of_the_minimum(workload, strategies, epochs, lowest):
    result = optcompare.compare(workload, strategies=strategies, seeds=1, epochs=epochs, progress=False)
    fig = optcompare.figure("paths", result)
    for ax in fig.axes:
        np.testing.assert_allclose(star_of(fig, ax), ax.transData.transform(lowest), rtol=0, atol=1)
        (x0, x1), (y0, y1) = ax.get_xlim(), ax.get_ylim()
        assert x0 < lowest[0] < x1
        assert y0 < lowest[1] < y1
        assert max(x1 - x0, y1 - y0) < 3, "an arm that diverged sets the frame"
    assert_readable(fig)


def test_no_star_stands_where_the_minimum_is_too_far_away():
    result = optcompare.compare(
        "quadratic", strategies=["full@sgd:lr=0.01"], seeds=1, epochs=3, progress=False
    )
    fig = optcompare.figure("paths", result)
    assert not labelled(fig.axes[0], "_minimum")
    assert "minimum" not in said(fig)
    assert "darker: higher loss" in said(fig)


def surface(points: list[tuple[float, float]], low: float = -2, high: float = 2) -> pd.DataFrame:
    """A run of an earlier version: the path of one arm, and the grid of (x - 0.3)² + (y + 0.4)², without a
    minimum.
    """
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(low, high, 41), np.linspace(low, high, 41)))
    grid = pd.DataFrame(
        {"kind": "grid", "arm": "", "update": -1, "x": x, "y": y, "loss": (x - 0.3) ** 2 + (y + 0.4) ** 2}
    )
    path = pd.DataFrame(points, columns=["x", "y"]).assign(kind="path", arm="a", update=range(len(points)))
    return pd.concat([path, grid], ignore_index=True).assign(seed=0)


def test_a_saved_surface_without_its_minimum_shows_it_only_inside():
    np.testing.assert_allclose(minimum(surface([(1, 1), (0, 0)])), (0.3, -0.4), atol=1e-9)
    assert minimum(surface([(1, 1), (0, 0)], low=-0.4, high=1.2)) is None
    ax = draw_paths(
        Figure().add_subplot(), surface([(1, 1), (0, 0)], low=-0.4, high=1.2), {"a": style.PALETTE[0]}
    )
    assert not labelled(ax, "_minimum")


def test_a_path_ends_in_an_arrow_where_it_leaves_the_frame():
    low, high = np.array([0.0, 0.0]), np.array([2.0, 1.0])
    cut, leaves = within(np.array([(1, 0.5), (1.5, 0.5), (5.5, 2.5), (-9, 0.5)]), low, high)
    assert leaves
    np.testing.assert_allclose(cut, [(1, 0.5), (1.5, 0.5), (2, 0.75)])
    back, leaves = within(np.array([(1, 0.5), (3, 0.5), (1, 0.7)]), low, high)
    assert (len(back), leaves) == (3, False)
    paths = surface([(1, 1), (1, 1.5), (1, 40), (1, -1e9)])
    ax = draw_paths(Figure().add_subplot(), paths, {"a": style.PALETTE[0]})
    (arrow,) = labelled(ax, "_leaves")
    assert arrow.get_xydata().tolist() == [[1, 2]]
    assert arrow.get_marker() == (3, 0, 0)  # upwards
    assert not any(line.get_marker() == "D" for line in ax.lines)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])
def test_maps_fill_their_rows(count):
    arms = [f"m{i}" for i in range(count)]
    paths = pd.concat([surface([(1, 1), (0, 0)])[:2].assign(arm=arm) for arm in arms])
    maps = Maps(paths, style.arm_colours(arms))
    taken = maps.left + maps.columns * maps.width + (maps.columns - 1) * 0.25 + style.MARGIN
    assert taken == pytest.approx(style.WIDTH)
    assert (maps.rows * maps.columns - count) / maps.columns < 0.5


@pytest.mark.slow
def test_the_caption_of_paths_says_which_seed_and_how_far_each_went():
    result = optcompare.compare(
        "line", ["full", "full@sgd:lr=5"], seeds=1, epochs=9, trainer="loop", progress=False
    )
    said_of = optcompare.figure("paths", result).caption
    assert said_of.startswith("Path of the weights, seed 0. full@sgd, 9 updates; ")
    assert said_of.endswith("updates, ends outside.")
