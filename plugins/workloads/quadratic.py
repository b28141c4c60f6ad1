"""A quadratic bowl whose dynamics are known in closed form."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optcompare import Workload, WorkloadError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


def quadratic(h: tuple[float, ...] = (1.0, 0.1), n: int = 64, noise: float = 1.0) -> Workload:
    """½Σ h_j (w_j - x_j)² over n points x of mean zero and standard deviation noise, from w = (1, …, 1).

    On the full batch, gradient descent with learning rate η gives w_T = (1 - ηh)^T w_0, and the loss is
    ½Σ h w² + ½ noise² Σ h.
    """
    import torch

    from .quadratic_models import Bowl

    if n < 2 or not h or min(h) <= 0 or noise < 0:
        raise WorkloadError(
            f"workload quadratic: give n ≥ 2, noise ≥ 0, positive h; got n={n}, noise={noise}, h={h}"
        )
    points = torch.randn(n, len(h), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    points = noise * (points - points.mean(0)) / points.std(0, correction=0)
    curvature = torch.tensor(h, dtype=torch.float64)

    def loss(output: Tensor, y: Tensor) -> Tensor:
        return 0.5 * ((output - y) ** 2 @ curvature.to(output)).mean()

    return Workload(
        model=lambda: Bowl(len(h)),
        train=(points, points.clone()),
        loss=loss,
        lr={"sgd": 0.1 / max(h)},
        epochs=50,
        batch_size=8,
    )


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"quadratic": quadratic}
