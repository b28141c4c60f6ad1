"""Logistic regression on real data, a convex problem."""

import torch
from torch import nn

from optcompare import Workload, accuracy, hookimpl


def breast_cancer() -> Workload:
    """Classify 569 tumours by 30 measurements as benign (1) or malignant (0), by logistic regression."""
    return _on_split(0)


def _on_split(number: int) -> Workload:
    from sklearn.datasets import load_breast_cancer
    from sklearn.model_selection import train_test_split
    from sklearn.preprocessing import StandardScaler

    measured, benign = load_breast_cancer(return_X_y=True)
    x, x_valid, y, y_valid = train_test_split(
        measured, benign, test_size=0.2, stratify=benign, random_state=number
    )
    scaler = StandardScaler().fit(x)
    return Workload(
        model=lambda: nn.Linear(30, 1),
        train=(torch.from_numpy(scaler.transform(x)).float(), torch.from_numpy(y).float().reshape(-1, 1)),
        valid=(
            torch.from_numpy(scaler.transform(x_valid)).float(),
            torch.from_numpy(y_valid).float().reshape(-1, 1),
        ),
        loss=nn.functional.binary_cross_entropy_with_logits,
        metrics={"accuracy": accuracy},
        lr={"sgd": 0.05, "adam": 0.01, "adamw": 0.01},
        epochs=20,
        batch_size=32,
        resplit=_on_split,
    )


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"breast-cancer": breast_cancer}
