"""Nets that train a module by a criterion, as skorch has them: known by what they have, nothing is
imported.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..errors import WorkloadError, explain
from .form import Forward, overridden

if TYPE_CHECKING:
    from torch import Tensor

_TRAINS = (
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
"""Methods that decide what is trained."""
_BESIDE = (
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


@dataclass(frozen=True)
class Net:
    """What a scikit-learn style net (skorch) is made of.

    ``forward``: where its own ``get_loss`` gives the loss.
    """

    model: Callable[[], nn.Module]
    loss: Callable[[Any, Any], Any]
    forward: Forward | None
    lr: float | None
    batch_size: int | None
    epochs: int
    notes: tuple[str, ...]


def is_net(thing: Any) -> bool:
    """Whether this is a net that trains a module by a criterion, as skorch has them."""
    parts = ("module", "criterion", "get_params_for", "max_epochs")
    return not isinstance(thing, (nn.Module, type)) and all(hasattr(thing, part) for part in parts)


def net_of(net: Any) -> Net:
    """The parts of a net, none of them trained yet."""
    if isinstance(net.module, nn.Module):
        kind = type(net.module).__name__
        raise WorkloadError(
            f"the net's module is a {kind} that exists already; give the class, as in "
            f"{type(net).__name__}({kind}, …)"
        )
    kind = type(net).__name__
    changed = overridden(net, _TRAINS, ("skorch",))
    if changed:
        raise WorkloadError(
            f"{kind} overrides {', '.join(changed)}, which decides what is trained and is not called here; "
            "give the module and "
            "what is computed of a batch, as workload_from(Module, data, forward=…, loss=…)"
        )
    kwargs, settings = net.get_params_for("module"), net.get_params_for("criterion")
    criterion = net.criterion(**settings) if isinstance(net.criterion, type) else net.criterion
    classifies = any(base.__name__ == "ClassifierMixin" for base in type(net).__mro__)
    logs = isinstance(criterion, nn.NLLLoss) and classifies
    optimizer = getattr(net.optimizer, "__name__", type(net.optimizer).__name__)
    kept = f"lr {net.lr:g}, batch size {net.batch_size} and {net.max_epochs} epochs are taken from the net"
    left = f"its optimizer ({optimizer}), callbacks and train_split are not: say --optimizers and valid="
    own = bool(overridden(net, ("get_loss",), ("skorch",)))
    said = [f"{kind}: {kept}; {left}"]
    if own:
        said.append(f"{kind}: the loss is that of its own get_loss")
    if beside := overridden(net, _BESIDE, ("skorch",)):
        said.append(f"{kind}: its {', '.join(beside)} are not called")
    return Net(
        lambda: net.module(**kwargs),
        _second if own else _of_probabilities(criterion) if logs else criterion,
        _by_get_loss(net, criterion) if own else None,
        net.lr,
        net.batch_size if net.batch_size > 0 else None,
        net.max_epochs,
        tuple(said),
    )


def _by_get_loss(net: Any, criterion: Any) -> Forward:
    """Output and loss as the net's own ``get_loss`` has it, of a net that was never initialized."""

    own = copy.copy(net)

    def forward(model: nn.Module, batch: Any) -> tuple[Any, Any]:
        *inputs, y = batch
        output = model(*inputs)
        own.__dict__.update(module_=model, criterion_=criterion)
        x = inputs[0] if len(inputs) == 1 else tuple(inputs)
        try:
            loss = own.get_loss(output, y, X=x, training=model.training)
        except (AttributeError, TypeError) as error:
            raise WorkloadError(
                f"{type(net).__name__}.get_loss fails: {explain(error)}; of the net it is given module_ and "
                "criterion_ alone, "
                "for it is not initialized here"
            ) from error
        finally:
            own.__dict__.update(module_=None)
        return (output, loss), y

    return forward


def _second(output: Any, y: Any) -> Any:
    """The loss beside the output."""
    return output[1]


def _of_probabilities(criterion: nn.Module) -> Callable[[Any, Any], Any]:
    """As skorch's classifiers do: the module gives probabilities, whose logarithm the criterion takes."""

    def loss(output: Tensor, y: Tensor) -> Any:
        return criterion(torch.log(output + torch.finfo(output.dtype).eps), y)

    return loss
