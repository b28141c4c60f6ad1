"""LightningModules, which define their own training step; recognized by attributes, without an import."""

from __future__ import annotations

import dis
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import FunctionType
from typing import Any, Protocol, cast

import torch
from torch import nn

from ..core.tree import Batch, len_batch
from ..core.user_code import is_installed, names_used
from ..errors import USER_CODE_ERRORS, WorkloadError
from ..interfaces.metrics import Metric
from ..training.position import POSITION
from .fields import Output, WorkloadFields, overridden_methods, signature_parameters

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
_PROGRESS = ("current_epoch", "global_step", "trainer")
"""Attributes of a module that depend on how far the training has come."""


class LightningModule(Protocol):
    """The methods of a LightningModule that are used."""

    trainer: Any

    def training_step(self, *arguments: Any) -> Any:
        """Return the loss of a batch, or a mapping that holds it as ``loss``."""

    def configure_optimizers(self) -> Any:
        """Return the optimizer that a Trainer would use, in one of Lightning's forms."""


class _ProgressTrainer:
    """Hold the progress of the trial for a module that reads it from its trainer."""

    @property
    def current_epoch(self) -> int:
        return POSITION.epoch

    @property
    def global_step(self) -> int:
        return POSITION.update

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"the module uses self.trainer.{name}, and there is no Trainer; use only current_epoch and "
            "global_step of self.trainer"
        )


def is_lightning_module(module: nn.Module) -> bool:
    """Return whether a module has the methods of a LightningModule.

    Args:
        module: Any module.
    """
    return callable(getattr(module, "training_step", None)) and callable(
        getattr(module, "configure_optimizers", None)
    )


def lightning_fields(module: nn.Module, batch: Batch) -> WorkloadFields:
    """Return the fields of a workload that trains a LightningModule by its ``training_step``.

    The single numbers that the step logs become metrics.

    Args:
        module: A LightningModule, in evaluation mode.
        batch: The first rows of the training data.

    Returns:
        The fields, whose forward returns the pair of the loss and what was logged as its output.

    Raises:
        WorkloadError: The module makes its own updates, uses several optimizers, or its step returns no loss.
    """
    kind, lightning = type(module).__name__, cast(LightningModule, module)
    count = _check_step(lightning, kind)
    own_optimizer = _describe_own_optimizer(lightning, kind)

    def step(model: Any, batch: Batch) -> tuple[Output, Batch]:
        with _attached_trainer(model), _recorded_logs(model) as logged:
            returned = model.training_step(*(batch, POSITION.batch, 0)[:count])
        loss = returned.get("loss") if isinstance(returned, Mapping) else returned
        if not isinstance(loss, torch.Tensor):
            raise WorkloadError(
                f"{kind}.training_step must return a loss, or a dictionary with 'loss', for each batch; it "
                f"returned a {type(loss).__name__}"
            )
        return (loss, logged), batch

    if progress := _progress_used(lightning):
        step.of_progress = progress  # type: ignore[attr-defined]
    (_, logged), _ = step(module, batch)
    metrics, dropped = _metrics_of(logged)
    with_metrics = f", with {', '.join(metrics)} that it logs" if metrics else ""
    notes = [
        f"{kind}: training_step gives the loss of training and validation{with_metrics}; "
        f"configure_optimizers{own_optimizer}, validation_step and other hooks are not called: set "
        "--optimizers, --lr and --schedule"
    ]
    if dropped:
        notes.append(
            f"{kind}: {', '.join(dropped)} that it logs is left out, since it is no single number or its "
            "name fits no column"
        )
    if hooks := overridden_methods(module, _HOOKS, _PACKAGES):
        notes.append(f"{kind}: its {', '.join(hooks)} would change what a Trainer trains, and is not called")
    return WorkloadFields(step, lambda output, batch: output[0], metrics, notes=tuple(notes))


def _check_step(module: LightningModule, kind: str) -> int:
    """Return the number of positional arguments of ``training_step``.

    Raises:
        WorkloadError: The module makes its own updates, or the step is written for several optimizers.
    """
    if not getattr(module, "automatic_optimization", True):
        raise WorkloadError(
            f"{kind} has automatic_optimization = False and makes its own updates, which cannot be compared; "
            "give a module whose training_step returns the loss"
        )
    parameters = signature_parameters(module.training_step)
    if any(parameter.name == "optimizer_idx" for parameter in parameters):
        raise WorkloadError(
            f"{kind}.training_step has the parameter optimizer_idx of several optimizers, and an arm has "
            "one; give a module that is trained by one loss"
        )
    if any(p.kind is p.VAR_POSITIONAL for p in parameters):
        return 2
    return sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters)


def _describe_own_optimizer(module: LightningModule, kind: str) -> str:
    """Describe the optimizer of ``configure_optimizers`` in brackets; "" where it is not known.

    Raises:
        WorkloadError: It returns several optimizers.
    """
    try:
        with _attached_trainer(module):
            found = module.configure_optimizers()
    except USER_CODE_ERRORS:  # the module may use attributes that only a Trainer has
        return ""
    found = found.get("optimizer") if isinstance(found, Mapping) else found
    if isinstance(found, (list, tuple)):
        found = found[0] if len(found) and isinstance(found[0], (list, tuple)) else found
        with_schedule = (
            len(found) == 2 and isinstance(found[1], (list, tuple, Mapping)) and "optimizer" not in found[1]
        )
        if len(found) > 1 and not with_schedule:
            raise WorkloadError(
                f"{kind}.configure_optimizers returns {len(found)} optimizers, and an arm has one; give a "
                "module that is trained by one loss"
            )
        found = found[0] if found else None
        found = found.get("optimizer") if isinstance(found, Mapping) else found
    if not isinstance(found, torch.optim.Optimizer):
        return ""
    return f" ({type(found).__name__} with lr {found.param_groups[0]['lr']:g})"


def _progress_used(module: LightningModule) -> str:
    """Return the name by which a module's own methods use the progress of the training; "" for none.

    An update of such a module depends on more than weights and batch.
    """
    for base in type(module).__mro__:
        if is_installed(base.__module__):
            continue
        for method in vars(base).values():
            if isinstance(method, FunctionType):
                for name in names_used(method.__code__):
                    if name in _PROGRESS:
                        return name
    step = getattr(module.training_step, "__func__", None)
    if isinstance(step, FunctionType) and step.__code__.co_argcount > 2:
        name = step.__code__.co_varnames[2]
        if any(each.argval == name for each in dis.get_instructions(step) if each.opname.startswith("LOAD")):
            return name
    return ""


def _metrics_of(logged: Mapping[str, Any]) -> tuple[dict[str, Metric], list[str]]:
    """Return logged single numbers as metrics by the names of their columns, and the names of the rest."""
    metrics: dict[str, Metric] = {}
    dropped = []
    for key, value in logged.items():
        name = _column_name(key)
        is_number = isinstance(value, (bool, int, float)) or (
            isinstance(value, torch.Tensor) and value.numel() == 1
        )
        if name == "loss" and is_number:
            continue
        if name in ("", "seconds", "loss") or not is_number:
            dropped.append(key)
        else:
            metrics[name] = _logged_metric(key)
    return metrics, dropped


@contextmanager
def _attached_trainer(module: LightningModule) -> Iterator[None]:
    """Give the module a trainer whose ``current_epoch`` and ``global_step`` are those of the trial."""
    has_property = isinstance(getattr(type(module), "trainer", None), property)
    if not has_property or getattr(module, "_trainer", None) is not None:
        yield
        return
    module.trainer = _ProgressTrainer()
    try:
        yield
    finally:
        module.trainer = None


@contextmanager
def _recorded_logs(module: nn.Module) -> Iterator[dict[str, Any]]:
    """Record what the module logs in a dictionary, since there is no Trainer."""
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


def _logged_metric(key: str) -> Metric:
    """Return a metric of a logged mean: its sum over the rows; weight 0 where a batch did not log it."""

    def metric(output: Output, batch: Batch) -> tuple[Any, int]:
        size = len_batch(batch) if key in output[1] else 0
        return torch.as_tensor(output[1].get(key, 0.0)).detach() * size, size

    return metric


def _column_name(key: str) -> str:
    """Return the column of a logged name, such as ``acc`` for ``train/acc``; "" where none fits."""
    bare = re.sub(r"\W", "_", re.sub(r"^(train|training)[_/]", "", key))
    return bare if bare.isidentifier() else ""
