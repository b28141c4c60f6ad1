"""The workload contract: a model, its data and its objective."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..errors import USER_CODE_ERRORS, WorkloadError, explain
from .data import check_data, rows
from .label_weights import class_weights, holds_labels, ignored_label, label_weight
from .metrics import Metric, accuracy, is_accumulated

if TYPE_CHECKING:
    from torch import Tensor, nn
    from torch.utils.data import Dataset


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Hold a model, its data and its objective, with the settings that its author recommends.

    - ``model``: a factory of the ``nn.Module``, called under the trial's seed for each trial. It must make
      the same module at each call. Parts in evaluation mode of a module in training mode stay so in
      training;
    - ``train``, ``valid``: tensors of N rows each, ``(x, y)``, ``(x1, x2, y)`` or a mapping such as
      ``{"input_ids": …, "labels": …}``; or a map-style ``Dataset`` whose samples ``collate`` (default:
      torch's) makes into such batches. The split depends on the seed only with ``--split-seeds``;
    - ``test``: a third set of the same kinds that nothing selects on: it is measured once, at the end of each
      report trial;
    - ``loss(output, y)``: a scalar, the mean over the batch;
    - ``metrics``: name to ``metric(output, y)``, which returns a sum over the batch and its weight; or one
      number, as in scikit-learn: then it is called once with all rows; or an object with ``update``,
      ``compute`` and ``reset``, as in torchmetrics. If it has an ``upper_bound``, a goal above is refused;
    - ``forward(model, batch)``: returns ``output, y``; default: ``model(*inputs), y`` for a batch
      ``(*inputs, y)``, and ``model(**batch), batch`` for a mapping;
    - ``lr``: one learning rate for every optimizer, or a mapping by optimizer name;
    - ``epochs``, ``batch_size``: the defaults of a comparison;
    - ``errors``: the metrics of which less is better; of the others, more is better;
    - ``goal``: a value of a metric worth reaching, such as ``valid_loss=0.2``;
    - ``notes``: sentences that a user should read before training;
    - ``workers``: loader processes for a ``Dataset``;
    - ``columns``: names of the columns of x, for messages;
    - ``resplit(number)``: the same workload on another split of the same data, into sets of the same sizes;
      number 0 is the workload's own split. For ``--split-seeds``.

    ``weight(batch)`` is the divisor of the mean loss, so that losses of several batches combine as
    Σ weight·loss / Σ weight. Default: the number of rows; for torch's own cross entropies on y of a batch
    ``(*inputs, y)``, the sum of the class weights of the labels that are not ``ignore_index``. A loss that
    does not combine in this way, such as one over pairs of samples, is an ``objective(model, batch)`` in
    place of ``loss``: without a weight it is never computed in parts.
    """

    model: Callable[[], nn.Module]
    train: tuple[Any, ...] | Mapping[str, Any] | Dataset[Any]
    valid: tuple[Any, ...] | Mapping[str, Any] | Dataset[Any] | None = None
    test: tuple[Any, ...] | Mapping[str, Any] | Dataset[Any] | None = None
    loss: Callable[[Any, Any], Tensor] | None = None
    forward: Callable[[nn.Module, Any], tuple[Any, Any]] | None = None
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
    collate: Callable[[list[Any]], Any] | None = None
    columns: tuple[str, ...] = ()
    resplit: Callable[[int], Workload] | None = None
    name: str = "custom"

    def __post_init__(self) -> None:
        import torch

        if isinstance(self.model, torch.nn.Module) or not callable(self.model):
            raise WorkloadError(
                f"workload {self.name}: model is a {type(self.model).__name__}; give a factory that makes a "
                "new module at each call, such as lambda: nn.Linear(1, 1)"
            )
        if (self.loss is None) == (self.objective is None):
            raise WorkloadError(
                f"workload {self.name}: give one of loss(output, y) and objective(model, batch)"
            )
        self._check_kinds()
        for name in self.metrics:
            if not (isinstance(name, str) and name.isidentifier()) or name in ("loss", "rows", "seconds"):
                raise WorkloadError(
                    f"workload {self.name}: a metric is called {name!r}; give it a name of letters, digits "
                    "and '_', other than loss, rows and seconds"
                )
        for name in self.errors:
            if name not in self.metrics:
                raise WorkloadError(
                    f"workload {self.name}: errors names {name!r}, which is none of its metrics"
                )
        if self.objective is not None and (self.metrics or self.forward):
            what = "metrics(output, y) need" if self.metrics else "forward(model, batch) needs"
            raise WorkloadError(f"workload {self.name}: {what} loss(output, y), not an objective")
        for name, data in self.sets.items():
            check_data(self.name, name, data, self.objective is not None or self.forward is not None)
        rates = self.lr.values() if isinstance(self.lr, Mapping) else () if self.lr is None else (self.lr,)
        for rate in rates:
            if not (isinstance(rate, (int, float)) and rate > 0 and math.isfinite(rate)):
                raise WorkloadError(
                    f"workload {self.name}: the recommended lr must be positive and finite, got {rate!r}"
                )
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int) and value >= 1):
                raise WorkloadError(
                    f"workload {self.name}: {name} must be a whole number of at least 1, got {value!r}"
                )

    def _check_kinds(self) -> None:
        """Refuse settings of a wrong type."""
        for name in ("loss", "forward", "objective", "weight", "collate", "resplit"):
            value = getattr(self, name)
            if value is not None and not callable(value):
                raise WorkloadError(f"workload {self.name}: {name} must be a function, got {value!r}")
        named = isinstance(self.metrics, Mapping)
        if not named or not all(callable(each) or is_accumulated(each) for each in self.metrics.values()):
            raise WorkloadError(
                f"workload {self.name}: metrics must map names to functions, got {self.metrics!r}"
            )
        for name in ("goal", "name"):
            value = getattr(self, name)
            if value is not None and not isinstance(value, str):
                raise WorkloadError(f"workload {self.name}: {name} must be a text, got {value!r}")
        if isinstance(self.notes, str):
            object.__setattr__(self, "notes", (self.notes,))

    @property
    def sets(self) -> dict[str, Any]:
        """Return the data by name: ``train``, and ``valid`` and ``test`` if they exist."""
        named = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: data for name, data in named.items() if data is not None or name == "train"}

    def on_split(self, number: int) -> Workload:
        """Return the same workload on another split of its data, by a checked ``resplit(number)``.

        Args:
            number: The number of the split.

        Raises:
            WorkloadError: The workload has no ``resplit``, or it fails, or returns something else than the
                same workload on another split.
        """
        who = f"workload {self.name}"
        if self.resplit is None:
            raise WorkloadError(
                f"{who} cannot be split again, since it has no resplit; leave out --split-seeds"
            )
        try:
            made = self.resplit(number)
        except WorkloadError:
            raise
        except USER_CODE_ERRORS as error:
            raise WorkloadError(f"{who}: resplit({number}) failed: {explain(error)}") from error
        if not isinstance(made, Workload):
            raise WorkloadError(
                f"{who}: resplit({number}) must return a Workload, got a {type(made).__name__}"
            )
        sizes = [{name: rows(data) for name, data in each.sets.items()} for each in (self, made)]
        if sizes[0] != sizes[1] or list(self.metrics) != list(made.metrics):
            raise WorkloadError(
                f"{who}: resplit({number}) must keep the metrics and the size of each set; the workload has "
                f"{sizes[0]} and {list(self.metrics)}, and it returned {sizes[1]} and {list(made.metrics)}"
            )
        return replace(made, name=self.name)

    @property
    def size(self) -> int:
        """Return N, the number of training samples."""
        return rows(self.train)

    def lr_for(self, optimizer: str) -> float | None:
        """Return the recommended learning rate of an optimizer; None if there is none."""
        return self.lr.get(optimizer) if isinstance(self.lr, Mapping) else self.lr

    def outcome(self, model: nn.Module, batch: Any) -> tuple[Any, Any]:
        """Return ``output, y``, the arguments of loss and metrics."""
        if self.forward is not None:
            return self.forward(model, batch)
        if isinstance(batch, Mapping):
            return model(**batch), batch
        *inputs, y = batch
        return model(*inputs), y

    def mean_loss(self, model: nn.Module, batch: Any) -> Tensor:
        """Return a batch's mean loss, a scalar tensor with a graph.

        Args:
            model: The module.
            batch: A batch of the data.
        """
        if self.loss is None:
            assert self.objective is not None
            return self.objective(model, batch)
        output, y = self.outcome(model, batch)
        return self.loss(output, y)

    def loss_and_output(self, model: nn.Module, batch: Any) -> tuple[Tensor, Any, Any]:
        """Return a batch's mean loss, the output and y; None for the latter two with an objective.

        Args:
            model: The module.
            batch: A batch of the data.
        """
        if self.loss is None:
            return self.mean_loss(model, batch), None, None
        output, y = self.outcome(model, batch)
        return self.loss(output, y), output, y

    @property
    def metric_functions(self) -> dict[str, Metric]:
        """Return the metrics by name; ``accuracy`` leaves out the label that the loss ignores."""
        own = partial(accuracy, ignored=ignored_label(self.loss))
        return {name: own if metric is accuracy else metric for name, metric in self.metrics.items()}

    def weigh(self, batch: Any) -> float:
        """Return the divisor of a batch's mean loss."""
        if self.weight is not None:
            return float(self.weight(batch))
        if self._label_weight is not None and isinstance(batch, tuple) and holds_labels(batch[-1]):
            return float(self._label_weight(batch[-1]))
        from ..core.tree import len_batch

        return float(len_batch(batch))

    @property
    def by_rows(self) -> bool:
        """Return whether the weight of every batch is its number of rows."""
        return self.weight is None and self._label_weight is None

    @property
    def in_parts(self) -> bool:
        """Return whether a batch may be computed in several forward passes."""
        return self.objective is None or self.weight is not None

    @cached_property
    def _label_weight(self) -> Callable[[Tensor], Tensor] | None:
        """Return the divisor of torch's own loss; None if it is the number of rows for every batch."""
        if self.weight is not None or self.forward is not None or isinstance(self.train, Mapping):
            return None
        found = label_weight(self.loss)
        labels = [data[-1] for data in self.sets.values() if isinstance(data, tuple)]
        of_tensors = len(labels) == len(self.sets) and all(map(holds_labels, labels))
        if found is None or class_weights(self.loss) is not None or not of_tensors:
            return found
        ignored = ignored_label(self.loss)
        return found if any(bool((y == ignored).any()) for y in labels) else None


def of_torch(loss: Callable[..., Any]) -> bool:
    """Return whether a loss is one of torch's own, with known arguments."""
    made = loss if isinstance(loss, FunctionType) else type(loss)
    return made.__module__.startswith("torch.")
