"""The notebook that optcompare began as: y = x by full-batch and mini-batch gradient descent, from the same weights.

Run it with ``python examples/notebook.py [FIGURE.png]``: it prints w and b at the start, after 1 epoch and after 100 more,
and draws the paths of both from their common start.
"""

from __future__ import annotations

import random
import sys

import numpy as np
from torch import nn

import optcompare

SEED, ARMS = 2, ("full", "mini:2")


def notebook_orders(epochs: int) -> list[np.ndarray]:
    """Python's shuffle, seeded once: first on its own, then in place and cumulatively on a fresh range."""
    random.seed(SEED)
    index = np.arange(6)
    random.shuffle(index)
    orders = [index.copy()]
    index = np.arange(6)
    for _ in range(epochs - 1):
        random.shuffle(index)
        orders.append(index.copy())
    return orders


def weights(model: nn.Module) -> tuple[float, float]:
    return model.weight.item(), model.bias.item()  # type: ignore[union-attr, operator]


def reproduce(epochs: int) -> optcompare.Result:
    """Both arms from the weights of seed 2, over the notebook's own order."""
    orders = notebook_orders(epochs)
    return optcompare.compare(
        "line", ARMS, lr=0.01, seeds=[SEED], epochs=epochs, order=lambda seed, epoch, n: orders[epoch]
    )


def main(figure: str | None = None) -> None:
    state = random.getstate()
    once, whole = reproduce(1), reproduce(101)
    start = whole.paths[(whole.paths["kind"] == "path") & (whole.paths["update"] == 0)].iloc[0]
    print(f"first order        {notebook_orders(1)[0].tolist()}")
    print(f"{'':18} " + "".join(f"{arm + ': w, b':>20}" for arm in ARMS))
    rows = {
        "start": [(start["x"], start["y"])] * 2,
        "after 1 epoch": [weights(once.model(arm, SEED)) for arm in ARMS],
        "after 100 more": [weights(whole.model(arm, SEED)) for arm in ARMS],
    }
    for moment, values in rows.items():
        print(f"{moment:18} " + "".join(f"{w:12.4f}{b:8.4f}" for w, b in values))
    if figure:
        whole.plot().savefig(figure)
        print(f"figure: {figure}")
    random.setstate(state)


if __name__ == "__main__":
    main(*sys.argv[1:2])
