"""Refuse trials whose models, metrics or strategies lanes cannot train as the loop does."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from ...core.choices import TrainerName
from ...core.rng import preserved_rng
from ...errors import USER_CODE_ERRORS
from ...interfaces.metrics import is_accumulated, is_pair
from ..dropout import dropout_layers
from ..loop.gradient import sparse_gradients
from ..loop.trial import TrialRun
from ..measurement.evaluation import evaluate_batch, evaluating
from ..shared_init import values_of
from .update_rules import Unsupported

_ROWS = 8


def refuse_dropout(model: nn.Module, trainer: TrainerName) -> None:
    """Refuse a model whose dropout masks come from the generator of each trial.

    Args:
        model: The model.
        trainer: The trainer that the user chose.

    Raises:
        Unsupported: It has a dropout layer.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.modules.dropout._DropoutNd) and module.p > 0:
            masked = trainer != "lanes" and module in dropout_layers(model)
            raise Unsupported(
                f"{type(module).__name__} draws its masks from the generator of the trial, as lanes cannot"
                + ("; with trainer lanes they come from a counter" if masked else "")
            )


def refuse_masked_statistics(needs: Sequence[str]) -> None:
    """Refuse statistics of a model whose dropout masks come from a counter.

    Args:
        needs: What the adaptive strategy needs; ``lr`` is no statistic.

    Raises:
        Unsupported: It needs statistics.
    """
    if set(needs) - {"lr"}:
        raise Unsupported("statistics of adaptive strategies do not draw dropout masks in lanes")


def refuse_sparse_tensors(run: TrialRun) -> None:
    """Refuse a model with sparse values or gradients, since those of all lanes are in one dense array.

    Args:
        run: A trial, whose own module is not touched.

    Raises:
        Unsupported: A weight, a buffer, a plain attribute, or the gradient of a weight is sparse.
    """
    model, rows = run.another_model(), torch.arange(min(_ROWS, run.source.n))
    for name, value in values_of(model).items():
        if value.is_sparse:
            raise Unsupported(f"the model's {name} is a sparse tensor, and tensors of lanes are dense")
    with preserved_rng(), torch.enable_grad():
        run.workload.mean_loss(model, next(run.source.stream([rows], 0, 0, ahead=False))).backward()
    if names := sparse_gradients(model):
        raise Unsupported(f"the gradient of {names[0]} is sparse, and gradients of lanes are dense")


def refuse_whole_metrics(run: TrialRun) -> None:
    """Refuse metrics that are no sums over rows, since lanes add up such sums only.

    Args:
        run: A trial.

    Raises:
        Unsupported: There is such a metric.
    """
    (batch,) = run.source.stream([torch.arange(min(_ROWS, run.source.n))], 0, 0, ahead=False)
    with evaluating(run.model):
        _, output, y = evaluate_batch(run.workload, run.model, batch)
        for name, metric in run.workload.metric_functions.items():
            try:
                pair = not is_accumulated(metric) and is_pair(metric(output, y))
            except USER_CODE_ERRORS:  # a metric may need more rows
                pair = False
            if not pair:
                raise Unsupported(f"metric {name} is computed on all rows at once")
