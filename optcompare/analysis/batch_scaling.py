"""The batch-size study: one curve for each optimizer, from the cost of each trial to reach its goal."""

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
class StudyContext:
    """Hold the data of a study in addition to the costs of its trials; by default none.

    Attributes:
        at_edge: By arm, whether its tuned rate is the smallest or the largest that was tried.
        retuned: What tuning would choose without each tuning seed, as
            :func:`.retuning.without_each_tuning_seed` returns it.
        tuning_seeds: The number of seeds on which rates were chosen.
        noise: The points of the noise scale of all optimizers, with a column ``optimizer``.
        update_times: The rounds in which one clock timed the updates of all arms in turn.
        clocks: By arm, how its seconds were obtained: ``measured``, ``estimated``, ``shared`` or ``mixed``.
        averages: By arm, the decay of each moving average of its optimizer.
        level: The accepted chance of setting the best size apart.
        start: The goal's metric before training, divided by its value at the goal.
        window: The goal is reached by the mean over 1 - window to 1 + window times the samples; 0: by a
            single value.
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
    """Hold the results of a study for one optimizer.

    Attributes:
        optimizer: The label of the optimizer.
        table: A row for each batch size, rising, with ``COLUMNS``; a median that is a miss is infinite.
        trials: The costs of every report trial, with its ``batch_size``.
        fit: The fitted curve, with both critical batch sizes; None with too few sizes.
        noise: The noise scale along one trial, if it was measured.
        best: By cost, the batch size of the lowest cost and the sizes that are set apart from it;
            ``seconds`` only where one clock timed all of them in turn.
        retuned: By cost, the batch sizes of the lowest median without each tuning seed.
        memory: The half-lives of the optimizer's moving averages (:func:`.optimizer_memory.half_lives`).
        context: The other data of the study.
    """

    optimizer: str
    table: pd.DataFrame
    trials: pd.DataFrame
    fit: Fit | None
    noise: NoiseScale | None
    best: Mapping[str, Best]
    retuned: Mapping[str, tuple[int, ...]]
    memory: pd.DataFrame
    context: StudyContext

    @property
    def sizes(self) -> list[int]:
        """Return the batch sizes, rising."""
        return [int(size) for size in self.table["batch_size"]]


def curves(times: pd.DataFrame, arms: pd.DataFrame, context: StudyContext | None = None) -> list[Curve]:
    """Summarise a study.

    Args:
        times: One row for each report trial, as
            :func:`~optcompare.analysis.time_to_goal.time_to_goal` returns them.
        arms: One row for each arm: ``arm, optimizer, batch_size, lr``.
        context: All else that is known; None: nothing.

    Returns:
        One curve for each optimizer, in the order of ``arms``.
    """
    context = context or StudyContext()
    return [
        _curve(str(optimizer), times, group.sort_values("batch_size", ignore_index=True), context)
        for optimizer, group in arms.groupby("optimizer", sort=False)
    ]


def _curve(optimizer: str, times: pd.DataFrame, arms: pd.DataFrame, context: StudyContext) -> Curve:
    trials = times.merge(arms[["arm", "batch_size"]], on="arm")
    trials = trials[trials["samples"].notna()]
    sizes, paces = [int(size) for size in arms["batch_size"]], update_seconds(context.update_times)
    timed = timed_alike(paces, set(arms["arm"]))
    paces = arms[["arm"]].merge(paces, on="arm", how="left").set_index(arms.index)
    retuned = context.retuned.merge(arms[["arm", "batch_size"]], on="arm")
    fitted = fit(_complete(trials), retuned if len(retuned) else None)
    best = _best(trials, sizes, paces if timed else None, context.level)
    rows = [
        _row(trials[trials["arm"] == arm], fitted, size) for arm, size in zip(arms["arm"], sizes, strict=True)
    ]
    table = pd.concat([arms, pd.DataFrame(rows)], axis=1).assign(
        at_edge=[bool(context.at_edge.get(arm, False)) for arm in arms["arm"]],
        jumps=np.isin(sizes, _jumps(sizes, arms["lr"], rows)),
        clock=TIMED if timed else [context.clocks.get(arm, "") for arm in arms["arm"]],
        **{f"fewest_{cost}": [_not_apart(best.get(cost), size) for size in sizes] for cost in COSTS},
    )
    if timed:
        for name, pace in (("seconds", "seconds"), ("seconds_low", "low"), ("seconds_high", "high")):
            table[name] = table["updates"] * paces[pace]
    table["front"] = pareto(table["updates"].to_numpy(float), table["samples"].to_numpy(float))
    noise = context.noise[context.noise["optimizer"] == optimizer] if len(context.noise) else context.noise
    return Curve(
        optimizer=optimizer,
        table=table.loc[:, list(COLUMNS)],
        trials=trials,
        fit=fitted,
        noise=noise_scale(noise.reset_index(drop=True)),
        best=best,
        retuned={name: _lowest_without(trials, retuned, name) for name in ("samples", "updates")},
        memory=half_lives(context.averages.get(arms["arm"].iloc[0], {}), sizes),
        context=context,
    )


def _jumps(sizes: Sequence[int], rates: pd.Series, rows: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the batch sizes with a learning rate out of line with the rates of their neighbours.

    Only sizes that reach the goal count: the goal did not choose the rates of the others.
    """
    reached = [index for index, row in enumerate(rows) if math.isfinite(row["updates"])]
    return jumps([sizes[index] for index in reached], [float(rates.iloc[index]) for index in reached])


def _row(trials: pd.DataFrame, fitted: Fit | None, size: int) -> dict[str, Any]:
    """Summarise the costs of the trials of one batch size."""
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
    """Keep the seeds with trials at all batch sizes; keep all seeds if there are fewer than two such."""
    counts = trials.groupby("seed")["batch_size"].nunique()
    whole = counts.index[counts == trials["batch_size"].nunique()]
    return trials[trials["seed"].isin(whole)] if len(whole) > 1 else trials


def _median(values: pd.Series) -> float:
    """Return the median, infinite where the middle trial is a miss."""
    return float(np.median(values.to_numpy(float))) if len(values) else math.nan


def _costs(trials: pd.DataFrame, cost: str, sizes: Sequence[int]) -> Floats:
    """Tabulate a cost as float[seeds, sizes]: infinite for a miss, nan for a missing trial."""
    table = trials.pivot_table(cost, "seed", "batch_size", dropna=False, aggfunc="first")
    return np.asarray(table.reindex(columns=list(sizes)).to_numpy(float))


def _best(
    trials: pd.DataFrame, sizes: Sequence[int], paces: pd.DataFrame | None, level: float
) -> dict[str, Best]:
    """Find the best size by each cost.

    ``paces`` holds the seconds of an update at each size, if one clock timed all of them.
    """
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
    """Return the batch sizes of the lowest median, rising, leaving out each tuning seed in turn."""
    medians = trials.groupby("batch_size")[cost].agg(_median)
    found = set[int]()
    for _, without in retuned.groupby("left_out", sort=False):
        changed = medians * without.set_index("batch_size")["ratio"]
        if np.isfinite(changed).any():
            found.add(int(changed.index[int(np.nanargmin(changed.to_numpy(float)))]))
    return tuple(sorted(found))


def pareto(updates: Sequence[float] | Floats, samples: Sequence[float] | Floats) -> list[bool]:
    """Mark the points of the Pareto front.

    A point is on the front if no other point has as few of both and fewer of one. A miss is never on it.

    Args:
        updates: float[n], infinite for a miss.
        samples: float[n], infinite for a miss.

    Returns:
        bool[n], True for points on the front.
    """
    points = list(zip(updates, samples, strict=True))

    def bettered(a: tuple[float, float]) -> bool:
        return any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in points)

    return [math.isfinite(a[0]) and math.isfinite(a[1]) and not bettered(a) for a in points]
