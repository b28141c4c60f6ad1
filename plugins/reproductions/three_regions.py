"""Three regions of the batch size, with SGD and with momentum (Shallue et al. 2019)."""

from typing import Any

import numpy as np

from optcompare import Attempt, Expected, Found, Reproduction

OPTIMIZERS = {"SGD": "sgd", "momentum": "sgd:momentum=0.9"}
TUNING = (
    "rates are tuned on a grid with few seeds, and one between two of them may need a third fewer updates; "
    "at an easy goal, the updates in which momentum builds up count at large batch sizes"
)
QUICK: Any = ("fashion-mnist:train=4552", "train_loss=0.6", {(1, 2, 4, 8): 3, (32, 128, 512, 2048): 50})
FULL: Any = ("fashion-mnist", "train_loss=0.45", {(1, 2, 4, 8): 2, (64, 256, 1024, 4096, 8192): 40})


def slope(sizes: Any, updates: Any) -> float:
    """Return the slope of the line through log updates against log B; NaN where a size missed the goal."""
    found = np.isfinite(updates).all()
    return float(np.polyfit(np.log(sizes), np.log(updates), 1)[0]) if found else np.nan


def find(attempt: Attempt) -> Found:
    workload, goal, parts = attempt.choose(quick=QUICK, full=FULL)
    question: dict[str, Any] = attempt.choose(
        quick={"seeds": 3, "tune": 6, "tune_seeds": 1}, full={"seeds": 10, "tune": 8, "tune_seeds": 3}
    )
    question["optimizers"] = list(OPTIMIZERS.values())
    studies = [
        attempt.study(part, workload, goal, batch_sizes=sizes, max_epochs=epochs, **question).scaling()
        for part, (sizes, epochs) in zip(("small", "large"), parts.items(), strict=True)
    ]
    curves, values, critical = {}, {}, {}
    for name, few, many in zip(OPTIMIZERS, *studies, strict=True):
        tables = [curve.table[["batch_size", "updates"]].to_numpy(float) for curve in (few, many)]
        curves[name] = sizes, updates = np.concatenate(tables).T
        critical[name] = (sizes * updates).min() / updates.min()
        for part, chosen in (("small", slice(4)), ("middle", slice(3, 6)), ("large", slice(-2, None))):
            values[f"{name}, {part}"] = slope(sizes[chosen], updates[chosen])
    values["critical"] = float(critical["momentum"] / critical["SGD"])
    return Found(values, drawn(curves, critical, goal))


def drawn(curves: dict[str, Any], critical: dict[str, float], goal: str) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 4.2), layout="constrained")
    ax = figure.subplots()
    for colour, (name, (sizes, updates)) in zip(("C0", "C1"), curves.items(), strict=True):
        ax.loglog(sizes, updates, "o-", color=colour, label=name)
        ax.loglog(sizes, (sizes * updates).min() / sizes, ":", color=colour, label=f"{name}: E_min/B")
        ax.axvline(critical[name], color=colour, alpha=0.4)
    ax.set(xlabel="batch size B (vertical lines: E_min/S_min)", ylabel=f"median updates to {goal}")
    ax.set_ylim(bottom=0.7 * min(updates.min() for _, updates in curves.values()))
    ax.set_title("Updates to the goal at each batch size")
    ax.legend()
    return figure


def three_regions() -> Reproduction:
    """Reproduce the three regions of the batch size, and that momentum moves their end to larger ones."""
    expected = {"critical": Expected("fewest samples over fewest updates, momentum/SGD", 1.5, if_not=TUNING)}
    for name in OPTIMIZERS:
        expected[f"{name}, small"] = Expected.about(f"{name}: slope up to B = 8", -1.0, 0.2, TUNING)
        expected[f"{name}, middle"] = Expected(f"{name}: slope from 8 on, 3 sizes", -0.9, -0.1, TUNING)
        expected[f"{name}, large"] = Expected(f"{name}: slope of the 2 largest", -0.5, 0.25, TUNING)
    return Reproduction(
        claim="Updates to a goal fall as 1/B, then less, then not at all; momentum moves the end of the fall "
        "to larger B.",
        source="Shallue et al. 2019, arXiv 1811.03600",
        setting="A perceptron on Fashion-MNIST to a training loss; rates tuned at each B (log-log slopes).",
        expected=expected,
        find=find,
        quick="4,096 images, 3 seeds, 6 rates on 1 tuning seed.",
    )
