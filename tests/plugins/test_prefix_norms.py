"""The prefix norms of points in the orders of GraB."""

from __future__ import annotations

import pytest
import torch
from optcompare_plugins.reproductions.prefix_norms import prefix_norms


def test_prefix_norms_of_points_on_a_line_fall_to_the_shortest_possible():
    """1, 1, -1, -1 has prefixes 1, 2, 1, 0 in its own order. No order has less than 1, which is that of
    alternating signs.
    """
    norms = prefix_norms(torch.tensor([[1.0], [1.0], [-1.0], [-1.0]]), 4)
    assert norms[0] == pytest.approx(2.0)
    assert norms[-1] == pytest.approx(1.0)


def test_prefix_norms_of_equal_points_are_0():
    assert prefix_norms(torch.ones(5, 3), 2) == [0.0, 0.0]
