"""The function ``compare()``, which runs one comparison."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Literal

import torch

from ..core.budget import one_budget
from ..core.choices import EngineChoice, LrScaling, MeasureRows, TrainerName
from ..errors import ComparisonError
from ..execution.run_options import RunOptions
from ..execution.runner import Observer
from ..interfaces.workload import Workload
from ..planning.factories import DiagnosticLike, StrategyLike
from ..planning.optimizer_factory import OptimizerLike
from ..planning.prepare import prepare
from ..planning.question import Question, measured_as
from ..registry.manager import Registry
from ..report.result import Result
from ..storage.previous_run import PreviousRun
from ..training.settings import preserved_settings
from ..training.shared_init import Order
from .observed import folder, observed, prepared_aloud, texts
from .python_words import with_python_words
from .run_or_resume import run_or_resume


@with_python_words
@preserved_settings()
def compare(
    workload: str | Workload = "line",
    strategies: str | Sequence[StrategyLike] | StrategyLike = ("full", "mini", "single"),
    optimizers: str | Sequence[OptimizerLike] | OptimizerLike = ("sgd",),
    *,
    lr: float | Sequence[float] | None = None,
    lr_scaling: LrScaling = "none",
    schedule: str = "none",
    clip: float | None = None,
    tune: int | None = None,
    tune_range: tuple[float, float] | None = None,
    tune_seeds: int = 3,
    tune_repeats: int = 1,
    goal: str | None = None,
    baseline: str | None = None,
    control: bool = False,
    margin: float | None = None,
    seeds: int | Sequence[int] = 10,
    first_seed: int = 0,
    split_seeds: int = 1,
    epochs: int | None = None,
    updates: int | None = None,
    samples: int | None = None,
    seconds: float | None = None,
    device: str | torch.device = "auto",
    dtype: str = "float32",
    autocast: str | None = None,
    threads: int = 1,
    deterministic: bool = True,
    chunk: int | None = None,
    eval_chunk: int | None = None,
    measure: int = 1,
    measure_rows: MeasureRows = None,
    recalibrate: bool | None = None,
    plane: bool = False,
    diagnostics: str | Sequence[DiagnosticLike] | DiagnosticLike = (),
    diagnose_every: int = 1,
    trainer: TrainerName = "auto",
    engine: EngineChoice = "auto",
    memory: str | None = None,
    jobs: int | Literal["auto"] | None = "auto",
    executor: str | Executor | None = None,
    order: Order | None = None,
    plugins: str | Sequence[str] = (),
    out: str | Path | None = None,
    resume: str | Path | None = None,
    force: bool = False,
    observer: Observer | None = None,
    progress: bool | None = None,
    track: str | Sequence[str] = (),
) -> Result:
    """Train every arm from the same initial weights over the same order of samples, and compare them.

    An arm is a strategy with an optimizer and its settings. Ctrl-C returns the measurements so far, with
    ``status`` "interrupted". The caller's random generators, thread count and settings of torch and NumPy do
    not change.

    Args:
        workload: The workload: a name or spec ("digits", "csv:data.csv:y=price", "my.py:make"), or a
            :class:`Workload`.
        strategies: How an epoch's samples become batches: names, specs ("mini:64") or :class:`Strategy`
            objects. A strategy without ``@optimizer`` is crossed with every optimizer.
        optimizers: How a gradient becomes an update: names, specs ("adam:lr=0.001"), paths
            ("pytorch_optimizer.Lion", "my.py:build"), or factories ``build(model, **hyperparameters)``.
        lr: Learning rate of arms without one in their spec; each of several makes an arm. None: the
            workload's rate for that optimizer, else the optimizer's default.
        lr_scaling: "linear" or "sqrt" scales that rate from the workload's batch size to the arm's.
        schedule: The change of the rate over the budget, for optimizers without a schedule in their spec:
            "step", "cosine", "warmup-cosine", or a spec ("step:gamma=0.2").
        clip: Norm to which larger gradients are scaled down, for optimizers without one in their spec;
            adaptive strategies receive the gradient before. None: no clipping.
        tune: The number of learning rates that every arm tries first, on seeds for tuning alone; of five or
            more, about half lie around the best of the others. The arm is reported at the best one by
            validation loss. None: no tuning.
        tune_range: Lowest and highest of the first rates. None: a thirtieth to thirty times the arm's rate.
        tune_seeds: The number of seeds of each tuning.
        tune_repeats: How many times every arm is tuned, each time on other seeds and on grids that are
            shifted at random; the arm then trains each of ``seeds`` at the rate of each tuning.
        goal: A metric and the value to reach, as in "valid_loss=0.2". None: the workload's, if it has one.
        baseline: Label of the arm that the others are compared with. None: the first.
        control: Add a rounding control: the same baseline, with gradients accumulated in smaller chunks.
        margin: Test whether final values are equal within ±margin. None: equality is not claimed.
        seeds: The number of seeds for every arm, from ``first_seed`` on; or the seeds themselves.
        first_seed: The first seed, if ``seeds`` is a number.
        split_seeds: The number of splits of the workload's data; seeds use them in turn.
        epochs: Budget of every trial, in passes over the training samples. Give at most one budget; without
            one it is the workload's epochs.
        updates: Budget of every trial, in optimizer steps.
        samples: Budget of every trial, in training samples.
        seconds: Budget of every trial, in seconds of its own training.
        device: "cpu", "cuda" (with jobs: all CUDA devices in turn), "cuda:1", "mps", or "auto".
        dtype: The type of weights and data, "float32" or "float64".
        autocast: "bfloat16" for the forward passes. None: ``dtype``.
        threads: CPU threads of each trial.
        deterministic: Use deterministic algorithms where torch has them, and note where it has none.
        chunk: Rows in one forward pass of training; larger batches accumulate gradients. None: 4 MiB of
            input.
        eval_chunk: Rows in one forward pass of evaluation. None: 4 MiB of input, and on a CPU about as
            much of results within the model.
        measure: Measurements of every arm per epoch; 0: only before and after.
        measure_rows: Rows of each set that measurements between the first and the last of a trial are over:
            a number, drawn once for all arms and seeds, or "all". None: at least 1,024, and as many as keep
            all these measurements within a quarter of the cost of training. First and last values, those of
            the test set, and those that reach a goal are over all rows.
        recalibrate: Compute the running averages of BatchNorm again before each measurement, on a copy, from
            up to 2,048 training rows that are the same for all arms. The columns ``raw_train_loss``, … then
            hold the measurements with the averages of training. None: only if some arm makes so few updates
            that more than 5% of their initial values would be left.
        plane: Keep the first seed's weights at every evaluation point, and draw the paths of all arms in the
            plane of their largest variance.
        diagnostics: Further columns of the records: names, specs ("noise_scale:rows=512") or
            :class:`Diagnostic` objects. They are computed outside the training clock, by the loop trainer.
        diagnose_every: The number of evaluation points from one diagnostic measurement to the next.
        trainer: "loop" trains one trial after another, "lanes" many trials as one program if possible,
            "auto" uses lanes where they save time.
        engine: What runs the programs of lanes: "xla" (needs the extra xla), "inductor" (needs a C++
            compiler), "traced" or "vmapped". "auto" takes "xla" where jax is installed, else "inductor",
            where compiling repays.
        memory: Memory limit for trials in lanes, as "4GB" or "25%" of what is free. None: half of it.
        jobs: The number of trials at once, each in its own process. "auto" or None: as many as this machine's
            cores and memory allow, where no result depends on it and the run is long enough; 1 for
            undisturbed seconds. With an executor: as many as it has workers.
        executor: The executor that trains trials: a name ("ray:ADDRESS"), or a
            ``concurrent.futures.Executor`` such as Dask's ``client.get_executor()``, which is left running.
            None: this process.
        order: A function ``order(seed, epoch, n)`` that returns int64[n] and replaces the shared shuffled
            order of all arms. None: shuffled.
        plugins: Paths of Python files or names of modules to load.
        out: A new run directory to write. None: nothing is written.
        resume: The run directory of the same comparison, interrupted, or with fewer seeds or arms or a
            smaller budget; its trials are not trained again. None: all trials are trained.
        force: Resume although versions, data or sources changed.
        observer: An object whose methods ``measured``, ``trial_finished`` and ``advanced`` are called in this
            process.
        progress: Show the progress and the time left. None: in notebooks only.
        track: Trackers, as "tensorboard" or ["jsonl", "mlflow:sqlite:///runs/mlflow.db"], each in its own
            process. A tracker that is slow or fails misses measurements, with a warning, and delays nothing.

    Returns:
        The result: records, trials, summary, verdict and figures.

    Raises:
        OptcompareError: The comparison cannot be run; the message is one line.

    Example:
        >>> result = compare("digits", ["full", "mini:32"], seeds=5, epochs=10)
        >>> result.summary()
        >>> result.plot()
    """
    if resume is not None and out is not None:
        raise ComparisonError("resume continues in the directory of the previous run; leave out `out`")
    if force and resume is None:
        raise ComparisonError("force resumes a run although something changed; give resume too")
    directory, begun = folder("out", out), folder("resume", resume)
    previous = None if begun is None else PreviousRun.read(begun)
    question = Question(
        workload=workload,
        strategies=strategies,
        optimizers=optimizers,
        lr=lr,
        lr_scaling=lr_scaling,
        schedule=schedule,
        clip=clip,
        tune=tune,
        tune_range=tune_range,
        tune_seeds=tune_seeds,
        tune_repeats=tune_repeats,
        goal=goal,
        baseline=baseline,
        control=control,
        margin=margin,
        seeds=seeds,
        first_seed=first_seed,
        split_seeds=split_seeds,
        budget=one_budget(epochs=epochs, updates=updates, samples=samples, seconds=seconds),
        device=str(device),
        dtype=dtype,
        autocast=autocast,
        threads=threads,
        deterministic=deterministic,
        chunk=chunk,
        eval_chunk=eval_chunk,
        measure=measure,
        measure_rows=measure_rows,
        recalibrate=recalibrate,
        plane=plane,
        diagnostics=diagnostics,
        diagnose_every=diagnose_every,
        trainer=trainer,
        engine=engine,
        order=order,
        plugins=texts("plugins", plugins),
    )
    if previous is not None:
        question = measured_as(question, previous.comparison)
    options = RunOptions(track=texts("track", track), memory=memory, jobs=jobs, executor=executor)
    with prepared_aloud(progress):
        prepared = prepare(Registry.load(question.plugins), question)
    with observed(prepared, options, observer, progress) as options:
        return run_or_resume(prepared, previous, directory, options, force=force)
