"""Models whose weights are a point on a quadratic."""

import torch
from torch import Tensor, nn


class Bowl(nn.Module):
    """Predict the point w, shape [d], for every sample; w are the weights of the model."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        return self.w.expand_as(x)


class Point(nn.Module):
    """Return ½Σ h w² + noise·w for the noise of each sample, shape [B]; w are the weights of the model."""

    h: Tensor

    def __init__(self, curvature: Tensor) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.ones(len(curvature)))
        self.register_buffer("h", curvature.clone())

    def forward(self, noise: Tensor) -> Tensor:
        return 0.5 * (self.h.to(self.w) * self.w**2).sum() + noise @ self.w
