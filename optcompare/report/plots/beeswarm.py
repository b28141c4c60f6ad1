"""Places of dots that do not overlap."""

from __future__ import annotations

import numpy as np

from .style import Floats


def beeswarm(places: Floats, across: float, room: float) -> Floats:
    """Place dots beside each other where they would overlap, the same for the same places.

    Each dot, from left to right, gets the free place nearest to the middle, or else the one furthest from its
    neighbours.

    Args:
        places: Along the axis, float[n], in points.
        across: The width of a dot, in points.
        room: The points around 0 for the offsets.

    Returns:
        Offsets across the axis, float[n], in points.
    """
    offsets = np.zeros(len(places))
    steps = np.arange(0, max(room, 0) / 2 + 1e-9, across / 4)
    tried = np.column_stack([steps, -steps]).ravel()[1:]  # 0, then to either side in turn
    placed: list[int] = []
    for i in np.argsort(places, kind="stable"):
        near = [j for j in placed if abs(places[j] - places[i]) < across]
        if near:
            apart = np.hypot(places[near] - places[i], tried[:, None] - offsets[near]).min(axis=1)
            free = apart >= across - 1e-9
            offsets[i] = tried[free.argmax() if free.any() else apart.argmax()]
        placed.append(int(i))
    return offsets
