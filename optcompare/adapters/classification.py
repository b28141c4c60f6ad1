"""Handle losses and metrics of classes: which labels count, and the divisor of a mean loss."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import nn

from ..errors import USER_CODE_ERRORS
from ..interfaces.label_weights import IGNORED, ignored_label, is_cross_entropy, label_weight
from ..interfaces.metrics import Metric, share
from .fields import Loss

if TYPE_CHECKING:
    from torch import Tensor

_TOLERANCE = 1e-4


def count_labels(y: Tensor) -> Tensor:
    """Count the labels that are not -100, which cross entropies leave out.

    Args:
        y: Labels, int64 of any shape.

    Returns:
        Their number, int64[].
    """
    return (y != IGNORED).sum()


def cross_entropy_of_last(output: Tensor, y: Tensor) -> Tensor:
    """Return the mean cross entropy where the last dimension holds the scores of the classes.

    Args:
        output: Scores [B, …, C].
        y: Classes [B, …], int64.

    Returns:
        The mean over the labels that are not -100, a scalar.
    """
    return nn.functional.cross_entropy(output.flatten(0, -2), y.flatten())


def class_metric(dimension: int, loss: Loss | None) -> Metric:
    """Return the accuracy as a metric: the number of right answers, and of the labels that count.

    Args:
        dimension: The dimension of the output that holds the scores of the classes.
        loss: The user's loss, whose ``ignore_index`` is left out where it is one of torch's; None for -100.

    Returns:
        ``metric(output, y)``, which returns both numbers.
    """
    ignored = ignored_label(loss)

    @share
    def metric(output: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        kept = y != ignored
        return ((output.argmax(dimension) == y) & kept).sum(), kept.sum()

    return metric


def label_weight_of(
    loss: Loss, output: Tensor, y: Tensor, *, known: bool, whole: bool
) -> Callable[[Tensor], Tensor] | None:
    """Return the divisor of a mean loss of labels, as a function of y; None for the workload's default.

    Args:
        loss: The loss of the workload.
        output: What the model returned for the first B rows.
        y: Labels, int64; those of the first B rows first.
        known: Whether optcompare chose the loss, so that it counts labels.
        whole: Whether the workload holds tensors; then it has the weight of torch's losses itself.
    """
    if is_cross_entropy(loss):
        return None if whole else label_weight(loss)
    return count_labels if known else _measured_weight(loss, output, y[: len(output)].long())


def _measured_weight(loss: Loss, output: Tensor, y: Tensor) -> Callable[[Tensor], Tensor] | None:
    """Measure what an unknown loss is divided by: the labels that are not -100, or the rows (None).

    The loss of all rows is compared with those of two halves, after some labels were replaced by -100. A loss
    that is a mean over neither is refused before training, by the check that every loss gets.
    """
    masked = y.clamp(min=0)
    masked[: len(y) // 2].view(-1)[::2] = IGNORED
    half = len(y) // 2
    output = output.detach()
    parts = [(output[:half], masked[:half]), (output[half:], masked[half:])]
    try:
        whole = float(loss(output, masked))
        losses = [float(loss(*part)) for part in parts]
    except USER_CODE_ERRORS:
        return None  # the loss does not accept -100
    weights = [float(count_labels(labels)) for _, labels in parts]
    total = sum(w * each for w, each in zip(weights, losses, strict=True) if w)
    mean = total / max(1.0, sum(weights))
    return count_labels if math.isclose(mean, whole, rel_tol=_TOLERANCE) else None
