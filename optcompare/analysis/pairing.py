"""Pairs of trials of two arms, and the independent observations among their differences.

Trials of two arms are paired by seed, and by tuning repeat if there are several. Pairs are independent if
they share neither a split of the data nor a tuning. With one split and one tuning, every seed is an
observation. Seeds on the same split are one observation, their mean. If rates were tuned repeatedly, every
seed was trained at the rates of every repeat: all pairs of a repeat share its rates, and all pairs of a seed
share its start. Then repeats and seeds are divided into min(repeats, seeds) groups, and an observation is the
mean over one group's repeats and seeds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.special import stdtrit

from .statistics import CONFIDENCE, mean_interval

FEWEST_REPEATS = 5
"""With fewer tuning repeats there is no interval."""


@dataclass(frozen=True)
class Pairing:
    """Hold the values of two arms for the n trials that they share.

    Attributes:
        ours: The values of the first arm, float[n, columns].
        theirs: The values of the other arm, float[n, columns].
        repeat: The index of each pair's tuning repeat, int[n], from 0.
        block: The index of each pair's split, int[n], from 0; of its seed if there is one split.
    """

    ours: np.ndarray
    theirs: np.ndarray
    repeat: np.ndarray
    block: np.ndarray

    def first(self) -> Pairing:
        """Return the first pair alone."""
        return Pairing(self.ours[:1], self.theirs[:1], self.repeat[:1], self.block[:1])

    def where(self, rows: np.ndarray) -> Pairing:
        """Select some of the pairs and renumber their repeats and blocks; ``rows`` is bool[n]."""
        repeat, block = (np.unique(each[rows], return_inverse=True)[1] for each in (self.repeat, self.block))
        return Pairing(self.ours[rows], self.theirs[rows], repeat, block)

    def independent(self, values: np.ndarray) -> np.ndarray:
        """Average float[n] values over the pairs of each observation; return float[observations]."""
        if len(values) == 0:
            return np.empty(0)
        count = self.observations
        chosen = (
            self.repeat % count == self.block % count
            if self.repeat.any()
            else np.ones(len(values), dtype=bool)
        )
        groups = (self.block if not self.repeat.any() else self.block % count)[chosen]
        sums, counts = (np.bincount(groups, weights, count) for weights in (values[chosen], None))
        return np.asarray(sums[counts > 0] / counts[counts > 0])

    @property
    def observations(self) -> int:
        """Return the number of independent observations."""
        repeats, blocks = (int(each.max(initial=-1)) + 1 for each in (self.repeat, self.block))
        return blocks if repeats == 1 else min(repeats, blocks)

    def interval(self, values: np.ndarray) -> tuple[float, float, float]:
        """Compute the mean of float[n] values and the ends of its 95% t interval.

        With several tuning repeats, the interval is that of :func:`crossed_interval`.
        """
        if len(values) == 0 or not np.isfinite(values).all():
            return math.nan, math.nan, math.nan
        if not self.repeat.any():
            with np.errstate(
                over="ignore"
            ):  # The interval of differences near the largest float is infinite.
                return mean_interval(self.independent(values))
        table = np.full((self.repeat.max() + 1, self.block.max() + 1), np.nan)
        sums, counts = np.zeros_like(table), np.zeros_like(table)
        np.add.at(sums, (self.repeat, self.block), values)
        np.add.at(counts, (self.repeat, self.block), 1)
        np.divide(sums, counts, out=table, where=counts > 0)
        return crossed_interval(table[:, ~np.isnan(table).any(axis=0)])


def crossed_interval(table: np.ndarray) -> tuple[float, float, float]:
    """Compute a mean and the ends of its 95% interval over repeats and blocks.

    The model of a value is an effect of its repeat, plus an effect of its block, plus noise. The variance of
    the mean is (MS_r + max(0, MS_b - MS_e))/(rb), with Satterthwaite's degrees of freedom (Scheffé 1959, The
    Analysis of Variance, chapter 7): that of the repeat means, plus the part that blocks share over all
    repeats. An interval over the repeat means alone would hold for these seeds only: it covers the truth in
    .49 to .95 of experiments, and this one in .95 to .97.

    Args:
        table: The values, float[repeats, blocks].

    Returns:
        The mean and both ends. The ends are nan for fewer than :data:`FEWEST_REPEATS` repeats or one block.
    """
    repeats, blocks = table.shape
    if table.size == 0:
        return math.nan, math.nan, math.nan
    mean = float(table.mean())
    if repeats < FEWEST_REPEATS or blocks < 2:
        return mean, math.nan, math.nan
    of_repeats, of_blocks = table.mean(axis=1), table.mean(axis=0)
    rest = table - of_repeats[:, None] - of_blocks[None, :] + mean
    ms_repeats, ms_blocks = blocks * of_repeats.var(ddof=1), repeats * of_blocks.var(ddof=1)
    ms_rest = (rest**2).sum() / ((repeats - 1) * (blocks - 1))
    shared = ms_blocks > ms_rest
    whole = ms_repeats + (ms_blocks - ms_rest if shared else 0.0)
    if whole == 0:
        return mean, mean, mean
    parts = ms_repeats**2 / (repeats - 1)
    if shared:
        parts += ms_blocks**2 / (blocks - 1) + ms_rest**2 / ((repeats - 1) * (blocks - 1))
    freedom = max(whole**2 / parts, min(repeats, blocks) - 1)
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(whole / table.size)
    return mean, mean - half, mean + half


class ArmValues(NamedTuple):
    """The values of one arm.

    ``keys`` are the seed and the repeat of each trial, ``values`` is float[trials, columns], and ``blocks``
    holds the split of each trial (its seed if there is one split).
    """

    keys: list[tuple[int, int]]
    values: np.ndarray
    blocks: list[int]


def values_by_arm(values: pd.DataFrame, *columns: str) -> dict[str, ArmValues]:
    """Group a table with one row for each trial by arm.

    Args:
        values: A table with ``arm``, ``seed``, the columns, and ``repeat`` and ``split`` if there are
            several.
        columns: The columns to pair.
    """
    seeds = values["seed"].tolist()
    repeats = values["repeat"].tolist() if "repeat" in values else [0] * len(seeds)
    blocks = values["split"].tolist() if "split" in values else seeds
    numbers = values[list(columns)].to_numpy(float)
    rows: dict[str, list[int]] = {}
    for row, arm in enumerate(values["arm"].tolist()):
        rows.setdefault(str(arm), []).append(row)
    return {
        arm: ArmValues(
            [(seeds[row], repeats[row]) for row in of_arm], numbers[of_arm], [blocks[row] for row in of_arm]
        )
        for arm, of_arm in rows.items()
    }


def paired_trials(arms: Mapping[str, ArmValues], arm: str, baseline: str) -> Pairing:
    """Pair the trials of two arms by seed, and by repeat if there are several.

    Args:
        arms: The result of :func:`values_by_arm`.
        arm: The label of the first arm.
        baseline: The label of the other arm.

    Returns:
        The pairs of trials that both arms have; none if one arm has no values.
    """
    nothing = ArmValues(
        [], np.empty((0, max((each.values.shape[1] for each in arms.values()), default=1))), []
    )
    ours, theirs = arms.get(arm, nothing), arms.get(baseline, nothing)
    row_of = {key: row for row, key in enumerate(theirs.keys)}
    both = [(row, row_of[key]) for row, key in enumerate(ours.keys) if key in row_of]
    rows, others = ([pair[side] for pair in both] for side in (0, 1))
    return Pairing(
        ours.values[rows],
        theirs.values[others],
        np.unique([ours.keys[row][1] for row in rows], return_inverse=True)[1],
        np.unique([ours.blocks[row] for row in rows], return_inverse=True)[1],
    )
