"""How often a batch-size study's interval of the knee holds the truth, and how often it sets the best batch
size apart.

``python -m tests.benchmarks.batch_size_study [DRAWS] [SECTION…]`` prints, each with three standard errors of
its Monte Carlo:

- ``knee``: coverage of the 95% interval of E_min/S_min through the real fit, goal at least .90: 3, 5 and 11
  batch sizes, 5, 8 and 10 seeds, each size above its best by a shortfall of its tuning that is exponential
  with a mean of 0, 10 or 20%, or normal with such a standard deviation; beside it the median half-width, as a
  factor, and the coverage of the t interval over seeds, which is blind to tuning; where no interval can be
  given, it counts as not holding the truth;
- ``tuning``: the same where three tuning seeds chose among rates 1.5 apart, and each of them is left out in
  turn;
- ``coarse``: the same with every update known only to evaluation points a sixteenth of an epoch of 4,096
  samples apart;
- ``apart``: how often the best of k sizes is set apart, goal at most .05: k equal ones, one best by 2 and by
  10%, with misses, with tails; beside it how many of the others are.
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
import pandas as pd

from optcompare.analysis.best_sizes import set_apart
from optcompare.analysis.critical_batch_size import Fit, fit, fit_curve
from optcompare.analysis.statistics import mean_interval
from tests.helpers.monte_carlo import print_section, rate

S_MIN, E_MIN = 50.0, 1000.0
KNEE = E_MIN / S_MIN
NOISE = 0.15
"""Standard deviation of log updates, half of whose variance a seed shares among all sizes."""
MARK = 4096 / 16
SIZES = {3: (1, 32, 1024), 5: (8, 32, 128, 512, 1024), 11: tuple(2**power for power in range(11))}
Floats = np.ndarray
Line = tuple[str, float]


def noise(rng: np.random.Generator, k: int, n: int) -> Floats:
    """Noise of log updates, float[k, n]."""
    return np.asarray(NOISE * (rng.normal(size=n) + rng.normal(size=(k, n))) / math.sqrt(2))


def updates(rng: np.random.Generator, sizes: Floats, n: int, shortfall: Floats | float) -> Floats:
    """Updates to the goal, float[k, n], at sizes whose tuning fell short by some logarithms."""
    true = np.log(S_MIN + E_MIN / sizes) + shortfall
    return np.exp(true[:, None] + noise(rng, len(sizes), n))


def trials(sizes: Floats, found: Floats, before: Floats | None = None) -> pd.DataFrame:
    """A study's trials from updates[k, n]; ``before``: updates at the evaluation point before."""
    k, n = found.shape
    table = pd.DataFrame(
        {"batch_size": np.repeat(sizes, n), "seed": np.tile(np.arange(n), k), "updates": found.ravel()}
    )
    return table if before is None else table.assign(before=before.ravel())


def at_marks(sizes: Floats, found: Floats) -> tuple[Floats, Floats]:
    """The updates of the evaluation point that reached the goal and of the one before, a whole number
    each.
    """
    step = np.maximum(MARK, sizes)[:, None]  # where a batch is larger, every update
    mark = np.ceil(np.ceil(found) * sizes[:, None] / step)
    return np.ceil(mark * step / sizes[:, None]), np.ceil((mark - 1) * step / sizes[:, None])


def over_seeds(sizes: Floats, found: Floats) -> tuple[float, float]:
    """The t interval of log E_min/S_min over fits of each seed."""
    knees = [math.log(e / s) for s, e in (fit_curve(sizes, one) for one in found.T)]
    return mean_interval(knees)[1:]


def scored(name: str, made: list[tuple[Fit | None, tuple[float, float]]]) -> Line:
    """What is printed of one setting, from each draw's fit and its interval over seeds, and the coverage."""
    fits, old = [each for each, _ in made if each is not None], [interval for _, interval in made]
    held = sum(each.critical.low <= KNEE <= each.critical.high for each in fits)
    widths = [each.critical.high / each.critical.low for each in fits if math.isfinite(each.critical.low)]
    factor = math.sqrt(float(np.median(widths)))
    none = 1 - len(widths) / len(made)
    before = sum(low <= math.log(KNEE) <= high for low, high in old) / len(made)
    said = (
        f"{name}: {rate(held, len(made))}, within a factor of {factor:.2f} (over seeds alone: {before:.3f})"
    )
    return said + (f"; no interval in {none:.1%}" if none else ""), held / len(made)


def exponential(rng: np.random.Generator, k: int, size: float) -> Floats:
    return rng.exponential(size, k) if size else np.zeros(k)


def normal(rng: np.random.Generator, k: int, size: float) -> Floats:
    return size * rng.normal(size=k)


def settings(draws: int, *shapes: Callable[..., Floats]) -> Iterator[tuple[str, Floats, list[Floats]]]:
    """Each setting's name, its sizes, and as many draws of updates."""
    for k, chosen in SIZES.items():
        for n in (5, 8, 10):
            for shortfall in (0.0, 0.1, 0.2):
                for shape in shapes[: None if shortfall else 1]:
                    rng, sizes = (
                        np.random.default_rng([k, n, int(100 * shortfall)]),
                        np.array(chosen, dtype=float),
                    )
                    found = [updates(rng, sizes, n, shape(rng, k, shortfall)) for _ in range(draws)]
                    kind = f" ({shape.__name__})" if shortfall else ""
                    yield f"{k} sizes, {n} seeds, shortfall {shortfall:.0%}{kind}", sizes, found


def knee(draws: int) -> Iterator[Line]:
    """Coverage with every update measured."""
    for name, sizes, drawn in settings(draws, exponential, normal):
        yield scored(name, [(fit(trials(sizes, found)), over_seeds(sizes, found)) for found in drawn])


def coarse(draws: int) -> Iterator[Line]:
    """Coverage with evaluation points far apart; the interval over seeds takes the points as they are."""
    for name, sizes, drawn in settings(draws, exponential):
        pairs = [at_marks(sizes, found) for found in drawn]
        yield scored(name, [(fit(trials(sizes, *pair)), over_seeds(sizes, pair[0])) for pair in pairs])


def tuning(draws: int) -> Iterator[Line]:
    """Coverage with rates that are chosen anew without each of three tuning seeds.

    Log updates rise by 0.4·x² in the logarithm x of the rate over the best; each size's grid of seven lies at
    random, and the lowest median of three tuning trials is taken, whose noise is that of a report's. The
    shortfall is printed.
    """
    for k, chosen in SIZES.items():
        for n in (5, 10):
            rng, sizes, made, short = np.random.default_rng([k, n]), np.array(chosen, dtype=float), [], []
            for _ in range(draws):
                loss = (
                    0.4 * (math.log(1.5) * (np.arange(-3, 4) + rng.random((k, 1)) - 0.5)) ** 2
                )  # [k, rates]
                tried = loss[..., None] + noise(rng, loss.size, 3).reshape(k, -1, 3)
                own, best = np.arange(k), np.median(tried, axis=2).argmin(axis=1)
                retuned = []
                for left in range(3):
                    new = np.median(np.delete(tried, left, axis=2), axis=2).argmin(axis=1)
                    ratio = np.exp((tried[own, new] - tried[own, best]).mean(axis=1))
                    retuned.append(pd.DataFrame({"left_out": left, "batch_size": sizes, "ratio": ratio}))
                short.append(loss[own, best])
                found = updates(rng, sizes, n, short[-1])
                made.append((fit(trials(sizes, found), pd.concat(retuned)), over_seeds(sizes, found)))
            yield scored(f"{k} sizes, {n} seeds, shortfall {np.mean(short):.0%} in the mean", made)


def apart(draws: int) -> Iterator[Line]:
    """How often the best size is set apart, the first; beside it the share of the others that are, and how
    often any is.

    Sizes that are equal are all best, and the first is one of them.
    """
    for k in (3, 5, 11):
        for n in (5, 8, 10):
            for name, best, misses, tails in (
                ("equal", 0.0, False, False),
                ("equal, with misses", 0.0, True, False),
                ("equal, with tails", 0.0, False, True),
                ("one best by 2%", 0.02, False, False),
                ("one best by 10%", 0.1, False, False),
            ):
                rng, hits, others, some = np.random.default_rng([k, n]), 0, 0, 0
                for _ in range(draws):
                    logs = noise(rng, k, n).T
                    if tails:
                        logs = 0.1 * (rng.standard_t(1.5, (n, k)) + rng.standard_t(1.5, (n, 1)))
                    logs[:, 0] -= best
                    found = set_apart(np.where(misses & (logs > NOISE), math.inf, np.exp(logs)), range(k))
                    hits += 0 in found.apart
                    others += len([size for size in found.apart if size])
                    some += bool(found.apart)
                said = f"{k} sizes, {n} seeds, {name}: {rate(hits, draws)}"
                yield (
                    f"{said}; of the others {others / draws / (k - 1):.3f}; any {some / draws:.3f}",
                    hits / draws,
                )


SECTIONS: dict[str, tuple[str, Callable[[int], Iterator[Line]], Callable[..., float]]] = {
    "knee": ("coverage of the knee, at least .90", knee, min),
    "tuning": ("coverage of the knee where rates are chosen among a grid, at least .90", tuning, min),
    "coarse": ("coverage of the knee with evaluation points far apart, at least .90", coarse, min),
    "apart": ("the best size set apart, at most .05", apart, max),
}


def main(draws: int, wanted: list[str]) -> None:
    began = time.monotonic()
    for name in wanted or SECTIONS:
        print_section(*SECTIONS[name], draws)
    print(f"\n{draws} draws each, {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000, sys.argv[2:])
