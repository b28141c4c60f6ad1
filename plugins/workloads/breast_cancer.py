"""Logistic regression on real data, a convex problem."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from optcompare import Workload, accuracy, hold_out, hookimpl

from .sklearn_data import Standard, numbers_of

if TYPE_CHECKING:
    from torch import Tensor


def breast_cancer() -> Workload:
    """Classify 569 tumours by 30 measurements as benign (1) or malignant (0), by logistic regression."""
    return _on_split(0)


def _on_split(number: int) -> Workload:
    import torch
    from torch import nn

    table = numbers_of("breast_cancer.csv", delimiter=",", skiprows=1)
    measured, benign = table[:, :-1], table[:, -1:]
    train, valid = hold_out(len(table), 114, number, classes=benign[:, 0])
    standard = Standard(measured[train])

    def rows(chosen: Any) -> tuple[Tensor, Tensor]:
        parts = standard(measured[chosen]), benign[chosen]
        return torch.from_numpy(parts[0]).float(), torch.from_numpy(parts[1]).float()

    return Workload(
        model=lambda: nn.Linear(30, 1),
        train=rows(train),
        valid=rows(valid),
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
