"""Models that return their own loss, alone or beside scores, when they are called with a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import USER_CODE_ERRORS, WorkloadError
from ..interfaces.workload import of_torch
from .fields import Loss, Output, WorkloadFields, signature_parameters


def returned_loss_fields(module: nn.Module, batch: tuple[Any, ...]) -> WorkloadFields | None:
    """Return the fields for a model that returns its loss from ``forward(x, y)`` or ``forward(x)``.

    The loss is the only single number with a gradient in the output. The model is called with the inputs
    alone and, where that gives no loss, with the whole batch.

    Args:
        module: A module of the workload, in evaluation mode.
        batch: The first rows of the training data: inputs, and y where there is one.

    Returns:
        The fields; None for a model that returns no loss.
    """
    inputs = batch[:-1] if len(batch) > 1 else batch
    for arguments in (inputs, batch):
        if not _accepts(module, len(arguments)):
            continue
        try:
            output = module(*arguments)
        except USER_CODE_ERRORS:
            continue
        if (place := _place_of_loss(output)) is not None:
            return _fields(module, place, len(arguments), len(batch))
    return None


def _fields(module: nn.Module, place: int | str, count: int, parts: int) -> WorkloadFields:
    """Return the fields of a model that is called with the first ``count`` of a batch's parts."""

    def forward(model: nn.Module, batch: tuple[Any, ...]) -> tuple[Output, tuple[Any, ...]]:
        return model(*batch[:count]), batch

    def loss(output: Output, batch: tuple[Any, ...]) -> Any:
        return output if place == "" else output[place]

    kind = type(module).__name__
    arguments = "the whole batch, y included" if count == parts and parts > 1 else "the inputs"
    where = "" if place == "" else f", at place {place} of its output"
    unused = "; y is not used" if count < parts else ""
    note = f"the loss is that which {kind} returns for {arguments}{where} (loss= changes it){unused}"
    return WorkloadFields(forward, loss, notes=(note,))


def _accepts(module: nn.Module, count: int) -> bool:
    """Return whether the module's ``forward`` accepts so many positional arguments."""
    try:
        parameters = signature_parameters(getattr(module, "_orig_mod", module).forward)
    except (TypeError, ValueError):
        return True
    positional = [
        each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)
    ]
    required = [each for each in positional if each.default is each.empty]
    return len(required) <= count and (
        count <= len(positional) or any(each.kind is each.VAR_POSITIONAL for each in parameters)
    )


def _place_of_loss(output: Output) -> int | str | None:
    """Return the index or key of the loss in an output; "" for the output itself, None for no loss."""
    if _is_loss(output):
        return ""
    if isinstance(output, (tuple, list)):
        places = [place for place, each in enumerate(output) if _is_loss(each)]
        return places[0] if len(places) == 1 else None
    if isinstance(output, Mapping) and _is_loss(output.get("loss")):
        return "loss"
    return None


def _is_loss(value: object) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.ndim == 0
        and value.requires_grad
        and value.is_floating_point()
    )


def refuse_unusable_output(module: nn.Module, output: Output, loss: Loss | None) -> None:
    """Check that one of torch's losses can be computed from the output of a model.

    Args:
        module: The model, named in the message.
        output: What it returned for the first rows.
        loss: The user's loss; nothing is checked where it is None or not torch's.

    Raises:
        WorkloadError: The output is a single number, or a tuple of which ``forward=`` has to choose a part.
    """
    if loss is None or not of_torch(loss):
        return
    kind = type(module).__name__
    if isinstance(output, torch.Tensor) and output.ndim == 0:
        raise WorkloadError(
            f"{kind} returns one number for a whole batch, as if it were a loss; leave out loss= to train on "
            "that number, or let the model return an output for each row"
        )
    if isinstance(output, tuple):
        shapes = ", ".join(
            str(list(each.shape)) if isinstance(each, torch.Tensor) else type(each).__name__
            for each in output
        )
        raise WorkloadError(
            f"{kind} returns a tuple of {len(output)} ({shapes}), and the loss expects one tensor; choose it "
            "by its index, as in forward=lambda model, batch: (model(*batch[:-1])[0], batch[-1])"
        )
