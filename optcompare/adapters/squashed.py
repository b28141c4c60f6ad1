"""A model that ends in a softmax or a sigmoid, under a loss that applies one itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..interfaces.label_weights import is_cross_entropy

if TYPE_CHECKING:
    from torch import Tensor

_VIEWS = (
    "View",
    "Squeeze",
    "Unsqueeze",
    "Select",
    "Reshape",
    "Alias",
    "Permute",
    "Transpose",
    "T",
    "Clone",
    "ToCopy",
)
_OF_LOGITS = (nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss, nn.SoftMarginLoss)
_FUNCTIONS_OF_LOGITS = (nn.functional.binary_cross_entropy_with_logits, nn.functional.soft_margin_loss)


def squashed_note(output: Any, loss: Any) -> str:
    """What is to be said where the model's last step is one that the loss takes again; "" where it is not."""
    if not (isinstance(output, torch.Tensor) and output.requires_grad):
        return ""
    last = _last_step(output)
    logits = isinstance(loss, _OF_LOGITS) or any(loss is each for each in _FUNCTIONS_OF_LOGITS)
    takes_log = isinstance(loss, nn.NLLLoss) or loss is nn.functional.nll_loss
    if is_cross_entropy(loss) and not takes_log and last in ("Softmax", "Sigmoid"):
        return (
            f"the model ends in a {last.lower()}, and cross entropy applies a softmax itself, so that it is "
            "taken twice; let the "
            "model return the values before it"
        )
    if logits and last in ("Softmax", "Sigmoid", "LogSoftmax", "LogSigmoid"):
        return (
            f"the model ends in a {last.lower()}, and the loss applies a sigmoid itself, so that both are "
            "taken; let the model "
            "return the values before it"
        )
    if takes_log and last in ("Softmax", "Sigmoid"):
        return (
            f"the model ends in a {last.lower()}, and the loss takes logarithms of probabilities; end in "
            "log_softmax"
        )
    return ""


def _last_step(output: Tensor) -> str:
    """The last operation that is more than another view of the same numbers, as autograd names it."""
    node = output.grad_fn
    while node is not None:
        name = node.name().removesuffix("0").removesuffix("Backward").lstrip("_").removeprefix("Unsafe")
        if not name.startswith(_VIEWS):
            return name
        node = node.next_functions[0][0] if node.next_functions else None
    return ""
