"""The workload contract: what is trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import torch

from .errors import WorkloadError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.data import Dataset

Data = "tuple[Tensor, ...] | Dataset[Any]"
Metric = Callable[[Any, Any], tuple[Any, Any]]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """A model, its data and its objective, with the settings that its author recommends.

    - ``model``: a factory of the ``nn.Module``, called once for each seed;
    - ``train``, ``valid``: tensors of N rows each, ``(x, y)`` or ``(x1, x2, y)``, or a map-style
      ``Dataset`` whose samples are such tuples. The split does not depend on the seed;
    - ``loss(output, y)``: a scalar, the mean over the batch, where ``output = model(*inputs)``;
    - ``metrics``: name to ``metric(output, y)``, which returns a sum over the batch and its weight;
    - ``lr``: one learning rate for every optimizer, or a mapping by optimizer name;
    - ``epochs``, ``batch_size``: what a comparison uses unless told otherwise;
    - ``errors``: the metrics of which less is better; of the others, more is;
    - ``goal``: a value of a metric worth reaching, such as ``valid_loss=0.2``;
    - ``notes``: sentences that a user should hear before training;
    - ``workers``: loader processes for a ``Dataset``;
    - ``columns``: names of the columns of x, for messages.

    Where ``loss(model(*inputs), y)`` does not fit, two general forms lie under it:
    ``objective(model, batch)``, the batch's mean loss, and ``weight(batch)``, what that mean was
    divided by (default: the number of rows; a class-weighted loss gives its Σ of weights), so that
    losses of several batches combine as Σ weight·loss / Σ weight.
    """

    model: Callable[[], nn.Module]
    train: tuple[Tensor, ...] | Dataset[Any]
    valid: tuple[Tensor, ...] | Dataset[Any] | None = None
    loss: Callable[[Any, Any], Tensor] | None = None
    objective: Callable[[nn.Module, Any], Tensor] | None = None
    weight: Callable[[Any], float] | None = None
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    lr: float | Mapping[str, float] | None = None
    epochs: int = 20
    batch_size: int | None = None
    errors: tuple[str, ...] = ()
    goal: str | None = None
    notes: tuple[str, ...] = ()
    workers: int = 0
    columns: tuple[str, ...] = ()
    name: str = "custom"

    def __post_init__(self) -> None:
        if isinstance(self.model, torch.nn.Module) or not callable(self.model):
            raise WorkloadError(
                f"workload {self.name}: model is a {type(self.model).__name__}; give a factory that makes a new "
                "module at each call, such as lambda: nn.Linear(1, 1)"
            )
        if (self.loss is None) == (self.objective is None):
            raise WorkloadError(f"workload {self.name}: give one of loss(output, y) and objective(model, batch)")
        for name in self.metrics:
            if not (isinstance(name, str) and name.isidentifier()) or name in ("loss", "seconds"):
                raise WorkloadError(
                    f"workload {self.name}: a metric is called {name!r}; give it a name of letters, digits and '_', "
                    "other than loss and seconds"
                )
        for name in self.errors:
            if name not in self.metrics:
                raise WorkloadError(f"workload {self.name}: errors names {name!r}, which is none of its metrics")
        if self.objective is not None and self.metrics:
            raise WorkloadError(f"workload {self.name}: metrics(output, y) need loss(output, y), not an objective")
        for name, data in (("train", self.train), ("valid", self.valid)):
            if data is not None:
                _check_data(self.name, name, data)
        rates = self.lr.values() if isinstance(self.lr, Mapping) else () if self.lr is None else (self.lr,)
        for rate in rates:
            if not (isinstance(rate, (int, float)) and rate > 0 and math.isfinite(rate)):
                raise WorkloadError(
                    f"workload {self.name}: the recommended lr must be positive and finite, got {rate!r}"
                )
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise WorkloadError(f"workload {self.name}: {name} must be a whole number of at least 1, got {value!r}")

    @property
    def size(self) -> int:
        """N, the number of training samples."""
        return rows(self.train)

    def lr_for(self, optimizer: str) -> float | None:
        """The recommended learning rate of an optimizer, if there is one."""
        return self.lr.get(optimizer) if isinstance(self.lr, Mapping) else self.lr

    def mean_loss(self, model: nn.Module, batch: Any) -> Tensor:
        """The batch's mean loss, a scalar tensor with a graph."""
        if self.loss is None:
            assert self.objective is not None
            return self.objective(model, batch)
        *inputs, y = batch
        return self.loss(model(*inputs), y)

    def weigh(self, batch: Any) -> float:
        """What the batch's mean loss was divided by."""
        return float(len_batch(batch)) if self.weight is None else float(self.weight(batch))


def rows(data: Any) -> int:
    """The number of samples."""
    return len(data[0]) if isinstance(data, tuple) else len(cast(Sized, data))


def len_batch(batch: Any) -> int:
    """The number of rows of a batch: the length of the first tensor found in it."""
    if isinstance(batch, torch.Tensor):
        return len(batch)
    values = batch.values() if isinstance(batch, Mapping) else batch
    return len_batch(next(iter(values)))


def accuracy(output: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """Right answers and their number. Scores [B, C] against classes [B], or one logit [B, 1] against 0 and 1."""
    right = output.argmax(-1) == y if output.ndim > y.ndim else (output > 0) == (y > 0.5)
    return right.sum(), y.numel()


def _check_data(workload: str, name: str, data: Any) -> None:
    if isinstance(data, tuple):
        if len(data) < 2 or not all(isinstance(part, torch.Tensor) for part in data):
            kinds = ", ".join(type(part).__name__ for part in data)
            raise WorkloadError(f"workload {workload}: {name} must be a tuple of tensors (x, y), got ({kinds})")
        lengths = [len(part) if part.ndim else 0 for part in data]
        if len(set(lengths)) > 1 or lengths[0] == 0:
            raise WorkloadError(f"workload {workload}: {name} needs tensors of one length of at least 1, got {lengths}")
    else:
        _check_dataset(workload, name, data)


def _check_dataset(workload: str, name: str, data: Any) -> None:
    kind = type(data).__name__
    if isinstance(data, torch.utils.data.IterableDataset):
        raise WorkloadError(
            f"workload {workload}: {name} is a {kind}, an IterableDataset, which decides its own order; give a map-style "
            "Dataset (__len__ and __getitem__), so that every arm sees the same order"
        )
    if isinstance(data, torch.Tensor) or not hasattr(data, "__getitem__"):
        raise WorkloadError(f"workload {workload}: {name} is a {kind}; give a tuple of tensors or a map-style Dataset")
    try:
        samples = len(data)
    except (TypeError, NotImplementedError) as error:
        raise WorkloadError(
            f"workload {workload}: {name} is a {kind} without a length; define __len__, since an epoch is every sample once"
        ) from error
    if samples == 0:
        raise WorkloadError(f"workload {workload}: {name} holds no samples; its {kind} has length 0")
