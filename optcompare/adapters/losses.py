"""Choose the loss that fits a model's output and y, and convert y to the form that it expects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
from torch import nn

from ..errors import USER_CODE_ERRORS, WorkloadError
from ..interfaces.label_weights import IGNORED, is_cross_entropy
from ..interfaces.metrics import Metric, accuracy
from ..interfaces.workload import of_torch
from .arrays import Classes, list_values
from .classification import class_metric, cross_entropy_of_last, label_weight_of
from .double_activation import double_activation_note
from .fields import Loss, Output, Target, Weight

if TYPE_CHECKING:
    from torch import Tensor

PrepareTargets = Callable[["Tensor", torch.Size], "Tensor"]
"""``prepare(y, shape)``, which returns y as the loss expects it for an output of that shape."""


@dataclass(frozen=True)
class LossChoice:
    """A loss with what belongs to it.

    Attributes:
        loss: The mean loss of a batch.
        metrics: Metrics by name.
        prepare_targets: Returns y as the loss expects it, for an output of a shape.
        weight: What the mean was divided by, as a function of y; None for the number of rows.
        notes: Notes for the user: a sentence for each decision.
    """

    loss: Loss
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    prepare_targets: PrepareTargets = lambda y, shape: y
    weight: Weight | None = None
    notes: tuple[str, ...] = ()


def choose_loss(
    output: Output, y: Target, classes: Classes | None, loss: Loss | None, *, whole: bool
) -> LossChoice:
    """Choose the loss that fits the output and y, or prepare y for the loss that the user gave.

    Args:
        output: What the model returned for the first B rows.
        y: All N targets if ``whole``, else those of the first B rows.
        classes: What the codes of y stand for; None where y held numbers.
        loss: The user's loss; None to choose one.
        whole: Whether ``y`` holds all targets.

    Returns:
        The loss with its metrics, its weight and the form of y that it expects.

    Raises:
        WorkloadError: No loss can be chosen, or output and y do not fit together.
    """
    choice = _choose(output, y, classes, loss, whole)
    note = double_activation_note(output, choice.loss)
    return dataclasses.replace(choice, notes=(*choice.notes, note)) if note else choice


def _choose(output: Output, y: Target, classes: Classes | None, loss: Loss | None, whole: bool) -> LossChoice:
    if not (isinstance(output, torch.Tensor) and isinstance(y, torch.Tensor)):
        if loss is None:
            raise WorkloadError(
                f"the output is a {type(output).__name__} and y a {type(y).__name__}, for which no loss can "
                "be chosen; give loss=, called as loss(output, y)"
            )
        return LossChoice(loss)
    if output.ndim == 0:
        if loss is None:
            raise WorkloadError(
                "the model returns one number for a whole batch, for which no loss can be chosen; give loss="
            )
        return LossChoice(loss)
    dimension = _class_dimension(output, y[: len(output)], loss)
    if dimension is not None:
        return _classification(output, dimension, y, classes, loss, whole)
    if loss is not None and not of_torch(loss):
        return LossChoice(loss)  # the form of y is the user's choice
    return _one_value_each(output, y, classes, loss, whole)


def _one_value_each(
    output: Tensor, y: Tensor, classes: Classes | None, loss: Loss | None, whole: bool
) -> LossChoice:
    """Choose a loss where the model returns one number for each value of y."""
    if output[0].numel() != y[0].numel():
        raise WorkloadError(
            f"the model returns shape {list(output.shape)} for y of shape {[len(output), *y.shape[1:]]}, and "
            "no loss fits both; let the model return one number for each value of y, or, where y holds "
            "classes as whole numbers [N], one score for each class; or give loss= and y in the form that it "
            "expects"
        )
    reshape = y.shape[1:] != output.shape[1:] or not y.is_floating_point()
    if loss is not None and not y.is_floating_point() and _needs_integers(loss, output, y):
        reshape = False
    prepare: PrepareTargets = _like_output if reshape else _unchanged
    before, after = (", ".join(["N", *map(str, shape[1:])]) for shape in (y.shape, output.shape))
    notes = [f"y of shape [{before}] is reshaped to the model's [{after}]"] if before != after else []
    if loss is not None:
        return LossChoice(loss, prepare_targets=prepare, notes=tuple(notes))
    chosen, metrics, note = _default_loss(y, classes, whole)
    return LossChoice(chosen, metrics, prepare, notes=(*notes, note))


def _needs_integers(loss: Loss, output: Tensor, y: Tensor) -> bool:
    """Return whether a loss accepts whole numbers, as one of several labels a row does, and no floats."""
    labels = y[: len(output)]

    def accepts(targets: Tensor) -> bool:
        try:
            return bool(torch.isfinite(loss(output.detach(), targets)).all())
        except USER_CODE_ERRORS:
            return False

    return accepts(labels) and not accepts(labels.to(output.dtype))


def _default_loss(y: Tensor, classes: Classes | None, whole: bool) -> tuple[Loss, dict[str, Metric], str]:
    """Return loss, metrics and a note for a model that returns one number for each value of y."""
    if y.is_floating_point():
        note = "y is numeric: regression by the mean squared error (loss= changes it)"
        return nn.functional.mse_loss, {}, note
    if not whole:
        raise WorkloadError(
            "y holds whole numbers and the model returns one number for each; give loss=, such as "
            "nn.functional.binary_cross_entropy_with_logits for classes 0 and 1, or nn.functional.mse_loss"
        )
    values = y.unique().tolist()
    if set(values) <= {0, 1} and len(values) == 2:
        names = f" ({list_values(classes)} as 0, 1)" if classes else ""
        note = (
            f"y holds two classes{names} and the model returns one number, a logit: binary cross entropy "
            "(loss= changes it)"
        )
        return nn.functional.binary_cross_entropy_with_logits, {"accuracy": accuracy}, note
    if classes is not None:
        raise WorkloadError(
            f"y holds {len(classes)} classes, {list_values(classes)}, and the model returns one number; let "
            f"it return {len(classes)}"
        )
    note = (
        f"y holds whole numbers, {list_values(values)}, and the model returns one number: regression by the "
        "mean squared error (loss= changes it)"
    )
    return nn.functional.mse_loss, {}, note


def _class_dimension(output: Tensor, y: Tensor, loss: Loss | None) -> int | None:
    """Return the dimension of the scores of classes: -1, or 1 as in images; None where there is none.

    Where both would fit, torch's cross entropies decide: they expect dimension 1.
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
) -> LossChoice:
    """Choose a loss where the model returns a score for each class."""
    if loss is None:
        count = output.shape[dimension]
        _check_class_count(count, y, classes)
        names = (
            f"the classes {list_values(classes)}" if classes else f"classes, of which the model knows {count}"
        )
        notes: tuple[str, ...] = (f"y holds {names}: cross entropy and accuracy (loss= changes it)",)
        scores_last = y.ndim > 1 and dimension == -1
        chosen: Loss = cross_entropy_of_last if scores_last else nn.functional.cross_entropy
    else:
        notes, chosen = (), loss
    weight = label_weight_of(chosen, output, y, known=loss is None, whole=whole)
    return LossChoice(chosen, {"accuracy": class_metric(dimension, loss)}, _to_codes, weight, notes)


def _check_class_count(count: int, y: Tensor, classes: Classes | None) -> None:
    """Raise WorkloadError unless the classes of y are among the ``count`` that the model scores."""
    present = y[y != IGNORED]
    lowest, highest = (int(present.min()), int(present.max())) if len(present) else (0, 0)
    highest = max(highest, len(classes or ()) - 1)
    if highest < count and lowest >= 0:
        return
    values = (
        f"has the classes {list_values(classes)}"
        if classes
        else f"holds {list_values(present.unique().tolist())}"
    )
    raise WorkloadError(
        f"the model returns {count} scores, for the classes 0 to {count - 1}, and y {values}; let the model "
        f"return {highest + 1}, or "
        f"{'leave out those that do not occur' if classes else 'number the classes from 0 on'}"
    )


def _unchanged(y: Tensor, shape: torch.Size) -> Tensor:
    return y


def _to_codes(y: Tensor, shape: torch.Size) -> Tensor:
    return y.long()


def _like_output(y: Tensor, shape: torch.Size) -> Tensor:
    floats = y if y.is_floating_point() else y.to(torch.get_default_dtype())
    return floats.reshape(len(y), *shape[1:])
