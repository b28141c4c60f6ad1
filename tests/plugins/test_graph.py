"""A made graph: its edges, its masks, and a network that all trials compute on one shared graph."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from optcompare_plugins.workloads.graph import graph, labelled_nodes, partition_edges
from optcompare_plugins.workloads.graph_model import Graph, GraphNetwork

from optcompare import WorkloadError, compare
from tests.helpers.both_trainers import agree, both

SMALL = {"nodes": 120, "classes": 3, "features": 8, "labelled": 8, "hidden": 4}


def test_the_defaults_have_the_sizes_of_cora_and_its_usual_split():
    workload = graph()
    assert [len(rows) for rows, _ in workload.sets.values()] == [140, 500, 1000]
    assert workload.train[1].bincount().tolist() == [20] * 7
    rows = torch.cat([rows for rows, _ in workload.sets.values()])
    assert len(rows.unique()) == len(rows) == 1640
    assert "2,708 nodes" in workload.notes[0]


@pytest.mark.parametrize("homophily", [0.0, 0.3, 1.0])
def test_edges_lie_within_a_class_at_the_given_rate(homophily):
    y = np.random.RandomState(1).permutation(np.arange(3000) % 5)
    edges = partition_edges(y, 6000, homophily, np.random.RandomState(0))
    assert len({tuple(edge) for edge in edges.T.tolist()}) == edges.shape[1]
    assert (edges[0] < edges[1]).all()
    assert 5900 < edges.shape[1] <= 6000
    within = (y[edges[0]] == y[edges[1]]).mean()
    assert within == pytest.approx(homophily, abs=0.02)  # a deviation of 0.006


def test_labelled_nodes_are_some_of_each_class_and_the_others_are_left():
    y = np.arange(30) % 3
    train, rest = labelled_nodes(y, 4, np.random.RandomState(0))
    assert np.bincount(y[train]).tolist() == [4, 4, 4]
    assert sorted([*train, *rest]) == list(range(30))


def test_the_adjacency_is_normalised_by_degrees():
    """A path of three nodes: with loops, degrees are 2, 3, 2, so that elements are 1/2, 1/√6, 1/3."""
    path = Graph(torch.eye(3), torch.tensor([[0, 1], [1, 2]]))
    root = 6**-0.5
    expected = torch.tensor([[1 / 2, root, 0], [root, 1 / 3, root], [0, root, 1 / 2]])
    torch.testing.assert_close(path.spread(torch.eye(3)), expected)


def test_the_network_is_two_convolutions():
    made = Graph(torch.randn(5, 4), torch.tensor([[0, 1, 2], [1, 2, 4]]))
    network = GraphNetwork(made, 3, 2)
    adjacency = made.spread(torch.eye(5))
    whole = adjacency @ network.second((adjacency @ network.first(made.x)).relu())
    nodes = torch.tensor([4, 0])
    torch.testing.assert_close(network(nodes), whole[nodes])
    torch.testing.assert_close(network.double()(nodes), whole[nodes].double())


def test_trials_share_the_graph_instead_of_copying_it():
    workload = graph(**SMALL)
    assert workload.model()._graph is workload.model()._graph
    assert set(workload.model().state_dict()) == {
        f"{layer}.{name}" for layer in ("first", "second") for name in ("weight", "bias")
    }


def test_another_split_labels_other_nodes_of_the_same_graph():
    workload = graph(**SMALL)
    other = workload.on_split(1)
    assert not torch.equal(other.train[0], workload.train[0])
    assert torch.equal(other.model()._graph.x, workload.model()._graph.x)
    assert torch.equal(other.model()._graph.rows, workload.model()._graph.rows)
    kinds = [
        dict(zip(*(part.tolist() for part in pair), strict=True)) for pair in (workload.test, other.train)
    ]
    common = kinds[0].keys() & kinds[1].keys()
    assert common
    assert all(kinds[0][node] == kinds[1][node] for node in common)


@pytest.mark.slow
def test_lanes_compute_what_the_loop_computes():
    lanes, loop = both(graph(**SMALL), "mini:8", "sgd", epochs=3)
    assert set(lanes.trials["trainer"]) == {"lanes"}
    agree(lanes, loop)


@pytest.mark.slow
def test_edges_help():
    """Neighbours of one class average the noise of features away; those drawn at random do not."""
    results = [
        compare(graph(homophily=homophily), "full", "adam", seeds=1, epochs=60) for homophily in (1 / 7, 0.8)
    ]
    scores = [result.records["test_accuracy"].iloc[-1] for result in results]
    assert scores[1] > scores[0] + 0.2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"nodes": 0}, "nodes must be at least 1, got 0"),
        ({"classes": 1}, "classes must be at least 2, got 1"),
        ({"features": 0}, "features must be at least 1, got 0"),
        ({"degree": 0.0}, "degree is a mean number of neighbours, above 0 and below nodes/classes; got 0.0"),
        ({"degree": float("nan")}, "degree is a mean number of neighbours"),
        ({"degree": 1000.0}, "degree is a mean number of neighbours, above 0 and below nodes/classes"),
        ({"homophily": 1.5}, "homophily is a share of edges, from 0 to 1; got 1.5"),
        ({"signal": -1.0}, "signal is a distance, 0 or more; got -1.0"),
        ({"seed": -1}, "seed is a number from 0 to 2**32 - 1; got -1"),
        ({"nodes": 100}, "nodes=100 of classes=7 leave no nodes for validation and test beside labelled=20"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(WorkloadError, match=f"^workload graph: {re.escape(message)}"):
        graph(**options)


def test_a_graph_without_edges_is_refused():
    with pytest.raises(WorkloadError, match=r"degree=0.0001 of nodes=2,708 leaves no edge; give a larger"):
        graph(degree=0.0001)
