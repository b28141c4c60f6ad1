"""The cost of measuring, in rows of forward passes and in seconds, beside that of training.

``python tests/benchmarks/measuring.py`` trains on generated images of the size of Fashion-MNIST (28×28,
60,000 rows to train and 10,000 to validate): an MLP, ten trials of one epoch; and a small CNN, six trials of
one epoch of a tenth of the rows, where the least sample, 1,024 rows, is above the bound. Each is measured on
the default sample and on all rows, in one process, one after the other. Between the first and the last record
measuring may cost a quarter of training, in rows.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from optcompare import Result, Workload, accuracy, compare
from optcompare.planning.measured_rows import FEWEST_ROWS

PASSES_OF_UPDATE, GOAL = 3, 0.25


def images(rows: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noisy images of ten classes, float[rows, 1, 28, 28] and int64[rows]."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(10, (rows,), generator=generator)
    patterns = torch.randn(10, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    return patterns[y] + 3 * torch.randn(rows, 1, 28, 28, generator=generator), y


def mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(784, 10)),
    )


def images_workload(model: Callable[[], nn.Module], train: int, valid: int) -> Workload:
    return Workload(
        model=model,
        train=images(train, 1),
        valid=images(valid, 2),
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        lr=0.02,
        epochs=1,
    )


def rows_between(result: Result) -> float:
    """Rows of forward passes between first and last record of the arm with most, over those of training."""
    records = result.records[result.records["seed"] == result.records["seed"].min()]
    costs = [
        float((own["train_rows"] + own["valid_rows"]).iloc[1:-1].sum()) / own["samples"].max()
        for _, own in records.groupby("arm")
    ]
    return max(costs) / PASSES_OF_UPDATE


def main() -> None:
    jobs = {
        "MLP, 60,000 rows, 10 trials": (images_workload(mlp, 60_000, 10_000), 5),
        "CNN, 6,000 rows, 6 trials": (images_workload(cnn, 6_000, 1_000), 3),
    }
    for name, (workload, seeds) in jobs.items():
        for rows in (None, "all"):
            result = compare(workload, ["mini:64", "mini:512"], seeds=seeds, measure_rows=rows, jobs=1)
            trained, measured = (result.trials[f"{part}_seconds"].sum() for part in ("train", "measure"))
            share = rows_between(result)
            least = result.comparison.measure_rows == FEWEST_ROWS
            met = "goal met" if share <= GOAL else "the least sample" if least else "goal missed"
            goal = f" ({met}: at most {GOAL})" if rows is None else ""
            print(
                f"{name}, on {result.comparison.measure_rows or 'all'} rows: training {trained:.1f} s, "
                f"measuring {measured:.1f} s ({measured / trained:.2f} times training); between the ends "
                f"{share:.2f} of training in rows{goal}"
            )


if __name__ == "__main__":
    main()
