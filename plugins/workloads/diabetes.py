"""Linear regression on real data, where least squares has a closed form to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optcompare import Workload, hold_out, hookimpl

from .sklearn_data import Standard, numbers_of

if TYPE_CHECKING:
    from torch import Tensor


def diabetes() -> Workload:
    """Predict the progress of a disease of 442 patients from 10 measurements, by linear regression.

    The loss is the mean squared error. Measurements and progress are standardised; mae is in the points of
    the progress score, whose standard deviation in the training rows is 78.3.
    """
    return _on_split(0)


def _on_split(number: int) -> Workload:
    import torch
    from torch import nn

    measured = numbers_of("diabetes_data_raw.csv.gz")
    progress = numbers_of("diabetes_target.csv.gz").reshape(-1, 1)
    train, valid = hold_out(len(progress), 89, number)
    inputs, target = Standard(measured[train]), Standard(progress[train])
    points = float(target.deviation[0])

    def rows(chosen: Any) -> tuple[Tensor, Tensor]:
        parts = inputs(measured[chosen]), target(progress[chosen])
        return torch.from_numpy(parts[0]).float(), torch.from_numpy(parts[1]).float()

    def absolute_error(output: Tensor, y: Tensor) -> tuple[Tensor, int]:
        return points * (output - y).abs().sum(), y.numel()

    return Workload(
        model=lambda: nn.Linear(10, 1),
        train=rows(train),
        valid=rows(valid),
        loss=nn.functional.mse_loss,
        metrics={"mae": absolute_error},
        errors=("mae",),
        lr={"sgd": 0.01, "adam": 0.01, "adamw": 0.01},
        epochs=20,
        batch_size=32,
        resplit=_on_split,
    )


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"diabetes": diabetes}
