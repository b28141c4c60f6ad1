"""Which trials of two arms belong together, and which of their differences are independent observations.

Trials of two arms are paired by seed, and by tuning repeat where there are several. Pairs are independent
where they share neither a split of the data nor a tuning: with one split and one tuning, every seed is an
observation. Seeds on the same split are one observation, their mean. Where rates were tuned repeatedly, every
seed was trained at the rates of every repeat, so that all pairs of a repeat share its rates and all pairs of
a seed its start: then repeats and seeds are dealt out into as many groups as the fewer of both allow, and an
observation is the mean over one group's repeats and seeds.
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
    """The values of two arms on what they share, and where each pair belongs.

    ``ours`` and ``theirs`` are float[n, columns]; ``repeat`` and ``block`` int[n] count the tuning repeats
    and the splits (without several splits: the seeds) from 0.
    """

    ours: np.ndarray
    theirs: np.ndarray
    repeat: np.ndarray
    block: np.ndarray

    def first(self) -> Pairing:
        """The first pair alone."""
        return Pairing(self.ours[:1], self.theirs[:1], self.repeat[:1], self.block[:1])

    def where(self, rows: np.ndarray) -> Pairing:
        """Some of the pairs, counted anew."""
        repeat, block = (np.unique(each[rows], return_inverse=True)[1] for each in (self.repeat, self.block))
        return Pairing(self.ours[rows], self.theirs[rows], repeat, block)

    def independent(self, values: np.ndarray) -> np.ndarray:
        """The means of float[n] values over what is one observation each, float[observations]."""
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
        """How many independent observations there are."""
        repeats, blocks = (int(each.max(initial=-1)) + 1 for each in (self.repeat, self.block))
        return blocks if repeats == 1 else min(repeats, blocks)

    def interval(self, values: np.ndarray) -> tuple[float, float, float]:
        """The mean of float[n] values with the ends of its 95% t interval; of tuning repeats see
        :func:`crossed_interval`.
        """
        if len(values) == 0 or not np.isfinite(values).all():
            return math.nan, math.nan, math.nan
        if not self.repeat.any():
            with np.errstate(over="ignore"):  # of differences near the largest float the interval is infinite
                return mean_interval(self.independent(values))
        table = np.full((self.repeat.max() + 1, self.block.max() + 1), np.nan)
        sums, counts = np.zeros_like(table), np.zeros_like(table)
        np.add.at(sums, (self.repeat, self.block), values)
        np.add.at(counts, (self.repeat, self.block), 1)
        np.divide(sums, counts, out=table, where=counts > 0)
        return crossed_interval(table[:, ~np.isnan(table).any(axis=0)])


def crossed_interval(table: np.ndarray) -> tuple[float, float, float]:
    """The mean of float[repeats, blocks] with the ends of its 95% interval over repeats and blocks.

    A value is the sum of what its repeat, its block and chance give it. The variance of the mean is that of
    the repeat means over their number, as if each repeat were one observation, and what blocks have in common
    over all repeats: (MS_r + max(0, MS_b - MS_e))/(rb), with Satterthwaite's degrees of freedom (Scheffé
    1959, The Analysis of Variance, chapter 7). Over the repeat means alone the interval would hold for these
    very seeds, and cover the truth in .49 to .95 of experiments instead of .95 to .97. The ends are nan below
    :data:`FEWEST_REPEATS` repeats, and for one block.
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
    """One arm's values float[trials, columns], the seed and repeat of each trial, and its split (without
    several: its seed).
    """

    keys: list[tuple[int, int]]
    values: np.ndarray
    blocks: list[int]


def values_by_arm(values: pd.DataFrame, *columns: str) -> dict[str, ArmValues]:
    """Sort a table of one row a trial by arms.

    Args:
        values: Has ``arm``, ``seed``, the columns, and ``repeat`` and ``split`` where there are several.
        columns: What is to be paired.
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
            [(seeds[row], repeats[row]) for row in mine], numbers[mine], [blocks[row] for row in mine]
        )
        for arm, mine in rows.items()
    }


def paired_trials(arms: Mapping[str, ArmValues], arm: str, baseline: str) -> Pairing:
    """Pair two arms' trials by seed, and by repeat where there are several.

    Args:
        arms: As :func:`values_by_arm` gives them.
        arm: The first arm's label.
        baseline: The other's.

    Returns:
        The pairs on what both share; none where an arm has no values.
    """
    nothing = ArmValues(
        [], np.empty((0, max((each.values.shape[1] for each in arms.values()), default=1))), []
    )
    ours, theirs = arms.get(arm, nothing), arms.get(baseline, nothing)
    place = {key: row for row, key in enumerate(theirs.keys)}
    both = [(row, place[key]) for row, key in enumerate(ours.keys) if key in place]
    rows, others = ([pair[side] for pair in both] for side in (0, 1))
    return Pairing(
        ours.values[rows],
        theirs.values[others],
        np.unique([ours.keys[row][1] for row in rows], return_inverse=True)[1],
        np.unique([ours.blocks[row] for row in rows], return_inverse=True)[1],
    )
