"""What a batch-size study says, a line each: what is cheapest, both critical batch sizes, how sure that is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..core.formatting import number
from .batch_scaling import Curve
from .best_sizes import Best, seeds_for
from .critical_batch_size import LEAST_SIZES, Estimate
from .noise_scale import agreement

ROUGH = 0.25
"""A curve that misses a mean by more than this share is called rough."""
COARSE = 0.1
"""Where evaluation points lie further apart than this share of the samples to the goal, the numbers are called coarse."""


def words(found: Sequence[Curve], goal: str, budget: str) -> list[str]:
    """Say what a study found.

    Args:
        found: Its curves.
        goal: The goal, as written.
        budget: What a trial may spend, in words.

    Returns:
        The lines, those of each optimizer after its name where there are several.
    """
    return [
        f"{curve.optimizer}: {line}" if len(found) > 1 else line
        for curve in found
        for line in _of_curve(curve, goal, budget)
    ]


def _of_curve(curve: Curve, goal: str, budget: str) -> list[str]:
    table = curve.table
    if not np.isfinite(table["updates"]).any():
        hits, seeds = int(table["reached"].sum()), int(table["seeds"].sum())
        return [
            f"no batch size reaches {goal} within {budget} on most seeds ({hits} of {seeds} trials do), so that "
            "nothing can be recommended; give a goal that is easier to reach, or more --max-epochs"
        ]
    return [
        *_cheapest(curve),
        *_critical(curve),
        _how_sure(curve),
        *_under_other_tuning(curve),
        *_of_noise(curve),
        *_of_memory(curve),
        *_smoothing(curve),
        *_warnings(curve, goal, budget),
    ]


def _cheapest(curve: Curve) -> Iterator[str]:
    for cost, name in (("samples", "fewest samples"), ("updates", "fewest updates")):
        yield f"{name}: {_of_best(curve.best[cost], curve)}"
    best = curve.best.get("seconds")
    if best is not None:
        row = curve.table[curve.table["batch_size"] == best.size].iloc[0]
        between = f"{number(row['seconds_low'])} to {number(row['seconds_high'])} s"
        yield f"fewest seconds on this machine: {_of_best(best, curve, between)}"


def _of_best(best: Best, curve: Curve, shown: str = "") -> str:
    """The size of the lowest median, and which sizes are not set apart from it."""
    said, seeds = f"batch size {best.size} ({shown or number(best.median)})", curve.trials["seed"].nunique()
    if not best.possible:
        needed = seeds_for(len(curve.sizes), best.level)
        return f"{said}; {_count(seeds, 'seed')} cannot set any size apart, which takes {needed}"
    if not best.alike:
        return f"{said}; all other sizes are set apart from it"
    return f"{said}; {_listed(best.alike)} cannot be told apart from it"


def _critical(curve: Curve) -> Iterator[str]:
    found = curve.fit
    if found is None:
        yield f"knee: fewer than {LEAST_SIZES} batch sizes reach the goal on all seeds, which are too few to fit a curve"
        return
    for name, estimate in (
        ("knee, twice the least of both (McCandlish 2018)", found.critical),
        ("20% over perfect scaling (Zhang 2024)", found.twenty_percent),
    ):
        beyond = not min(curve.sizes) <= estimate.value <= max(curve.sizes)
        yield f"{name}: {_interval(estimate)}{'; beyond the sizes tried, so a guess' if beyond else ''}"
    size, share = found.worst
    rough = ", so that both are rough" if share > ROUGH else ""
    yield (
        f"curve: S = {number(found.updates.value)} + {number(found.samples.value)}/B updates; it misses the means by up to "
        f"{share:.0%} (at {size}){rough}"
    )


def _interval(estimate: Estimate) -> str:
    if not math.isfinite(estimate.low):
        return f"{number(estimate.value)}, without an interval"
    return f"{number(estimate.value)}, 95% interval {number(estimate.low)} to {number(estimate.high)}"


def _how_sure(curve: Curve) -> str:
    sizes = len(curve.fit.residuals) if curve.fit is not None else len(curve.sizes)
    seeds, tuning = curve.trials["seed"].nunique(), curve.beside.tuning_seeds
    covered = [_count(sizes, "batch size"), _count(seeds, "seed"), *([_count(tuning, "tuning seed")] if tuning else [])]
    return f"how sure: from {_joined(covered)}; the goal is known to {_resolution(curve)}"


def _resolution(curve: Curve) -> str:
    """How finely it is known when trials reached their goal."""
    reached = curve.trials[np.isfinite(curve.trials["updates"])]
    exact = int((reached["updates"] - reached["before"] <= 1).sum()) if "before" in reached else 0
    if exact > len(reached) / 2:
        return "the update" if exact == len(reached) else f"the update on {exact} of {len(reached)} trials"
    table = curve.table[np.isfinite(curve.table["samples"])]
    shares = (table["resolution"] / table["samples"]).to_numpy(float)
    return f"{shares.max():.1%} of the samples or better (worst at {table['batch_size'].iloc[int(shares.argmax())]})"


def _under_other_tuning(curve: Curve) -> Iterator[str]:
    """What would have been found without one of the tuning seeds."""
    if not any(curve.retuned.values()):
        return
    parts = [f"fewest {cost} {_listed(sizes, 'or')}" for cost, sizes in curve.retuned.items() if sizes]
    knees = [knee for knee in curve.fit.without_tuning_seed if math.isfinite(knee)] if curve.fit is not None else []
    if knees:
        ends = list(dict.fromkeys((number(min(knees)), number(max(knees)))))
        parts.append(f"knee {' to '.join(ends)}")
    yield f"without one of the tuning seeds: {', '.join(parts)}"


def _of_noise(curve: Curve) -> Iterator[str]:
    noise = curve.noise
    if noise is None or math.isnan(noise.value):
        return
    said = f"noise scale: {_interval(Estimate(noise.value, noise.low, noise.high))}"
    seed = "" if noise.seed is None else f", seed {noise.seed}"
    said += f", along {noise.arm or f'batches of {noise.batch_size}'}{seed} ({len(noise.points)} points)"
    if curve.fit is not None:
        critical = curve.fit.critical
        found = agreement(noise, critical.low, critical.value, critical.high)
        said += {
            "agrees": "; it agrees with the knee within a factor of two",
            "apart": f"; it is {number(noise.value / critical.value)} times the knee",
            "unknown": "; whether it agrees with the knee within a factor of two is not known",
        }[found]
    yield said
    if "beta2" in set(curve.memory["average"]):
        yield f"under {curve.optimizer} the noise scale underestimates the critical batch size (Merrill 2025)"


def _of_memory(curve: Curve) -> Iterator[str]:
    """What the optimizer's moving averages remember, which changes with the batch size where their decay does not."""
    kept = curve.memory[curve.memory["updates"] > 0]
    if kept.empty:
        return
    ends = f"{number(min(curve.sizes))} and {number(max(curve.sizes))}"
    parts = [
        f"{row.average} {number(float(row.smallest_samples))} and {number(float(row.largest_samples))}"  # type: ignore[arg-type]
        for row in kept.itertuples()
    ]
    yield f"memory of {curve.optimizer}, half-lives in samples at {ends}: {', '.join(parts)}"
    yield "its decay is fixed in updates, so that the critical batch size mixes batch size and memory"


def _smoothing(curve: Curve) -> Iterator[str]:
    """By which rule the goal was reached, how much earlier single values did, and what bias is left."""
    window = curve.beside.window
    if window == 0:
        yield "goal: reached by a single value, which a noisy loss is before its mean is"
        return
    dips, early = curve.table["dip"].fillna(0.0).to_numpy(float), ""
    if dips.min() < -0.005:
        early = f"; single values reach it up to {-dips.min():.0%} earlier (at {curve.sizes[int(dips.argmin())]})"
    yield f"goal: reached by the mean over {1 - window:g} to {1 + window:g} times the samples{early}"
    if curve.beside.start > 1:
        late = math.log(curve.beside.start) * window**2 / 6
        yield f"bias left: a loss that falls exponentially reaches its mean {late:.1%} late, at all sizes alike"


def _warnings(curve: Curve, goal: str, budget: str) -> Iterator[str]:
    table = curve.table
    missed = table[table["reached"] < table["seeds"]]
    if len(missed):
        each = [f"{row.batch_size} ({row.seeds - row.reached} of {row.seeds} seeds)" for row in missed.itertuples()]  # type: ignore[operator]
        yield f"missed {goal} within {budget}, and left out of the curve: {_joined(each)}"
    coarse = table[table["resolution"] > COARSE * table["samples"]]["batch_size"].tolist()
    if coarse:
        yield f"coarse, for the goal is within a few evaluation points: {_listed(coarse)}; a harder goal tells more"
    for column, said in (
        ("at_edge", "best learning rate at the edge of those tried"),
        ("jumps", "tuned learning rate jumps"),
    ):
        named = table[table[column].astype(bool)]["batch_size"].tolist()
        if named:
            yield f"{said}: {_listed(named)}"


def _count(number_of: int, name: str) -> str:
    return f"{number_of} {name}{'' if number_of == 1 else 's'}"


def _listed(sizes: Sequence[int], last: str = "and") -> str:
    return _joined([str(size) for size in sizes], last)


def _joined(texts: Sequence[str], last: str = "and") -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"
