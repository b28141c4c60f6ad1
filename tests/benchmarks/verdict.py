"""How often the verdict claims what is not so, how often it finds what is, and how often its intervals hold
the truth.

``python -m tests.benchmarks.verdict [DRAWS] [SECTION…]`` prints, each with three standard errors of its Monte
Carlo:

- false claims where arms are exchangeable, read from the sentences of the real verdict, goal at most .05: 2,
  3 and 5 arms, 6, 8 and 10 seeds, normal, heavy-tailed and rounded ends, with misses, with divergences; over
  ten looks; tuned repeatedly on shifted grids; and how often arms that differ by exactly the margin are
  called equal within it;
- beside it, arms with equal means and other shapes, and arms that were tuned once: what is claimed of them,
  and in which words;
- the power at an effect of one standard deviation of the differences, ten seeds, beside the paired t test,
  goal within .05;
- how often the interval of the tuned difference holds the truth, goal .93 to .97.

Sections are exchangeable, looks, margin, tuned, coverage and beside; by default all.
"""

from __future__ import annotations

import math
import re
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd
from scipy.stats import ttest_1samp

from optcompare.analysis.claims import claims_of, past_look
from optcompare.analysis.error_rate import FIRST_LEVEL
from optcompare.analysis.limits import Setting
from optcompare.analysis.looks import History
from optcompare.analysis.paired import pairs
from optcompare.analysis.paired_tests import PairedTests
from optcompare.analysis.verdict import verdict
from optcompare.core.goal import Goal
from tests.helpers.monte_carlo import print_section, rate

GOAL = Goal("valid_loss", 0.0)
BUDGET, NEVER = 1e6, math.inf
CLAIMED = re.compile(r"claimed (?:lower|higher|fewer|more)\b|within [^:]+: claimed")
Floats = np.ndarray
Tables = tuple[pd.DataFrame, pd.DataFrame]


def tables(finals: Floats, reached: Floats | None = None) -> Tables:
    """Records and trials of float[arms, seeds(, repeats)] final values, infinite where a trial diverged.

    ``reached``: after how many samples each reached the goal, infinite for a miss.
    """
    places = np.stack(np.unravel_index(np.arange(finals.size), finals.shape), axis=1)
    trials = pd.DataFrame(places[:, 1:], columns=["seed", "repeat"][: places.shape[1] - 1])
    trials.insert(0, "arm", [f"arm{number}" for number in places[:, 0]])
    flat = finals.ravel()
    trials["status"] = np.where(np.isinf(flat), "diverged", "finished")
    trials["updates"], trials["samples"] = len(flat), len(flat)
    trials["final_sha256"] = flat.astype(str)
    end = trials.drop(columns="status").assign(samples=BUDGET, update=2, seconds=1.0, valid_loss=flat)
    start = end.assign(samples=0.0, update=0, seconds=0.0, valid_loss=9.0)
    between = end.assign(samples=BUDGET, update=1, valid_loss=5.0)
    if reached is not None:
        hit = np.isfinite(reached.ravel())
        between = between.assign(
            samples=np.where(hit, reached.ravel(), BUDGET), valid_loss=np.where(hit, 0.0, 5.0)
        )
    return pd.concat([start, between, end], ignore_index=True), trials


def claims_anything(made: Tables, goal: Goal | None = None) -> bool:
    """Whether the sentences of the verdict claim something."""
    sentences = verdict(*made, PairedTests("arm0", "valid_loss", goal=goal), workload="simulated")
    return any(CLAIMED.search(sentence) for sentence in sentences)


def shared(rng: np.random.Generator, draw: Callable[..., Floats], *shape: int) -> Floats:
    """Values of exchangeable arms: half of their variance, were it finite, is their seed's."""
    return np.asarray(draw(size=shape[1:]) + draw(size=shape)) / math.sqrt(2)


def normal(rng: np.random.Generator, arms: int, seeds: int) -> tuple[Floats, Floats | None]:
    return shared(rng, rng.normal, arms, seeds), None


def heavy_tailed(rng: np.random.Generator, arms: int, seeds: int) -> tuple[Floats, Floats | None]:
    return shared(rng, lambda size: rng.standard_t(1.5, size), arms, seeds), None


def rounded(rng: np.random.Generator, arms: int, seeds: int) -> tuple[Floats, Floats | None]:
    return np.round(shared(rng, rng.normal, arms, seeds), 0), None


def with_misses(rng: np.random.Generator, arms: int, seeds: int) -> tuple[Floats, Floats | None]:
    finals = shared(rng, rng.normal, arms, seeds)
    reached = np.round(2e4 * np.exp(0.5 * shared(rng, rng.normal, arms, seeds)))
    return finals, np.where(reached > 3e4, NEVER, reached)


def with_divergences(rng: np.random.Generator, arms: int, seeds: int) -> tuple[Floats, Floats | None]:
    finals = shared(rng, rng.normal, arms, seeds)
    return np.where(finals > 1.0, np.inf, finals), None


EXCHANGEABLE = (normal, heavy_tailed, rounded, with_misses, with_divergences)


def exchangeable(draws: int) -> Iterator[tuple[str, float]]:
    """False claims of exchangeable arms, one line a setting."""
    for shape in EXCHANGEABLE:
        for arms in (2, 3, 5):
            for seeds in (6, 8, 10):
                rng, hits = np.random.default_rng([arms, seeds]), 0
                for _ in range(draws):
                    finals, reached = shape(rng, arms, seeds)
                    hits += claims_anything(tables(finals, reached), None if reached is None else GOAL)
                name = shape.__name__.replace("_", " ")
                yield f"{name}, {arms} arms, {seeds} seeds: {rate(hits, draws)}", hits / draws


def one_claim_in(finals: Floats, looks: Iterator[int]) -> bool:
    """Whether some look, each recorded after the one before, claims something."""
    history, tested = History(recorded=True), PairedTests("arm0", "valid_loss").measures
    for seeds in looks:
        made = tables(finals[:, :seeds])
        look = history.look_at(made[1])
        table = pairs(*made, PairedTests("arm0", "valid_loss"), look=look)
        if claims_of(table, tested):
            return True
        history = History((*history.looks, past_look(made[1], table, tested, look)), True)
    return False


def ten_looks(draws: int) -> Iterator[tuple[str, float]]:
    for shape in (normal, heavy_tailed):
        for arms in (2, 3):
            rng, hits = np.random.default_rng(arms), 0
            for _ in range(draws):
                hits += one_claim_in(shape(rng, arms, 33)[0], iter(range(6, 34, 3)))
            name = shape.__name__.replace("_", " ")
            yield f"ten looks, {name}, {arms} arms, 6 to 33 seeds: {rate(hits, draws)}", hits / draws


def tuned(
    rng: np.random.Generator, arms: int, seeds: int, repeats: int, common: float, effect: float = 0.0
) -> tuple[Floats, float]:
    """Ends of arms that are alike, each tuned on grids of its own, float[arms, seeds, repeats], and the true
    difference.

    The loss is a parabola in the logarithm of the rate, of which each arm and repeat tries five, a step apart
    and shifted by its own uniform part of one; it takes the best of a noisy look. ``common``: how much an
    arm's seeds differ alike in all repeats; ``effect``: added to all arms but the first.
    """
    grid = np.arange(-2, 3) + rng.random((arms, repeats, 1))
    loss = 0.3 * grid**2
    chosen = np.take_along_axis(loss, (loss + 0.3 * rng.normal(size=loss.shape)).argmin(-1)[..., None], -1)[
        ..., 0
    ]
    noise = (
        rng.normal(size=(seeds, 1))
        + common * rng.normal(size=(arms, seeds, 1))
        + 0.1 * rng.normal(size=(arms, seeds, repeats))
    )
    finals = chosen[:, None, :] + noise
    finals[1:] += effect
    return finals, effect


def tuned_repeatedly(draws: int) -> Iterator[tuple[str, float]]:
    for arms, repeats in ((2, 6), (3, 10)):
        for common in (0.0, 0.3):
            rng = np.random.default_rng([repeats, int(10 * common)])
            hits = sum(
                claims_anything(tables(tuned(rng, arms, 10, repeats, common)[0])) for _ in range(draws)
            )
            name = f"tuned {repeats} times, {arms} arms, 10 seeds, in common {common:g}"
            yield f"{name}: {rate(hits, draws)}", hits / draws


def at_the_margin(draws: int) -> Iterator[tuple[str, float]]:
    """How often arms that differ by exactly the margin are called equal within it."""
    for shape in (normal, heavy_tailed, with_divergences):
        for seeds in (6, 10):
            rng, hits = np.random.default_rng(seeds), 0
            for _ in range(draws):
                finals = 0.1 * shape(rng, 2, seeds)[0]
                finals[1] += 0.5
                said = verdict(
                    *tables(finals), PairedTests("arm0", "valid_loss", margin=0.5), workload="simulated"
                )
                hits += any(re.search("within [^:]+: claimed", line) for line in said)
            yield f"{shape.__name__.replace('_', ' ')}, {seeds} seeds: {rate(hits, draws)}", hits / draws


def beside(draws: int) -> Iterator[str]:
    """Arms that are not exchangeable, and what the words say then."""
    rng, n = np.random.default_rng(5), 10
    skewed = [
        np.stack([0.1 * rng.normal(size=n), np.exp(1.2 * rng.normal(size=n)) - np.exp(0.72)])
        for _ in range(draws)
    ]
    rare = [
        np.stack([0.01 * rng.normal(size=n), -0.02 + 0.01 * rng.normal(size=n) + 2 * (rng.random(n) < 0.05)])
        for _ in range(draws)
    ]
    once = [tuned(rng, 2, n, 1, 0.0)[0][..., 0] for _ in range(draws)]
    for name, experiments in (
        ("equal means, one skewed", skewed),
        ("a failure on 5% of seeds", rare),
        ("tuned once", once),
    ):
        hits = sum(claims_anything(tables(finals)) for finals in experiments)
        by_t = sum(ttest_1samp(finals[1] - finals[0], 0).pvalue <= 0.05 for finals in experiments)
        yield f"{name}: {rate(hits, draws)} (paired t at .05: {by_t / draws:.3f})"
        setting = Setting(tunings=int(name == "tuned once"))
        said = verdict(
            *tables(experiments[0]), PairedTests("arm0", "valid_loss"), workload="simulated", setting=setting
        )
        yield f"    the first of them: {' '.join(said)}"


def power(draws: int) -> Iterator[str]:
    rng = np.random.default_rng(6)
    differences = rng.normal(1.0, size=(draws, 10))
    found = sum(claims_anything(tables(np.stack([np.zeros(10), each]))) for each in differences)
    p = ttest_1samp(differences, 0, axis=1).pvalue
    for level in (FIRST_LEVEL, 0.05):
        yield (
            f"power at effect 1, n = 10: {rate(found, draws)}; paired t at {level:g}: "
            f"{(p <= level).mean():.3f}"
        )


def coverage(draws: int) -> Iterator[tuple[str, float]]:
    for repeats in (5, 10):
        for common in (0.0, 0.3):
            rng, hits = np.random.default_rng([repeats, int(10 * common), 1]), 0
            for _ in range(draws):
                finals, truth = tuned(rng, 2, 10, repeats, common, effect=0.2)
                row = pairs(*tables(finals), PairedTests("arm0", "valid_loss")).iloc[0]
                hits += row["low"] <= truth <= row["high"]
            yield f"tuned {repeats} times, in common {common:g}: {rate(hits, draws)}", hits / draws


SECTIONS: dict[str, tuple[str, Callable[[int], Iterator[tuple[str, float]]], Callable[..., float]]] = {
    "exchangeable": ("false claims of exchangeable arms, at most .05", exchangeable, max),
    "looks": ("false claims over ten looks, at most .05", ten_looks, max),
    "margin": ("arms that differ by the margin, called equal, at most .05", at_the_margin, max),
    "tuned": ("false claims of arms tuned repeatedly, at most .05", tuned_repeatedly, max),
    "coverage": ("coverage of the tuned difference, .93 to .97", coverage, min),
}


def main(draws: int, wanted: list[str]) -> None:
    began = time.monotonic()
    for name in wanted or [*SECTIONS, "beside"]:
        if name == "beside":
            print("\nbeside it: arms that are not exchangeable, and the power")
            for line in (*beside(draws), *power(draws)):
                print(f"  {line}", flush=True)
            continue
        print_section(*SECTIONS[name], draws)
    print(f"\n{draws} draws each, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, sys.argv[2:])
