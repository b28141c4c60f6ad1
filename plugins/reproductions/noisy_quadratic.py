"""The order of critical batch sizes on the noisy quadratic model (Zhang et al. 2019)."""

import numpy as np
from matplotlib.figure import Figure

from optcompare import Attempt, Expected, Found, Reproduction

from .exact_moments import HeavyBall, Quadratic, least_updates

GOAL, SIZES = 0.01, 2.0 ** np.arange(21)
MOMENTA = (0.0, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.998)
MODEL = Quadratic.of(1 / np.arange(1.0, 10_001.0))
OPTIMIZERS = {  # what they see, and the momenta that are tried
    "SGD": (MODEL, MOMENTA[:1]),
    "momentum": (MODEL, MOMENTA),
    "preconditioned": (MODEL.preconditioned(0.5), MOMENTA[:1]),
    "preconditioned, momentum": (MODEL.preconditioned(0.5), MOMENTA),
}


def find(attempt: Attempt) -> Found:
    updates = {
        name: np.array([min(least_updates(seen, beta, size, GOAL) for beta in momenta) for size in SIZES])
        for name, (seen, momenta) in OPTIMIZERS.items()
    }
    critical = {name: (SIZES * found).min() / found.min() for name, found in updates.items()}
    values = {
        "momentum": critical["momentum"] / critical["SGD"],
        "preconditioned": critical["preconditioned"] / critical["SGD"],
        "both": critical["preconditioned, momentum"] / critical["momentum"],
        "small": updates["momentum"][0] / updates["SGD"][0],
        "small preconditioned": updates["preconditioned"][0] / updates["SGD"][0],
    }
    for beta in (0.0, 0.9):
        arm = f"replacement:4@sgd:momentum={beta}"
        spec, part = "noisy-quadratic", f"momentum {beta}"
        trained = attempt.compare(part, spec, arm, lr=0.05, seeds=400, epochs=1, measure=0)
        mean = trained.records.groupby("seed")["train_loss"].last().mean()
        values[f"engine {beta}"] = mean / HeavyBall(Quadratic.of(MODEL.h[:10]), 0.05, beta, 4).risk(256)
    notes = [f"E_min/S_min of {name}: {size:,.0f} samples" for name, size in critical.items()]
    return Found(values, drawn(updates), notes)


def drawn(updates: dict[str, np.ndarray]) -> Figure:
    figure = Figure(figsize=(7, 5), layout="constrained")
    ax = figure.subplots()
    for (name, found), style in zip(updates.items(), ("o-", "s-", "o--", "s--"), strict=True):
        ax.loglog(SIZES, found, style, base=2, markersize=4, label=name)
    ax.loglog(SIZES, updates["SGD"][0] / SIZES, ":", color="grey", label="perfect scaling of SGD")
    ax.set(xlabel="batch size B", ylabel=f"fewest updates to a risk of {GOAL}", ylim=(4, None))
    ax.legend(title="Noisy quadratic model, exact moments")
    return figure


def noisy_quadratic() -> Reproduction:
    """Reproduce that momentum and preconditioning raise the critical batch size, on exact moments."""
    return Reproduction(
        claim="In the noisy quadratic model momentum extends perfect scaling to larger batches than SGD, and "
        "gains nothing at small ones; preconditioning extends it, too, and helps at every batch size.",
        source="Zhang et al. 2019, arXiv 1907.04164, the noisy quadratic model",
        setting="h = c = 1/j for 10,000 directions from w = (1, …, 1), goal 0.01, preconditioner h^½. Exact "
        "moments, without training: the best fixed rate and momentum for each B; critical is E_min/S_min. "
        "The engine trains 10 directions: B = 4, rate 0.05, 256 updates, 400 seeds.",
        expected={
            "momentum": Expected("critical batch size: momentum over SGD", 2.0),
            "preconditioned": Expected("critical batch size: preconditioned over SGD", 2.0),
            "both": Expected("critical batch size: both over momentum alone", 1.2),
            "small": Expected.about("updates at B = 1: momentum over SGD", 1.0, 0.05),
            "small preconditioned": Expected("updates at B = 1: preconditioned over SGD", high=1.0),
            "engine 0.0": Expected.about("mean loss of the engine over the exact one, SGD", 1.0, 0.1),
            "engine 0.9": Expected.about("mean loss of the engine over the exact one, momentum", 1.0, 0.1),
        },
        find=find,
    )
