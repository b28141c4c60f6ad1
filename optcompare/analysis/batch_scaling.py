"""The batch-size study: from what each trial took to its goal to one curve an optimizer, with all that is
known of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .best_sizes import Best, seconds_apart, set_apart
from .critical_batch_size import Fit, fit
from .error_rate import FIRST_LEVEL
from .noise_scale import NoiseScale, noise_scale
from .optimizer_memory import half_lives
from .retuning import jumps
from .scaling_curve import Floats
from .update_seconds import TIMED, timed_alike, update_seconds

COLUMNS = (
    "optimizer",
    "batch_size",
    "arm",
    "lr",
    "at_edge",
    "jumps",
    "seeds",
    "reached",
    "updates",
    "updates_low",
    "updates_high",
    "samples",
    "seconds",
    "seconds_low",
    "seconds_high",
    "clock",
    "resolution",
    "dip",
    "front",
    "fitted",
    "fewest_samples",
    "fewest_updates",
    "fewest_seconds",
)
COSTS = ("samples", "updates", "seconds")
NO_RETUNING = pd.DataFrame(columns=["arm", "left_out", "lr", "ratio"])


@dataclass(frozen=True)
class Beside:
    """What a study knows beside the costs of its trials; by default nothing.

    Attributes:
        at_edge: By arm, whether its tuned rate is the smallest or the largest that was tried.
        retuned: What tuning would choose without each tuning seed
        (:func:`.retuning.without_each_tuning_seed`). tuning_seeds: On how many seeds rates were chosen.
        noise: The points of the noise scale, of all optimizers, with a column ``optimizer``. update_times:
        The rounds in which the arms' updates were timed in turn by one clock. clocks: By arm, what its
        trials' seconds are: ``measured``, ``estimated``, ``shared`` or ``mixed``. averages: By arm, the decay
        of each moving average of its optimizer. level: The chance of setting the best size apart that is
        accepted. start: The goal's metric before training, over its value at the goal. window: The goal is
        reached by the mean from 1 - window to 1 + window times the samples; 0: by a single value.
    """

    at_edge: Mapping[str, bool] = field(default_factory=dict)
    retuned: pd.DataFrame = field(default_factory=NO_RETUNING.copy)
    tuning_seeds: int = 0
    noise: pd.DataFrame = field(default_factory=pd.DataFrame)
    update_times: Sequence[Mapping[str, Any]] = ()
    clocks: Mapping[str, str] = field(default_factory=dict)
    averages: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    level: float = FIRST_LEVEL
    start: float = math.nan
    window: float = 0.0


@dataclass(frozen=True)
class Curve:
    """What a study found of one optimizer.

    Attributes:
        optimizer: Its label.
        table: A row for each batch size, rising, with ``COLUMNS``; a median that is a miss is infinite.
        trials: The costs of every report trial, with its ``batch_size``.
        fit: The fitted curve, with both critical batch sizes; None with too few sizes.
        noise: The noise scale along one trial, if it was measured.
        best: By cost, the batch size of the lowest and which are set apart from it; ``seconds`` only where
            all were timed in turn by one clock.
        retuned: By cost, the batch sizes of the lowest median without each tuning seed.
        memory: The half-lives of the optimizer's moving averages (:func:`.optimizer_memory.half_lives`).
        beside: All else that the study knows.
    """

    optimizer: str
    table: pd.DataFrame
    trials: pd.DataFrame
    fit: Fit | None
    noise: NoiseScale | None
    best: Mapping[str, Best]
    retuned: Mapping[str, tuple[int, ...]]
    memory: pd.DataFrame
    beside: Beside

    @property
    def sizes(self) -> list[int]:
        """Its batch sizes."""
        return [int(size) for size in self.table["batch_size"]]


def curves(times: pd.DataFrame, arms: pd.DataFrame, beside: Beside | None = None) -> list[Curve]:
    """Summarise a study.

    Args:
        times: A row a report trial, as :func:`~optcompare.analysis.time_to_goal.time_to_goal` gives.
        arms: ``arm, optimizer, batch_size, lr``.
        beside: What else is known.

    Returns:
        One curve an optimizer, in the order of ``arms``.
    """
    beside = beside or Beside()
    return [
        _curve(str(optimizer), times, mine.sort_values("batch_size", ignore_index=True), beside)
        for optimizer, mine in arms.groupby("optimizer", sort=False)
    ]


def _curve(optimizer: str, times: pd.DataFrame, arms: pd.DataFrame, beside: Beside) -> Curve:
    trials = times.merge(arms[["arm", "batch_size"]], on="arm")
    trials = trials[trials["samples"].notna()]
    sizes, paces = [int(size) for size in arms["batch_size"]], update_seconds(beside.update_times)
    timed = timed_alike(paces, set(arms["arm"]))
    paces = arms[["arm"]].merge(paces, on="arm", how="left").set_index(arms.index)
    retuned = beside.retuned.merge(arms[["arm", "batch_size"]], on="arm")
    fitted = fit(_complete(trials), retuned if len(retuned) else None)
    best = _best(trials, sizes, paces if timed else None, beside.level)
    rows = [
        _row(trials[trials["arm"] == arm], fitted, size) for arm, size in zip(arms["arm"], sizes, strict=True)
    ]
    table = pd.concat([arms, pd.DataFrame(rows)], axis=1).assign(
        at_edge=[bool(beside.at_edge.get(arm, False)) for arm in arms["arm"]],
        jumps=np.isin(sizes, _jumps(sizes, arms["lr"], rows)),
        clock=TIMED if timed else [beside.clocks.get(arm, "") for arm in arms["arm"]],
        **{f"fewest_{cost}": [_not_apart(best.get(cost), size) for size in sizes] for cost in COSTS},
    )
    if timed:
        for name, pace in (("seconds", "seconds"), ("seconds_low", "low"), ("seconds_high", "high")):
            table[name] = table["updates"] * paces[pace]
    table["front"] = pareto(table["updates"].to_numpy(float), table["samples"].to_numpy(float))
    noise = beside.noise[beside.noise["optimizer"] == optimizer] if len(beside.noise) else beside.noise
    return Curve(
        optimizer=optimizer,
        table=table.loc[:, list(COLUMNS)],
        trials=trials,
        fit=fitted,
        noise=noise_scale(noise.reset_index(drop=True)),
        best=best,
        retuned={name: _lowest_without(trials, retuned, name) for name in ("samples", "updates")},
        memory=half_lives(beside.averages.get(arms["arm"].iloc[0], {}), sizes),
        beside=beside,
    )


def _jumps(sizes: Sequence[int], rates: pd.Series, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """The batch sizes whose rate is out of line, among those that reach the goal: other rates were not chosen
    by it.
    """
    reached = [place for place, row in enumerate(rows) if math.isfinite(row["updates"])]
    return jumps([sizes[place] for place in reached], [float(rates.iloc[place]) for place in reached])


def _row(trials: pd.DataFrame, fitted: Fit | None, size: int) -> dict[str, Any]:
    """What the trials of one batch size took."""
    updates = trials["updates"]
    dips = (
        trials["dip"] / updates.where(np.isfinite(updates)) - 1 if "dip" in trials else pd.Series(dtype=float)
    )
    return {
        "seeds": len(trials),
        "reached": int(np.isfinite(updates).sum()),
        **{name: _median(trials[name]) for name in COSTS},
        "updates_low": float(updates.min()),
        "updates_high": float(updates.max()),
        "seconds_low": float(trials["seconds"].min()),
        "seconds_high": float(trials["seconds"].max()),
        "resolution": float(trials["resolution"].median()),
        "dip": float(dips.median()),
        "fitted": math.nan if fitted is None else fitted.at(size),
    }


def _complete(trials: pd.DataFrame) -> pd.DataFrame:
    """The trials of the seeds of which there are trials at all batch sizes, if there are two such seeds."""
    counts = trials.groupby("seed")["batch_size"].nunique()
    whole = counts.index[counts == trials["batch_size"].nunique()]
    return trials[trials["seed"].isin(whole)] if len(whole) > 1 else trials


def _median(values: pd.Series) -> float:
    """Infinite where the middle trial missed."""
    return float(np.median(values.to_numpy(float))) if len(values) else math.nan


def _costs(trials: pd.DataFrame, cost: str, sizes: Sequence[int]) -> Floats:
    """float[seeds, sizes]; a miss is infinite, a trial that there is not nan."""
    table = trials.pivot_table(cost, "seed", "batch_size", dropna=False, aggfunc="first")
    return np.asarray(table.reindex(columns=list(sizes)).to_numpy(float))


def _best(
    trials: pd.DataFrame, sizes: Sequence[int], paces: pd.DataFrame | None, level: float
) -> dict[str, Best]:
    """``paces``: seconds an update of each size, where all were timed by one clock."""
    if trials.empty:
        return {}
    found = {cost: set_apart(_costs(trials, cost, sizes), sizes, level) for cost in ("samples", "updates")}
    if paces is not None:
        updates = _costs(trials, "updates", sizes)
        found["seconds"] = seconds_apart(updates, sizes, paces["low"].tolist(), paces["high"].tolist(), level)
    return found


def _not_apart(best: Best | None, size: int) -> bool:
    return best is not None and math.isfinite(best.median) and (size == best.size or size in best.alike)


def _lowest_without(trials: pd.DataFrame, retuned: pd.DataFrame, cost: str) -> tuple[int, ...]:
    """The batch sizes of the lowest median, rising, when each tuning seed is left out in turn."""
    medians = trials.groupby("batch_size")[cost].agg(_median)
    found = set[int]()
    for _, without in retuned.groupby("left_out", sort=False):
        changed = medians * without.set_index("batch_size")["ratio"]
        if np.isfinite(changed).any():
            found.add(int(changed.index[int(np.nanargmin(changed.to_numpy(float)))]))
    return tuple(sorted(found))


def pareto(updates: Sequence[float] | Floats, samples: Sequence[float] | Floats) -> list[bool]:
    """Which points no other betters: none has as few of both and fewer of one.

    A miss is never on the front.
    """
    points = list(zip(updates, samples, strict=True))

    def bettered(a: tuple[float, float]) -> bool:
        return any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in points)

    return [math.isfinite(a[0]) and math.isfinite(a[1]) and not bettered(a) for a in points]
