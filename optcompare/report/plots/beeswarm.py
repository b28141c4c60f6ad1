"""Place dots so that they do not overlap."""

from __future__ import annotations

import numpy as np

from .style import Floats


def beeswarm(places: Floats, across: float, room: float) -> Floats:
    """Shift dots sideways where they would overlap; equal inputs give equal offsets.

    Each dot, from left to right, gets the free offset nearest to the middle. If none is free, it gets the one
    furthest from its neighbours.

    Args:
        places: The positions along the axis, float[n], in points.
        across: The width of a dot, in points.
        room: The range of the offsets around 0, in points.

    Returns:
        The offsets across the axis, float[n], in points.
    """
    offsets = np.zeros(len(places))
    steps = np.arange(0, max(room, 0) / 2 + 1e-9, across / 4)
    tried = np.column_stack([steps, -steps]).ravel()[1:]  # 0, then alternately to the left and to the right
    placed: list[int] = []
    for i in np.argsort(places, kind="stable"):
        near = [j for j in placed if abs(places[j] - places[i]) < across]
        if near:
            apart = np.hypot(places[near] - places[i], tried[:, None] - offsets[near]).min(axis=1)
            free = apart >= across - 1e-9
            offsets[i] = tried[free.argmax() if free.any() else apart.argmax()]
        placed.append(int(i))
    return offsets
