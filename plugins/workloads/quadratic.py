"""A quadratic bowl whose dynamics are known in closed form."""

import torch
from torch import Tensor, nn

from optcompare import Workload, WorkloadError, hookimpl


class Bowl(nn.Module):
    """Predict the point w, shape [d], for every sample; w are the weights of the model."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return self.w.expand_as(x)


def quadratic(h: tuple[float, ...] = (1.0, 0.1), n: int = 64, noise: float = 1.0) -> Workload:
    """½Σ h_j (w_j - x_j)² over n points x of mean zero and standard deviation noise, from w = (1, …, 1).

    On the full batch, gradient descent with learning rate η gives w_T = (1 - ηh)^T w_0, and the loss is
    ½Σ h w² + ½ noise² Σ h.
    """
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
