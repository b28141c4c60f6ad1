"""The batch-size study as a question: an arm for each batch size and optimizer, tuned alike, whose trials
stop at a goal.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import torch

from ..core.comparison import Budget, TrainerName
from ..core.goal import GOAL_WINDOW
from ..errors import ComparisonError
from ..execution.run import How, execute
from ..execution.runner import Observer
from ..interfaces.workload import Workload
from ..planning.factories import OptimizerLike, make_workload
from ..planning.prepare import Prepared, prepare
from ..registry.manager import Registry
from ..report.figures import save_scaling
from ..report.result import Result
from .compare import seed_list, watched

EXAMPLE = ("digits", "train_loss=0.3")
"""The workload that is studied where none is named, and its goal, of which it has none itself."""
MARKS = 16
"""Marks an epoch: with one, the curve would show the marks."""


def batch_size_study(
    workload: str | Workload = "digits",
    goal: str | None = None,
    *,
    batch_sizes: Sequence[int] | None = None,
    optimizers: str | Sequence[OptimizerLike] | OptimizerLike = ("sgd",),
    tune: int = 8,
    tune_range: tuple[float, float] | None = None,
    tune_seeds: int = 3,
    max_epochs: int = 100,
    goal_window: float = GOAL_WINDOW,
    seeds: int | Sequence[int] = 10,
    first_seed: int = 0,
    device: str | torch.device = "auto",
    dtype: str = "float32",
    autocast: str | None = None,
    threads: int = 1,
    deterministic: bool = True,
    recalibrate: bool | None = None,
    trainer: TrainerName = "auto",
    memory: str | None = None,
    jobs: int | None = None,
    executor: str | Executor | None = None,
    plugins: str | Sequence[str] = (),
    out: str | Path | None = None,
    observer: Observer | None = None,
    progress: bool | None = None,
    track: str | Sequence[str] = (),
) -> Result:
    """Finds what the batch size costs: updates and samples to a goal, each batch size at its own best
    learning rate.

    - ``goal``: as in "train_loss=0.3", by default the workload's; trials end there, or after ``max_epochs``;
    - ``goal_window``: w, where it is reached by the mean over the samples from (1 - w)·t to (1 + w)·t; 0: by
      a single value;
    - ``batch_sizes``: by default powers of two up to the training samples; ``optimizers``: each makes a
      curve;
    - ``tune``: learning rates that each batch size tries, from 5 on about half of them around the best of the
      others.

    The rest is as in :func:`optcompare.compare`. Once all trials have ended, the updates of all batch sizes
    are timed in turn. ``result.recommendation()`` says in words what to take, ``result.scaling()`` holds the
    curves, ``optcompare.figure("scaling", result)`` draws them; with ``out`` both are written beside the run,
    as ``scaling.csv`` and ``scaling.png``.
    """
    plugins = (plugins,) if isinstance(plugins, str) else tuple(plugins)
    prepared = prepare_study(
        Registry.load(plugins),
        workload=workload,
        goal=goal,
        batch_sizes=batch_sizes,
        optimizers=optimizers,
        tune=tune,
        tune_range=tune_range,
        tune_seeds=tune_seeds,
        max_epochs=max_epochs,
        goal_window=goal_window,
        seeds=seed_list(seeds, first_seed),
        device=str(device),
        dtype=dtype,
        autocast=autocast,
        threads=threads,
        deterministic=deterministic,
        recalibrate=recalibrate,
        trainer=trainer,
        plugins=plugins,
    )
    directory = None if out is None else Path(out)
    how = How(
        track=(track,) if isinstance(track, str) else track, memory=memory, jobs=jobs, executor=executor
    )
    result = watched(prepared, how, observer, progress, lambda how: execute(prepared, directory, how))
    if directory is not None and result.status != "interrupted":
        save_scaling(result, directory, ["png"])
    return result


def prepare_study(
    registry: Registry,
    *,
    workload: str | Workload,
    goal: str | None,
    batch_sizes: Sequence[int] | None,
    tune: int,
    max_epochs: int,
    **question: Any,
) -> Prepared:
    """The rehearsed comparison of a study; ``question``: further arguments of :func:`optcompare.compare`."""
    task, part = make_workload(registry, workload)
    if goal is None and task.goal is None and part.reference == EXAMPLE[0]:
        goal = EXAMPLE[1]
    if goal is None and task.goal is None:
        raise ComparisonError(
            "a batch-size study counts what it takes to a goal; give one, such as --goal train_loss=0.3"
        )
    sizes = rising(batch_sizes, task.size, part.label)
    if tune < 2:
        raise ComparisonError(f"tuning needs at least 2 learning rates, got --tune {tune}; give --tune 8")
    return prepare(
        registry,
        workload=workload,
        strategies=[f"mini:{size}" for size in sizes],
        lr=None,
        lr_scaling="none" if task.batch_size is None else "sqrt",
        tune=tune,
        goal=goal,
        stop_at_goal=True,
        measure=MARKS,
        budget=Budget("epochs", max_epochs),
        order=None,
        chunk=None,
        eval_chunk=None,
        **question,
    )


def rising(sizes: Sequence[int] | None, n: int, workload: str) -> list[int]:
    """The batch sizes of a study: those given, or powers of two up to the ``n`` training samples."""
    if sizes is None:
        return [2**power for power in range(n.bit_length())]
    wrong = [size for size in sizes if not (isinstance(size, int) and size >= 1)]
    if wrong or not sizes:
        raise ComparisonError(
            f"batch sizes are whole numbers from 1 on, got {', '.join(map(repr, wrong)) or 'none'}"
        )
    large = [size for size in sizes if size > n]
    if large:
        raise ComparisonError(
            f"--batch-sizes: {', '.join(map(str, large))} is more than the {n} training samples of "
            f"{workload}; the largest "
            f"batch is {n}"
        )
    return sorted(dict.fromkeys(sizes))
