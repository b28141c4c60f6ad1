"""Build a workload from a user's own model and data: ``optcompare.workload_from``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypedDict, Unpack, cast

import torch

from ..core.tree import Batch
from ..errors import WorkloadError
from ..interfaces.metrics import Metric
from ..interfaces.workload import Workload
from .conventions import Settings, infer_fields
from .data import Collate, UserData
from .fields import Loss, Output, Target, Weight
from .skorch import SkorchNet, is_skorch_net, net_parts
from .subsets import Subsets, is_share, prepare_subsets

if TYPE_CHECKING:
    from torch import nn


class WorkloadSettings(TypedDict, total=False):
    """Fields of :class:`optcompare.Workload` that :func:`workload_from` passes on as they are."""

    forward: Callable[[nn.Module, Batch], tuple[Output, Target]]
    objective: Callable[[nn.Module, Batch], torch.Tensor]
    lr: float | Mapping[str, float]
    epochs: int
    batch_size: int
    errors: tuple[str, ...]
    goal: str
    notes: tuple[str, ...]
    workers: int
    columns: tuple[str, ...]
    resplit: Callable[[int], Workload]
    name: str


def workload_from(
    model: Callable[[], nn.Module] | SkorchNet,
    train: UserData,
    *,
    valid: UserData = None,
    test: UserData = None,
    loss: Loss | None = None,
    metrics: Mapping[str, Metric] | None = None,
    weight: Weight | None = None,
    collate: Collate | None = None,
    **settings: Unpack[WorkloadSettings],
) -> Workload:
    """Build a workload from your own model and data, in any of the usual forms.

    The workload's ``notes`` say what was decided. Arrays or a table and a class of modules, where y
    holds classes and a fifth of the rows is held out::

        workload = workload_from(Net, (frame.drop(columns="kind"), frame["kind"]), valid=0.2)
        optcompare.compare(workload, strategies=["full", "mini:32"])

    A Hugging Face model with what its tokenizer returns, or with a Dataset and a collate function::

        config = GPT2Config(n_layer=2, n_embd=64)
        workload_from(lambda: GPT2LMHeadModel(config), {**tokens, "labels": tokens["input_ids"]})

    ``train``, ``valid`` and ``test`` have one of these forms:

    - ``(X, y)`` or ``(x1, x2, y)``: tensors, NumPy arrays, pandas frames and series, or lists. Texts,
      booleans and categories in y are classes;
    - a mapping of them, such as ``{"input_ids": …, "labels": …}``: the model is called by keyword with the
      names that its ``forward`` accepts. Its loss is that in its output, or a ``labels`` that it does not
      accept is y;
    - a map-style ``Dataset`` (PyTorch, torchvision or Hugging Face) whose samples are such tuples or
      dictionaries, or a list of samples;
    - a ``DataLoader``: its Dataset, collate function, batch size and workers are used, its sampler is not.

    Args:
        model: Makes a new module at each call: a class without arguments, a function or a lambda; for
            weights that exist already, ``lambda: copy.deepcopy(module)``. A ``LightningModule`` is trained by
            its ``training_step``. A skorch net in place of a factory determines module, criterion, lr, batch
            size and epochs.
        train: The training data.
        valid: The validation data, or a share of ``train`` such as 0.2: the same samples whatever the seed,
            or others on each split of ``compare(split_seeds=…)``.
        test: The test data, or a share of ``train``. Nothing is selected by it; it is measured once, at the
            end of each trial.
        loss: ``loss(output, y)``, the mean over the batch: a function, a module or a class of modules. One of
            torch's gets y in the form that it expects, any other gets y unchanged. None: the loss that fits y
            and the model's output: cross entropy, binary cross entropy of one logit, or the mean squared
            error.
        metrics: Metrics by name, as :class:`optcompare.Workload` has them; None: the accuracy of classes.
        weight: ``weight(batch)``, what the mean loss was divided by; None: what fits the loss.
        collate: A function that makes a batch of samples; None: torch's ``default_collate``.
        **settings: Other fields of :class:`optcompare.Workload`, such as ``forward``, ``lr``, ``epochs``,
            ``batch_size``, ``goal`` or ``name``.

    Returns:
        The workload.

    Raises:
        WorkloadError: Model and data do not fit together, or a setting is not known.
    """
    try:
        source = _Source(model, train, valid, test, loss, metrics, weight, collate, {**settings})
        return source.build(0)
    except WorkloadError as error:
        text = str(error)
        raise WorkloadError(
            text if text.startswith("workload") else f"workload_from: {text}"
        ) from error.__cause__


@dataclass(frozen=True)
class _Source:
    """The arguments of :func:`workload_from`, from which the workload of each split is built."""

    model: Callable[[], nn.Module] | SkorchNet
    train: UserData
    valid: UserData
    test: UserData
    loss: Loss | None
    metrics: Mapping[str, Metric] | None
    weight: Weight | None
    collate: Collate | None
    settings: Settings

    def build(self, split: int) -> Workload:
        """Build the workload of a split; other splits hold other shares of the training data out.

        Args:
            split: The number of the split; 0 is the workload's own.
        """
        _check_names(self.settings)
        settings = dict(self.settings)
        if is_share(self.valid) or is_share(self.test):
            settings.setdefault("resplit", self.build)
        notes = list(settings.pop("notes", ()))
        loss: Loss | None
        if is_skorch_net(self.model):
            model, loss, net_notes = _apply_net(self.model, self.loss, settings)
            notes += net_notes
        else:
            model, loss = cast("Callable[[], nn.Module]", self.model), self.loss
        _refuse_instances(model, loss)
        loss = loss() if isinstance(loss, type) else loss
        own_forward = "forward" in settings or "objective" in settings
        subsets = prepare_subsets(
            self.train,
            self.valid,
            self.test,
            without_y=own_forward,
            samples=self.collate is not None,
            split=split,
        )
        collate = _common_collate(subsets, self.collate)
        data = {name: subset.data for name, subset in subsets.items()}
        if own_forward:
            fields: Settings = {**data, "loss": loss, "notes": ()}
        else:
            fields = infer_fields(model, subsets["train"], data, loss, collate)
        notes += [*(note for subset in subsets.values() for note in subset.notes), *fields.pop("notes")]
        chosen = {"metrics": self.metrics, "weight": self.weight}
        fields |= {name: value for name, value in chosen.items() if value is not None}
        self._set_defaults(settings, subsets)
        return Workload(model=model, collate=collate, notes=tuple(notes), **{**fields, **settings})

    def _set_defaults(self, settings: Settings, subsets: Subsets) -> None:
        """Add to the settings what the training data determines: batch size, workers and column names."""
        training = subsets["train"]
        if training.batch_size is not None:
            settings.setdefault("batch_size", training.batch_size)
        settings.setdefault("workers", training.workers)
        if isinstance(self.train, (tuple, list)) and hasattr(self.train[0], "columns"):
            settings.setdefault("columns", tuple(map(str, self.train[0].columns)))


def _check_names(settings: Settings) -> None:
    known = Workload.__dataclass_fields__
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise WorkloadError(f"there is no setting {unknown[0]}; there are {', '.join(known)}")


def _apply_net(
    net: SkorchNet, loss: Loss | None, settings: Settings
) -> tuple[Callable[[], nn.Module], Loss, tuple[str, ...]]:
    """Add the settings of a skorch net that the user did not give; return its model, loss and notes."""
    parts = net_parts(net)
    found = {"lr": parts.lr, "batch_size": parts.batch_size, "epochs": parts.epochs, "forward": parts.forward}
    for name, value in found.items():
        if value is not None:
            settings.setdefault(name, value)
    return parts.model, parts.loss if loss is None else loss, parts.notes


def _common_collate(subsets: Subsets, collate: Collate | None) -> Collate | None:
    """Return the collate function of all subsets; raise WorkloadError where they have different ones."""
    common = collate or subsets["train"].collate
    for name, subset in subsets.items():
        if subset.collate not in (None, common):
            raise WorkloadError(
                f"the DataLoaders of train and {name} have different collate functions; give one for both, "
                "collate="
            )
    return common


def _refuse_instances(model: object, loss: object) -> None:
    """Raise WorkloadError where a module replaces its factory, or a loss cannot be called."""
    if isinstance(model, torch.nn.Module):
        kind = type(model).__name__
        raise WorkloadError(
            f"model is a {kind}, which all trials would train on; give what makes a new one at each call: "
            f"{kind}, a function, or lambda: copy.deepcopy(model) to begin with its weights"
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
