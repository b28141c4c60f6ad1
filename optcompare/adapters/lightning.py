"""LightningModules: known by what they have, nothing is imported."""

from __future__ import annotations

import dis
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch import nn

from ..core.own_code import is_installed, names_used
from ..core.tree import len_batch
from ..errors import RAISED, WorkloadError
from ..interfaces.metrics import Metric
from ..training.position import POSITION
from .form import Form, overridden, parameters_of

_PACKAGES = ("lightning", "pytorch_lightning", "lightning_fabric")
_HOOKS = (
    "backward",
    "optimizer_step",
    "optimizer_zero_grad",
    "lr_scheduler_step",
    "configure_gradient_clipping",
    "on_after_backward",
    "on_before_backward",
    "on_before_optimizer_step",
    "on_before_zero_grad",
    "on_train_start",
    "on_train_epoch_start",
    "on_train_epoch_end",
    "on_train_batch_start",
    "on_train_batch_end",
    "on_fit_start",
    "setup",
    "configure_model",
    "transfer_batch_to_device",
    "on_before_batch_transfer",
    "on_after_batch_transfer",
)
"""Methods that a Trainer would call, and that could change what is trained."""


class _Trainer:
    """Answers what a training step may ask its trainer about progress."""

    @property
    def current_epoch(self) -> int:
        return POSITION.epoch

    @property
    def global_step(self) -> int:
        return POSITION.update

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the module asks its trainer for {name}, and there is none: current_epoch and global_step "
            "alone are known"
        )


def is_lightning(module: nn.Module) -> bool:
    return callable(getattr(module, "training_step", None)) and callable(
        getattr(module, "configure_optimizers", None)
    )


def lightning_form(module: Any, batch: Any) -> Form:
    """Of a LightningModule: its ``training_step``, and as metrics the numbers that it logs there.

    Raises :class:`WorkloadError` for one that trains itself, or whose step returns no loss.
    """
    kind = type(module).__name__
    if not getattr(module, "automatic_optimization", True):
        raise WorkloadError(
            f"{kind} has automatic_optimization = False and makes its own updates, which cannot be compared"
        )
    parameters = parameters_of(module.training_step)
    if any(parameter.name == "optimizer_idx" for parameter in parameters):
        raise WorkloadError(
            f"{kind}.training_step takes optimizer_idx: it is written for several optimizers, and an arm "
            "has one"
        )
    theirs = _own_optimizer(module, kind)
    count = sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)
    count = 2 if any(p.kind is p.VAR_POSITIONAL for p in parameters) else count

    def step(model: Any, batch: Any) -> tuple[Any, Any]:
        with _attached(model), _logging_into(model) as logged:
            returned = model.training_step(*(batch, POSITION.batch, 0)[:count])
        loss = returned.get("loss") if isinstance(returned, Mapping) else returned
        if not isinstance(loss, torch.Tensor):
            raise WorkloadError(
                f"{kind}.training_step must return a loss, or a dictionary with 'loss', for each batch; got "
                "a "
                f"{type(loss).__name__}"
            )
        return (loss, logged), batch

    if asked := _asks(module):
        step.of_progress = asked  # type: ignore[attr-defined]
    (_, logged), _ = step(module, batch)
    metrics, dropped = _metrics_of(logged)
    said = f", with {', '.join(metrics)} that it logs" if metrics else ""
    notes = [
        f"{kind}: training_step gives the loss of training and validation{said}; "
        f"configure_optimizers{theirs}, validation_step "
        "and other hooks are not called: say --optimizers, --lr and --schedule"
    ]
    if dropped:
        notes.append(
            f"{kind}: {', '.join(dropped)} that it logs is left out, for it is no single number or has no "
            "name for a column"
        )
    if hooks := overridden(module, _HOOKS, _PACKAGES):
        notes.append(f"{kind}: its {', '.join(hooks)} would change what a Trainer trains, and is not called")
    return Form(step, lambda output, batch: output[0], metrics, notes=tuple(notes))


def _own_optimizer(module: Any, kind: str) -> str:
    """What ``configure_optimizers`` would train with, in brackets; raises where that is several
    optimizers.
    """
    try:
        with _attached(module):
            made = module.configure_optimizers()
    except RAISED:  # it may ask for what only a Trainer has
        return ""
    made = made.get("optimizer") if isinstance(made, Mapping) else made
    if isinstance(made, (list, tuple)):
        made = made[0] if len(made) and isinstance(made[0], (list, tuple)) else made
        of_schedule = (
            len(made) == 2 and isinstance(made[1], (list, tuple, Mapping)) and "optimizer" not in made[1]
        )
        if len(made) > 1 and not of_schedule:
            raise WorkloadError(
                f"{kind}.configure_optimizers returns {len(made)} optimizers, and an arm has one; give a "
                "module that is trained "
                "by one loss"
            )
        made = made[0] if made else None
        made = made.get("optimizer") if isinstance(made, Mapping) else made
    if not isinstance(made, torch.optim.Optimizer):
        return ""
    return f" ({type(made).__name__} with lr {made.param_groups[0]['lr']:g})"


def _asks(module: Any) -> str:
    """What a module's own methods ask about progress, by which an update depends on more than weights and
    batch.
    """
    for base in type(module).__mro__:
        if is_installed(base.__module__):
            continue
        for method in vars(base).values():
            if isinstance(method, FunctionType):
                for name in names_used(method.__code__):
                    if name in ("current_epoch", "global_step", "trainer"):
                        return name
    step = getattr(module.training_step, "__func__", None)
    if isinstance(step, FunctionType) and step.__code__.co_argcount > 2:
        name = step.__code__.co_varnames[2]
        if any(each.argval == name for each in dis.get_instructions(step) if each.opname.startswith("LOAD")):
            return name
    return ""


def _metrics_of(logged: Mapping[str, Any]) -> tuple[dict[str, Metric], list[str]]:
    """Of what a step logs, the single numbers as metrics by the names of their columns, and the names of the
    others.
    """
    metrics: dict[str, Metric] = {}
    dropped = []
    for key, value in logged.items():
        name = _identifier(key)
        number = isinstance(value, (bool, int, float)) or (
            isinstance(value, torch.Tensor) and value.numel() == 1
        )
        if name == "loss" and number:
            continue
        if name in ("", "seconds", "loss") or not number:
            dropped.append(key)
        else:
            metrics[name] = _logged(key)
    return metrics, dropped


@contextmanager
def _attached(module: Any) -> Iterator[None]:
    """The module's ``current_epoch`` and ``global_step`` are those of the trial."""
    kind = type(module)
    if (
        not isinstance(getattr(kind, "trainer", None), property)
        or getattr(module, "_trainer", None) is not None
    ):
        yield
        return
    module.trainer = _Trainer()
    try:
        yield
    finally:
        module.trainer = None


@contextmanager
def _logging_into(module: nn.Module) -> Iterator[dict[str, Any]]:
    """What the module logs, instead of a Trainer's asking for it."""
    logged: dict[str, Any] = {}

    def log(name: str, value: Any, *args: Any, **named: Any) -> None:
        logged[name] = value

    def log_dict(dictionary: Mapping[str, Any], *args: Any, **named: Any) -> None:
        logged.update(dictionary)

    vars(module).update(log=log, log_dict=log_dict)
    try:
        yield logged
    finally:
        for name in ("log", "log_dict"):
            del vars(module)[name]


def _logged(key: str) -> Metric:
    """A logged mean over the batch as a sum over its rows; nothing of a batch at which it was not logged."""

    def metric(output: Any, batch: Any) -> tuple[Any, int]:
        size = len_batch(batch) if key in output[1] else 0
        return torch.as_tensor(output[1].get(key, 0.0)).detach() * size, size

    return metric


def _identifier(name: str) -> str:
    bare = re.sub(r"^(train|training)[_/]", "", name)
    return re.sub(r"\W", "_", bare) if re.sub(r"\W", "_", bare).isidentifier() else ""
