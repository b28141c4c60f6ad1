"""Cubic splines through few points, without scipy.interpolate, which takes long to import."""

from __future__ import annotations

import numpy as np

from .style import Floats


def spline_matrix(knots: Floats, points: Floats) -> Floats:
    """Return the matrix that turns values at knots into values of their cubic spline at other points.

    The spline's third derivative is continuous at the second knot and at the last but one ("not a knot"), as
    in ``scipy.interpolate.CubicSpline``. A spline over a grid is that of its columns, then of its rows.

    Args:
        knots: Rising coordinates, float[n] with n of at least 4.
        points: Coordinates between the first and the last knot, float[m].

    Returns:
        The matrix, float[m, n].
    """
    n, width = len(knots), np.diff(knots)
    of_curvatures, of_values = np.zeros((2, n, n))
    for i in range(1, n - 1):
        before, after = width[i - 1], width[i]
        of_curvatures[i, i - 1 : i + 2] = before, 2 * (before + after), after
        of_values[i, i - 1 : i + 2] = 6 / before, -6 / before - 6 / after, 6 / after
    of_curvatures[0, :3] = width[1], -width[0] - width[1], width[0]
    of_curvatures[-1, -3:] = width[-1], -width[-2] - width[-1], width[-2]
    values, curvatures = np.eye(n), np.linalg.solve(of_curvatures, of_values)

    cell = np.clip(np.searchsorted(knots, points, side="right") - 1, 0, n - 2)
    width = width[cell][:, None]
    right = (points - knots[cell])[:, None] / width
    matrix: Floats = np.zeros((len(points), n))
    for share, knot in ((1 - right, cell), (right, cell + 1)):
        matrix += share * values[knot] + (share**3 - share) * width**2 / 6 * curvatures[knot]
    return matrix
