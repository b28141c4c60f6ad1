"""The noise scale along one trial of a study, from gradients of single samples at a few of its updates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..core.comparison import Trial
from ..core.rng import preserved_rng
from ..errors import USER_CODE_ERRORS, explain
from ..training.loop.epochs import train
from ..training.loop.trainer import LoopTrainer
from ..training.loop.trial import TrialRun
from ..training.measurement.per_sample_grads import sample_gradients

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

NoisePoint = dict[str, Any]
"""One estimate of trΣ and |G|² at an update of a trial, by name."""

_POINTS, _ROWS, _BLOCKS, _NUMBERS = 9, 512, 8, 2**25
_KEPT_NUMBERS = 2**28
"""The most numbers in the sums of all blocks; a model with too many weights for this has fewer blocks."""


def noise_scales(
    trainer: LoopTrainer, records: pd.DataFrame, trials: pd.DataFrame
) -> tuple[list[NoisePoint], list[str]]:
    """Measure the noise scale along one trial of each optimizer.

    The trial is that of the first seed with the middle one of the batch sizes that reached the goal.

    Args:
        trainer: The loop trainer of a study, after its trials have ended.
        records: One row for each measurement.
        trials: One row for each trial.

    Returns:
        Points with ``optimizer, arm, batch_size, seed`` and the values of :func:`noise_along`, and a note for
        each optimizer without a noise scale.
    """
    comparison, found, notes = trainer.setup.comparison, list[NoisePoint](), list[str]()
    seed = comparison.seeds[0]
    ended = trials[(trials["phase"] == "report") & (trials["seed"] == seed) & (trials["reason"] != "")]
    updates = dict(zip(ended.loc[ended["status"] == "finished", "arm"], ended["updates"], strict=False))
    sizes = records[records["update"] > 0].groupby("arm")["batch_size"].max()
    for optimizer in dict.fromkeys(arm.optimizer.label for arm in comparison.arms):
        of_optimizer = [arm for arm in comparison.arms if arm.optimizer.label == optimizer]
        arms = [arm for arm in of_optimizer if updates.get(arm.label, 0) > 0]
        if not arms:
            continue
        arm = sorted(arms, key=lambda arm: int(sizes[arm.label]))[len(arms) // 2]
        try:
            points = noise_along(trainer, Trial(arm, seed), int(updates[arm.label]), lambda: False)
        except USER_CODE_ERRORS as error:
            notes.append(f"{arm.label}: its noise scale is not known: {explain(error)}")
            continue
        about = {"optimizer": optimizer, "arm": arm.label, "batch_size": int(sizes[arm.label]), "seed": seed}
        found += [about | point for point in points]
    return found, notes


def noise_along(
    trainer: LoopTrainer, trial: Trial, updates: int, stop: Callable[[], bool]
) -> list[NoisePoint]:
    """Train a trial again in the loop, and estimate trΣ and |G|² at a few points from its start to its end.

    Args:
        trainer: The loop trainer of the trial's comparison.
        trial: A trial that made updates.
        updates: The number of updates that the trial made.
        stop: Called after each update; True ends the trial.

    Returns:
        Points with ``update, samples, rows, trace, squared, traces, squares``. ``trace`` is trΣ̂ of one
        sample's gradient and ``squared`` |G|²̂ = |ḡ|² - trΣ̂/n, both unbiased, always from the same n =
        ``rows`` training samples; the ratio of their means is the noise scale (McCandlish et al. 2018). The
        samples are divided into up to 8 blocks; ``traces[j]`` and ``squares[j]`` are the same estimates
        without block j, and empty for fewer than 3 samples.

    Raises:
        StrategyError: The model has no gradients of single samples.
    """
    n = trainer.setup.workload.size
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: min(n, _ROWS)]
    found = list[NoisePoint]()
    with preserved_rng():
        run = trainer.run(trial, None)
        most = max(2, _KEPT_NUMBERS // sum(weight.numel() for weight in run.weights))
        blocks = rows.tensor_split(min(_BLOCKS, most, len(rows)))
        for target in sorted({round(updates * part / (_POINTS - 1)) for part in range(_POINTS)}):

            def until(target: int = target) -> bool:
                return stop() or run.progress.updates >= target

            if target > 0:
                train(run, until, stop)
            if found and found[-1]["update"] == run.progress.updates:
                continue
            about = {"update": run.progress.updates, "samples": run.progress.samples, "rows": len(rows)}
            found.append(about | _estimates(run, blocks))
    return found


def _estimates(run: TrialRun, blocks: Sequence[Tensor]) -> NoisePoint:
    """Return the estimates from all rows, and without each block, at the present weights."""
    counts, size = [len(block) for block in blocks], sum(weight.numel() for weight in run.weights)
    squares = [0.0] * len(blocks)
    sums = torch.zeros(len(blocks), size, dtype=torch.float64, device=run.device)
    with preserved_rng():
        for number, block in enumerate(blocks):
            for part in block.split(max(1, _NUMBERS // size)):
                batch = next(run.source.stream([part], run.trial.seed, 0, ahead=False))
                for weight in run.weights:
                    weight.grad = torch.zeros_like(weight)
                gradients = sample_gradients(run.workload, run.model, batch).double()
                squares[number] += float(gradients.square().sum())
                sums[number] += gradients.sum(0)
    for weight in run.weights:
        weight.grad = None
    count, square, total = sum(counts), sum(squares), sums.sum(0)
    trace, squared = _unbiased(count, square, total)
    left_out = [
        _unbiased(count - own, square - of_block, total - of_weights)
        for own, of_block, of_weights in zip(counts, squares, sums, strict=True)
        if count > 2
    ]
    traces, others = ([pair[index] for pair in left_out] for index in (0, 1))
    return {"trace": trace, "squared": squared, "traces": traces, "squares": others}


def _unbiased(count: int, squares: float, total: Tensor) -> tuple[float, float]:
    """Return trΣ̂ and |G|²̂ of ``count`` gradients, from the sum of their squared norms and their sum."""
    norm = float((total / count).square().sum())
    trace = (squares - count * norm) / (count - 1) if count > 1 else 0.0
    return trace, norm - trace / count
