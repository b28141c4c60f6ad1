"""Three regions of the batch size, with SGD and with momentum (Shallue et al. 2019)."""

from itertools import product
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from optcompare import Attempt, Expected, Found, Reproduction

OPTIMIZERS = {"SGD": "sgd", "momentum": "sgd:momentum=0.9"}
TUNING = "the sizes of a region are fixed here, and with momentum it may reach further; rates are on a grid"
RATIO = "fewest samples over fewest updates, momentum/SGD"
REGIONS: Any = {  # sizes, and the range of the slope
    "slope up to B = 8": (slice(3), -1.2, -0.8),
    "slope from 8 on, 3 sizes": (slice(2, 5), -0.9, -0.1),
    "slope of the 2 largest": (slice(-2, None), -0.5, 0.25),
}
SMALL, GOALS = (2, 4, 8), {"MLP": "train_loss=0.45", "CNN": "train_loss=0.5"}
QUICK: Any = {"MLP": ("fashion-mnist:train=2276", {SMALL: 4, (64, 256, 1024): 60}, (3, 5, 1))}
FULL: Any = {
    "MLP": ("fashion-mnist", {SMALL: 2, (64, 256, 1024, 4096, 8192): 40}, (10, 8, 3)),
    "CNN": ("fashion-mnist:cnn:train=2276", {SMALL: 10, (64, 256, 1024, 2048): 150}, (5, 6, 1)),
}
"""Workload, batch sizes with their most epochs, numbers of seeds, rates and tuning seeds, by network."""


def slope(sizes: Any, updates: Any) -> float:
    """Return the slope of the line through log updates against log B; NaN where a size missed the goal."""
    return float(np.polyfit(np.log(sizes), np.log(updates), 1)[0]) if np.isfinite(updates).all() else np.nan


def curves(attempt: Attempt, net: str, workload: str, parts: Any, counts: Any) -> Any:
    """Return the batch sizes and their median updates to the goal, by optimizer."""
    asked: dict[str, Any] = dict(zip(("seeds", "tune", "tune_seeds"), counts, strict=True), goal=GOALS[net])
    asked |= {"optimizers": list(OPTIMIZERS.values()), "goal_window": 0.1}
    asked["trainer"] = attempt.choose(quick="loop", full="auto")  # Compiling would take longer than training.
    tables: dict[str, list[Any]] = {name: [] for name in OPTIMIZERS}
    for sizes, most in parts.items():
        study = attempt.study(f"{net} {sizes[0]}", workload, batch_sizes=sizes, max_epochs=most, **asked)
        for table, curve in zip(tables.values(), study.scaling(), strict=True):
            table.append(curve.table[["batch_size", "updates"]].to_numpy(float))
    return {name: np.concatenate(each).T for name, each in tables.items()}


def find(attempt: Attempt) -> Found:
    networks, values = attempt.choose(quick=QUICK, full=FULL), {}
    figure = Figure(figsize=(5.8 * len(networks), 4.2), layout="constrained")
    for ax, net in zip(figure.subplots(1, len(networks), squeeze=False)[0], networks, strict=True):
        knees, found = [], curves(attempt, net, *networks[net])
        for colour, (name, (sizes, updates)) in zip(("C0", "C1"), found.items(), strict=True):
            knees.append(float((sizes * updates).min() / updates.min()))
            for region, (chosen, *_) in REGIONS.items():
                values[f"{net}, {name}: {region}"] = slope(sizes[chosen], updates[chosen])
            ax.loglog(sizes, updates, "o-", color=colour, label=name)
            ax.loglog(sizes, (sizes * updates).min() / sizes, ":", color=colour, label=f"{name}: 1/B")
            ax.axvline(knees[-1], color=colour, alpha=0.4)
        values[f"{net}, {RATIO}"] = knees[1] / knees[0]
        ax.set(xlabel="batch size B (|: fewest samples / fewest updates)", title=f"{net} on Fashion-MNIST")
        ax.set(ylabel=f"median updates to {GOALS[net]}", ylim=(0.7 * found["momentum"][1].min(), None))
        ax.legend()
    return Found(values, figure)


def three_regions() -> Reproduction:
    """Reproduce the three regions of the batch size, and that momentum moves their end to larger ones."""
    each = [Expected(f"{net}, {RATIO}", 1.5, if_not=TUNING, full_only=net == "CNN") for net in GOALS]
    each += [
        Expected(f"{net}, {name}: {region}", low, high, TUNING, full_only=net == "CNN")
        for net, name, (region, (_, low, high)) in product(GOALS, OPTIMIZERS, REGIONS.items())
    ]
    return Reproduction(
        claim="Updates fall as 1/B, then less, then not at all; momentum moves the end of this to larger B.",
        source="Shallue et al. 2019, arXiv 1811.03600",
        setting="A perceptron on Fashion-MNIST to a training loss of 0.45, and three convolutions on 2,048 "
        "images to 0.5; rates tuned at each B (log-log slopes).",
        expected={one.words: one for one in each},
        find=find,
        quick="the perceptron, 2,048 images, 6 batch sizes, 3 seeds, 5 rates on 1 tuning seed.",
    )
