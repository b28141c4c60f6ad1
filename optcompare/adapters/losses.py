"""How what is to be predicted is learnt: the loss that fits y and the model's output, and y in the form that
it takes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import USER_CODE_ERRORS, WorkloadError
from ..interfaces.label_weights import IGNORED, ignored_label, is_cross_entropy, label_weight
from ..interfaces.metrics import Metric, accuracy
from ..interfaces.workload import of_torch
from .data import Classes, listed
from .squashed import squashed_note

if TYPE_CHECKING:
    from torch import Tensor

Loss = Callable[[Any, Any], Any]
_AGREES = 1e-4


@dataclass(frozen=True)
class Task:
    """``fitted(y, shape)``: y as the loss takes it, for an output of that shape.

    ``weight(y)``: what the mean was divided by, if that is not the number of rows.
    """

    loss: Loss
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    fitted: Callable[[Tensor, torch.Size], Tensor] = lambda y, shape: y
    weight: Callable[[Tensor], Any] | None = None
    notes: tuple[str, ...] = ()


def task_of(output: Any, y: Any, classes: Classes | None, loss: Loss | None, *, whole: bool) -> Task:
    """``output``: of the first rows; ``y``: all of it if ``whole``, else of these rows.

    Raises :class:`WorkloadError` where only the caller can know the loss.
    """
    task = _task_of(output, y, classes, loss, whole=whole)
    said = squashed_note(output, task.loss)
    return dataclasses.replace(task, notes=(*task.notes, said)) if said else task


def _task_of(output: Any, y: Any, classes: Classes | None, loss: Loss | None, *, whole: bool) -> Task:
    if not (isinstance(output, torch.Tensor) and isinstance(y, torch.Tensor)):
        if loss is None:
            kinds = f"output is a {type(output).__name__} and y a {type(y).__name__}"
            raise WorkloadError(
                f"the {kinds}, for which no loss can be chosen; give loss=, called as loss(output, y)"
            )
        return Task(loss)
    if output.ndim == 0:
        if loss is None:
            raise WorkloadError(
                "the model returns one number for a whole batch, for which no loss can be chosen; give loss="
            )
        return Task(loss)
    dimension = _dimension_of_classes(output, y[: len(output)], loss)
    if dimension is not None:
        return _classification(output, dimension, y, classes, loss, whole)
    if loss is not None and not of_torch(loss):
        return Task(loss)  # it knows what it takes
    if output[0].numel() != y[0].numel():
        raise WorkloadError(
            f"the model returns shape {list(output.shape)} for y of shape {[len(output), *y.shape[1:]]}: "
            "one number for each "
            "of y, or a score for each class (y then whole numbers [N]), would fit; change the model, or "
            "give loss= and y as "
            "it takes it"
        )
    fitted = _like_output if y.shape[1:] != output.shape[1:] or not y.is_floating_point() else _as_it_is
    if loss is not None and not y.is_floating_point() and _takes(loss, output, y):
        fitted = _as_it_is
    before, after = (", ".join(["N", *map(str, shape[1:])]) for shape in (y.shape, output.shape))
    notes = [f"y of shape [{before}] is reshaped to the model's [{after}]"] if before != after else []
    if loss is not None:
        return Task(loss, fitted=fitted, notes=tuple(notes))
    return _one_number_each(y, classes, fitted, notes, whole)


def _takes(loss: Loss, output: Tensor, y: Tensor) -> bool:
    """Whether a loss takes whole numbers as they are, as that of several labels a row does, and not as
    floating-point ones.
    """
    rows = y[: len(output)]

    def passes(answers: Tensor) -> bool:
        try:
            return bool(torch.isfinite(loss(output.detach(), answers)).all())
        except USER_CODE_ERRORS:
            return False

    return passes(rows) and not passes(rows.to(output.dtype))


def _one_number_each(
    y: Tensor,
    classes: Classes | None,
    fitted: Callable[[Tensor, torch.Size], Tensor],
    notes: list[str],
    whole: bool,
) -> Task:
    if y.is_floating_point():
        notes.append("y is numeric: regression by the mean squared error (loss= to change)")
        return Task(nn.functional.mse_loss, fitted=fitted, notes=tuple(notes))
    if not whole:
        raise WorkloadError(
            "y holds whole numbers and the model gives one number for each; give loss=, such as "
            "nn.functional.binary_cross_entropy_with_logits for classes 0 and 1, or nn.functional.mse_loss"
        )
    kinds = y.unique().tolist()
    if set(kinds) <= {0, 1} and len(kinds) == 2:
        names = f" ({listed(classes)} as 0, 1)" if classes else ""
        notes.append(
            f"y holds two classes{names} and the model gives one number, a logit: binary cross entropy "
            "(loss= to change)"
        )
        metrics = {"accuracy": accuracy}
        return Task(nn.functional.binary_cross_entropy_with_logits, metrics, fitted, notes=tuple(notes))
    if classes is not None:
        raise WorkloadError(
            f"y holds {len(classes)} classes, {listed(classes)}, and the model gives one number; let it "
            f"give {len(classes)}"
        )
    notes.append(
        f"y holds whole numbers, {listed(kinds)}, and the model gives one number: regression by the mean "
        "squared error "
        "(loss= to change)"
    )
    return Task(nn.functional.mse_loss, fitted=fitted, notes=tuple(notes))


def _dimension_of_classes(output: Tensor, y: Tensor, loss: Loss | None) -> int | None:
    """Where the output has a score for each class: last, or second as in images; None where it has not.

    Where both would fit, a cross entropy of torch decides: it takes them second.
    """
    if y.is_floating_point() or output.ndim != y.ndim + 1:
        return None
    last = output.shape[:-1] == y.shape and output.shape[-1] > 1
    second = y.ndim > 1 and output.shape[2:] == y.shape[1:] and output.shape[1] > 1
    if second and (is_cross_entropy(loss) or not last):
        return 1
    return -1 if last else None


def _classification(
    output: Tensor, dimension: int, y: Tensor, classes: Classes | None, loss: Loss | None, whole: bool
) -> Task:
    count, ignored = output.shape[dimension], ignored_label(loss)
    present = y[y != ignored]
    lowest, highest = (int(present.min()), int(present.max())) if len(present) else (0, 0)
    highest = max(highest, len(classes or ()) - 1)
    if loss is None and (highest >= count or lowest < 0):
        held = (
            f"has the classes {listed(classes)}" if classes else f"holds {listed(present.unique().tolist())}"
        )
        raise WorkloadError(
            f"the model gives {count} scores, for the classes 0 to {count - 1}, and y {held}; let the model "
            "give "
            f"{highest + 1}, or "
            f"{'leave out those that do not occur' if classes else 'number the classes from 0 on'}"
        )
    names = f"the classes {listed(classes)}" if classes else f"classes, of which the model knows {count}"
    notes = (f"y holds {names}: cross entropy and accuracy (loss= to change)",) if loss is None else ()
    metrics: dict[str, Metric] = {"accuracy": _right_of(dimension, ignored)}
    of_last = y.ndim > 1 and dimension == -1
    chosen = loss or (_cross_entropy_of_last if of_last else nn.functional.cross_entropy)
    if is_cross_entropy(chosen):
        weight = None if whole else label_weight(chosen)  # a workload of tensors knows it by itself
    else:
        weight = counted if chosen is not loss else _weight_of_own(chosen, output, y[: len(output)].long())
    return Task(chosen, metrics, _as_codes, weight, notes)


def _weight_of_own(loss: Loss, output: Tensor, y: Tensor) -> Callable[[Tensor], Tensor] | None:
    """What a loss of which nothing is known divides by: the labels that are not -100, or the rows (None).

    It is measured, on labels of which some are taken away. A loss that is neither is refused before training,
    by the check that every loss gets.
    """
    masked = y.clamp(min=0)
    masked[: len(y) // 2].view(-1)[::2] = IGNORED
    half = len(y) // 2
    output = output.detach()
    try:
        whole, parts = (
            float(loss(output, masked)),
            [(output[:half], masked[:half]), (output[half:], masked[half:])],
        )
        losses = [float(loss(*part)) for part in parts]
    except USER_CODE_ERRORS:
        return None  # it does not take -100
    weights = [float(counted(labels)) for _, labels in parts]
    mean = sum(w * each for w, each in zip(weights, losses, strict=True) if w) / max(1.0, sum(weights))
    return counted if math.isclose(mean, whole, rel_tol=_AGREES) else None


def counted(y: Tensor) -> Tensor:
    """How many of them the cross entropy takes."""
    return (y != IGNORED).sum()


def _cross_entropy_of_last(output: Tensor, y: Tensor) -> Tensor:
    """Scores [B, …, C] against classes [B, …]."""
    return nn.functional.cross_entropy(output.flatten(0, -2), y.flatten())


def _right_of(dimension: int, ignored: int) -> Metric:
    """Right answers among the labels that are not left out; scores of the classes lie in that dimension of
    the output.
    """

    def metric(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        kept = y != ignored
        return ((output.argmax(dimension) == y) & kept).sum(), kept.sum()

    return metric


def _as_it_is(y: Tensor, shape: torch.Size) -> Tensor:
    return y


def _as_codes(y: Tensor, shape: torch.Size) -> Tensor:
    return y.long()


def _like_output(y: Tensor, shape: torch.Size) -> Tensor:
    made = y if y.is_floating_point() else y.to(torch.get_default_dtype())
    return made.reshape(len(y), *shape[1:])
