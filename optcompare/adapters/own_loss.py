"""Modules that return their own loss, or scores and loss, when they are called with a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..errors import USER_CODE_ERRORS, WorkloadError
from ..interfaces.workload import of_torch
from .form import Form, parameters_of


def own_loss_form(module: nn.Module, batch: tuple[Any, ...]) -> Form | None:
    """The form of a module whose output holds its loss, as ``forward(x, y)`` or ``forward(x)`` may; None of
    any other.

    The loss is the one number with a gradient in what it returns, called with the whole batch where its
    ``forward`` takes as many arguments, else with the inputs alone.
    """
    inputs = batch[:-1] if len(batch) > 1 else batch
    for arguments, taken in ((inputs, len(inputs)), (batch, len(batch))):
        if not _takes(module, len(arguments)):
            continue
        try:
            output = module(*arguments)
        except USER_CODE_ERRORS:
            continue
        if (place := _place_of_loss(output)) is not None:
            return _form(module, place, taken, len(batch))
    return None


def _form(module: nn.Module, place: int | str, taken: int, parts: int) -> Form:
    def forward(model: nn.Module, batch: Any) -> tuple[Any, Any]:
        return model(*batch[:taken]), batch

    def loss(output: Any, batch: Any) -> Any:
        return output if place == "" else output[place]

    kind, where = type(module).__name__, "" if place == "" else f", at place {place} of what it returns"
    said = "the whole batch, y too" if taken == parts and parts > 1 else "the inputs"
    unused = "; y is not used" if taken < parts else ""
    return Form(
        forward,
        loss,
        notes=(f"the loss is that which {kind} returns for {said}{where} (loss= to change){unused}",),
    )


def _takes(module: nn.Module, count: int) -> bool:
    """Whether its forward takes so many arguments by their places."""
    try:
        parameters = parameters_of(getattr(module, "_orig_mod", module).forward)
    except (TypeError, ValueError):
        return True
    places = [each for each in parameters if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
    needed = [each for each in places if each.default is each.empty]
    return len(needed) <= count and (
        count <= len(places) or any(each.kind is each.VAR_POSITIONAL for each in parameters)
    )


def _place_of_loss(output: Any) -> int | str | None:
    """Where in an output its only single number with a gradient stands; "" where it is the output itself."""
    if _is_loss(output):
        return ""
    if isinstance(output, (tuple, list)):
        places = [place for place, each in enumerate(output) if _is_loss(each)]
        return places[0] if len(places) == 1 else None
    if isinstance(output, Mapping) and _is_loss(output.get("loss")):
        return "loss"
    return None


def _is_loss(value: Any) -> bool:
    return (
        isinstance(value, torch.Tensor)
        and value.ndim == 0
        and value.requires_grad
        and value.is_floating_point()
    )


def refuse_odd_output(module: nn.Module, output: Any, loss: Any) -> None:
    """Raises where a loss of torch's cannot take what the module returns, saying how to choose a part of
    it.
    """
    kind = type(module).__name__
    if isinstance(output, torch.Tensor) and output.ndim == 0:
        if loss is not None and of_torch(loss):
            raise WorkloadError(
                f"{kind} returns one number for a whole batch, as if it were a loss; leave out loss= to "
                "train on that, or let it "
                "return an output for each row"
            )
        return
    if loss is not None and of_torch(loss) and isinstance(output, tuple):
        shapes = ", ".join(
            str(list(each.shape)) if isinstance(each, torch.Tensor) else type(each).__name__
            for each in output
        )
        raise WorkloadError(
            f"{kind} returns a tuple of {len(output)} ({shapes}), and the loss takes one tensor; give "
            "forward=lambda model, "
            "batch: (model(*batch[:-1])[0], batch[-1]), with the place that it is to take"
        )
