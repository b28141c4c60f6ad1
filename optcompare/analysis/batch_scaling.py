"""The batch-size study: from what each trial took to its goal to curves, a fit, and a recommendation in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ..core.formatting import number
from .critical_batch_size import LEAST_SIZES, Fit, fit
from .critical_batch_size import fit_curve as fit_curve
from .statistics import mean_interval

Floats = NDArray[np.float64]

ROUGH = 0.25
"""A fit that misses a median by more than this share is called rough."""
COARSE = 0.3
"""Where marks lie further apart than this share of the samples to the goal, the numbers are called coarse."""
COLUMNS = (
    "optimizer", "batch_size", "arm", "lr", "at_edge", "seeds", "reached", "updates", "updates_low", "updates_high",
    "samples", "seconds", "resolution", "front", "fitted",
)  # fmt: skip


@dataclass(frozen=True)
class Curve:
    """One optimizer: a ``table`` with a row for each batch size (columns as in ``COLUMNS``; a median that is a miss is
    infinite), the costs of every trial, the fit if there is one, and the noise scale along one trial, if measured."""

    optimizer: str
    table: pd.DataFrame
    trials: pd.DataFrame
    fit: Fit | None
    noise: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def noise_scale(self) -> float:
        """Mean of the trace over mean of the squared gradient along the trial; nan where it was not measured."""
        if self.noise.empty or not self.noise["squared"].mean() > 0:
            return math.nan
        return float(self.noise["trace"].mean() / self.noise["squared"].mean())


def pareto(updates: Sequence[float] | Floats, samples: Sequence[float] | Floats) -> list[bool]:
    """Which points no other betters: none has as few of both and fewer of one. A miss is never on the front."""
    points = list(zip(updates, samples, strict=True))

    def bettered(a: tuple[float, float]) -> bool:
        return any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in points)

    return [math.isfinite(a[0]) and math.isfinite(a[1]) and not bettered(a) for a in points]


def curves(
    times: pd.DataFrame, arms: pd.DataFrame, noise: pd.DataFrame | None = None, rates: pd.DataFrame | None = None
) -> list[Curve]:
    """One curve an optimizer, in the order of ``arms`` (columns ``arm, optimizer, batch_size, lr``).

    ``times``: a row a trial, as :func:`~optcompare.analysis.time_to_goal.time_to_goal` gives; ``noise``: ``optimizer,
    batch_size, update, samples, trace, squared``; ``rates``: ``arm, at_edge``, of what tuning chose.
    """
    edges = {} if rates is None else dict(zip(rates["arm"], rates["at_edge"], strict=True))
    found = []
    for optimizer, mine in arms.groupby("optimizer", sort=False):
        trials = times.merge(mine[["arm", "batch_size"]], on="arm")
        trials = trials[trials["samples"].notna()]
        fitted = fit(trials)
        rows = []
        for arm in mine.sort_values("batch_size").itertuples(index=False):
            own = trials[trials["arm"] == arm.arm]
            costs = {name: _median(own[name]) for name in ("updates", "samples", "seconds")}
            size = int(arm.batch_size)  # type: ignore[arg-type]
            rows.append({
                "optimizer": optimizer, "batch_size": size, "arm": arm.arm, "lr": arm.lr,
                "at_edge": bool(edges.get(arm.arm, False)), "seeds": len(own),
                "reached": int(np.isfinite(own["updates"]).sum()), **costs,
                "updates_low": float(own["updates"].min()), "updates_high": float(own["updates"].max()),
                "resolution": float(own["resolution"].median()),
                "fitted": math.nan if fitted is None else fitted.at(size),
            })  # fmt: skip
        table = pd.DataFrame(rows).assign(front=False).loc[:, list(COLUMNS)]
        table["front"] = pareto(table["updates"].to_numpy(float), table["samples"].to_numpy(float))
        along = pd.DataFrame() if noise is None or noise.empty else noise[noise["optimizer"] == optimizer]
        found.append(Curve(str(optimizer), table, trials, fitted, along))
    return found


def _median(values: pd.Series) -> float:
    """Infinite where the middle trial missed."""
    return float(np.median(values.to_numpy(float))) if len(values) else math.nan


def words(found: Sequence[Curve], goal: str, budget: str, seconds: str = "seconds") -> list[str]:
    """The recommendation, sentence by sentence; ``seconds``: what kind they are."""
    return [sentence for curve in found for sentence in _of_curve(curve, goal, budget, seconds, len(found) > 1)]


def _of_curve(curve: Curve, goal: str, budget: str, seconds: str, several: bool) -> list[str]:
    table, start = curve.table, f"{curve.optimizer}: " if several else ""
    missed = table[~np.isfinite(table["updates"])]["batch_size"].tolist()
    if len(missed) == len(table):
        hits, seeds = int(table["reached"].sum()), int(table["seeds"].sum())
        return [
            f"{start}no batch size reaches {goal} within {budget} on most seeds ({hits} of {seeds} trials do), so that "
            "nothing can be recommended; give a goal that is easier to reach, or more --max-epochs."
        ]
    said = [
        f"{start}fewest samples: {_cheapest(curve, 'samples', 'samples')}",
        f"{start}fewest updates: {_cheapest(curve, 'updates', 'updates')}",
        f"{start}fewest seconds on this machine: {_cheapest(curve, 'seconds', seconds)}",
    ]
    said += [start + sentence for sentence in (_knee(curve), _of_noise(curve)) if sentence]
    if missed:
        said.append(f"{start}{_listed(missed)} missed the goal within {budget} on at least half of the seeds.")
    coarse = table[table["resolution"] > COARSE * table["samples"]]["batch_size"].tolist()
    if coarse:
        said.append(
            f"{start}{_listed(coarse)} reached the goal within a few marks, so that their numbers are coarse; a goal that is "
            "harder to reach tells more."
        )
    edges = table[table["at_edge"]]["batch_size"].tolist()
    if edges:
        said.append(f"{start}the best learning rate of {_listed(edges)} lies at the edge of those tried.")
    return said


def _cheapest(curve: Curve, cost: str, unit: str) -> str:
    """The batch size with the lowest median, on how many seeds it is lowest, and what cannot be told apart from it."""
    table = curve.table[np.isfinite(curve.table[cost])]
    row = table.loc[table[cost].idxmin()]
    best = int(row["batch_size"])
    costs = curve.trials.pivot_table(cost, "seed", "batch_size", dropna=False, aggfunc="first")
    wins, seeds = int((costs[best] <= costs.min(axis=1)).sum()), len(costs)
    said = f"a batch size of {best}, with {number(float(row[cost]))} {unit} in the median"
    if seeds < 2:
        return f"{said}; one seed does not tell how sure that is."
    alike = [int(size) for size in map(int, costs.columns) if size != best and _alike(costs[size], costs[best])]
    sure = f"; lowest on {wins} of {seeds} seeds"
    return f"{said}{sure}, {_listed(alike)} cannot be told apart from it." if alike else f"{said}{sure}."


def _alike(one: pd.Series, other: pd.Series) -> bool:
    """Whether the 95% t interval of the paired ratio holds 1; a batch size with a miss is not alike."""
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.log(one.to_numpy(float)) - np.log(other.to_numpy(float))
    mean, low, high = mean_interval(logs)
    return math.isfinite(mean) and low <= 0 <= high


def _knee(curve: Curve) -> str:
    found = curve.fit
    if found is None:
        return (
            f"knee: fewer than {LEAST_SIZES} batch sizes reach the goal on all seeds, which are too few to fit a curve."
        )
    sizes = curve.table["batch_size"]
    value, low, high = found.critical
    said = f"knee: a batch size of {number(value)}"
    said += f" (95% interval {number(low)} to {number(high)} over {found.seeds} seeds)" if math.isfinite(low) else ""
    said += f", where S = {number(found.updates[0])} + {number(found.samples[0])}/B takes twice its least updates and samples"
    if not sizes.min() <= value <= sizes.max():
        said += "; it lies beyond the batch sizes tried, so it is a guess"
    worst, share = found.worst
    rough = ", so the knee is rough" if share > ROUGH else ""
    return f"{said}; the fit misses the medians by up to {share:.0%} (at {worst}){rough}."


def _of_noise(curve: Curve) -> str:
    scale = curve.noise_scale
    if math.isnan(scale):
        return ""
    size = int(curve.noise["batch_size"].iloc[0])
    said = f"noise scale: {number(scale)} along a trial with batches of {size}"
    if curve.fit is None:
        return f"{said}; there is no critical batch size to compare it with."
    value, low, high = curve.fit.critical
    apart = scale / value
    factor = f"{number(max(apart, 1 / apart))} times {'larger' if apart > 1 else 'smaller'} than"
    if low <= scale <= high:
        return f"{said}; the cheap estimate would have told the critical batch size."
    near = "roughly told" if max(apart, 1 / apart) <= 3 else "misled about"
    return f"{said}, {factor} the critical batch size found: the cheap estimate would have {near} it."


def _listed(sizes: Sequence[int]) -> str:
    texts = [str(size) for size in sizes]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} and {texts[-1]}"
