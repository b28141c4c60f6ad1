"""MNIST-1D: a data set of a minute on which linear models, perceptrons and convolutions differ widely."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

from optcompare import Workload, WorkloadError, accuracy, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

    from .mnist1d_data import Floats, Whole

Model = Literal["linear", "mlp", "cnn", "gru"]
_TRAINING, _VALIDATION = 4000, 1000
_MOST_SEEDS = 2**32


def mnist1d(model: Model = "mlp", *, seed: int = 42) -> Workload:
    """Classify the signals of MNIST-1D, ten digits of 40 numbers: model=linear, mlp, cnn or gru.

    The signals are generated. With seed 42, the 4,000 training and 1,000 test samples are those of the
    published data set (Greydanus and Kobak 2020), and the networks are its authors' (410, 15,210, 5,210 and
    5,134 weights). The 1,000 validation samples are generated in the same way and are not among them. They
    report a test accuracy of 32% (linear), 68% (mlp), 94% (cnn) and 91% (gru) after 150 epochs of Adam with
    learning rate 0.01 and batches of 100.
    """
    if model not in get_args(Model):
        raise WorkloadError(f"workload mnist1d: model is one of {', '.join(get_args(Model))}; got {model}")
    if not 0 <= seed < _MOST_SEEDS:
        raise WorkloadError(f"workload mnist1d: seed is a number from 0 to 2**32 - 1; got {seed}")
    return _generated(model, seed, 0)


def _generated(model: Model, seed: int, number: int) -> Workload:
    """Return the workload with data of its own for each number; 0 is that of the seed."""
    import numpy as np
    from torch import nn

    from .mnist1d_data import generate, published
    from .mnist1d_models import MODELS

    of_split = (seed + number) % _MOST_SEEDS
    data = published(of_split)
    x, y = generate(np.random.RandomState([of_split, 1]), _VALIDATION)
    return Workload(
        model=MODELS[model],
        train=_tensors(data.x[:_TRAINING], data.y[:_TRAINING]),
        valid=_tensors((x - data.mean) / data.deviation, y),
        test=_tensors(data.x[_TRAINING:], data.y[_TRAINING:]),
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        lr={"sgd": 0.05, "adam": 0.01, "adamw": 0.01},
        epochs=20,
        batch_size=100,
        resplit=partial(_generated, model, seed),
    )


def _tensors(x: Floats, y: Whole) -> tuple[Tensor, Tensor]:
    import torch

    return torch.from_numpy(x).float(), torch.from_numpy(y)


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"mnist1d": mnist1d}
