"""Recompute the running averages of BatchNorm from a fixed sample of rows, before a measurement.

After u updates such averages still hold the share (1 - momentum)^u of their initial values, so that in
evaluation mode a model with few updates is normalised by its initial values. Here a copy of the averages is
replaced by the mean over a few forward passes of the trained model (precise BatchNorm: Wu and Johnson 2021,
arXiv 2105.07576). The averages of the training do not change.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ...core.rng import RECALIBRATION, preserved_rng, seed_sequence
from ...interfaces.workload import Workload
from ..data import Source
from .evaluation import evaluate_batch, in_eval_mode
from .module_state import preserved_state

MOST_ROWS = 2048
_FEWEST_A_PASS = 2
"""The fewest rows of a pass, since one row has no variance."""
_Norm: Any = torch.nn.modules.batchnorm._NormBase
"""The base class of BatchNorm, SyncBatchNorm and InstanceNorm in torch."""


@dataclass(frozen=True)
class Sample:
    """Hold the sample of training rows, the same for all arms, seeds and measurements.

    Args:
        n: The number of training rows.
        passes: The number of forward passes.
        size: Rows in each of them.
    """

    n: int
    passes: int
    size: int

    @classmethod
    def of(cls, n: int, most: int) -> Sample:
        """Choose up to 2,048 of ``n`` rows, in as few passes as possible, all of one size.

        Args:
            n: The number of training rows.
            most: The most rows of one pass; a pass has at least two even so.
        """
        rows = min(n, MOST_ROWS)
        passes = min(math.ceil(rows / most), max(1, rows // _FEWEST_A_PASS))
        return cls(n, passes, rows // passes)

    def indices(self) -> Sequence[Tensor]:
        """Return the rows of each pass, int64[size], drawn without replacement by a fixed seed."""
        generator = np.random.Generator(np.random.PCG64(seed_sequence(RECALIBRATION)))
        chosen = torch.from_numpy(generator.choice(self.n, self.passes * self.size, replace=False))
        return [rows.sort().values for rows in chosen.split(self.size)]

    def __str__(self) -> str:
        rows = self.passes * self.size
        which = f"all {rows:,}" if rows == self.n else f"{rows:,} of {self.n:,}"
        drawn = "" if rows == self.n and self.passes == 1 else ", drawn by a fixed seed"
        passes = (
            "one forward pass"
            if self.passes == 1
            else f"{self.passes:,} forward passes of {self.size:,} rows"
        )
        return f"{which} training rows{drawn}, in {passes}"


def updating(model: nn.Module) -> list[Any]:
    """Return the modules whose running averages are updated in training.

    Args:
        model: A model in the modes in which it is trained.
    """
    return [
        module
        for module in model.modules()
        if isinstance(module, _Norm) and module.training and module.running_mean is not None
    ]


def kept_by_update(module: Any) -> float:
    """Return the share of running averages that one forward pass keeps: 1 - momentum.

    Without a momentum, BatchNorm uses the mean over all passes, which keeps nothing of the initial values,
    and InstanceNorm never updates them.

    Args:
        module: A BatchNorm or InstanceNorm.
    """
    if module.momentum is None:
        return 0.0 if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) else 1.0
    return abs(1.0 - float(module.momentum))


def recalibrate(workload: Workload, model: nn.Module, source: Source, sample: Sample) -> None:
    """Make the running averages of a model the mean over forward passes of the sample.

    All modules but those of :func:`updating` are in evaluation mode during these passes, without gradients.
    Modes and random generators are restored afterwards.

    Args:
        workload: The workload that calls the model.
        model: A model in the modes in which it is trained.
        source: The training data.
        sample: The rows of the passes.
    """
    norms = updating(model)
    with preserved_rng(), torch.no_grad(), in_eval_mode(model), _uncompiled(), cumulative(norms):
        for batch in source.stream(sample.indices(), 0, 0) if norms else ():
            evaluate_batch(workload, model, batch)


@contextmanager
def recalibrated(
    workload: Workload, model: nn.Module, source: Source, sample: Sample | None
) -> Iterator[None]:
    """Use recalibrated running averages within the context, and restore buffers and attributes afterwards.

    Args:
        workload: The workload that calls the model.
        model: A model in the modes in which it is trained.
        source: The training data.
        sample: The rows of the passes; None: nothing is recalibrated.
    """
    if sample is None:
        yield
        return
    loss = workload.loss
    with preserved_state(model), preserved_state(loss) if isinstance(loss, nn.Module) else nullcontext():
        recalibrate(workload, model, source, sample)
        yield


def _uncompiled() -> AbstractContextManager[Any]:
    """Run models uncompiled within the context, since each pass has another momentum."""
    compiles = "torch._dynamo" in sys.modules  # importing it takes seconds
    return torch.compiler.set_stance("force_eager") if compiles else nullcontext()


@contextmanager
def cumulative(norms: Sequence[Any]) -> Iterator[None]:
    """Use training mode within the context; running averages become the mean over all calls in it.

    A momentum of 1/k at the k-th call does that for every kind of module. A module that is not called keeps
    its averages.
    """
    calls, momenta = dict.fromkeys(norms, 0), [norm.momentum for norm in norms]

    def count(norm: Any, inputs: Any) -> None:
        if not calls[norm]:
            norm.reset_running_stats()
        calls[norm] += 1
        norm.momentum = 1.0 / calls[norm]

    handles = [norm.register_forward_pre_hook(count) for norm in norms]
    try:
        for norm in norms:
            norm.training = True
        yield
    finally:
        for norm, momentum, handle in zip(norms, momenta, handles, strict=True):
            norm.training, norm.momentum = False, momentum
            handle.remove()
