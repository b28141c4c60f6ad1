"""Classify the nodes of a made graph by a graph convolutional network, which needs the whole graph."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from optcompare import Workload, WorkloadError, accuracy, hookimpl

from .memory import check_fits, check_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]


def graph(
    *,
    nodes: int = 2708,
    classes: int = 7,
    features: int = 128,
    degree: float = 4.0,
    homophily: float = 0.8,
    signal: float = 1.6,
    labelled: int = 20,
    hidden: int = 16,
    seed: int = 0,
) -> Workload:
    """Classify the nodes of a made graph, which is like one of citations, by two graph convolutions.

    An edge joins a random node to one of its class with the probability homophily, else to one of another
    class (a planted partition), until nodes have the mean degree. Features are normal with deviation 1 around
    a point of their class, at a distance of about signal from the origin. The defaults have the numbers of
    nodes, classes and labels, the degree and the homophily of Cora. As there (Yang et al. 2016), labelled
    nodes of each class are trained on; of the others, 500 are for validation and 1,000 are the test set (at
    most a third and two thirds). The network is that of Kipf and Welling (2017) without dropout. A sample is
    the number of a node: a batch computes the whole graph, and its loss is over the nodes of the batch.
    """
    whole = {"nodes": nodes, "classes": classes, "features": features, "labelled": labelled, "hidden": hidden}
    for name, value in whole.items():
        if value < (2 if name == "classes" else 1):
            raise _error(f"{name} must be at least {2 if name == 'classes' else 1}, got {value}")
    if not (0 < degree < nodes / classes and math.isfinite(degree)):
        raise _error(f"degree is a mean number of neighbours, above 0 and below nodes/classes; got {degree}")
    if not 0 <= homophily <= 1:
        raise _error(f"homophily is a share of edges, from 0 to 1; got {homophily}")
    if not (signal >= 0 and math.isfinite(signal)):
        raise _error(f"signal is a distance, 0 or more; got {signal}")
    if not 0 <= seed < 2**32:
        raise _error(f"seed is a number from 0 to 2**32 - 1; got {seed}")
    if nodes < classes * (labelled + 2):
        raise _error(
            f"nodes={nodes} of classes={classes} leave no nodes for validation and test beside "
            f"labelled={labelled} of each class; give {classes * (labelled + 2)} nodes or more"
        )
    check_fits("graph", f"features={features:,} of nodes={nodes:,}", 24 * nodes * (features + hidden))
    check_model("graph", hidden * (features + classes), f"hidden={hidden:,}")
    return _on_split(nodes, classes, features, degree, homophily, signal, labelled, hidden, seed, 0)


def _on_split(
    nodes: int,
    classes: int,
    features: int,
    degree: float,
    homophily: float,
    signal: float,
    labelled: int,
    hidden: int,
    seed: int,
    number: int,
) -> Workload:
    """Return the workload with other labelled nodes of the same graph for each number."""
    import numpy as np
    import torch
    from torch import nn

    from .graph_model import Graph, GraphNetwork

    rng = np.random.RandomState(seed)
    y = rng.permutation(np.arange(nodes) % classes)
    edges = partition_edges(y, round(nodes * degree / 2), homophily, rng)
    if not edges.shape[1]:
        raise _error(f"degree={degree:g} of nodes={nodes:,} leaves no edge; give a larger degree")
    points = rng.normal(0, signal / math.sqrt(features), (classes, features))
    x = points[y] + rng.normal(size=(nodes, features))
    made = Graph(torch.from_numpy(x).float(), torch.from_numpy(edges))
    train, rest = labelled_nodes(y, labelled, np.random.RandomState([seed, number]))
    held = min(500, len(rest) // 3)
    valid, test = rest[:held], rest[held:][:1000]
    sets = [(torch.from_numpy(rows), torch.from_numpy(y[rows])) for rows in (train, valid, test)]
    alike = float((y[edges[0]] == y[edges[1]]).mean())
    return Workload(
        model=partial(GraphNetwork, made, hidden, classes),
        train=sets[0],
        valid=sets[1],
        test=sets[2],
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        lr={"sgd": 0.2, "adam": 0.01, "adamw": 0.01},
        epochs=50,
        batch_size=max(2, min(32, len(train) // 4)),
        notes=(
            f"graph: {nodes:,} nodes and {edges.shape[1]:,} edges, {alike:.0%} of them within a class; "
            f"{len(train):,} nodes are trained on, {held:,} are for validation, {len(test):,} are the test "
            "set",
        ),
        resplit=partial(
            _on_split, nodes, classes, features, degree, homophily, signal, labelled, hidden, seed
        ),
    )


def partition_edges(y: Codes, count: int, homophily: float, rng: np.random.RandomState) -> Codes:
    """Draw the edges of a planted partition; those drawn twice, and from a node to itself, are left out.

    Args:
        y: The class of each node, int64[N]; no class is empty.
        count: The number of edges to draw.
        homophily: The probability that an edge lies within a class.
        rng: The generator.

    Returns:
        The edges, int64[2, E] with E near count; the first node of each is below the second.
    """
    import numpy as np

    order = np.argsort(y, kind="stable")
    sizes = np.bincount(y)
    firsts = np.cumsum(sizes) - sizes
    one = rng.randint(0, len(y), count)
    within = rng.random_sample(count) < homophily
    shift = rng.randint(1, len(sizes), count)
    of_class = np.where(within, y[one], (y[one] + shift) % len(sizes))
    other = order[firsts[of_class] + (rng.random_sample(count) * sizes[of_class]).astype(np.int64)]
    pairs = np.stack([np.minimum(one, other), np.maximum(one, other)])
    return np.unique(pairs[:, one != other], axis=1)


def labelled_nodes(y: Codes, count: int, rng: np.random.RandomState) -> tuple[Codes, Codes]:
    """Draw so many nodes of each class; return them, and the others in random order."""
    import numpy as np

    order = rng.permutation(len(y))
    first = [order[y[order] == label][:count] for label in range(int(y.max()) + 1)]
    train = np.sort(np.concatenate(first))
    return train, order[~np.isin(order, train)]


def _error(text: str) -> WorkloadError:
    return WorkloadError(f"workload graph: {text}")


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"graph": graph}
