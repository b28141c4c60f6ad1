"""Modules that are called with names and whose loss is in their output, as those of Hugging Face."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from ..core.tree import len_batch, select_rows
from ..errors import WorkloadError
from ..interfaces.metrics import Metric
from .form import Form, Forward, parameters_of
from .losses import counted

_AGREES = 1e-4


def named_form(module: nn.Module, batch: Mapping[str, Any], loss: Any = None) -> Form | tuple[list[str], str]:
    """Of a module that is called with names, as those of Hugging Face are: its loss is in its output.

    Where it is not: the names that it takes, and the one among the others that is y ("" if there is none).
    """
    taken = accepted(module, batch)
    left = [name for name in batch if name not in taken]

    def forward(model: nn.Module, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        return model(**{name: batch[name] for name in taken}), batch

    output, _ = forward(module, batch)
    notes = (
        (f"{', '.join(left)} of the data is not used: {type(module).__name__} takes {', '.join(taken)}",)
        if left
        else ()
    )
    if loss is None and _loss_in(output) is not None:
        weight, shift = _weight_of(module, forward, batch)
        over = "labels but each row's first" if shift else "rows" if weight is None else "labels"
        said = (
            f"the loss is that in the output of {type(module).__name__}, a mean over {over} (loss= to change)"
        )
        notes = (*notes, said)
        metrics = {"accuracy": _accuracy(shift)} if _is_scored(output, batch.get("labels")) else {}
        return Form(forward, lambda output, batch: _loss_in(output), metrics, weight, notes)
    answers = [name for name in left if name in ("y", "target", "targets", "label", "labels")]
    if len(answers) == 1:
        return taken, answers[0]
    if loss is None:
        raise WorkloadError(
            f"{type(module).__name__} is called with {', '.join(taken)} and returns no loss; give loss=, "
            "called as "
            f"loss(output, batch), or labels in the data"
        )
    return Form(forward, loss, notes=notes)


def accepted(module: nn.Module, batch: Mapping[str, Any]) -> list[str]:
    """Those names of the batch that the module's forward takes."""
    inner = getattr(module, "_orig_mod", module)
    parameters = parameters_of(inner.forward)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return list(batch)
    return [name for name in batch if name in {parameter.name for parameter in parameters}]


def _loss_in(output: Any) -> Any:
    return output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)


def _is_scored(output: Any, labels: Any) -> bool:
    """Whether the output has a score of each class for each label."""
    logits: Any = getattr(output, "logits", None)
    labels = torch.zeros(()) if labels is None else labels
    both = isinstance(logits, torch.Tensor) and isinstance(labels, torch.Tensor)
    return bool(both) and not labels.is_floating_point() and logits.shape[:-1] == labels.shape


def _weight_of(
    module: nn.Module, forward: Forward, batch: Mapping[str, Any]
) -> tuple[Callable[[Any], Any] | None, int]:
    """What the mean of the loss in the output is over: rows, labels, or labels but each row's first.

    It is measured, on rows of which all but the first have most of their labels taken away.
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

    def loss_of(part: Any) -> float:
        return float(_loss_in(forward(module, part)[0]).detach())

    def by_labels(batch: Any) -> Any:
        return counted(batch["labels"])

    def by_targets(batch: Any) -> Any:
        return counted(batch["labels"][:, 1:])

    whole, rows = loss_of(uneven), [select_rows(uneven, slice(n, n + 1)) for n in range(len_batch(batch))]
    losses = [loss_of(row) for row in rows]
    found = []
    for weight in (len_batch, by_labels, by_targets):
        weights = [float(weight(row)) for row in rows]
        mean = sum(w * each for w, each in zip(weights, losses, strict=True)) / sum(weights)
        found.append((abs(mean - whole) / max(abs(whole), 1e-12), weight))
    apart, best = min(found, key=lambda pair: pair[0])
    if not apart < _AGREES:
        raise WorkloadError(
            f"the loss of {type(module).__name__} is a mean neither over rows nor over labels; say what it "
            "is divided by with "
            "weight=, called as weight(batch)"
        )
    return None if best is len_batch else best, int(best is by_targets)


def _accuracy(shift: int) -> Metric:
    """Right answers among the labels; of a causal model, each place's scores are for the label of the
    next.
    """

    def metric(output: Any, batch: Any) -> tuple[Any, Any]:
        labels, logits = batch["labels"], output.logits
        if shift:
            labels, logits = labels[:, shift:], logits[:, :-shift]
        return (logits.argmax(-1) == labels).sum(), counted(labels)

    return metric
