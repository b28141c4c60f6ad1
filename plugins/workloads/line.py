"""The smallest problem: fit y = x to six points."""

from optcompare import Workload, hookimpl


def line() -> Workload:
    """Fit y = x at x = 1..6 by one linear unit; its two parameters allow a plot of the path."""
    import torch
    from torch import nn

    x = torch.arange(1.0, 7.0).reshape(6, 1)
    return Workload(
        model=lambda: nn.Linear(1, 1),
        train=(x, x.clone()),
        loss=nn.functional.mse_loss,
        lr={"sgd": 0.01, "adam": 0.05, "adamw": 0.05},
        epochs=100,
        batch_size=2,
    )


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"line": line}
