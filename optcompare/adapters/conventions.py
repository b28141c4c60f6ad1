"""Find out how a model is called with its data, and what its loss is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

import torch

from ..core.rng import preserved_rng
from ..core.tree import Batch, map_tensors
from ..errors import USER_CODE_ERRORS, WorkloadError, explain
from ..training.data import first_rows
from ..training.measurement.evaluation import in_eval_mode
from ..training.mismatch import explain_with_kinds
from ..training.placement import place
from ..training.shared_init import build_module
from .data import Collate, Data, PreparedData
from .fields import Forward, Loss, Output, WorkloadFields
from .keyword_models import KeywordTargets, keyword_fields
from .lightning import is_lightning_module, lightning_fields
from .losses import LossChoice, PrepareTargets, choose_loss
from .returned_loss import refuse_unusable_output, returned_loss_fields

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")
Settings = dict[str, Any]
"""Keyword arguments of :class:`optcompare.Workload`."""
ChangeInputs = Callable[[tuple[Any, ...]], tuple[Any, ...]]
_ROWS = 4
_COMPILED = (
    "the model is compiled by torch.compile, which chooses programs by what the process ran before: results "
    "are equal up to rounding, rather than bit for bit"
)


def infer_fields(
    model: Callable[[], nn.Module],
    training: PreparedData,
    data: Mapping[str, Data],
    loss: Loss | None,
    collate: Collate | None,
) -> Settings:
    """Return the fields of a workload that follow from its model and data.

    A new module is called with the first four rows, in evaluation mode on the CPU; random number
    generators are as before afterwards.

    Args:
        model: A function that returns a new module at each call.
        training: The prepared training data.
        data: The data of all subsets by name.
        loss: The user's loss; None to choose one.
        collate: A function that makes a batch of samples; None: torch's default.

    Returns:
        The subsets, in the form that model and loss expect, with forward, loss, metrics, weight and notes.

    Raises:
        WorkloadError: The model cannot be called with the data, or no loss fits both.
    """
    batch = _first_batch(training.data, collate)
    with preserved_rng(), torch.enable_grad():
        torch.manual_seed(0)
        module = place(build_module(model, "workload_from"), torch.device("cpu"), torch.float32)
        with in_eval_mode(module):
            fields = _fields(module, batch, training, data, loss)
    notes = (_COMPILED,) if hasattr(module, "_orig_mod") else ()
    return {**data, **fields, "notes": (*fields["notes"], *notes)}


def _fields(
    module: nn.Module, batch: Batch, training: PreparedData, data: Mapping[str, Data], loss: Loss | None
) -> Settings:
    if is_lightning_module(module):
        return _explained(module, batch, lambda: lightning_fields(module, batch)).as_settings()
    if isinstance(batch, Mapping):
        found = _explained(module, batch, lambda: keyword_fields(module, batch, loss))
        if isinstance(found, KeywordTargets):
            return _keyword_target_fields(module, batch, training, loss, found)
        return found.as_settings()
    if isinstance(batch, tuple) and loss is None:
        returned = returned_loss_fields(module, batch)
        if returned is not None:
            return returned.as_settings()
    return _pair_fields(module, batch, data, training, loss)


def _keyword_target_fields(
    module: nn.Module,
    batch: Mapping[str, Any],
    training: PreparedData,
    loss: Loss | None,
    keywords: KeywordTargets,
) -> Settings:
    """Return the fields of a model that is called by keyword, where one part of the batch is y."""
    whole, target = isinstance(training.data, Mapping), keywords.target
    output = _explained(module, batch, lambda: keywords.call(module, batch))
    y = training.data[target] if whole else batch[target]
    choice = choose_loss(output, y, None, loss, whole=whole)

    def forward(model: nn.Module, batch: Mapping[str, Any]) -> tuple[Output, Any]:
        output, y = keywords.call(model, batch), batch[target]
        return output, choice.prepare_targets(y, output.shape) if isinstance(output, torch.Tensor) else y

    count = choice.weight
    weight = None if count is None else lambda batch: count(batch[target])
    return WorkloadFields(forward, choice.loss, choice.metrics, weight, choice.notes).as_settings()


def _pair_fields(
    module: nn.Module, batch: Batch, data: Mapping[str, Data], training: PreparedData, loss: Loss | None
) -> Settings:
    """Return the fields for batches ``(*inputs, y)``.

    Tensors are brought into the form that model and loss expect once; of a Dataset, the y of each batch.
    """
    if not (isinstance(batch, tuple) and len(batch) >= 2):
        raise WorkloadError(
            f"a batch of the data is a {type(batch).__name__}, neither a tuple (x, y) nor a mapping; give "
            "loss= and forward=, a function forward(model, batch) that returns output, y"
        )
    whole = isinstance(training.data, tuple)
    change, note = _accepted_inputs(module, batch[:-1]) if whole else (None, "")
    inputs = batch[:-1] if change is None else change(batch[:-1])
    output = _explained(module, batch, lambda: module(*inputs))
    refuse_unusable_output(module, output, loss)
    y = training.data[-1] if whole else batch[-1]
    choice = choose_loss(output, y, training.classes, loss, whole=whole)
    count = choice.weight
    fields: Settings = {
        "loss": choice.loss,
        "metrics": choice.metrics,
        "weight": None if count is None else lambda batch: count(batch[-1]),
        "notes": (*filter(None, [note]), *choice.notes),
    }
    if not isinstance(output, torch.Tensor):
        return fields
    if not whole:
        return {**fields, "forward": _forward_preparing(choice.prepare_targets)}
    shape = output.shape
    return {**fields, **{name: _prepared(subset, change, choice, shape) for name, subset in data.items()}}


def _prepared(subset: Data, change: ChangeInputs | None, choice: LossChoice, shape: torch.Size) -> Data:
    """Return the tensors of a subset in the form that model and loss expect; a Dataset as it is."""
    if not isinstance(subset, tuple):
        return subset
    inputs = subset[:-1] if change is None else change(subset[:-1])
    return (*inputs, choice.prepare_targets(subset[-1], shape))


def _forward_preparing(prepare: PrepareTargets) -> Forward:
    """Return a forward that brings the y of each batch into the form that the loss expects."""

    def forward(model: nn.Module, batch: tuple[Any, ...]) -> tuple[Output, Any]:
        *inputs, y = batch
        output = model(*inputs)
        return output, prepare(y, output.shape)

    return forward


def _accepted_inputs(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[ChangeInputs | None, str]:
    """Return the smallest change of the inputs with which the model can be called, and a note on it."""
    if _accepts(module, inputs):
        return None, ""
    for change, note in (
        (_to_floats, "x holds whole numbers, which the model gets as floating-point numbers"),
        (_to_columns, "x of one dimension becomes a column, [N, 1], for the model"),
    ):
        if _accepts(module, change(inputs)):
            return change, note
    return None, ""


def _to_floats(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    changed: tuple[Any, ...] = map_tensors(
        lambda part: part if part.is_floating_point() or part.is_complex() else part.float(), inputs
    )
    return changed


def _to_columns(inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    changed: tuple[Any, ...] = map_tensors(
        lambda part: part.reshape(-1, 1) if part.ndim == 1 else part, _to_floats(inputs)
    )
    return changed


def _accepts(module: nn.Module, inputs: tuple[Any, ...]) -> bool:
    try:
        module(*inputs)
    except USER_CODE_ERRORS:
        return False
    return True


def _explained(module: nn.Module, batch: Batch, call: Callable[[], T]) -> T:
    """Call the model and return its output; raise its error as a WorkloadError."""
    try:
        return call()
    except WorkloadError:
        raise
    except USER_CODE_ERRORS as error:
        cause = explain_with_kinds(error, module, batch)
        raise WorkloadError(
            f"{type(module).__name__} cannot be called with the first rows of the data: {cause}; change the "
            "model or the data, or give forward="
        ) from error


def _first_batch(data: Data, collate: Collate | None) -> Batch:
    try:
        return first_rows(data, _ROWS, collate)
    except (TypeError, RuntimeError, KeyError, AttributeError) as error:
        advice = (
            "give collate=, a function that makes a batch of a list of samples"
            if collate is None
            else "change collate= or the samples"
        )
        raise WorkloadError(
            f"the first samples cannot be made into a batch: {explain(error)}; {advice}"
        ) from error
