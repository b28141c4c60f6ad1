"""The notebook that optcompare began as: its table, to four digits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from optcompare import Expected, Found, Reproduction

if TYPE_CHECKING:
    from optcompare import Attempt

TABLE = {
    "start": (0.2294, -0.2380, 0.2294, -0.2380),
    "after 1 epoch": (0.4798, -0.1793, 0.7664, -0.1066),
    "after 100 more epochs": (1.0089, -0.0380, 1.0037, -0.0157),
}
"""w and b of the full batch, then those of mini-batches of 2."""
NAMES = ("w, full batch", "b, full batch", "w, mini-batches", "b, mini-batches")
ARMS = ("full", "mini:2")


def orders() -> list[list[int]]:
    """Return the orders that the notebook drew: from the second epoch on, one list is shuffled on and on."""
    drawn = random.Random(2)
    first, index = list(range(6)), list(range(6))
    drawn.shuffle(first)
    found = [first]
    for _ in range(100):
        drawn.shuffle(index)
        found.append(list(index))
    return found


def find(attempt: Attempt) -> Found:
    drawn, rows = orders(), {}
    for when, epochs in (("after 1 epoch", 1), ("after 100 more epochs", 101)):
        result = attempt.compare(
            when,
            "line",
            ARMS,
            lr=0.01,
            seeds=[2],
            epochs=epochs,
            order=lambda seed, epoch, n: drawn[epoch],
        )
        models = [result.model(arm, seed=2) for arm in ARMS]
        rows[when] = [weight.item() for model in models for weight in model.parameters()]
        assert result.paths is not None
        rows["start"] = [*result.paths.query("kind == 'path' and update == 0")[["x", "y"]].iloc[0]] * 2
    values = {
        f"{name}, {when}": value for when in TABLE for name, value in zip(NAMES, rows[when], strict=True)
    }
    return Found(values, result.plot())


def notebook() -> Reproduction:
    """Reproduce the table of the notebook: w and b of y = x by full and mini-batches, to four digits."""
    return Reproduction(
        claim="From the same weights, mini-batches of 2 come closer to y = x than full batches do in as many "
        "epochs: w and b at the start, after 1 epoch and after 100 more.",
        source="the notebook that optcompare began as",
        setting="The notebook's data, seed, orders, model, loss and rate, without any change.",
        expected={
            f"{name}, {when}": Expected.about(f"{name}, {when}", value, 0.00005)
            for when, row in TABLE.items()
            for name, value in zip(NAMES, row, strict=True)
        },
        find=find,
    )
