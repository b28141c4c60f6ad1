"""The order of the rows of records and trials, which does not depend on the order of training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..core.comparison import Comparison


def as_planned(table: pd.DataFrame, comparison: Comparison) -> pd.DataFrame:
    """Sort rows by seed and arm, tuning first, so that they do not depend on the order of training.

    Args:
        table: Records or trials.
        comparison: The comparison, with the order of its arms and seeds.
    """
    if table.empty:
        return table
    seeds = [*(comparison.tuning.seed_list() if comparison.tuning else ()), *comparison.seeds]
    labels = [arm.label for arm in comparison.arms]
    keys = [
        table["lr"].to_numpy(),
        *(_positions(table[name], order) for name, order in (("arm", labels), ("seed", seeds))),
    ]
    if "repeat" in table:
        keys.insert(2, table["repeat"].to_numpy())
    rows = np.lexsort(keys)
    return table if (rows[1:] > rows[:-1]).all() else table.take(rows).reset_index(drop=True)


def _positions(values: pd.Series, order: Sequence[Any]) -> np.ndarray:
    """Return the position of each value in ``order``."""
    found, distinct = pd.factorize(values)
    return np.asarray(pd.Index(order).get_indexer(pd.Index(distinct)))[found]
