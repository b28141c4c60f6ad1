"""Graph convolutions in plain torch, on a graph that all trials share."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Graph:
    """Hold a graph with features of its nodes, and Â = D^-½ (A + I) D^-½ by its elements that are not 0.

    It is no part of a module's state: trials share it instead of copying it.

    Args:
        x: The features of the nodes, float32[N, F].
        edges: The edges, int64[2, E], each in one direction, without loops.
    """

    def __init__(self, x: Tensor, edges: Tensor) -> None:
        loops = torch.arange(len(x)).expand(2, -1)
        self.rows, self.columns = torch.cat([edges, edges.flip(0), loops], dim=1)
        scale = torch.bincount(self.rows, minlength=len(x)).double().rsqrt()
        self.x, self.weights = x, (scale[self.rows] * scale[self.columns]).to(x.dtype)

    def to(self, weight: Tensor) -> Graph:
        """Return the graph on the device and in the dtype of a weight: itself if it has them."""
        if (self.x.device, self.x.dtype) != (weight.device, weight.dtype):
            moved = Graph.__new__(Graph)
            moved.x, moved.weights = self.x.to(weight), self.weights.to(weight)
            moved.rows, moved.columns = self.rows.to(weight.device), self.columns.to(weight.device)
            return moved
        return self

    def spread(self, values: Tensor) -> Tensor:
        """Return Â · values, [N, H]."""
        messages = values.index_select(0, self.columns) * self.weights.unsqueeze(-1)
        return torch.zeros_like(values).index_add(0, self.rows, messages)


class GraphNetwork(nn.Module):
    """Compute Â (relu(Â (X W₁ + b₁)) W₂ + b₂) (Kipf and Welling 2017), and return the rows of some nodes.

    Args:
        graph: The graph.
        hidden: The columns of W₁.
        classes: The columns of W₂.
    """

    def __init__(self, graph: Graph, hidden: int, classes: int) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(graph.x.shape[1], hidden), nn.Linear(hidden, classes)
        self._graph = graph

    def forward(self, nodes: Tensor) -> Tensor:
        """Return scores, [B, classes], of nodes, int64[B]."""
        graph = self._graph.to(self.first.weight)
        h = graph.spread(self.first(graph.x)).relu()  # (N, hidden)
        scores: Tensor = graph.spread(self.second(h)).index_select(0, nodes)
        return scores
