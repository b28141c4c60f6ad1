"""The minimum of a loss over two weights, found by Newton steps on differences and accepted if proven."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Surface = Callable[[Floats], float]
_MOST_STEPS, _LONGEST_STEP, _FARTHEST = 12, 2.0, 20.0
_APARTS = (0.04, 0.01, 0.0025)
"""The steps of the differences, in frames: wide ones round less, narrow ones follow curved valleys."""
CLOSE = 1e-3
"""The largest distance of a proven minimum from the last Newton step, in units of the frame: 1/4 pixel."""


def surface_minimum(loss: Surface, start: Floats, unit: Floats, rounding: float = 1e-15) -> Floats | None:
    """Find the local minimum below ``start`` by damped Newton steps on central differences.

    A point is a minimum only if the gradient vanishes (another Newton step is shorter than ``CLOSE``) and
    every curvature is positive and the same at twice the distance. This excludes the floor of a valley and a
    descent towards infinity.

    Args:
        loss: The surface, a function of float[2].
        start: The start of the descent, float[2].
        unit: The width and height of the frame, float[2], the unit of lengths.
        rounding: The relative rounding error of a loss.

    Returns:
        The minimum, float[2]; None if none is proven within 20 frames of ``start``.
    """
    point, value = np.zeros(2), loss(start)

    def at(moved: Floats) -> float:
        return loss(start + moved * unit)

    for apart in _APARTS:
        point, value = _descended(at, point, value, apart)
        if np.abs(point).max() > _FARTHEST:
            break
        proven = _proven(at, point, value, apart, rounding)
        if proven is not None:
            found: Floats = start + proven * unit
            return found
    return None


def _descended(at: Surface, point: Floats, value: float, apart: float) -> tuple[Floats, float]:
    """Descend by Newton steps until they lead no lower, or too far away; return the end and its loss."""
    for _ in range(_MOST_STEPS):
        gradient, curvature = _derivatives(at, point, value, apart)
        if not (np.isfinite(gradient).all() and np.isfinite(curvature).all()):
            break
        step = _newton_step(gradient, curvature)
        length = float(np.linalg.norm(step))
        if length < 0.1 * CLOSE:
            break
        step *= min(1.0, _LONGEST_STEP / length)
        found = next(
            ((s, new) for s in step * 0.5 ** np.arange(6)[:, None] if (new := at(point + s)) < value), None
        )
        if found is None:
            break
        point, value = point + found[0], found[1]
        if np.abs(point).max() > _FARTHEST:
            break
    return point, value


def _derivatives(at: Surface, point: Floats, value: float, apart: float) -> tuple[Floats, Floats]:
    """Compute the gradient and the Hessian by central differences.

    The gradient uses Richardson's extrapolation; its error is O(apart⁴).
    """
    right, up = apart * np.eye(2)
    east, west, north, south = (at(point + move) for move in (right, -right, up, -up))
    once = np.array([east - west, north - south]) / (2 * apart)
    twice = np.array([at(point + 2 * move) - at(point - 2 * move) for move in (right, up)]) / (4 * apart)
    crossed = (
        at(point + right + up) + at(point - right - up) - at(point + right - up) - at(point - right + up)
    )
    own, mixed = np.array([east + west, north + south]) - 2 * value, crossed / 4
    return (4 * once - twice) / 3, np.array([[own[0], mixed], [mixed, own[1]]]) / apart**2


def _newton_step(gradient: Floats, curvature: Floats) -> Floats:
    """Compute the Newton step with the absolute values of the curvatures, which always leads downhill."""
    sizes, axes = np.linalg.eigh(curvature)
    least = 1e-6 * max(float(np.abs(sizes).max()), float(np.abs(gradient).max()), 1e-290)
    sizes = np.maximum(np.abs(sizes), least)
    step: Floats = -axes @ ((axes.T @ gradient) / sizes)
    return step


def _proven(at: Surface, point: Floats, value: float, apart: float, rounding: float) -> Floats | None:
    """Return the minimum near a point, or None if it is not proven.

    The gradient must vanish there, and the curvatures must exceed rounding and be the same at twice the
    distance.
    """
    gradient, near = _derivatives(at, point, value, apart)
    _, far = _derivatives(at, point, value, 2 * apart)
    if not all(np.isfinite(found).all() for found in (gradient, near, far)):
        return None
    sizes, axes = np.linalg.eigh(near)
    others = np.einsum("ij,ik,kj->j", axes, far, axes)
    noise = 8 * rounding * abs(value) / apart**2
    if sizes[0] <= max(10 * noise, 1e-6 * sizes[1]) or (np.abs(others - sizes) > 0.4 * sizes).any():
        return None
    step = -np.linalg.solve(near, gradient)
    return point + step if float(np.linalg.norm(step)) < CLOSE else None


def grid_minimum(x: Floats, y: Floats, loss: Floats) -> Floats | None:
    """Estimate the minimum of a surface from a grid, by a paraboloid around its lowest point.

    The paraboloid is fitted to the 5x5 neighbours of the lowest point, next to the border to 3x3.

    Args:
        x: The columns of the grid, rising and evenly spaced.
        y: The rows of the grid, likewise.
        loss: The loss at the points of the grid, float[len(y), len(x)].

    Returns:
        float[2]; None if

        - the lowest point lies at the border, or a neighbour is not finite;
        - the paraboloid misses a neighbour by more than a hundredth of their range, or by more than a third
          of its rise along its flatter axis;
        - its minimum is more than 1.5 cells away.
    """
    if loss.size == 0 or not np.isfinite(loss).any():
        return None
    row, column = divmod(int(np.nanargmin(loss)), len(x))
    reach = min(row, column, len(y) - 1 - row, len(x) - 1 - column, 2)
    if reach < 1:
        return None
    around = np.arange(-reach, reach + 1)
    values = loss[row - reach : row + reach + 1, column - reach : column + reach + 1].ravel()
    if not np.isfinite(values).all():
        return None
    v, u = (axis.ravel().astype(float) for axis in np.meshgrid(around, around, indexing="ij"))
    terms = np.column_stack([np.ones_like(u), u, v, u * u / 2, u * v, v * v / 2])
    fit, *_ = np.linalg.lstsq(terms, values, rcond=None)
    curvature = np.array([[fit[3], fit[4]], [fit[4], fit[5]]])
    missed, sizes = float(np.abs(terms @ fit - values).max()), np.linalg.eigvalsh(curvature)
    if missed > 0.01 * np.ptp(values) or sizes[0] * reach**2 / 2 <= max(3 * missed, 1e-6 * sizes[1]):
        return None
    cells = -np.linalg.solve(curvature, fit[1:3])
    if np.abs(cells).max() > 1.5:
        return None
    return np.array([x[column] + cells[0] * (x[1] - x[0]), y[row] + cells[1] * (y[1] - y[0])])
