"""Models and data as people have them become a workload: ``optcompare.workload_from``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from ..core.rng import preserved_rng
from ..core.tree import map_tensors
from ..errors import USER_CODE_ERRORS, WorkloadError, explain
from ..interfaces.metrics import Metric
from ..interfaces.workload import Workload
from ..training.data import first_rows
from ..training.measurement.evaluation import in_eval_mode
from ..training.mismatch import explain_with_kinds
from ..training.placement import place
from ..training.shared_init import made
from .data import Given
from .form import Form
from .lightning import is_lightning, lightning_form
from .losses import task_of
from .named import named_form
from .nets import is_net, net_of
from .own_loss import own_loss_form, refuse_odd_output
from .sides import is_share, sides_of

if TYPE_CHECKING:
    from torch import nn

_ROWS = 4
_COMPILED = (
    "the model is compiled by torch.compile, which chooses programs by what the process ran before: results "
    "are equal up to "
    "rounding, rather than bit for bit"
)


def workload_from(
    model: Any,
    train: Any,
    *,
    valid: Any = None,
    test: Any = None,
    loss: Any = None,
    metrics: Mapping[str, Metric] | None = None,
    weight: Callable[[Any], Any] | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
    **settings: Any,
) -> Workload:
    """A workload of your own model and data, in whatever form they are; what was decided stands in its
    ``notes``.

    Arrays or a table, and a class of modules; y holds classes, and a fifth of the rows is held out::

        workload = workload_from(Net, (frame.drop(columns="kind"), frame["kind"]), valid=0.2)
        optcompare.compare(workload, strategies=["full", "mini:32"])

    A Hugging Face model, on what its tokenizer returns or on a Dataset with a collate function::

        config = GPT2Config(n_layer=2, n_embd=64)
        workload_from(lambda: GPT2LMHeadModel(config), {**tokens, "labels": tokens["input_ids"]})

    ``model``: what makes a new module at each call: a class without arguments, a function, a lambda. Of
    weights that are there already, ``lambda: copy.deepcopy(module)``. A ``LightningModule``'s factory gives
    its ``training_step``; a skorch net in place of a factory gives module, criterion, lr, batch size and
    epochs.

    ``train``, ``valid``, ``test`` (which nothing selects on, and which is measured at the end alone): one of

    - ``(X, y)`` or ``(x1, x2, y)``: tensors, NumPy arrays, pandas frames and series, or lists. Texts,
      booleans and categories in y are classes;
    - a mapping of them, such as ``{"input_ids": …, "labels": …}``, with which the model is called by name:
      names that its ``forward`` does not take are left out; its loss is that in its output, or a ``labels``
      that it does not take is y;
    - a map-style ``Dataset``, of PyTorch, torchvision or Hugging Face, whose samples are such tuples or
      dictionaries, or a list of samples. ``collate(samples)`` makes a batch of them (default: torch's);
    - a ``DataLoader``, of which Dataset, collate function, batch size and workers are taken, and the sampler
      is not;
    - ``valid`` and ``test`` alone: a share such as 0.2 of ``train``, the same samples whatever the seed, or
      with ``compare(split_seeds=…)`` others on each split.

    ``loss(output, y)``: the mean over the batch, a function, a module or its class; by default what fits y
    and the model's output: cross entropy, binary cross entropy of one logit, or the mean squared error. For a
    loss of torch's, y is brought into the form that it takes; one of your own is handed y as it is.
    ``metrics``, ``weight`` and all other ``settings`` (``forward``, ``lr``, ``epochs``, ``batch_size``,
    ``goal``, ``name``, …) are those of :class:`optcompare.Workload`.

    Raises :class:`WorkloadError`, in one line, where model and data do not fit together.
    """
    try:
        return _workload(model, train, valid, test, loss, metrics, weight, collate, settings, 0)
    except WorkloadError as error:
        text = str(error)
        raise WorkloadError(
            text if text.startswith("workload") else f"workload_from: {text}"
        ) from error.__cause__


def _workload(
    model: Any,
    train: Any,
    valid: Any,
    test: Any,
    loss: Any,
    metrics: Any,
    weight: Any,
    collate: Any,
    settings: dict[str, Any],
    number: int,
) -> Workload:
    """``number``: of the split, where shares of train are held out."""
    again = partial(_workload, model, train, valid, test, loss, metrics, weight, collate, dict(settings))
    if is_share(valid) or is_share(test):
        settings = {"resplit": again, **settings}
    unknown = [name for name in settings if name not in Workload.__dataclass_fields__]
    if unknown:
        raise WorkloadError(
            f"there is no setting {unknown[0]}; there are {', '.join(Workload.__dataclass_fields__)}"
        )
    settings = dict(settings)
    notes = list(settings.pop("notes", ()))
    if is_net(model):
        net = net_of(model)
        model, loss = net.model, net.loss if loss is None else loss
        taken = {"lr": net.lr, "batch_size": net.batch_size, "epochs": net.epochs}
        settings = {**{name: value for name, value in taken.items() if value is not None}, **settings}
        if net.forward is not None:
            settings.setdefault("forward", net.forward)
        notes += net.notes
    _refuse_instances(model, loss)
    loss = loss() if isinstance(loss, type) else loss
    own_form = "forward" in settings or "objective" in settings
    sides = sides_of(train, valid, test, alone=own_form, samples=collate is not None, number=number)
    training = sides["train"]
    collate = collate or training.collate
    for name, side in sides.items():
        if side.collate not in (None, collate):
            raise WorkloadError(
                f"the DataLoaders of train and {name} have different collate functions; give one for both, "
                "collate="
            )
    data = {name: side.data for name, side in sides.items()}
    if own_form or "forward" in settings:
        fields: dict[str, Any] = {**data, "loss": loss, "notes": ()}
    else:
        fields = _fields(model, training, data, loss, collate)
    notes += [*(note for side in sides.values() for note in side.notes), *fields.pop("notes")]
    if training.batch_size is not None:
        settings.setdefault("batch_size", training.batch_size)
    settings.setdefault("workers", training.workers)
    if isinstance(train, (tuple, list)) and hasattr(train[0], "columns"):
        settings.setdefault("columns", tuple(map(str, train[0].columns)))
    if metrics is not None:
        fields["metrics"] = metrics
    if weight is not None:
        fields["weight"] = weight
    return Workload(model=model, collate=collate, notes=tuple(notes), **{**fields, **settings})


def _refuse_instances(model: Any, loss: Any) -> None:
    if isinstance(model, torch.nn.Module):
        kind = type(model).__name__
        raise WorkloadError(
            f"model is a {kind}, which every trial would train on; give what makes a new one at each call: "
            f"{kind}, a function, "
            "or lambda: copy.deepcopy(model) to begin with its weights"
        )
    if not callable(model):
        raise WorkloadError(
            f"model is a {type(model).__name__}; give a class of modules, or a function that makes one"
        )
    if loss is not None and not callable(loss):
        raise WorkloadError(
            f"loss is a {type(loss).__name__}; give a function loss(output, y), such as "
            "nn.functional.mse_loss"
        )


def _fields(model: Any, training: Given, data: dict[str, Any], loss: Any, collate: Any) -> dict[str, Any]:
    """Fields of the workload, its data among them, by the convention that model and data follow."""
    batch = _first(training.data, collate)
    with preserved_rng(), torch.enable_grad():
        torch.manual_seed(0)
        module = place(made(model, "workload_from"), torch.device("cpu"), torch.float32)
        with in_eval_mode(module):
            found = _by_convention(module, batch, training, data, loss)
    notes = (_COMPILED,) if hasattr(module, "_orig_mod") else ()
    return {**data, **found, "notes": (*found["notes"], *notes)}


def _by_convention(
    module: nn.Module, batch: Any, training: Given, data: dict[str, Any], loss: Any
) -> dict[str, Any]:
    if is_lightning(module):
        return _of_form(_tried(module, batch, lambda: lightning_form(module, batch)))
    if isinstance(batch, Mapping):
        form = _tried(module, batch, lambda: named_form(module, batch, loss))
        return (
            _of_form(form)
            if isinstance(form, Form)
            else _named_with_answer(module, batch, training, loss, *form)
        )
    return _of_pairs(module, batch, data, training, loss)


def _of_form(form: Form) -> dict[str, Any]:
    return {name: getattr(form, name) for name in ("forward", "loss", "metrics", "weight", "notes")}


def _named_with_answer(
    module: nn.Module, batch: Any, training: Given, loss: Any, taken: list[str], answer: str
) -> dict[str, Any]:
    whole = isinstance(training.data, Mapping)
    output = _tried(module, batch, lambda: module(**{name: batch[name] for name in taken}))
    task = task_of(output, training.data[answer] if whole else batch[answer], None, loss, whole=whole)

    def forward(model: nn.Module, batch: Any) -> tuple[Any, Any]:
        output = model(**{name: batch[name] for name in taken})
        return output, task.fitted(batch[answer], output.shape) if isinstance(
            output, torch.Tensor
        ) else batch[answer]

    counts = task.weight
    weight = None if counts is None else lambda batch: counts(batch[answer])
    return {
        "forward": forward,
        "loss": task.loss,
        "metrics": task.metrics,
        "weight": weight,
        "notes": task.notes,
    }


def _of_pairs(
    module: nn.Module, batch: Any, data: dict[str, Any], training: Given, loss: Any
) -> dict[str, Any]:
    """Of batches ``(*inputs, y)``.

    Tensors are brought into the form that model and loss take, once; of a Dataset, each batch's y.
    """
    form = own_loss_form(module, batch) if isinstance(batch, tuple) and loss is None else None
    if form is not None:
        return _of_form(form)
    if not (isinstance(batch, tuple) and len(batch) >= 2):
        raise WorkloadError(
            f"a batch of the data is a {type(batch).__name__}, neither a tuple (x, y) nor a mapping; give "
            "loss= and forward=, called as forward(model, batch), which returns output, y"
        )
    whole = isinstance(training.data, tuple)
    change, note = _inputs_that_pass(module, batch[:-1]) if whole else (None, ())
    inputs = batch[:-1] if change is None else change(batch[:-1])
    output = _tried(module, batch, lambda: module(*inputs))
    refuse_odd_output(module, output, loss)
    task = task_of(output, training.data[-1] if whole else batch[-1], training.classes, loss, whole=whole)
    counts = task.weight
    fields: dict[str, Any] = {
        "loss": task.loss,
        "metrics": task.metrics,
        "weight": None if counts is None else lambda batch: counts(batch[-1]),
        "notes": (*note, *task.notes),
    }
    if not isinstance(output, torch.Tensor):
        return fields
    shape = output.shape
    if not whole:
        return {**fields, "forward": _fitting(task.fitted)}

    def brought(side: Any) -> Any:
        if not isinstance(side, tuple):
            return side
        changed = side[:-1] if change is None else change(side[:-1])
        return (*changed, task.fitted(side[-1], shape))

    return {**fields, **{name: brought(side) for name, side in data.items()}}


def _fitting(fitted: Callable[[Any, Any], Any]) -> Callable[[nn.Module, Any], tuple[Any, Any]]:
    def forward(model: nn.Module, batch: Any) -> tuple[Any, Any]:
        *inputs, y = batch
        output = model(*inputs)
        return output, fitted(y, output.shape)

    return forward


def _inputs_that_pass(module: nn.Module, inputs: Any) -> tuple[Callable[[Any], Any] | None, tuple[str, ...]]:
    """What is to be done to inputs so that the model takes them: nothing, or the least of what is not
    ambiguous.
    """
    if _passes(module, inputs):
        return None, ()
    for change, note in (
        (_as_floats, "x holds whole numbers, which are given to the model as floating-point numbers"),
        (_as_columns, "x of one dimension is given to the model as a column, [N, 1]"),
    ):
        if _passes(module, change(inputs)):
            return change, (note,)
    return None, ()


def _as_floats(inputs: Any) -> Any:
    return map_tensors(
        lambda part: part if part.is_floating_point() or part.is_complex() else part.float(), inputs
    )


def _as_columns(inputs: Any) -> Any:
    return map_tensors(lambda part: part.reshape(-1, 1) if part.ndim == 1 else part, _as_floats(inputs))


def _passes(module: nn.Module, inputs: Any) -> bool:
    try:
        module(*inputs)
    except USER_CODE_ERRORS:
        return False
    return True


def _tried(module: nn.Module, batch: Any, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except WorkloadError:
        raise
    except USER_CODE_ERRORS as error:
        why = explain_with_kinds(error, module, batch)
        raise WorkloadError(
            f"{type(module).__name__} does not take the first rows of the data: {why}"
        ) from error


def _first(data: Any, collate: Any) -> Any:
    try:
        return first_rows(data, _ROWS, collate)
    except (TypeError, RuntimeError, KeyError, AttributeError) as error:
        advice = "; give collate=, a function of a list of samples" if collate is None else ""
        raise WorkloadError(
            f"the first samples cannot be made into a batch: {explain(error)}{advice}"
        ) from error
