"""
Your own model and data
=======================

A table of wines, a network with batch normalisation, and three batch sizes with two optimizers.

Run it with ``python examples/own_model.py [FIGURE.png]``.
"""

import sys

from sklearn.datasets import load_wine
from torch import nn

import optcompare


def network():
    """A new module at each call: the core seeds torch before, so that all arms of a seed start from the same
    weights.
    """
    return nn.Sequential(nn.BatchNorm1d(13), nn.Linear(13, 32), nn.ReLU(), nn.Linear(32, 3))


x, y = load_wine(return_X_y=True, as_frame=True)  # arrays, tensors, Datasets and DataLoaders do as well
workload = optcompare.workload_from(network, (x, y), valid=0.25, name="wine")
print("\n".join(workload.notes))

result = optcompare.compare(
    workload,
    strategies=["full", "mini:8", "mini:32"],
    optimizers=["sgd:momentum=0.9", "adam"],
    lr=0.01,
    seeds=10,
    epochs=15,
)
print("\n".join(result.verdict()))
result.plot().savefig(sys.argv[1] if len(sys.argv) > 1 else "own_model.png")
