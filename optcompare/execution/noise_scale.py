"""The noise scale along one trial of a batch-size study: from the gradients of single samples at a few of its updates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ..core.comparison import Trial
from ..core.rng import preserved_rng
from ..training.loop.epochs import train
from ..training.loop.trainer import LoopTrainer
from ..training.loop.trial import TrialRun
from ..training.measurement.per_sample_grads import sample_gradients

_POINTS, _ROWS, _NUMBERS = 9, 512, 2**25


def noise_along(trainer: LoopTrainer, trial: Trial, updates: int, stop: Callable[[], bool]) -> list[dict[str, Any]]:
    """Trains the trial again in the loop; rows of ``update, samples, trace, squared``, from its start to its end.

    ``trace`` is trΣ̂ of one sample's gradient and ``squared`` |G|²̂ = |ḡ|² - trΣ̂/n, both unbiased, from the same n
    training samples throughout; their ratio is the noise scale (McCandlish et al. 2018). Raises where the model has no
    gradients of single samples.
    """
    n = trainer.setup.workload.size
    rows = torch.randperm(n, generator=torch.Generator().manual_seed(0))[: min(n, _ROWS)]
    found = list[dict[str, Any]]()
    with preserved_rng():
        run = trainer.run(trial, None)
        for target in sorted({round(updates * part / (_POINTS - 1)) for part in range(_POINTS)}):

            def until(target: int = target) -> bool:
                return stop() or run.progress.updates >= target

            if target > 0:
                train(run, until, stop)
            if found and found[-1]["update"] == run.progress.updates:
                continue
            trace, squared = _moments(run, rows)
            found.append(
                {"update": run.progress.updates, "samples": run.progress.samples, "trace": trace, "squared": squared}
            )
    return found


def _moments(run: TrialRun, rows: torch.Tensor) -> tuple[float, float]:
    count, size = len(rows), sum(weight.numel() for weight in run.weights)
    squares, total = 0.0, torch.zeros(size, dtype=torch.float64, device=run.device)
    with preserved_rng():
        for part in rows.split(max(1, _NUMBERS // size)):
            batch = next(run.source.stream([part], run.trial.seed, 0, ahead=False))
            for weight in run.weights:
                weight.grad = torch.zeros_like(weight)
            gradients = sample_gradients(run.workload, run.model, batch).double()
            squares += float(gradients.square().sum())
            total += gradients.sum(0)
    for weight in run.weights:
        weight.grad = None
    norm = float((total / count).square().sum())
    trace = (squares - count * norm) / (count - 1) if count > 1 else 0.0
    return trace, norm - trace / count
