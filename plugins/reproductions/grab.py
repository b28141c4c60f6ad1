"""An order found by balancing gradients against random reshuffling (Lu et al. 2022)."""

import pandas as pd
import torch
from matplotlib.figure import Figure

from optcompare import Attempt, Expected, Found, Reproduction

from .prefix_norms import prefix_norms

RATES, RESHUFFLED, BALANCED = (0.01, 0.02, 0.05, 0.1), "mini:8", "grab:8"
NORMS = ((160, 195), (82, 100), (43, 54), (25, 31))


def find(attempt: Attempt) -> Found:
    spec, seeds, epochs = "mnist1d:linear", *attempt.choose(quick=(3, 30), full=(10, 100))
    arms = {(kind, rate): f"{kind}@sgd:lr={rate}" for rate in RATES for kind in (RESHUFFLED, BALANCED)}
    every = {"measure_rows": "all", "trainer": "lanes", "epochs": epochs, "seeds": seeds}
    records = attempt.compare("orders", spec, list(arms.values()), **every).records
    best = attempt.compare(
        "minimum", spec, "full@lbfgs:max_iter=20", seeds=1, epochs=2000, dtype="float64", measure=0
    )
    lowest = best.records["train_loss"].iloc[-1]
    means = records.groupby(["strategy", "lr", "epoch"])["train_loss"].mean() - lowest
    excess = means.unstack(["strategy", "lr"]).loc[1:]
    random, balanced = excess[RESHUFFLED], excess[BALANCED]
    goal = random.iloc[-1].min()
    norms = prefix_norms(torch.rand(10_000, 128, generator=torch.Generator().manual_seed(0)), len(NORMS))
    values = {f"norm {epoch}": norm for epoch, norm in enumerate(norms)}
    values["excess"] = goal / balanced.iloc[-1].min()
    values["same rate"] = random.iloc[-1][RATES[-1]] / balanced.iloc[-1][RATES[-1]]
    reached = [table.index[(table <= goal).any(axis=1)].min() for table in (balanced, random)]
    values["epochs"] = reached[0] / reached[1]
    return Found(values, drawn(excess))


def drawn(excess: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(9.5, 6), layout="constrained")
    ax = figure.subplots()
    for colour, rate in enumerate(RATES):
        for kind, style, words in ((RESHUFFLED, "-", "reshuffled"), (BALANCED, "--", "GraB")):
            ax.semilogy(excess[kind, rate], style, color=f"C{colour}", label=f"{words}, rate {rate}")
    ax.set(xlabel="epochs", ylabel="training loss less its minimum")
    ax.set_title("Softmax regression on MNIST-1D, mean of seeds")
    figure.legend(loc="outside lower center", ncols=len(RATES))
    return figure


def grab() -> Reproduction:
    """Reproduce that GraB, which orders samples by stale gradients, beats random reshuffling per epoch."""
    norm = "largest prefix norm of 10,000 points of U[0,1]^128, epochs of balancing:"
    return Reproduction(
        claim="Ordering samples by balancing stale gradients herds them in O(d) memory, and trains faster "
        "than random reshuffling, epoch by epoch.",
        source="Lu et al. 2022, arXiv 2205.10733, there also on deep networks",
        setting="Softmax regression on MNIST-1D, which is convex: B = 8, rates 0.01 to 0.1 without "
        "decay, 100 epochs, 10 seeds. Its minimum is found by 2,000 passes of L-BFGS.",
        expected={
            **{f"norm {k}": Expected(f"{norm} {k}", *ends) for k, ends in enumerate(NORMS)},
            "excess": Expected("excess loss at the best rate of each: reshuffled over GraB", 1.5),
            "same rate": Expected("excess loss at rate 0.1: reshuffled over GraB", 5.0),
            "epochs": Expected("epochs to the least loss of reshuffling: GraB over it", high=0.8),
        },
        find=find,
        quick="30 epochs, 3 seeds.",
    )
