"""
The notebook that optcompare began as
=====================================

Train y = x by full-batch and mini-batch gradient descent, from the same weights.

``python examples/notebook.py [FIGURE.png]`` prints w and b on the way, and draws both paths.
"""

import random
import sys

import numpy as np

import optcompare

ARMS = ["full", "mini:2"]
random.seed(2)
first, index = np.arange(6), np.arange(6)
random.shuffle(first)
orders = [first]
for _ in range(100):  # from the second epoch on, the notebook shuffled one array in place, cumulatively
    random.shuffle(index)
    orders.append(index.copy())


def trained(epochs):
    settings = {"lr": 0.01, "seeds": [2], "epochs": epochs}
    return optcompare.compare("line", ARMS, **settings, order=lambda seed, epoch, n: orders[epoch])


def weights(result):
    models = [result.model(arm, seed=2) for arm in ARMS]
    return [(model.weight.item(), model.bias.item()) for model in models]


once, whole = trained(1), trained(101)
start = whole.paths.query("kind == 'path' and update == 0")[["x", "y"]].to_numpy()
print(f"first order        {first.tolist()}\n{'':18} " + "".join(f"{arm + ': w, b':>20}" for arm in ARMS))
for when, values in {
    "start": start,
    "after 1 epoch": weights(once),
    "after 100 more": weights(whole),
}.items():
    print(f"{when:18} " + "".join(f"{w:12.4f}{b:8.4f}" for w, b in values))
whole.plot().savefig(sys.argv[1] if len(sys.argv) > 1 else "notebook.png")
