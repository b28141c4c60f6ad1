"""The findings of a batch-size study in lines: cheapest sizes, critical batch sizes, uncertainty."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np

from ..core.formatting import number
from .batch_scaling import Curve
from .best_sizes import Best, seeds_for
from .critical_batch_size import LEAST_SIZES, SizeEstimate
from .noise_scale import agreement

ROUGH = 0.25
"""A curve that misses a mean by more than this share is called rough."""
COARSE = 0.1
"""Numbers are called coarse if evaluation points lie further apart than this share of the samples."""


def words(found: Sequence[Curve], goal: str, budget: str) -> list[str]:
    """Write the findings of a study.

    Args:
        found: The curves of the study.
        goal: The goal as the user wrote it.
        budget: The budget of a trial, in words.

    Returns:
        The lines; each begins with the name of its optimizer if there are several.
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
            f"no batch size reaches {goal} within {budget} on most seeds ({hits} of {seeds} trials do)",
            "so nothing is recommended: give an easier goal, more epochs or another range of learning rates",
        ]
    return [
        *_cheapest(curve),
        *_critical(curve),
        _how_sure(curve),
        f"resolution: the goal is known to {_resolution(curve)}",
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
        yield f"fewest seconds here: {_of_best(best, curve, between)}"


def _of_best(best: Best, curve: Curve, shown: str = "") -> str:
    """Name the size of the lowest median, and the sizes that are not set apart from it."""
    lowest, seeds = f"batch size {best.size} ({shown or number(best.median)})", curve.trials["seed"].nunique()
    if len(curve.sizes) == 1:
        return f"{lowest}, the only one tried"
    if not best.possible:
        needed = seeds_for(len(curve.sizes), best.level)
        return f"{lowest}; {_count(seeds, 'seed')} cannot tell sizes apart, which takes {needed}"
    return f"{lowest}; cannot be told apart: {', '.join(map(str, best.alike)) or 'none'}"


def _critical(curve: Curve) -> Iterator[str]:
    found = curve.fit
    if found is None:
        yield f"knee: a curve takes {LEAST_SIZES} batch sizes at which all seeds have reached the goal"
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
        f"curve: S = {number(found.updates.value)} + {number(found.samples.value)}/B updates; it misses the "
        f"means by up to {share:.0%} (at {size}){rough}"
    )


def _interval(estimate: SizeEstimate) -> str:
    if not math.isfinite(estimate.low):
        return f"{number(estimate.value)}, without an interval"
    return f"{number(estimate.value)}, 95% interval {number(estimate.low)} to {number(estimate.high)}"


def _how_sure(curve: Curve) -> str:
    counts = {"seed": curve.trials["seed"].nunique(), "tuning seed": curve.context.tuning_seeds}
    if curve.fit is not None:
        counts = {"batch size": len(curve.fit.residuals), **counts}
    covered = [_count(number_of, name) for name, number_of in counts.items() if number_of]
    return f"how sure: from {_joined(covered)}"


def _resolution(curve: Curve) -> str:
    """Describe how precisely it is known when trials reached their goal."""
    reached = curve.trials[np.isfinite(curve.trials["updates"])]
    exact = int((reached["updates"] - reached["before"] <= 1).sum()) if "before" in reached else 0
    if exact > len(reached) / 2:
        return "the update" if exact == len(reached) else f"the update on {exact} of {len(reached)} trials"
    table = curve.table[np.isfinite(curve.table["samples"])]
    shares = (table["resolution"] / table["samples"]).to_numpy(float)
    return (
        f"{shares.max():.1%} of the samples or better (worst at "
        f"{table['batch_size'].iloc[int(shares.argmax())]})"
    )


def _under_other_tuning(curve: Curve) -> Iterator[str]:
    """Describe the results without one of the tuning seeds."""
    if not any(curve.retuned.values()):
        return
    parts = [f"fewest {cost} {_listed(sizes, 'or')}" for cost, sizes in curve.retuned.items() if sizes]
    knees = (
        [knee for knee in curve.fit.without_tuning_seed if math.isfinite(knee)]
        if curve.fit is not None
        else []
    )
    if knees:
        ends = list(dict.fromkeys((number(min(knees)), number(max(knees)))))
        parts.append(f"knee {' to '.join(ends)}")
    yield f"without one of the tuning seeds: {', '.join(parts)}"


def _of_noise(curve: Curve) -> Iterator[str]:
    noise = curve.noise
    if noise is None or math.isnan(noise.value):
        return
    seed = "" if noise.seed is None else f", seed {noise.seed}"
    trial = f"{noise.arm or f'batches of {noise.batch_size}'}{seed}, {len(noise.points)} points"
    over = " over rows" if math.isfinite(noise.low) else ""
    yield f"noise scale: {_interval(SizeEstimate(noise.value, noise.low, noise.high))}{over} ({trial})"
    if curve.fit is not None:
        critical = curve.fit.critical
        found = agreement(noise, critical.low, critical.value, critical.high)
        yield {
            "agrees": "noise scale and knee: agree within a factor of two",
            "apart": f"noise scale and knee: apart, it is {number(noise.value / critical.value)} times the "
            "knee",
            "unknown": "noise scale and knee: whether they agree within a factor of two is not known",
        }[found]
    if "beta2" in set(curve.memory["average"]):
        yield f"under {curve.optimizer} the noise scale underestimates the critical batch size (Merrill 2025)"


def _of_memory(curve: Curve) -> Iterator[str]:
    """Describe the half-lives of the optimizer's moving averages.

    In samples they change with the batch size if the decay does not.
    """
    kept = curve.memory[curve.memory["updates"] > 0]
    if kept.empty:
        return
    ends = f"{number(min(curve.sizes))} and {number(max(curve.sizes))}"
    columns = kept[["average", "smallest_samples", "largest_samples"]]
    parts = [
        f"{average} {number(float(smallest))} and {number(float(largest))}"
        for average, smallest, largest in columns.itertuples(index=False)
    ]
    yield f"memory of {curve.optimizer}, half-lives in samples at {ends}: {', '.join(parts)}"
    yield "its decay is fixed in updates, so that the critical batch size mixes batch size and memory"


def _smoothing(curve: Curve) -> Iterator[str]:
    """Describe the rule by which the goal was reached, how early single values reach it, and the bias."""
    window = curve.context.window
    if window == 0:
        yield "goal: reached by a single value; a noisy loss reaches it so before its mean does"
        return
    yield f"goal: reached by the mean over {1 - window:g} to {1 + window:g} times the samples"
    dips = curve.table["dip"].fillna(0.0).to_numpy(float)
    if dips.min() < -0.005:
        yield (
            f"early: single values reach the goal up to {-dips.min():.0%} before (at "
            f"{curve.sizes[int(dips.argmin())]})"
        )
    if curve.context.start > 1:
        late = math.log(curve.context.start) * window**2 / 6
        yield f"bias left: a loss that falls exponentially reaches its mean {late:.1%} late"


def _warnings(curve: Curve, goal: str, budget: str) -> Iterator[str]:
    table = curve.table
    missed = table[table["reached"] < table["seeds"]]
    if len(missed):
        each = [
            f"{size} ({seeds - reached} of {seeds} seeds)"
            for size, seeds, reached in missed[["batch_size", "seeds", "reached"]].itertuples(index=False)
        ]
        yield f"missed {goal} within {budget}, and left out of the curve: {_joined(each)}"
    coarse = table[table["resolution"] > COARSE * table["samples"]]["batch_size"].tolist()
    if coarse:
        yield (
            f"coarse, one step is more than {COARSE:.0%} of the way: {_listed(coarse)}; a harder goal tells "
            "more"
        )
    for column, what in (
        ("at_edge", "best learning rate at the edge of those tried"),
        ("jumps", "tuned learning rate jumps"),
    ):
        named = table[table[column].astype(bool)]["batch_size"].tolist()
        if named:
            yield f"{what}: {_listed(named)}"


def _count(number_of: int, name: str) -> str:
    return f"{number_of} {name}{'' if number_of == 1 else 's'}"


def _listed(sizes: Sequence[int], last: str = "and") -> str:
    return _joined([str(size) for size in sizes], last)


def _joined(texts: Sequence[str], last: str = "and") -> str:
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} {last} {texts[-1]}"
