"""The loss around the paths of a model with two weights, for the contour picture."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn.utils import vector_to_parameters

from ..measurement.evaluation import averages, evaluating
from ..placement import place
from .trainer import LoopTrainer

_SIDE, _SIDE_LARGE, _LARGE = 41, 15, 20_000
_MARGIN = 0.2


def landscape(trainer: LoopTrainer, paths: pd.DataFrame, seed: int) -> pd.DataFrame:
    """The rows of ``paths.parquet``: ``kind`` (path or grid), ``arm, seed, update, x, y, loss, x_name, y_name``.

    ``paths`` holds the weights ``x, y`` after each update. The grid spans them with a margin; the loss is the mean over
    the training set. Weights that are not finite, or farther out than ten times the median path, do not stretch it.
    """
    model = place(trainer.start(seed).model(), trainer.device, trainer.dtype)
    trained = [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
    names = [name if weight.numel() == 1 else f"{name}[{i}]" for name, weight in trained for i in range(weight.numel())]
    workload = dataclasses.replace(trainer.setup.workload, metrics={}, errors=())
    side = _SIDE if workload.size <= _LARGE else _SIDE_LARGE
    xs, ys = (np.linspace(*_span(paths, axis), side) for axis in ("x", "y"))
    rows: list[dict[str, Any]] = []
    with evaluating(model):
        for y in ys:
            for x in xs:
                point = torch.tensor([x, y], dtype=trainer.dtype, device=trainer.device)
                vector_to_parameters(point, [weight for _, weight in trained])
                loss = averages(workload, model, trainer.sources["train"], trainer.setup.comparison.eval_chunk)["loss"]
                rows.append({"kind": "grid", "arm": "", "seed": seed, "update": -1, "x": x, "y": y, "loss": loss})
    table = pd.concat([paths.assign(kind="path", loss=np.nan), pd.DataFrame(rows)], ignore_index=True)
    return table.assign(x_name=names[0], y_name=names[1])[
        ["kind", "arm", "seed", "update", "x", "y", "loss", "x_name", "y_name"]
    ]


def _span(paths: pd.DataFrame, axis: str) -> tuple[float, float]:
    finite = paths[np.isfinite(paths[["x", "y"]]).all(axis=1)]
    start = float(finite.loc[finite["update"] == 0, axis].iloc[0])
    reach = (finite[axis] - start).abs().groupby(finite["arm"]).max()
    kept = finite[finite["arm"].isin(reach.index[reach <= 10 * max(float(reach.median()), 1e-12)])][axis]
    low, high = float(kept.min()), float(kept.max())
    margin = _MARGIN * (high - low) or 1.0
    return low - margin, high + margin
