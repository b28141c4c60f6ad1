"""A quadratic whose gradients carry exact noise: the expected risk of SGD is known without training."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from optcompare import Workload, WorkloadError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor


def mean_output(output: Tensor, y: Tensor) -> Tensor:
    return output.mean() + 0.0 * y.sum()


def noisy_quadratic(dim: int = 10, n: int = 1024, noise: float = 1.0, h: tuple[float, ...] = ()) -> Workload:
    """½Σ h_j w_j² with h_j = 1/j from w = (1, …, 1), with noise in each sample's gradient.

    The gradient of a sample is h w plus its noise, whose mean over the n samples is 0. Other curvatures, as
    many as there are weights, are given by h=(1,0.1,0.01); dim is then ignored.

    The noise of sample i is c^½ ξ_i with Σ_i ξ_i = 0 and exactly the population covariance diag(c),
    c_j = noise²·h_j. Hence the mean loss over all samples is the risk ½Σ h w² (Zhang et al. 2019, arXiv
    1907.04164).
    """
    import torch

    from .quadratic_models import Point

    dim = len(h) or dim
    if dim < 1 or n <= dim or noise < 0:
        raise WorkloadError(
            f"workload noisy-quadratic: give dim ≥ 1, n > dim, noise ≥ 0; got dim={dim}, n={n}, noise={noise}"
        )
    if not all(0 < curvature < math.inf for curvature in h):
        raise WorkloadError(f"workload noisy-quadratic: curvatures h are positive and finite; got {h}")
    curvature = torch.tensor(h or [1 / j for j in range(1, dim + 1)], dtype=torch.float64)
    drawn = torch.randn(n, dim, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = drawn - drawn.mean(0)
    white = torch.linalg.qr(drawn)[0] * n**0.5  # its columns are orthogonal and sum to 0
    noises = noise * white * curvature.sqrt()
    return Workload(
        model=lambda: Point(curvature.float()),
        train=(noises - noises.mean(0), torch.zeros(n, dtype=torch.float64)),
        loss=mean_output,
        lr={"sgd": 0.1},
        epochs=20,
        batch_size=16,
    )


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"noisy-quadratic": noisy_quadratic}
