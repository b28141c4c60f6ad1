"""Use models that are called by keyword and return their loss in the output, as in Hugging Face."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ..core.tree import Batch, len_batch, select_rows
from ..errors import WorkloadError
from ..interfaces.metrics import Metric, share
from .classification import count_labels
from .fields import Forward, Loss, Output, Weight, WorkloadFields, signature_parameters

NamedBatch = Mapping[str, Any]
"""A batch whose parts, mostly tensors of B rows, have names."""
_TARGET_NAMES = ("y", "target", "targets", "label", "labels")
_TOLERANCE = 1e-4


@dataclass(frozen=True)
class KeywordTargets:
    """How a model is called by keyword that returns no loss.

    Attributes:
        names: The parts of a batch that the model accepts.
        target: The part that is y.
    """

    names: list[str]
    target: str

    def call(self, model: nn.Module, batch: NamedBatch) -> Output:
        """Call a model with the parts of a batch that it accepts.

        Args:
            model: The model.
            batch: A batch with all parts by name.

        Returns:
            The model's output.
        """
        return model(**{name: batch[name] for name in self.names})


def keyword_fields(
    module: nn.Module, batch: NamedBatch, loss: Loss | None = None
) -> WorkloadFields | KeywordTargets:
    """Return the fields of a workload whose batches have names.

    Args:
        module: A module of the workload, in evaluation mode.
        batch: The first rows of the training data.
        loss: The user's loss; None for that in the model's output.

    Returns:
        The fields; or, where one part of the batch that the model does not accept is y, how the model is
        called.

    Raises:
        WorkloadError: There is no loss, or it is a mean over something that is not known.
    """
    accepted = _accepted_names(module, batch)
    unused = [name for name in batch if name not in accepted]

    def forward(model: nn.Module, batch: NamedBatch) -> tuple[Output, NamedBatch]:
        return model(**{name: batch[name] for name in accepted}), batch

    output, _ = forward(module, batch)
    kind, names = type(module).__name__, ", ".join(accepted)
    notes = (f"{', '.join(unused)} of the data is not used: {kind} accepts {names}",) if unused else ()
    if loss is None and _loss_in(output) is not None:
        weight, shift = _weight_of(module, forward, batch)
        rows = "labels but each row's first" if shift else "rows" if weight is None else "labels"
        note = f"the loss is that in the output of {kind}, a mean over {rows} (loss= changes it)"
        metrics = {"accuracy": _accuracy(shift)} if _scores_labels(output, batch.get("labels")) else {}
        return WorkloadFields(
            forward, lambda output, batch: _loss_in(output), metrics, weight, (*notes, note)
        )
    targets = [name for name in unused if name in _TARGET_NAMES]
    if len(targets) == 1:
        return KeywordTargets(accepted, targets[0])
    if loss is None:
        raise WorkloadError(
            f"{kind} is called with {names} and returns no loss; give loss=, called as loss(output, batch), "
            "or labels in the data"
        )
    return WorkloadFields(forward, loss, notes=notes)


def _accepted_names(module: nn.Module, batch: NamedBatch) -> list[str]:
    """Return the names of a batch that the module's ``forward`` accepts."""
    original = getattr(module, "_orig_mod", module)
    parameters = signature_parameters(original.forward)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return list(batch)
    return [name for name in batch if name in {parameter.name for parameter in parameters}]


def _loss_in(output: Output) -> Any:
    return output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)


def _scores_labels(output: Output, labels: Any) -> bool:
    """Return whether the output has a score of each class for each label."""
    logits: Any = getattr(output, "logits", None)
    if not (isinstance(logits, torch.Tensor) and isinstance(labels, torch.Tensor)):
        return False
    return not labels.is_floating_point() and logits.shape[:-1] == labels.shape


def _weight_of(module: nn.Module, forward: Forward, batch: NamedBatch) -> tuple[Weight | None, int]:
    """Measure what the loss in the output is a mean over: rows, labels, or labels but each row's first.

    The loss of all rows is compared with those of single rows, after most labels of all rows but the first
    were replaced by -100.

    Returns:
        The weight of a batch, None for its rows; and by how many places labels are shifted, 0 or 1.
    """
    labels = batch.get("labels")
    if (
        not isinstance(labels, torch.Tensor)
        or labels.ndim < 2
        or labels.is_floating_point()
        or len_batch(batch) < 2
    ):
        return None, 0
    masked = labels.clamp(min=0)
    masked[1:, max(2, masked.shape[1] // 2) :] = -100
    uneven = {**batch, "labels": masked}

    def loss_of(part: Batch) -> float:
        return float(_loss_in(forward(module, part)[0]).detach())

    def by_labels(batch: Batch) -> Any:
        return count_labels(batch["labels"])

    def by_next_labels(batch: Batch) -> Any:
        return count_labels(batch["labels"][:, 1:])

    whole, rows = loss_of(uneven), [select_rows(uneven, slice(n, n + 1)) for n in range(len_batch(batch))]
    losses = [loss_of(row) for row in rows]
    candidates: list[tuple[float, Weight]] = []
    for weight in (len_batch, by_labels, by_next_labels):
        weights = [float(weight(row)) for row in rows]
        mean = sum(w * each for w, each in zip(weights, losses, strict=True)) / sum(weights)
        candidates.append((abs(mean - whole) / max(abs(whole), 1e-12), weight))
    difference, best = min(candidates, key=lambda pair: pair[0])
    if not difference < _TOLERANCE:
        raise WorkloadError(
            f"the loss of {type(module).__name__} is a mean neither over rows nor over labels; give weight=, "
            "a function weight(batch) that returns what the loss was divided by"
        )
    return None if best is len_batch else best, int(best is by_next_labels)


def _accuracy(shift: int) -> Metric:
    """Return the accuracy as a metric; ``shift`` 1 compares each place's scores with the next label."""

    @share
    def metric(output: Output, batch: NamedBatch) -> tuple[Any, Any]:
        labels, logits = batch["labels"], output.logits
        if shift:
            labels, logits = labels[:, shift:], logits[:, :-shift]
        return (logits.argmax(-1) == labels).sum(), count_labels(labels)

    return metric
