"""The updates of lanes in JAX, as its users would write them: the peer of ``lanes.py``."""

from __future__ import annotations

import importlib
import math
import os
from collections.abc import Callable
from functools import cache
from time import perf_counter
from typing import Any

import torch
from torch import nn

from optcompare.training.loop.trainer import LoopTrainer

UPDATES_A_CALL = {"line": 20_000, "digits": 1000, "digits-cnn": 40}
"""Updates of one call of the program by workload, at least; other workloads are not written in JAX."""

OPTIMIZERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


@cache
def jax_or_none() -> Any:
    """Return JAX on one thread, or None where it is not installed."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["NPROC"] = "1"  # threads that its client may have
    try:
        jax: Any = importlib.import_module("jax")
    except ImportError:
        return None
    jax.config.update("jax_platforms", "cpu")
    return jax


def by_jax(loop: LoopTrainer, size: int, width: int, seconds: float = 1.0) -> Callable[[], float]:
    """Return a timer of the same updates, which are compared with torch's first.

    Args:
        loop: The trainer with the workload and its one arm.
        size: Rows of a batch.
        width: Lanes, each with a learning rate of its own.
        seconds: How long one call of the timer trains.

    Returns:
        A function that returns seconds per update and lane.

    Raises:
        AssertionError: The first updates differ from torch's.
    """
    jax = jax_or_none()
    workload, arm = loop.setup.workload, loop.setup.comparison.arms[0]
    tensors: tuple[Any, Any] = workload.train  # type: ignore[assignment]
    x, y = [jax.numpy.asarray(tensor.numpy()) for tensor in tensors]
    name = loop.setup.comparison.workload.label
    loss_of, adam = _jax_loss(jax, name), arm.optimizer.label == "adam"

    def train(state: Any, lr: Any, index: Any) -> Any:
        def update(state: Any, batch: Any) -> Any:
            weights, means, squares, step = state
            grads, step = jax.grad(loss_of)(weights, x[batch], y[batch]), step + 1
            moves = grads
            if adam:
                means = [0.9 * m + 0.1 * g for m, g in zip(means, grads, strict=True)]
                squares = [0.999 * v + 0.001 * g * g for v, g in zip(squares, grads, strict=True)]
                rate, scale = 1 / (1 - 0.9**step), jax.numpy.sqrt(1 - 0.999**step)
                moves = [
                    rate * m / (jax.numpy.sqrt(v) / scale + 1e-8) for m, v in zip(means, squares, strict=True)
                ]
            return (
                [w - lr * move for w, move in zip(weights, moves, strict=True)],
                means,
                squares,
                step,
            ), None

        return jax.lax.scan(update, state, index)[0]

    program = jax.jit(jax.vmap(train))
    torch.manual_seed(0)
    models = [workload.model() for _ in range(width)]
    columns = zip(*(model.parameters() for model in models), strict=True)
    weights = [jax.numpy.asarray(torch.stack(column).detach().numpy()) for column in columns]
    zeros = [jax.numpy.zeros_like(weight) for weight in weights] if adam else []
    rates = jax.numpy.full(width, arm.lr)
    whole = len(tensors[0]) // size
    epochs = math.ceil(UPDATES_A_CALL[name] / whole)
    orders = [[torch.randperm(len(tensors[0]))[: whole * size] for _ in range(epochs)] for _ in range(width)]
    indices = torch.stack([torch.cat(order).reshape(-1, size) for order in orders])
    index = jax.numpy.asarray(indices.numpy())
    state = (weights, zeros, zeros, jax.numpy.zeros(width))

    _compare_with_torch(loop, models[0], program(state, rates, index[:, :10])[0], indices[0, :10])

    def timed() -> float:
        nonlocal state
        made, began = 0, perf_counter()
        while perf_counter() - began < seconds:
            state = jax.block_until_ready(program(state, rates, index))
            made += index.shape[1]
        return float((perf_counter() - began) / made / width)

    state = jax.block_until_ready(program(state, rates, index))  # compiles
    return timed


def _compare_with_torch(loop: LoopTrainer, model: nn.Module, found: list[Any], batches: torch.Tensor) -> None:
    """Make the updates of the first lane with torch, and compare the weights."""
    workload, arm = loop.setup.workload, loop.setup.comparison.arms[0]
    x, y = workload.train  # type: ignore[misc]
    optimizer = OPTIMIZERS[arm.optimizer.label](model.parameters(), lr=arm.lr)
    for batch in batches:
        optimizer.zero_grad()
        workload.loss(model(x[batch]), y[batch]).backward()  # type: ignore[misc]
        optimizer.step()
    for ours, theirs in zip(found, model.parameters(), strict=True):
        torch.testing.assert_close(torch.tensor(ours[0].tolist()), theirs.detach(), rtol=1e-3, atol=1e-4)


def _jax_loss(jax: Any, workload: str) -> Callable[[Any, Any, Any], Any]:
    """Return the mean loss of a workload's model, of weights in the order and form of torch's."""

    def conv(x: Any, weight: Any, bias: Any, stride: int) -> Any:
        form = ("NCHW", "OIHW", "NCHW")
        y = jax.lax.conv_general_dilated(
            x, weight, (stride, stride), [(1, 1), (1, 1)], dimension_numbers=form
        )
        return jax.nn.relu(y + bias[:, None, None])

    def mean_loss(weights: Any, x: Any, y: Any) -> Any:
        if workload == "digits":
            x = jax.nn.relu(x @ weights[0].T + weights[1])
        elif workload == "digits-cnn":
            x = conv(conv(x, weights[0], weights[1], 1), weights[2], weights[3], 2).reshape(len(x), -1)
        scores = x @ weights[-2].T + weights[-1]
        if workload == "line":
            return jax.numpy.mean((scores - y) ** 2)
        return -jax.numpy.mean(jax.numpy.take_along_axis(jax.nn.log_softmax(scores), y[:, None], 1))

    return mean_loss
