"""A principal component analysis of the weights of all arms together, for the plane of their trajectories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Snapshots = Sequence[tuple[int, Floats]]
"""The number of updates and the weights of one trial at that update, in order."""
COLUMNS = ["arm", "seed", "update", "x", "y", "fitted", "explained_x", "explained_y", "dimensions"]
_FAR = 10.0
"""Arms that go farther than this many times the median arm are not fitted."""


def joint_plane(snapshots: Mapping[str, Snapshots], seed: int) -> pd.DataFrame:
    """Project the weights of all arms onto the plane of their largest variance.

    The plane is fitted to all arms together, each snapshot with the same weight. An arm that went more than
    ten times as far as the median arm is projected but not fitted, since it would dominate the variance.
    Snapshots that are not finite are left out. The axes are oriented so that the first fitted arm ends at the
    upper right of its start.

    Args:
        snapshots: The weights along one trial, by the label of its arm.
        seed: The seed of these trials.

    Returns:
        One row for each snapshot: ``arm, seed, update, x, y, fitted, explained_x, explained_y, dimensions``.
        ``explained_x`` and ``explained_y`` are the shares of the variance along both axes, and
        ``dimensions`` is the number of weights; they are the same in every row.
    """
    rows, points = [], []
    for arm, taken in snapshots.items():
        for update, weights in taken:
            if np.isfinite(weights).all():
                rows.append((arm, seed, update))
                points.append(np.asarray(weights, dtype=float))
    if not rows:
        return pd.DataFrame(columns=COLUMNS)
    table, stack = pd.DataFrame(rows, columns=["arm", "seed", "update"]), np.stack(points)
    reach = pd.Series(np.linalg.norm(stack - stack[0], axis=1)).groupby(table["arm"], sort=False).max()
    near = set(reach.index[reach <= _FAR * max(float(reach.median()), 1e-300)])
    fitted = table["arm"].isin(near).to_numpy()
    centre = stack[fitted].mean(axis=0)
    axes, explained = _axes(stack[fitted] - centre)
    projected = (stack - centre) @ axes
    first = projected[(table["arm"] == next(arm for arm in reach.index if arm in near)).to_numpy()]
    projected *= np.where(first[-1] < first[0], -1.0, 1.0)
    return table.assign(
        x=projected[:, 0],
        y=projected[:, 1],
        fitted=fitted,
        explained_x=explained[0],
        explained_y=explained[1],
        dimensions=stack.shape[1],
    )[COLUMNS]


def _axes(centred: Floats) -> tuple[Floats, list[float]]:
    """Return the two directions of the largest variance, float[d, 2], and their shares of it, zero for none.

    They are computed from the smaller of the two products of the matrix with its transpose, since a
    trajectory has either few points or few dimensions.
    """
    few = len(centred) <= centred.shape[1]
    product = centred @ centred.T if few else centred.T @ centred
    total, size = float(np.trace(product)), len(product)
    axes, explained = np.zeros((centred.shape[1], 2)), [0.0, 0.0]
    if total <= 0:
        return axes, explained
    from scipy.linalg import eigh  # slow to import, and models of two weights need no plane

    values, vectors = eigh(product, subset_by_index=[max(0, size - 2), size - 1])
    for i, (value, vector) in enumerate(zip(values[::-1], vectors.T[::-1], strict=True)):
        if value > 1e-14 * total:
            axes[:, i] = centred.T @ vector / np.sqrt(value) if few else vector
            explained[i] = float(value / total)
    return axes, explained
