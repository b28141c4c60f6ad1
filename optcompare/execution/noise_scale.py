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

Row = dict[str, Any]

_POINTS, _ROWS, _BLOCKS, _NUMBERS = 9, 512, 8, 2**25
_KEPT_NUMBERS = 2**28
"""Of all blocks' sums together; a model of so many weights that they do not fit has fewer blocks."""


def noise_scales(
    trainer: LoopTrainer, records: pd.DataFrame, trials: pd.DataFrame
) -> tuple[list[Row], list[str]]:
    """Measure the noise scale along one trial of each optimizer.

    It is the trial of the first seed with the middle of the batch sizes that reached the goal.

    Args:
        trainer: Of a study whose trials have ended.
        records: One row a measurement.
        trials: One row a trial.

    Returns:
        Rows of ``optimizer, arm, batch_size, seed`` and what :func:`noise_along` gives, and a note for each
        optimizer whose noise scale cannot be had.
    """
    comparison, found, notes = trainer.setup.comparison, list[Row](), list[str]()
    seed = comparison.seeds[0]
    ended = trials[(trials["phase"] == "report") & (trials["seed"] == seed) & (trials["reason"] != "")]
    updates = dict(zip(ended.loc[ended["status"] == "finished", "arm"], ended["updates"], strict=False))
    sizes = records[records["update"] > 0].groupby("arm")["batch_size"].max()
    for optimizer in dict.fromkeys(arm.optimizer.label for arm in comparison.arms):
        mine = [arm for arm in comparison.arms if arm.optimizer.label == optimizer]
        arms = [arm for arm in mine if updates.get(arm.label, 0) > 0]
        if not arms:
            continue
        arm = sorted(arms, key=lambda arm: int(sizes[arm.label]))[len(arms) // 2]
        try:
            rows = noise_along(trainer, Trial(arm, seed), int(updates[arm.label]), lambda: False)
        except USER_CODE_ERRORS as error:
            notes.append(f"{arm.label}: its noise scale is not known: {explain(error)}")
            continue
        about = {"optimizer": optimizer, "arm": arm.label, "batch_size": int(sizes[arm.label]), "seed": seed}
        found += [about | row for row in rows]
    return found, notes


def noise_along(trainer: LoopTrainer, trial: Trial, updates: int, stop: Callable[[], bool]) -> list[Row]:
    """Train a trial again in the loop, and estimate trΣ and |G|² at a few points from its start to its end.

    Args:
        trainer: Of the trial's comparison.
        trial: One that made updates.
        updates: How many the trial made.
        stop: Asked after each update; True ends the trial.

    Returns:
        Rows of ``update, samples, rows, trace, squared, traces, squares``. ``trace`` is trΣ̂ of one sample's
        gradient and ``squared`` |G|²̂ = |ḡ|² - trΣ̂/n, both unbiased, from the same n = ``rows`` training
        samples throughout; the ratio of their means is the noise scale (McCandlish et al. 2018). The samples
        lie in up to 8 blocks; ``traces[j]`` and ``squares[j]`` are the same estimates from all samples but
        those of block j, and empty for fewer than 3 samples.

    Raises:
        StrategyError: The model has no gradients of single samples.
    """
    n = trainer.setup.workload.size
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: min(n, _ROWS)]
    found = list[Row]()
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
            found.append(about | _moments(run, blocks))
    return found


def _moments(run: TrialRun, blocks: Sequence[Tensor]) -> Row:
    """The estimates from all rows, and from all rows but each block's, at the present weights."""
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
    traces, others = ([pair[place] for pair in left_out] for place in (0, 1))
    return {"trace": trace, "squared": squared, "traces": traces, "squares": others}


def _unbiased(count: int, squares: float, total: Tensor) -> tuple[float, float]:
    """trΣ̂ and |G|²̂ from ``count`` gradients, the sum of their squared norms and their sum, [weights]."""
    norm = float((total / count).square().sum())
    trace = (squares - count * norm) / (count - 1) if count > 1 else 0.0
    return trace, norm - trace / count
