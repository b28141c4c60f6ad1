"""Minima of surfaces that are known: where they are found, and where none may be claimed."""

from __future__ import annotations

import numpy as np
import pytest

from optcompare.analysis.surface_minimum import grid_minimum, surface_minimum

UNIT = np.array([2.0, 1.0])


def rosenbrock(point):
    return (1 - point[0]) ** 2 + 100 * (point[1] - point[0] ** 2) ** 2


@pytest.mark.parametrize(
    ("loss", "start", "lowest"),
    [
        (lambda p: 0.5 * p[0] ** 2 + 0.05 * p[1] ** 2 + 0.55, (1, 1), (0, 0)),
        (lambda p: 15 * (p[0] - 1) ** 2 + 7 * (p[0] - 1) * p[1] + p[1] ** 2, (0, 0.5), (1, 0)),
        (rosenbrock, (-1, 1), (1, 1)),
        (lambda p: (p[0] ** 2 - 1) ** 2 + p[1] ** 2, (2, 2), (1, 0)),
        (lambda p: np.float32(0.5 * p[0] ** 2 + 0.05 * p[1] ** 2 + 0.55), (1, 1), (0, 0)),
    ],
    ids=["bowl", "tilted ravine", "curved valley", "two valleys", "bowl in float32"],
)
def test_minimum_is_found(loss, start, lowest):
    found = surface_minimum(loss, np.array(start, dtype=float), UNIT, rounding=1.2e-7)
    np.testing.assert_allclose(found, lowest, atol=1e-3)


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: 1.0,
        lambda p: p[0] + p[1],
        lambda p: np.log1p(np.exp(-p[0])) + p[1] ** 2,
        lambda p: (p[0] - p[1]) ** 2,
        lambda p: (p[0] * p[1] - 1) ** 2,
        lambda p: p[0] ** 2 - 0.1 * p[1] ** 2,
        lambda p: 0.5 * (p[0] - 99) ** 2 + 0.5 * p[1] ** 2,
        lambda p: np.nan,
    ],
    ids=[
        "plain",
        "slope",
        "separable",
        "straight valley",
        "curved flat valley",
        "saddle",
        "too far",
        "undefined",
    ],
)
def test_no_minimum_is_claimed(loss):
    assert surface_minimum(loss, np.array([1.5, 0.5]), UNIT, rounding=1.2e-7) is None


def grid(loss, low=-1.0, high=1.0):
    x, y = np.linspace(low, high, 21), np.linspace(-1, 1, 21)
    return x, y, np.array([[loss((a, b)) for a in x] for b in y])


def test_minimum_of_a_grid_lies_between_its_points():
    x, y, loss = grid(lambda p: (p[0] - 0.13) ** 2 + (p[0] - 0.13) * (p[1] + 0.27) + (p[1] + 0.27) ** 2)
    np.testing.assert_allclose(grid_minimum(x, y, loss), (0.13, -0.27), atol=1e-9)


@pytest.mark.parametrize(
    "loss",
    [
        lambda p: (p[0] - 5) ** 2 + p[1] ** 2,
        lambda p: (p[0] + p[1] - 0.03) ** 2,
        lambda p: p[0] ** 2 + p[1] ** 2 if p[0] < 0.05 else np.nan,
        lambda p: abs(p[0]) + abs(p[1]),
        lambda p: np.nan,
    ],
    ids=["at the border", "valley", "next to a hole", "kink", "undefined"],
)
def test_no_minimum_of_a_grid_is_claimed(loss):
    assert grid_minimum(*grid(loss)) is None
