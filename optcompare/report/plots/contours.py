"""Draw the contours of a loss over two weights."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap

from .spline import spline_matrix
from .style import Floats

SHADES = LinearSegmentedColormap.from_list("shades", ["#FFFFFF", "#D3D8DF"])

CONTOUR = "#AEB5BF"

LEVELS = 10


def draw_contours(ax: Axes, x: Floats, y: Floats, loss: Floats) -> Axes:
    """Shade a loss between log-spaced levels, darker where it is higher.

    Args:
        ax: The axes to draw on.
        x: The values of the first weight, float[n].
        y: The values of the second weight, float[m].
        loss: float[m, n], NaN where unknown.

    Returns:
        The axes.
    """
    x, y, loss = refined(x, y, loss)
    levels = log_levels(loss)
    if levels.size and min(loss.shape) > 1:
        shades = [SHADES(i / (len(levels) - 1)) for i in range(len(levels))]
        shown = np.ma.masked_invalid(loss)
        ax.contourf(x, y, shown, levels=levels, colors=shades, extend="max", zorder=0)
        ax.contour(x, y, shown, levels=levels[1:], colors=[CONTOUR], linewidths=0.6, zorder=1)
    return ax


def refined(x: Floats, y: Floats, loss: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the grid four times as fine, by cubic splines.

    On a coarse grid a narrow valley falls apart into islands, and its lowest point can lie cells away. The
    grid is returned as it is if a loss is not finite, or if the splines overshoot.

    Args:
        x: The x coordinates, float[n].
        y: The y coordinates, float[m].
        loss: The loss at the points of the grid, float[m, n].
    """
    if min(loss.shape) < 4 or not np.isfinite(loss).all():
        return x, y, loss
    fine_x, fine_y = (np.linspace(axis[0], axis[-1], 4 * len(axis) - 3) for axis in (x, y))
    fine: Floats = spline_matrix(y, fine_y) @ loss @ spline_matrix(x, fine_x).T
    # Next to a cliff splines overshoot: they dip far deeper than the valley that the grid has seen.
    swings = fine.min() < loss.min() - 0.1 * (np.quantile(loss, 0.05) - loss.min())
    return (x, y, loss) if swings else (fine_x, fine_y, fine)


def log_levels(loss: Floats) -> Floats:
    """Return the lowest loss, and levels whose distance from it grows by a constant factor.

    Args:
        loss: float[m, n], NaN where unknown.

    Returns:
        float[k], rising; empty if all losses are alike.
    """
    finite = loss[np.isfinite(loss)]
    above = finite - finite.min()
    if above.max() <= 1e-9 * np.abs(finite).max():
        return np.empty(0)
    smallest = max(float(np.quantile(above[above > 0], 0.01)), 1e-5 * float(above.max()))
    levels: Floats = finite.min() + np.append(0, np.geomspace(smallest, above.max(), LEVELS + 1)[:-1])
    return np.unique(levels)
