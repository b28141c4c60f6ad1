"""Read skorch nets, which are recognized by their attributes, without an import of skorch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeGuard

import torch
from torch import nn

from ..core.tree import Batch
from ..errors import WorkloadError, explain
from .fields import Forward, Loss, Output, overridden_methods

if TYPE_CHECKING:
    from torch import Tensor

_TRAINING_METHODS = (
    "train_step",
    "train_step_single",
    "infer",
    "fit_loop",
    "run_single_epoch",
    "get_train_step_accumulator",
    "initialize_module",
    "initialize_criterion",
    "on_grad_computed",
)
"""Methods that decide what is trained; a net that overrides one is refused."""
_UNUSED_METHODS = (
    "get_iterator",
    "get_dataset",
    "get_split_datasets",
    "validation_step",
    "evaluation_step",
    "on_train_begin",
    "on_epoch_begin",
    "on_epoch_end",
    "on_batch_begin",
    "on_batch_end",
    "initialize_optimizer",
)
"""Methods that are not called; a note lists those that a net overrides."""


class SkorchNet(Protocol):
    """The attributes of a skorch net that are used."""

    module: Any
    criterion: Any
    optimizer: Any
    lr: float
    batch_size: int
    max_epochs: int

    def get_params_for(self, prefix: str) -> Mapping[str, Any]:
        """Return the keyword arguments that the net passes to its module or its criterion.

        Args:
            prefix: ``module`` or ``criterion``.
        """


@dataclass(frozen=True)
class NetParts:
    """The settings of a workload that a skorch net determines.

    Attributes:
        model: A function that returns a new module at each call.
        loss: The mean loss of a batch.
        forward: Returns output and y of a batch, where the net's own ``get_loss`` computes the loss.
        lr: The learning rate.
        batch_size: Samples in a batch; None for all of them.
        epochs: The number of epochs.
        notes: Notes for the user: a sentence for each decision.
    """

    model: Callable[[], nn.Module]
    loss: Loss
    forward: Forward | None
    lr: float | None
    batch_size: int | None
    epochs: int
    notes: tuple[str, ...]


def is_skorch_net(model: object) -> TypeGuard[SkorchNet]:
    """Return whether an object is a net that trains a module by a criterion, as skorch's are.

    Args:
        model: Any object.
    """
    parts = ("module", "criterion", "get_params_for", "max_epochs")
    return not isinstance(model, (nn.Module, type)) and all(hasattr(model, part) for part in parts)


def net_parts(net: SkorchNet) -> NetParts:
    """Return module, loss and settings of a net that was not trained.

    Args:
        net: A skorch net, which need not be initialized.

    Returns:
        Its parts as settings of a workload.

    Raises:
        WorkloadError: The net holds a module instead of a class, or overrides a method that decides what is
            trained.
    """
    kind = type(net).__name__
    if isinstance(net.module, nn.Module):
        module = type(net.module).__name__
        raise WorkloadError(
            f"the net's module is a {module} that exists already; give the class, as in {kind}({module}, …)"
        )
    changed = overridden_methods(net, _TRAINING_METHODS, ("skorch",))
    if changed:
        raise WorkloadError(
            f"{kind} overrides {', '.join(changed)}, which decides what is trained and is not called here; "
            "give the module and what is computed of a batch, as workload_from(Module, data, forward=…, "
            "loss=…)"
        )
    module_settings, settings = net.get_params_for("module"), net.get_params_for("criterion")
    criterion = net.criterion(**settings) if isinstance(net.criterion, type) else net.criterion
    own_loss = bool(overridden_methods(net, ("get_loss",), ("skorch",)))
    is_classifier = any(base.__name__ == "ClassifierMixin" for base in type(net).__mro__)
    of_probabilities = isinstance(criterion, nn.NLLLoss) and is_classifier
    return NetParts(
        lambda: net.module(**module_settings),
        _loss_beside_output if own_loss else _log_first(criterion) if of_probabilities else criterion,
        _forward_by_get_loss(net, criterion) if own_loss else None,
        net.lr,
        net.batch_size if net.batch_size > 0 else None,
        net.max_epochs,
        tuple(_notes(net, own_loss)),
    )


def _notes(net: SkorchNet, own_loss: bool) -> list[str]:
    kind = type(net).__name__
    optimizer = getattr(net.optimizer, "__name__", type(net.optimizer).__name__)
    notes = [
        f"{kind}: lr {net.lr:g}, batch size {net.batch_size} and {net.max_epochs} epochs are used; its "
        f"optimizer ({optimizer}), callbacks and train_split are not: set --optimizers and valid="
    ]
    if own_loss:
        notes.append(f"{kind}: the loss is that of its own get_loss")
    if unused := overridden_methods(net, _UNUSED_METHODS, ("skorch",)):
        notes.append(f"{kind}: its {', '.join(unused)} are not called")
    return notes


def _forward_by_get_loss(net: SkorchNet, criterion: Any) -> Forward:
    """Return a forward that computes output and loss by the ``get_loss`` of a net that is not initialized."""
    own: Any = copy.copy(net)

    def forward(model: nn.Module, batch: Batch) -> tuple[Output, Any]:
        *inputs, y = batch
        output = model(*inputs)
        own.__dict__.update(module_=model, criterion_=criterion)
        x = inputs[0] if len(inputs) == 1 else tuple(inputs)
        try:
            loss = own.get_loss(output, y, X=x, training=model.training)
        except (AttributeError, TypeError) as error:
            raise WorkloadError(
                f"{type(net).__name__}.get_loss fails: {explain(error)}; the net is not initialized, so that "
                "get_loss can use module_ and criterion_ alone"
            ) from error
        finally:
            own.__dict__.update(module_=None)
        return (output, loss), y

    return forward


def _loss_beside_output(output: tuple[Output, Tensor], y: Any) -> Tensor:
    return output[1]


def _log_first(criterion: nn.Module) -> Loss:
    """Return a loss of the logarithm of a module's probabilities, as skorch's classifiers compute it."""

    def loss(output: Tensor, y: Tensor) -> Any:
        return criterion(torch.log(output + torch.finfo(output.dtype).eps), y)

    return loss
