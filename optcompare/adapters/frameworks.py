"""What modules of known conventions say about themselves: they are known by what they have, and nothing is imported."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from ..core.tree import len_batch, rows_of
from ..errors import WorkloadError
from ..interfaces.metrics import Metric
from .losses import counted

if TYPE_CHECKING:
    from torch import Tensor

_AGREES = 1e-4
Forward = Callable[[nn.Module, Any], tuple[Any, Any]]


@dataclass(frozen=True)
class Form:
    """Fields of a workload that a convention gives."""

    forward: Forward
    loss: Callable[[Any, Any], Any]
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    weight: Callable[[Any], Any] | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Net:
    """What a scikit-learn style net (skorch) is made of."""

    model: Callable[[], nn.Module]
    loss: Callable[[Any, Any], Any]
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
            f"the net's module is a {kind} that exists already; give the class, as in {type(net).__name__}({kind}, …)"
        )
    kwargs, settings = net.get_params_for("module"), net.get_params_for("criterion")
    criterion = net.criterion(**settings) if isinstance(net.criterion, type) else net.criterion
    classifies = any(base.__name__ == "ClassifierMixin" for base in type(net).__mro__)
    logs = isinstance(criterion, nn.NLLLoss) and classifies
    optimizer = getattr(net.optimizer, "__name__", type(net.optimizer).__name__)
    kept = f"lr {net.lr:g}, batch size {net.batch_size} and {net.max_epochs} epochs are taken from the net"
    left = f"its optimizer ({optimizer}), callbacks and train_split are not: say --optimizers and valid="
    return Net(
        lambda: net.module(**kwargs),
        _of_probabilities(criterion) if logs else criterion,
        net.lr,
        net.batch_size if net.batch_size > 0 else None,
        net.max_epochs,
        (f"{type(net).__name__}: {kept}; {left}",),
    )


def _of_probabilities(criterion: nn.Module) -> Callable[[Any, Any], Any]:
    """As skorch's classifiers do: the module gives probabilities, whose logarithm the criterion takes."""

    def loss(output: Tensor, y: Tensor) -> Any:
        return criterion(torch.log(output + torch.finfo(output.dtype).eps), y)

    return loss


def is_lightning(module: nn.Module) -> bool:
    return callable(getattr(module, "training_step", None)) and callable(getattr(module, "configure_optimizers", None))


def lightning_form(module: Any, batch: Any) -> Form:
    """Of a LightningModule: its ``training_step``, and as metrics the numbers that it logs there.

    Raises :class:`WorkloadError` for one that trains itself, or whose step returns no loss.
    """
    kind = type(module).__name__
    if not getattr(module, "automatic_optimization", True):
        raise WorkloadError(
            f"{kind} has automatic_optimization = False and makes its own updates, which cannot be compared"
        )
    count = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in _parameters(module.training_step))

    def step(model: Any, batch: Any) -> tuple[Any, Any]:
        with _logging_into(model) as logged:
            returned = model.training_step(*(batch, 0, 0)[:count])
        return (returned["loss"] if isinstance(returned, Mapping) else returned, logged), batch

    (loss, logged), _ = step(module, batch)
    if not isinstance(loss, torch.Tensor):
        raise WorkloadError(
            f"{kind}.training_step must return a loss, or a dictionary with 'loss'; got a {type(loss).__name__}"
        )
    named = {_identifier(name): name for name in logged}
    metrics = {name: _logged(key) for name, key in named.items() if name not in ("loss", "seconds", "")}
    said = f", with {', '.join(metrics)} that it logs" if metrics else ""
    notes = (
        f"{kind}: training_step gives the loss of training and validation{said}; configure_optimizers, validation_step and "
        "other hooks are not called: say --optimizers, --lr and --schedule",
    )
    return Form(step, lambda output, batch: output[0], metrics, notes=notes)


@contextmanager
def _logging_into(module: nn.Module) -> Iterator[dict[str, Any]]:
    """What the module logs, instead of a Trainer's asking for it."""
    logged: dict[str, Any] = {}

    def log(name: str, value: Any, *args: Any, **named: Any) -> None:
        if isinstance(value, (int, float)) or (isinstance(value, torch.Tensor) and value.numel() == 1):
            logged[name] = value

    vars(module)["log"] = log
    try:
        yield logged
    finally:
        del vars(module)["log"]


def _logged(key: str) -> Metric:
    """A logged mean over the batch as a sum over its rows."""

    def metric(output: Any, batch: Any) -> tuple[Any, int]:
        size = len_batch(batch)
        return torch.as_tensor(output[1][key]).detach() * size, size

    return metric


def _identifier(name: str) -> str:
    bare = re.sub(r"^(train|training)[_/]", "", name)
    return re.sub(r"\W", "_", bare) if re.sub(r"\W", "_", bare).isidentifier() else ""


def named_form(module: nn.Module, batch: Mapping[str, Any], loss: Any = None) -> Form | tuple[list[str], str]:
    """Of a module that is called with names, as those of Hugging Face are: its loss is in its output.

    Where it is not: the names that it takes, and the one among the others that is y ("" if there is none).
    """
    taken = accepted(module, batch)
    left = [name for name in batch if name not in taken]

    def forward(model: nn.Module, batch: Mapping[str, Any]) -> tuple[Any, Any]:
        return model(**{name: batch[name] for name in taken}), batch

    output, _ = forward(module, batch)
    notes = (
        (f"{', '.join(left)} of the data is not used: {type(module).__name__} takes {', '.join(taken)}",)
        if left
        else ()
    )
    if loss is None and _loss_in(output) is not None:
        weight, shift = _weight_of(module, forward, batch)
        over = "labels but each row's first" if shift else "rows" if weight is None else "labels"
        said = f"the loss is that in the output of {type(module).__name__}, a mean over {over} (loss= to change)"
        notes = (*notes, said)
        metrics = {"accuracy": _accuracy(shift)} if _is_scored(output, batch.get("labels")) else {}
        return Form(forward, lambda output, batch: _loss_in(output), metrics, weight, notes)
    answers = [name for name in left if name in ("y", "target", "targets", "label", "labels")]
    if len(answers) == 1:
        return taken, answers[0]
    if loss is None:
        raise WorkloadError(
            f"{type(module).__name__} is called with {', '.join(taken)} and returns no loss; give loss=, called as "
            f"loss(output, batch), or labels in the data"
        )
    return Form(forward, loss, notes=notes)


def accepted(module: nn.Module, batch: Mapping[str, Any]) -> list[str]:
    """Those names of the batch that the module's forward takes."""
    inner = getattr(module, "_orig_mod", module)
    parameters = _parameters(inner.forward)
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return list(batch)
    return [name for name in batch if name in {parameter.name for parameter in parameters}]


def _parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _loss_in(output: Any) -> Any:
    return output.get("loss") if isinstance(output, Mapping) else getattr(output, "loss", None)


def _is_scored(output: Any, labels: Any) -> bool:
    """Whether the output has a score of each class for each label."""
    logits: Any = getattr(output, "logits", None)
    labels = torch.zeros(()) if labels is None else labels
    both = isinstance(logits, torch.Tensor) and isinstance(labels, torch.Tensor)
    return bool(both) and not labels.is_floating_point() and logits.shape[:-1] == labels.shape


def _weight_of(
    module: nn.Module, forward: Forward, batch: Mapping[str, Any]
) -> tuple[Callable[[Any], Any] | None, int]:
    """What the mean of the loss in the output is over: rows, labels, or labels but each row's first. It is measured, on
    rows of which all but the first have most of their labels taken away."""
    labels = batch.get("labels")
    if not isinstance(labels, torch.Tensor) or labels.ndim < 2 or labels.is_floating_point() or len_batch(batch) < 2:
        return None, 0
    masked = labels.clamp(min=0)
    masked[1:, max(2, masked.shape[1] // 2) :] = -100
    uneven = {**batch, "labels": masked}

    def loss_of(part: Any) -> float:
        return float(_loss_in(forward(module, part)[0]).detach())

    def by_labels(batch: Any) -> Any:
        return counted(batch["labels"])

    def by_targets(batch: Any) -> Any:
        return counted(batch["labels"][:, 1:])

    whole, rows = loss_of(uneven), [rows_of(uneven, slice(n, n + 1)) for n in range(len_batch(batch))]
    losses = [loss_of(row) for row in rows]
    found = []
    for weight in (len_batch, by_labels, by_targets):
        weights = [float(weight(row)) for row in rows]
        mean = sum(w * each for w, each in zip(weights, losses, strict=True)) / sum(weights)
        found.append((abs(mean - whole) / max(abs(whole), 1e-12), weight))
    apart, best = min(found, key=lambda pair: pair[0])
    if not apart < _AGREES:
        raise WorkloadError(
            f"the loss of {type(module).__name__} is a mean neither over rows nor over labels; say what it is divided by with "
            "weight=, called as weight(batch)"
        )
    return None if best is len_batch else best, int(best is by_targets)


def _accuracy(shift: int) -> Metric:
    """Right answers among the labels; of a causal model, each place's scores are for the label of the next."""

    def metric(output: Any, batch: Any) -> tuple[Any, Any]:
        labels, logits = batch["labels"], output.logits
        if shift:
            labels, logits = labels[:, shift:], logits[:, :-shift]
        return (logits.argmax(-1) == labels).sum(), counted(labels)

    return metric
