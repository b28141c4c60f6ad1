"""Trials side by side against loops written by hand, and against the same updates in JAX; one thread each.

``python tests/benchmarks/lanes.py [steady|command]`` prints a table for each (default: both), with every goal
as met or missed, and exits with 0 whatever it finds.

``steady``: µs per update and lane, measuring off, as medians over interleaved rounds. By hand: the loop that
anyone would write, its shuffling included. Lanes: the whole of ``advance()``, once programs are compiled, the
planning of each epoch and the states that it returns included. JAX: ``jit(vmap(scan))`` over indices that
were drawn before, of whole batches only, once compiled.

``command``: seconds of whole processes, against an estimate of the same trials by hand: one process imports
torch and the data and trains one seed of every strategy without any evaluation; its loops are multiplied by
the number of trials.
"""

from __future__ import annotations

import importlib
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

import torch
from torch import nn

from optcompare.core.comparison import Budget, Trial
from optcompare.planning.question import Question
from optcompare.planning.resolve import resolve
from optcompare.registry.manager import Registry
from optcompare.training.device import torch_settings
from optcompare.training.lanes.trainer import LanesTrainer
from optcompare.training.loop.trainer import LoopTrainer

CASES = [
    *(("digits", optimizer, size, (1, 10, 100)) for optimizer in ("sgd", "adam") for size in (1, 32)),
    *(("line", "sgd", size, (1, 10, 100)) for size in (1, 2)),
    *(("digits-cnn", "sgd", size, (1, 10)) for size in (1, 32)),
]
AT_LEAST = {
    ("digits", 1, 10): 60,
    ("digits", 1, 100): 200,
    ("digits", 32, 10): 15,
    ("digits", 32, 100): 20,
    ("line", 1, 10): 200,
    ("line", 2, 10): 200,
    ("digits-cnn", 1, 10): 5,
    ("digits-cnn", 32, 10): 2,
}
"""By workload, batch size and lanes: how many times faster than by hand."""
AT_MOST_OF_JAX = {("digits", 1, 100): 1.3, ("digits", 32, 100): 1.3}

STRATEGIES = (1437, 32, 1)
COMMANDS = [
    ("10 seeds, cold cache", ["--seeds", "10"], 10, 4),
    ("10 seeds, warm cache", ["--seeds", "10"], 10, 7),
    ("--tune 8, first time", ["--seeds", "10", "--tune", "8"], 10 + 8 * 3, 10),
    ("--tune 8, again", ["--seeds", "10", "--tune", "8"], 10 + 8 * 3, 10),
    ("100 seeds, first time", ["--seeds", "100"], 100, 30),
    ("100 seeds, again", ["--seeds", "100"], 100, 30),
]
"""What is run, its further options, trials of every strategy, and the goal."""

BY_HAND = """
from time import perf_counter
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn
torch.set_num_threads(1)
pixels, labels = load_digits(return_X_y=True)
x, _, y, _ = map(
    torch.from_numpy, train_test_split(pixels / 16, labels, test_size=0.2, stratify=labels, random_state=0)
)
x = x.float()
began = perf_counter()
for size in {sizes}:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for epoch in range(20):
        for batch in torch.randperm(len(x)).split(size):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[batch]), y[batch]).backward()
            optimizer.step()
print(perf_counter() - began)
"""

ROUNDS, SECONDS = 5, 1.0
UPDATES_A_CALL = {"line": 20_000, "digits": 1000, "digits-cnn": 40}
"""Of the program in JAX, at least."""

OPTIMIZERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}
Timer = Callable[[], float]


def by_hand(loop: LoopTrainer, size: int) -> Timer:
    """Seconds per update of the loop that anyone would write, over whole epochs."""
    workload, arm = loop.setup.workload, loop.setup.comparison.arms[0]
    x, y = workload.train  # type: ignore[misc]
    loss_of = workload.loss or nn.functional.mse_loss
    torch.manual_seed(0)
    model = workload.model()
    optimizer = OPTIMIZERS[arm.optimizer.label](model.parameters(), lr=arm.lr)

    def timed() -> float:
        made, began = 0, perf_counter()
        while perf_counter() - began < SECONDS / 2:
            batches = torch.randperm(len(x)).split(size)
            for batch in batches:
                optimizer.zero_grad()
                loss_of(model(x[batch]), y[batch]).backward()
                optimizer.step()
            made += len(batches)
        return (perf_counter() - began) / made

    return timed


def by_lanes(loop: LoopTrainer, width: int) -> Timer:
    """Seconds per update and lane of trials trained on from where the last call left them, compiled."""
    lanes = LanesTrainer(loop, memory=8e9)
    admitted = lanes.admit([Trial(loop.setup.comparison.arms[0], seed) for seed in range(width)])
    if admitted.refused or len(admitted.groups) > 1:
        raise RuntimeError(f"not one group: {admitted.refused[:1]}")
    lanes.wait()
    (trials,) = admitted.groups
    state: dict[str, Any] | None = None

    def timed() -> float:
        nonlocal state
        before = 0 if state is None else state["lanes"][0]["progress"]["updates"]
        began = perf_counter()
        _, state = lanes.advance(trials, state, lambda: perf_counter() - began > SECONDS)
        seconds = perf_counter() - began
        ends = [lane["progress"] for lane in state["lanes"]]
        if state["strayed"] or {end["status"] for end in ends} != {"running"}:
            raise RuntimeError(f"{state['strayed'] or ends[0]['reason'] or ends[0]['status']}")
        return seconds / float(ends[0]["updates"] - before) / width

    timed()  # takes over what was compiled
    return timed


@cache
def jax_or_none() -> Any:
    """JAX on one thread, or None where it is not installed."""
    os.environ["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    os.environ["NPROC"] = "1"  # threads that its client may have
    try:
        jax: Any = importlib.import_module("jax")
    except ImportError:
        return None
    jax.config.update("jax_platforms", "cpu")
    return jax


def by_jax(loop: LoopTrainer, size: int, width: int) -> Timer:
    """Seconds per update and lane of the same updates, learning rates given by lane; checked against torch
    first.
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

    few = program(state, rates, index[:, :10])
    optimizer = OPTIMIZERS[arm.optimizer.label](models[0].parameters(), lr=arm.lr)
    for batch in indices[0, :10]:
        optimizer.zero_grad()
        workload.loss(models[0](tensors[0][batch]), tensors[1][batch]).backward()  # type: ignore[misc]
        optimizer.step()
    for ours, theirs in zip(few[0], models[0].parameters(), strict=True):
        torch.testing.assert_close(torch.tensor(ours[0].tolist()), theirs.detach(), rtol=1e-3, atol=1e-4)

    def timed() -> float:
        nonlocal state
        made, began = 0, perf_counter()
        while perf_counter() - began < SECONDS:
            state = jax.block_until_ready(program(state, rates, index))
            made += index.shape[1]
        return float((perf_counter() - began) / made / width)

    state = jax.block_until_ready(program(state, rates, index))  # compiles
    return timed


def _jax_loss(jax: Any, workload: str) -> Callable[[Any, Any, Any], Any]:
    """The mean loss of a workload's model, of weights in the order and form of torch's."""

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


def steady() -> None:
    head = (
        f"{'workload':10} {'optimizer':9} {'batch':>5} {'lanes':>5} {'by hand':>9} {'ours':>9} "
        f"{'hand/ours':>9}"
    )
    print(
        f"{head} {'JAX':>9} {'ours/JAX':>8}   (µs per update and lane, medians of {ROUNDS} interleaved "
        "rounds)"
    )
    for name, optimizer, size, widths in CASES:
        for width in widths:
            print(
                f"{name:10} {optimizer:9} {size:5} {width:5} {_steady_row(name, optimizer, size, width)}",
                flush=True,
            )
    if jax_or_none() is None:
        print("JAX is not installed, so nothing was compared with it: pip install 'optcompare[bench]'")


def _steady_row(name: str, optimizer: str, size: int, width: int) -> str:
    try:
        setup, _ = resolve(
            Registry.load(),
            Question(
                workload=name,
                strategies=[f"mini:{size}"],
                optimizers=[optimizer],
                budget=Budget("updates", 10_000_000),
                seeds=tuple(range(width)),
                measure=0,
                trainer="lanes",
                device="cpu",
            ),
        )
        with torch_settings(threads=1):
            loop = LoopTrainer(setup)
            timers = [by_hand(loop, size), by_lanes(loop, width)]
            timers += [by_jax(loop, size, width)] if jax_or_none() is not None else []
            rounds = [[timer() * 1e6 for timer in timers] for _ in range(ROUNDS + 1)][1:]
    except Exception as error:
        return f"  failed: {' '.join(str(error).split())[:300]}"
    hand, ours, *jax = map(median, zip(*rounds, strict=True))
    ratio = median(row[0] / row[1] for row in rounds)
    over = median(row[1] / row[2] for row in rounds) if jax else None
    goals = [
        _goal(ratio, "≥", AT_LEAST.get((name, size, width))),
        _goal(over, "≤", AT_MOST_OF_JAX.get((name, size, width))),
    ]
    beside = f"{jax[0]:9.3f} {over:8.2f}" if jax else f"{'-':>9} {'-':>8}"
    return f"{hand:9.1f} {ours:9.3f} {ratio:9.1f} {beside}   {', '.join(filter(None, goals))}"


def _goal(value: float | None, sign: str, limit: float | None) -> str:
    if value is None or limit is None:
        return ""
    met = value >= limit if sign == "≥" else value <= limit
    return f"{'' if sign == '≥' else 'JAX '}{sign}{limit:g} {'met' if met else 'MISSED'}"


def command() -> None:
    print(
        "optcompare run --workload digits --strategies full,mini,single --epochs 20 --quiet, whole processes"
    )
    print("(by hand: start and imports once, plus the loops of one seed, times trials: an estimate)")
    print(f"{'':22} {'trials':>6} {'by hand':>9} {'ours':>9} {'ratio':>7}")
    script = str(Path(sys.executable).with_name("optcompare"))
    options = ["--workload", "digits", "--strategies", "full,mini,single", "--epochs", "20", "--quiet"]
    with tempfile.TemporaryDirectory() as directory:
        environment = {**os.environ, "XDG_CACHE_HOME": str(Path(directory) / "cache")}
        starts, loops, found = list[float](), list[float](), list[tuple[float, str]]()
        for number, (_, more, _, _) in enumerate(COMMANDS):
            _measure_by_hand(starts, loops)
            call = [script, "run", *options, *more, "--out", str(Path(directory) / str(number))]
            began = perf_counter()
            done = subprocess.run(call, capture_output=True, text=True, env=environment)
            found.append((perf_counter() - began, done.stderr if done.returncode else ""))
            while list((Path(directory) / "cache" / "optcompare").glob("*.work")):
                time.sleep(0.2)  # compilers that the command left behind are still at work
    for (label, _, trials, limit), (ours, error) in zip(COMMANDS, found, strict=True):
        hand = median(starts) + trials * median(loops)
        row = f"{hand:7.1f} s {ours:7.1f} s {hand / ours:7.1f}   {_goal(hand / ours, '≥', limit)}"
        print(
            f"{label:22} {len(STRATEGIES) * trials:6} {'failed: ' + error.strip()[-300:] if error else row}"
        )
    print(f"by hand: {median(starts):.1f} s of start and imports, {median(loops):.2f} s for one seed")


def _measure_by_hand(starts: list[float], loops: list[float]) -> None:
    began = perf_counter()
    script = [sys.executable, "-c", BY_HAND.format(sizes=STRATEGIES)]
    loops.append(float(subprocess.run(script, check=True, capture_output=True, text=True).stdout))
    starts.append(perf_counter() - began - loops[-1])


if __name__ == "__main__":
    for measured in {"steady": [steady], "command": [command]}.get("".join(sys.argv[1:2]), [steady, command]):
        measured()
