"""The function ``batch_size_study()``, which measures the costs of each batch size."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Literal

import torch

from ..core.choices import EngineChoice, MeasureRows, TrainerName
from ..core.goal import GOAL_WINDOW
from ..errors import ComparisonError
from ..execution.run_options import RunOptions
from ..execution.runner import Observer
from ..interfaces.workload import Workload
from ..planning.optimizer_factory import OptimizerLike
from ..planning.prepare import prepare
from ..planning.question import Question, measured_as
from ..planning.study_question import study_question
from ..registry.manager import Registry
from ..report.figures import save_scaling
from ..report.result import Result
from ..storage.previous_run import PreviousRun
from ..training.settings import preserved_settings
from .observed import folder, observed, prepared_aloud, texts
from .python_words import with_python_words
from .run_or_resume import run_or_resume


@with_python_words
@preserved_settings()
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
    measure_rows: MeasureRows = None,
    recalibrate: bool | None = None,
    trainer: TrainerName = "auto",
    engine: EngineChoice = "auto",
    memory: str | None = None,
    jobs: int | Literal["auto"] | None = "auto",
    executor: str | Executor | None = None,
    plugins: str | Sequence[str] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    force: bool = False,
    observer: Observer | None = None,
    progress: bool | None = None,
    track: str | Sequence[str] = (),
) -> Result:
    """Measure the updates and samples to a goal of each batch size, at its own best learning rate.

    After all trials have ended, the updates of all batch sizes are timed in turn. ``recommendation()`` of the
    result is the answer in words, ``scaling()`` returns the curves, and ``optcompare.figure("scaling",
    result)`` draws them.

    Args:
        workload: The workload, as in :func:`optcompare.compare`.
        goal: A metric and the value at which trials stop, as in "train_loss=0.3". None: the workload's goal;
            for "digits" train_loss=0.3.
        batch_sizes: Batch sizes, in samples. None: powers of two up to the training samples.
        optimizers: The optimizers, as in :func:`optcompare.compare`; there is one curve for each.
        tune: The number of learning rates that each batch size tries; of five or more, about half lie around
            the best of the others.
        tune_range: Lowest and highest of the first rates. None: a thirtieth to thirty times the rate that the
            workload recommends, scaled with √B.
        tune_seeds: The number of seeds for tuning alone.
        max_epochs: The most epochs of a trial that does not reach the goal.
        goal_window: w: the mean over the samples from (1 - w)·t to (1 + w)·t must reach the goal; 0: a single
            value must.
        seeds: The number of seeds for every batch size, from ``first_seed`` on; or the seeds themselves.
        first_seed: The first seed, if ``seeds`` is a number.
        device: "cpu", "cuda" (with jobs: all CUDA devices in turn), "cuda:1", "mps", or "auto".
        dtype: The type of weights and data, "float32" or "float64".
        autocast: "bfloat16" for the forward passes. None: ``dtype``.
        threads: CPU threads of each trial.
        deterministic: Use deterministic algorithms where torch has them, and note where it has none.
        measure_rows: Rows of each set that measurements far from the goal are over; as in
            :func:`optcompare.compare`.
        recalibrate: Compute the running averages of BatchNorm again before each measurement; as in
            :func:`optcompare.compare`.
        trainer: "loop", "lanes" or "auto"; as in :func:`optcompare.compare`.
        engine: What runs the programs of lanes; as in :func:`optcompare.compare`.
        memory: Memory limit for trials in lanes, as "4GB" or "25%" of what is free. None: half of it.
        jobs: The number of trials at once, each in its own process. "auto" or None: as many as this machine's
            cores and memory allow, where no result depends on it and the run is long enough; 1 for
            undisturbed seconds. With an executor: as many as it has workers.
        executor: The executor that trains trials; as in :func:`optcompare.compare`. None: this process.
        plugins: Paths of Python files or names of modules to load.
        out: A new run directory to write, with ``scaling.csv`` and ``scaling.png``. None: nothing is written.
        resume: The run directory of the same study, interrupted, or with fewer seeds, which is continued;
            everything else must be the same.
        force: Resume although versions, data or sources changed.
        observer: An object whose methods ``measured``, ``trial_finished`` and ``advanced`` are called in this
            process.
        progress: Show the progress and the time left. None: in notebooks only.
        track: Trackers, each in its own process; as in :func:`optcompare.compare`.

    Returns:
        The result, with one arm for each batch size and optimizer.

    Raises:
        OptcompareError: The study cannot be run; the message is one line.

    Example:
        >>> result = batch_size_study("digits", "train_loss=0.3", batch_sizes=[4, 16, 64], seeds=5)
        >>> print(result.recommendation())
    """
    if resume is not None and out is not None:
        raise ComparisonError("resume continues in the directory of the previous study; leave out `out`")
    if force and resume is None:
        raise ComparisonError("force resumes a study although something changed; give resume too")
    directory, begun = folder("out", out), folder("resume", resume)
    previous = None if begun is None else PreviousRun.read(begun)
    question = Question(
        workload=workload,
        goal=goal,
        optimizers=optimizers,
        tune=tune,
        tune_range=tune_range,
        tune_seeds=tune_seeds,
        goal_window=goal_window,
        seeds=seeds,
        first_seed=first_seed,
        device=str(device),
        dtype=dtype,
        autocast=autocast,
        threads=threads,
        deterministic=deterministic,
        measure_rows=measure_rows,
        recalibrate=recalibrate,
        trainer=trainer,
        engine=engine,
        plugins=texts("plugins", plugins),
    )
    if previous is not None:
        question = measured_as(question, previous.comparison)
    options = RunOptions(track=texts("track", track), memory=memory, jobs=jobs, executor=executor)
    registry = Registry.load(question.plugins)
    with prepared_aloud(progress):
        prepared = prepare(registry, study_question(registry, question, batch_sizes, max_epochs))
    directory = directory or begun
    with observed(prepared, options, observer, progress) as options:
        result = run_or_resume(prepared, previous, directory, options, force=force)
    if directory is not None and result.status == "finished":
        save_scaling(result, directory, ["png"])
    return result
