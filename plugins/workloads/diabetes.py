"""Linear regression on real data, where least squares has a closed form to compare with."""

from typing import Any

import torch
from torch import Tensor, nn

from optcompare import Workload, hookimpl


def diabetes() -> Workload:
    """Predict the progress of a disease of 442 patients from 10 measurements, by linear regression.

    The loss is the mean squared error. Measurements and progress are standardised; mae is in the points of
    the progress score, whose standard deviation in the training rows is 78.3.
    """
    return _on_split(0)


def _on_split(number: int) -> Workload:
    from sklearn.datasets import load_diabetes
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    measured, progress = load_diabetes(return_X_y=True, scaled=False)
    x, x_valid, y, y_valid = train_test_split(
        measured, progress.reshape(-1, 1), test_size=0.2, random_state=number
    )
    inputs, target = StandardScaler().fit(x), StandardScaler().fit(y)
    points = float(target.scale_[0])

    def rows(x: Any, y: Any) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(inputs.transform(x)).float(), torch.from_numpy(target.transform(y)).float()

    def absolute_error(output: Tensor, y: Tensor) -> tuple[Tensor, int]:
        return points * (output - y).abs().sum(), y.numel()

    return Workload(
        model=lambda: nn.Linear(10, 1),
        train=rows(x, y),
        valid=rows(x_valid, y_valid),
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
