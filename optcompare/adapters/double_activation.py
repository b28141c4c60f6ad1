"""Notes about a model that ends in a softmax or a sigmoid which its loss applies again."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from ..interfaces.label_weights import is_cross_entropy
from .fields import Loss, Output

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
"""Operations, as autograd names them, that return the same numbers in another form."""
_LOGIT_LOSSES = (nn.BCEWithLogitsLoss, nn.MultiLabelSoftMarginLoss, nn.SoftMarginLoss)
_LOGIT_FUNCTIONS = (nn.functional.binary_cross_entropy_with_logits, nn.functional.soft_margin_loss)


def double_activation_note(output: Output, loss: Loss) -> str:
    """Describe an activation at the model's end that the loss applies again, or does not expect.

    Args:
        output: What the model returned, with its gradient graph.
        loss: The loss of the workload.

    Returns:
        One sentence; "" where the model's last operation fits the loss, or is not known.
    """
    if not (isinstance(output, torch.Tensor) and output.requires_grad):
        return ""
    last = _last_operation(output)
    expects_logits = isinstance(loss, _LOGIT_LOSSES) or any(loss is each for each in _LOGIT_FUNCTIONS)
    expects_log = isinstance(loss, nn.NLLLoss) or loss is nn.functional.nll_loss
    end = f"the model ends in a {last.lower()}"
    if is_cross_entropy(loss) and not expects_log and last in ("Softmax", "Sigmoid"):
        return (
            f"{end}, and cross entropy applies a softmax itself, so that two are applied; let the model "
            "return the values before its own"
        )
    if expects_logits and last in ("Softmax", "Sigmoid", "LogSoftmax", "LogSigmoid"):
        return (
            f"{end}, and the loss applies a sigmoid itself, so that both are applied; let the model return "
            "the values before its own"
        )
    if expects_log and last in ("Softmax", "Sigmoid"):
        return f"{end}, and the loss expects logarithms of probabilities; let the model end in log_softmax"
    return ""


def _last_operation(output: Tensor) -> str:
    """Return autograd's name of the last operation that changed the numbers, such as ``Softmax``."""
    node = output.grad_fn
    while node is not None:
        name = node.name().removesuffix("0").removesuffix("Backward").lstrip("_").removeprefix("Unsafe")
        if not name.startswith(_VIEWS):
            return name
        node = node.next_functions[0][0] if node.next_functions else None
    return ""
