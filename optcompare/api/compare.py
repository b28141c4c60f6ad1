"""``compare()``: wires resolving, rehearsing, running and saving. The command line does the same in steps."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from pathlib import Path

import torch

from ..core.bounds import MOST_SEEDS, whole
from ..core.comparison import UNITS, Budget, LrScaling, TrainerName, Unit
from ..errors import ComparisonError
from ..execution.progress import in_notebook
from ..execution.progress import progress as shown
from ..execution.run import How, execute, go_on
from ..execution.runner import Observer
from ..interfaces.workload import Workload
from ..planning.factories import DiagnosticLike, OptimizerLike, StrategyLike
from ..planning.prepare import Prepared, prepare
from ..registry.manager import Registry
from ..report.result import Result
from ..storage.previous_run import PreviousRun
from ..storage.resume import refuse_other_question, with_previous_tuning
from ..training.settings import settings_kept
from ..training.shared_init import Order


@settings_kept()
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
    recalibrate: bool | None = None,
    plane: bool = False,
    diagnostics: str | Sequence[DiagnosticLike] | DiagnosticLike = (),
    diagnose_every: int = 1,
    trainer: TrainerName = "auto",
    memory: str | None = None,
    jobs: int | None = None,
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
    """Trains every arm from identical weights over an identical order of samples, and returns what was
    measured.

    - ``workload``: a name or spec (``"digits"``, ``"csv:data.csv:y=price"``, ``"my.py:make"``) or a
      :class:`Workload`;
    - ``strategies``, ``optimizers``: names, specs (``"mini:64"``, ``"adam:lr=0.001"``) or objects; a strategy
      without ``@optimizer`` is crossed with every optimizer; an optimizer's name may be its path
      ("pytorch_optimizer.Lion", "my.py:build");
    - ``lr``: for arms whose spec gives none (of several, each makes an arm); else the workload's for that
      optimizer, else the optimizer's default. ``lr_scaling``: "linear" or "sqrt" scales it from the
      workload's batch size to the arm's; ``schedule``: "step", "cosine" or "warmup-cosine" changes it along
      the budget, for optimizers whose spec gives none ("sgd:schedule=cosine"); ``clip``: the norm above which
      the gradient of an update is scaled down to it, for optimizers whose spec gives none ("sgd:clip=1");
      adaptive strategies see the gradient as it was;
    - ``tune``: how many learning rates every arm tries on ``tune_seeds`` seeds of their own, log-spaced over
      ``tune_range``, by default from a thirtieth to thirty times its rate, and from five on about half of
      them around the best of the others; the best by validation loss is reported. ``tune_repeats``: how many
      times that is done, each on seeds of its own and grids that are shifted at random; every arm then trains
      each of ``seeds`` at the rate of each;
    - ``goal``: as in "valid_loss=0.2"; ``baseline``: the label of the arm to compare with, by default the
      first; ``control``: adds a rounding control: the same baseline, gradients accumulated in other pieces;
      ``margin``: final values that differ by less count as equal, which is tested (without one, no equality
      is claimed);
    - ``seeds``: how many, from ``first_seed``, or a sequence of them; ``split_seeds``: on how many splits of
      the workload's data they are trained and measured, in turn;
    - one of ``epochs``, ``updates``, ``samples``, ``seconds`` (of each trial's own training): the budget of
      every trial, by default the workload's epochs;
    - ``device``: "cpu", "cuda" (with jobs, all CUDA devices in turn), "cuda:1", "mps", or "auto"; ``dtype``:
      of weights and data, "float32" or "float64"; ``autocast``: "bfloat16" for the forward passes;
      ``deterministic``: use deterministic algorithms where there are some, and say where there are none;
    - ``chunk``, ``eval_chunk``: rows in one forward pass, in training and in evaluation;
    - ``measure``: measurements of every arm per epoch (0: only before and after);
    - ``recalibrate``: compute BatchNorm's running averages anew before each measurement, on a copy, from up
      to 2,048 training rows that are the same for all arms; by default where some arm makes so few updates
      that more than 5% of their initial values would be left. The columns ``raw_train_loss``, … hold what the
      averages of the training give;
    - ``plane``: keep the first seed's weights at every mark, and draw the ways of all arms in the plane that
      holds most of them;
    - ``diagnostics``: names, specs ("noise_scale:rows=512") or objects; further columns of the records,
      computed at every ``diagnose_every``-th mark, outside the training clock, and in the loop alone;
    - ``trainer``: "loop" trains one trial after another; "lanes" trains many as one program, as far as they
      can; "auto" takes lanes where they save time; ``memory``: memory limit for vectorized trials, as "4GB"
      or "25%" of what is free (default half);
    - ``jobs``: trials trained at once, each in a process of its own; ``executor``: where, by name as in
      "ray:ADDRESS", or any ``concurrent.futures.Executor`` (Dask's ``client.get_executor()``), which is left
      running;
    - ``order(seed, epoch, n)``: int64[n], replaces the shared shuffled order for all arms;
    - ``plugins``: paths of Python files or names of modules; ``out``: a new run directory to write;
    - ``resume``: the run directory of the same comparison, stopped, or with fewer seeds or arms or a smaller
      budget: what is in it is not trained again; ``force``: even if versions, data or sources changed since;
    - ``observer``: is told what happens, in this process; ``progress``: shows what is done and the time left,
      by default in notebooks alone; ``track``: trackers, as "tensorboard" or ["jsonl",
      "mlflow:sqlite:///runs/mlflow.db"], which are told in processes of their own: one that is slow or fails
      costs no more than what it was not told, and a warning.

    Ctrl-C returns what was measured until then, with ``status`` "interrupted". The caller's generators,
    thread count and settings of torch and NumPy are left as they were. Raises :class:`OptcompareError` with
    one line for whatever cannot be run.
    """
    plugins = (plugins,) if isinstance(plugins, str) else tuple(plugins)
    if resume is not None and out is not None:
        raise ComparisonError("resume goes on in the directory of the earlier run; leave out `out`")
    earlier = None if resume is None else PreviousRun.read(Path(resume))
    if earlier is not None and recalibrate is None:
        recalibrate = earlier.comparison.recalibrate
    prepared = prepare(
        Registry.load(plugins),
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
        budget=one_budget({"epochs": epochs, "updates": updates, "samples": samples, "seconds": seconds}),
        seeds=seed_list(seeds, first_seed),
        split_seeds=split_seeds,
        device=str(device),
        dtype=dtype,
        autocast=autocast,
        threads=threads,
        deterministic=deterministic,
        chunk=chunk,
        eval_chunk=eval_chunk,
        measure=measure,
        recalibrate=recalibrate,
        plane=plane,
        diagnostics=diagnostics,
        diagnose_every=diagnose_every,
        trainer=trainer,
        order=order,
        plugins=plugins,
    )
    how = How(
        track=(track,) if isinstance(track, str) else track, memory=memory, jobs=jobs, executor=executor
    )
    if earlier is None:
        return watched(prepared, how, observer, progress, lambda how: execute(prepared, _path(out), how))
    refuse_other_question(prepared.setup.comparison, earlier.comparison)
    prepared = prepared.asking(with_previous_tuning(prepared.setup.comparison, earlier.comparison))
    return watched(prepared, how, observer, progress, lambda how: go_on(prepared, earlier, how, force=force))


def watched(
    prepared: Prepared,
    how: How,
    observer: Observer | None,
    progress: bool | None,
    run: Callable[[How], Result],
) -> Result:
    """``run(how)``, with an observer and, by default in notebooks alone, a bar; warns of observers and
    trackers that failed.
    """
    known = len(prepared.registry.warnings)
    with shown() if (in_notebook() if progress is None else progress) else nullcontext() as bar:
        result = run(
            dataclasses.replace(how, observers=[each for each in (observer, bar) if each is not None])
        )
    for warning in prepared.registry.warnings[known:]:
        warnings.warn(warning, stacklevel=3)
    return result


def _path(out: str | Path | None) -> Path | None:
    return None if out is None else Path(out)


def one_budget(given: Mapping[str, float | None]) -> Budget | None:
    """The budget of ``{"epochs": 20, "updates": None, …}``; None if none is given, an error if several
    are.
    """
    chosen: list[tuple[Unit, float]] = [
        (unit, amount) for unit in UNITS if (amount := given.get(unit)) is not None
    ]
    if len(chosen) > 1:
        raise ComparisonError(f"give one budget, not {len(chosen)}: {', '.join(unit for unit, _ in chosen)}")
    return Budget(*chosen[0]) if chosen else None


def seed_list(seeds: int | Sequence[int], first: int = 0) -> tuple[int, ...]:
    """``seeds`` seeds from ``first`` on, or the given ones."""
    if isinstance(seeds, Sequence) and not isinstance(seeds, str):
        if len(seeds[: MOST_SEEDS + 1]) > MOST_SEEDS:  # the length of a long range is no index
            raise ComparisonError(f"a comparison has at most {MOST_SEEDS:,} seeds, got more; give fewer")
        return tuple(seeds)
    if not isinstance(seeds, int):
        raise ComparisonError(f"seeds must be how many, or a list of them, got {seeds!r}")
    if seeds < 1:
        raise ComparisonError(f"a comparison needs at least 1 seed, got {seeds}")
    whole("seeds", seeds, 1, MOST_SEEDS)
    if not isinstance(first, int):
        raise ComparisonError(f"first_seed must be a whole number, got {first!r}")
    return tuple(range(first, first + seeds))
