"""Check on a few rows that the model, data, loss and metrics of a workload fit together."""

from __future__ import annotations

import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..core.finite import refuse_non_finite
from ..core.rng import preserved_rng
from ..core.tree import len_batch, map_tensors, move_batch
from ..errors import USER_CODE_ERRORS, ComparisonError, WorkloadError, explain
from ..interfaces.data import is_tensors, rows
from ..interfaces.metric_value import MetricValue
from ..interfaces.metrics import Metric, called, is_accumulated, is_pair
from ..interfaces.workload import Workload, of_torch
from ..training.data import first_rows
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.evaluation import in_eval_mode
from ..training.measurement.module_state import preserved_state
from ..training.mismatch import explain_with_kinds
from ..training.own_loss import with_own_loss
from ..training.placement import place
from .all_rows_check import measure_all_rows, where_to_look
from .loss_checks import check_loss, refuse_foreign_weights

if TYPE_CHECKING:
    from torch import nn

_ENOUGH_ROWS = 5


def check_workload(trainer: LoopTrainer, seed: int) -> dict[str, float]:
    """Check model, loss and metrics: shapes, broadcasting, one loss value with a gradient; then on all rows.

    Args:
        trainer: The loop trainer of the comparison; it has the data and the shared starts.
        seed: The seed of the shared start and of the split of the data.

    Returns:
        The seconds of measuring all rows of each set, by its name.

    Raises:
        WorkloadError: Something does not fit.
    """
    trainer = trainer.on_split_of(seed)
    workload = with_own_loss(trainer.setup.workload, trainer.device, trainer.dtype)
    start, seconds = trainer.start(seed), dict[str, float]()
    refuse_shared_weights(workload, seed)
    with preserved_rng(), torch.enable_grad(), ExitStack() as modes:
        model = place(start.model(), trainer.device, trainer.dtype)
        modes.enter_context(in_eval_mode(model))
        for name, data in workload.sets.items():
            batch = _first_batch(trainer, workload, name)
            if workload.loss is not None:  # an objective may handle values that are not finite
                _refuse_not_finite(workload, name, data, batch)
            try:
                _refuse_unknown_rows(workload, batch, min(_ENOUGH_ROWS, rows(data)))
                _check_batch(workload, model, batch)
                refuse_foreign_weights(workload, model, batch)
            except (WorkloadError, ComparisonError):
                raise
            except USER_CODE_ERRORS as error:
                _refuse_loss_of_training_mode_only(workload, model, batch, explain(error))
                raise WorkloadError(
                    f"workload {workload.name}: the first {_ENOUGH_ROWS} rows of {name} do not pass: "
                    f"{explain_with_kinds(error, model, batch)}"
                ) from error
            _check_parts(trainer, workload, model, name, seed)
            seconds[name] = measure_all_rows(trainer, workload, model, name, seed)
    return seconds


def _first_batch(trainer: LoopTrainer, workload: Workload, name: str) -> Any:
    """Return the first rows of a set as a batch on the device."""
    try:
        first = first_rows(workload.sets[name], _ENOUGH_ROWS, workload.collate)
        return move_batch(first, trainer.device, trainer.dtype)
    except USER_CODE_ERRORS as error:
        raise WorkloadError(
            f"workload {workload.name}: the first {_ENOUGH_ROWS} rows of {name} cannot be read: "
            f"{explain(error)}"
        ) from error


def _check_parts(trainer: LoopTrainer, workload: Workload, model: nn.Module, name: str, seed: int) -> None:
    """Check the loss on parts of a set, whose rows or sizes a user's code may refuse."""
    try:
        check_loss(trainer, workload, model, name, seed)
    except (WorkloadError, ComparisonError):
        raise
    except USER_CODE_ERRORS as error:
        raise WorkloadError(
            f"workload {workload.name}: the first {_ENOUGH_ROWS} rows of {name} pass, and other parts of it "
            f"do not: {explain(error)}{where_to_look(name)}"
        ) from error


def _refuse_not_finite(workload: Workload, name: str, data: Any, first: Any) -> None:
    """Refuse data that are not finite, except targets that the user's own loss may ignore."""
    whole = is_tensors(data)
    where = name if whole else f"the first {len_batch(first)} samples of {name}"
    own = workload.loss is not None and not of_torch(workload.loss) and workload.weight is not None
    refuse_non_finite(
        f"workload {workload.name}", where, data if whole else first, workload.columns, targets=not own
    )  # the user's own loss and weight may leave out some targets, which may then have any value


def refuse_shared_weights(workload: Workload, seed: int) -> None:
    """Check that modules from two calls of the factory share no trained weights and no changing buffers.

    Args:
        workload: The workload with the factory.
        seed: The seed of the random numbers that the factory draws.

    Raises:
        WorkloadError: The modules share some of these. Frozen weights may be shared, and buffers of modules
            in evaluation mode.
    """
    with preserved_rng():
        torch.manual_seed(seed)
        one, other = workload.model(), workload.model()
    shared = set(map(id, one.modules())) - {id(one)}
    for path, module in other.named_modules():
        if id(module) in shared and module.training and any(True for _ in module.buffers(recurse=False)):
            raise WorkloadError(
                f"workload {workload.name}: model() returned modules that share {path}, a "
                f"{type(module).__name__}, at two calls, so that trials would change each other's buffers; "
                "make a new one at each call, or copy.deepcopy() of it, or let model() put it into eval "
                "mode if it is to stay as it is"
            )
    places = {place: name for name, weight in one.named_parameters() for place in _places_of(weight)}
    for name, weight in other.named_parameters():
        if any(place in places for place in _places_of(weight)):
            what = "the same module" if one is other else f"modules that share the weight {name}"
            raise WorkloadError(
                f"workload {workload.name}: model() returned {what} at two calls, so that trials could "
                "train each other's weights; make a new module at each call, or copy an existing one with "
                "lambda: copy.deepcopy(module)"
            )


def _places_of(weight: torch.nn.Parameter) -> set[int]:
    """Return the identities of a trained weight: its object and the address of its values."""
    if not weight.requires_grad:
        return set()
    empty = torch.nn.parameter.is_lazy(weight) or weight.numel() == 0 or weight.is_meta
    return {id(weight)} if empty else {id(weight), weight.untyped_storage().data_ptr()}


def _refuse_unknown_rows(workload: Workload, batch: Any, count: int) -> None:
    """Refuse a batch that has not one row for each sample, since the number of rows is its weight."""
    if workload.weight is None and len_batch(batch) != count:
        raise WorkloadError(
            f"workload {workload.name}: a batch of {count} samples seems to have {len_batch(batch)} rows, "
            "by the first tensor in it; say how many it has, or what its mean loss is divided by, with "
            "weight(batch)"
        )


def _check_batch(workload: Workload, model: nn.Module, batch: Any) -> None:
    """Check the result of the forward pass, the metrics and the loss on one batch."""
    who = f"workload {workload.name}"
    if workload.loss is not None:
        outcome: Any = workload.outcome(model, batch)
        if not (isinstance(outcome, tuple) and len(outcome) == 2):
            raise WorkloadError(
                f"{who}: forward(model, batch) must return output, y; got a {type(outcome).__name__}"
            )
        output, y = outcome
        if isinstance(output, torch.Tensor) and isinstance(y, torch.Tensor) and of_torch(workload.loss):
            _refuse_broadcast(who, output, y)
        for name, metric in workload.metric_functions.items():
            _check_metric(who, name, metric, output, y)
    loss = workload.mean_loss(model, batch)
    if (
        isinstance(loss, torch.Tensor) and not loss.requires_grad
    ):  # e.g. the loss is evaluated with a copy of the weights
        with preserved_state(model):
            model.train()
            loss = workload.mean_loss(model, batch)
            model.eval()
    if not (isinstance(loss, torch.Tensor) and loss.numel() == 1 and loss.requires_grad):
        got = (
            f"a tensor of shape {list(loss.shape)}"
            if isinstance(loss, torch.Tensor)
            else f"a {type(loss).__name__}"
        )
        _refuse_loss_of_training_mode_only(workload, model, batch, f"it is {got}")
        got += (
            ", which depends on no parameter" if isinstance(loss, torch.Tensor) and loss.numel() == 1 else ""
        )
        raise WorkloadError(
            f"{who}: the loss must be one number, the mean over the batch, with a gradient; got {got}"
        )


def _refuse_loss_of_training_mode_only(workload: Workload, model: nn.Module, batch: Any, why: str) -> None:
    """Refuse a loss that fails in evaluation mode but not in training mode, as some detectors' losses do."""
    with preserved_state(model):
        model.train()
        try:
            loss = workload.mean_loss(model, batch)
        except USER_CODE_ERRORS:
            return
        finally:
            model.eval()
    if isinstance(loss, torch.Tensor) and loss.numel() == 1 and loss.requires_grad:
        raise WorkloadError(
            f"workload {workload.name}: the loss can be computed in training mode only, and it is measured "
            f"in evaluation mode ({why}); give objective(model, batch) that calls model.train() itself "
            "before it computes the loss, or a model that returns in evaluation mode what the loss needs"
        )


def _check_metric(who: str, name: str, metric: Metric, output: Any, y: Any) -> None:
    """Check that a metric returns one number, or a pair of numbers summed over the batch."""
    output, y = (map_tensors(torch.Tensor.detach, part) for part in (output, y))
    try:
        value: Any = None if is_accumulated(metric) else called(name, metric, output, y)
    except WorkloadError:  # it may need more rows; the first measurement of all rows reports an error
        return
    if not is_pair(value):
        try:
            accumulated = MetricValue(name, metric)
            accumulated.add(output, y)
            accumulated.value()
        except WorkloadError as error:
            raise WorkloadError(f"{who}: {error}") from error.__cause__
        return
    for part in value:
        if getattr(part, "shape", ()) and math.prod(part.shape) != 1:
            raise WorkloadError(
                f"{who}: metric {name} must return two numbers, a sum and its weight; got one of shape "
                f"{list(part.shape)}: sum over the batch"
            )


def _refuse_broadcast(who: str, output: torch.Tensor, y: torch.Tensor) -> None:
    """Refuse an output and targets y with shapes that a loss would silently broadcast."""
    try:
        together = np.broadcast_shapes(output.shape, y.shape)  # torch.broadcast_shapes would import sympy
    except ValueError:
        return  # a loss that accepts these shapes has its own rule for them
    if math.prod(together) > output.numel():
        raise WorkloadError(
            f"{who}: the model returns shape {list(output.shape)} for y of shape {list(y.shape)}, which a "
            f"loss would silently broadcast to {list(together)}; reshape one, such as "
            f"y.reshape({', '.join(map(str, output.shape))})"
        )
