"""Splines without SciPy have the values of SciPy's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.interpolate import CubicSpline, RectBivariateSpline

from optcompare.report.plots.spline import spline_matrix


@pytest.mark.parametrize("n", [4, 5, 25])
def test_a_spline_has_scipy_s_values(n):
    rng = np.random.default_rng(n)
    knots, values = np.cumsum(rng.uniform(0.5, 2, n)), rng.normal(size=n)
    points = np.linspace(knots[0], knots[-1], 101)
    np.testing.assert_allclose(
        spline_matrix(knots, points) @ values, CubicSpline(knots, values)(points), atol=1e-12
    )


def test_a_spline_goes_through_the_values_at_its_knots():
    knots = np.array([-2.0, 0.0, 0.5, 1.0, 4.0])
    np.testing.assert_allclose(spline_matrix(knots, knots), np.eye(5), atol=1e-15)


def test_rows_after_columns_are_the_spline_over_a_grid():
    x, y = np.linspace(-1, 2, 9), np.linspace(0, 1e-3, 7)
    values = np.random.default_rng(0).normal(size=(7, 9))
    fine_x, fine_y = np.linspace(-1, 2, 33), np.linspace(0, 1e-3, 25)
    fine = spline_matrix(y, fine_y) @ values @ spline_matrix(x, fine_x).T
    np.testing.assert_allclose(fine, RectBivariateSpline(y, x, values)(fine_y, fine_x), atol=1e-12)
