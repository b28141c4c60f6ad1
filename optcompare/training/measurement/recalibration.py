"""Computes running averages of BatchNorm anew from a fixed sample of rows, before a measurement.

After u updates such averages hold (1 - momentum)^u of their initial values, so that in evaluation mode a
model of few updates is normalised by what it was made with. Here a copy of them becomes the plain mean over a
few forward passes of the trained model (Wu and Johnson 2021, arXiv 2105.07576, call it precise BatchNorm);
those of the training stay as they are.
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
from .module_state import state_kept

MOST_ROWS = 2048
_FEWEST_A_PASS = 2
"""One row has no variance."""
_Norm: Any = torch.nn.modules.batchnorm._NormBase
"""What BatchNorm, SyncBatchNorm and InstanceNorm of torch derive from, and modules of users that derive from
those.
"""


@dataclass(frozen=True)
class Sample:
    """The training rows: the same for all arms, seeds and measurements, in forward passes of one size.

    Args:
        n: Training rows.
        passes: How many forward passes.
        size: Rows in each of them.
    """

    n: int
    passes: int
    size: int

    @classmethod
    def of(cls, n: int, most: int) -> Sample:
        """Up to 2,048 of ``n`` rows, in as few passes as possible, all of one size.

        Args:
            n: Training rows.
            most: Rows that one pass may have; a pass has at least two all the same.
        """
        rows = min(n, MOST_ROWS)
        passes = min(math.ceil(rows / most), max(1, rows // _FEWEST_A_PASS))
        return cls(n, passes, rows // passes)

    def indices(self) -> Sequence[Tensor]:
        """The rows of each pass, int64[size]; drawn without replacement by a fixed seed."""
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
    """The modules whose running averages training updates: those in training mode that keep some.

    Args:
        model: In the modes in which it is trained.
    """
    return [
        module
        for module in model.modules()
        if isinstance(module, _Norm) and module.training and module.running_mean is not None
    ]


def kept_by_update(module: Any) -> float:
    """The share of a module's running averages that one forward pass keeps: 1 - momentum.

    Without a momentum BatchNorm takes the mean over all passes, which keeps nothing of the initial values;
    torch's InstanceNorm then never updates them.
    """
    if module.momentum is None:
        return 0.0 if isinstance(module, torch.nn.modules.batchnorm._BatchNorm) else 1.0
    return abs(1.0 - float(module.momentum))


def recalibrate(workload: Workload, model: nn.Module, source: Source, sample: Sample) -> None:
    """Make the running averages of a model the mean over forward passes of the sample.

    Everything but the modules of :func:`updating` is in eval mode meanwhile, without gradients. Modes and
    random generators are left as they were.

    Args:
        workload: What calls the model.
        model: In the modes in which it is trained.
        source: Of the training data.
        sample: Which rows of it.
    """
    norms = updating(model)
    with preserved_rng(), torch.no_grad(), in_eval_mode(model), _uncompiled(), cumulative(norms):
        for batch in source.stream(sample.indices(), 0, 0) if norms else ():
            evaluate_batch(workload, model, batch)


@contextmanager
def recalibrated(
    workload: Workload, model: nn.Module, source: Source, sample: Sample | None
) -> Iterator[None]:
    """:func:`recalibrate` for a while; afterwards buffers and attributes are what they were, to the last bit.

    Without a sample nothing is done.
    """
    if sample is None:
        yield
        return
    loss = workload.loss
    with state_kept(model), state_kept(loss) if isinstance(loss, nn.Module) else nullcontext():
        recalibrate(workload, model, source, sample)
        yield


def _uncompiled() -> AbstractContextManager[Any]:
    """Use models uncompiled: each pass has its own momentum, and would be compiled anew."""
    compiles = "torch._dynamo" in sys.modules  # loading it takes seconds
    return torch.compiler.set_stance("force_eager") if compiles else nullcontext()


@contextmanager
def cumulative(norms: Sequence[Any]) -> Iterator[None]:
    """Use training mode within the context; running averages become the mean over all calls in it.

    A momentum of 1/k at the k-th call makes it so for every kind of module. One that is never called keeps
    what it has.
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
