"""How far off the updates to a goal are: by the mean over a window, as a study takes them, and by the first
value below it.

``python -m tests.benchmarks.smoothed_goal [SEEDS] [SIZE…]`` runs the study on ``noisy-quadratic:dim=100`` to
``train_loss=0.1`` with 8 rates on 3 tuning seeds, and prints for each batch size, at the rate that was tuned,
the update at which the exact expected risk reaches the goal, and by how much the median trial's two are early
(-) or late (+). The same follows for a study whose goal is reached by a single value, which also tunes by it.
"""

from __future__ import annotations

import math
import sys

import numpy as np

import optcompare
from optcompare.core.goal import GOAL_WINDOW
from tests.helpers.exact_risk import exact_risk

DIM, N, GOAL, EPOCHS = 100, 1024, 0.1, 40


def exact_updates(rate: float, size: int) -> float:
    """The first update after which the expected risk is at or below the goal."""
    h = 1 / np.arange(1, DIM + 1)
    risk = exact_risk(h, h, rate, size, N, EPOCHS * N // size)
    return 1 + int(np.argmax(risk <= GOAL)) if (risk <= GOAL).any() else math.inf


def measure(seeds: int, sizes: list[int], window: float) -> list[str]:
    """A line for each batch size."""
    study = optcompare.batch_size_study(
        f"noisy-quadratic:dim={DIM}:n={N}",
        f"train_loss={GOAL}",
        batch_sizes=sizes,
        seeds=seeds,
        max_epochs=EPOCHS,
        goal_window=window,
        progress=False,
    )
    (curve,) = study.scaling()
    lines = []
    for row in curve.table.to_dict("records"):
        exact = exact_updates(row["lr"], row["batch_size"])
        mine = curve.trials[curve.trials["batch_size"] == row["batch_size"]]
        found = {"mean": row["updates"], "value": float(mine["dip"].median()) if window else math.nan}
        found = found if window else {"value": row["updates"]}
        parts = [f"first {name} {each:g} ({each / exact - 1:+.0%})" for name, each in found.items()]
        lines.append(f"batch {row['batch_size']}, rate {row['lr']:.4g}: exact {exact:g}, {', '.join(parts)}")
    return lines


def main(arguments: list[str]) -> None:
    """Print both studies."""
    seeds, sizes = int(arguments[0]) if arguments else 20, list(map(int, arguments[1:])) or [16, 64, 256]
    for window, name in (
        (GOAL_WINDOW, "by the mean over ¾ to 1¼ of the samples"),
        (0.0, "by a single value"),
    ):
        print(f"goal reached {name}:")
        for line in measure(seeds, sizes, window):
            print(f"  {line}")


if __name__ == "__main__":
    main(sys.argv[1:])
