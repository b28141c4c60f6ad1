"""The divisor of torch's own cross entropies: class weights of y, without ignored labels."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

IGNORED = -100
"""The label that torch's cross entropies ignore by default."""


def is_cross_entropy(loss: Any) -> bool:
    """Return whether a loss is one of torch's own cross entropies of labels.

    Args:
        loss: A module, a function, or a ``functools.partial`` of one.
    """
    from torch.nn.functional import cross_entropy, nll_loss

    whole = isinstance(loss, functools.partial)
    made = loss.func if whole else loss
    if made is cross_entropy or made is nll_loss:
        return not (whole and loss.args)
    return not whole and _is_module(loss)


def _is_module(loss: Any) -> bool:
    from torch import nn

    return isinstance(loss, (nn.CrossEntropyLoss, nn.NLLLoss))


def _setting(loss: Any, name: str, otherwise: Any) -> Any:
    """Return a setting of a cross entropy, a module or a partial function."""
    if isinstance(loss, functools.partial):
        return loss.keywords.get(name, otherwise)
    return getattr(loss, name, otherwise) if _is_module(loss) else otherwise


def class_weights(loss: Any) -> Tensor | None:
    """Return the class weights of one of torch's own cross entropies; None for none, and for other losses."""
    weights: Tensor | None = _setting(loss, "weight", None) if is_cross_entropy(loss) else None
    return weights


def ignored_label(loss: Any) -> int:
    """Return the label that the loss ignores: the ``ignore_index`` of one of torch's cross entropies."""
    return int(_setting(loss, "ignore_index", IGNORED)) if is_cross_entropy(loss) else IGNORED


def label_weight(loss: Any) -> Callable[[Tensor], Tensor] | None:
    """Return the divisor of a cross entropy's mean, as a function of its labels y, int64 of any shape.

    It is Σ weight[y] over the labels that are not ``ignore_index``, or their number if the loss has no class
    weights. None for any other loss, and for a reduction other than the mean.

    Args:
        loss: The loss of a workload.
    """
    import torch

    if not is_cross_entropy(loss) or _setting(loss, "reduction", "mean") != "mean":
        return None
    ignored, weights = ignored_label(loss), class_weights(loss)

    def summed(y: Tensor) -> Tensor:
        kept = y != ignored
        if weights is None:
            return kept.sum()
        exact = torch.float32 if y.device.type == "mps" else torch.float64
        counted: Tensor = (weights.to(y.device, exact)[torch.where(kept, y, 0)] * kept).sum()
        return counted

    return summed


def holds_labels(y: Any) -> bool:
    """Return whether y is a tensor of labels, rather than of numbers or of probabilities."""
    import torch

    return isinstance(y, torch.Tensor) and not (
        y.is_floating_point() or y.is_complex() or y.dtype == torch.bool
    )
