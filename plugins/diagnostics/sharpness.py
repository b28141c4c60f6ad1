"""The largest curvature of the training loss."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from optcompare import Diagnostic, Snapshot, hookimpl

_DENSE = 32


@dataclass
class Sharpness(Diagnostic):
    """The largest eigenvalue of ∇²L(w_u): gradient descent is stable below lr = 2/sharpness.

    L is the mean loss of all training samples in evaluation mode.

    It is the algebraically largest eigenvalue, found by Lanczos iteration on at most `products`
    Hessian-vector products, to a relative accuracy of `tol`; for up to 32 weights from the whole Hessian.
    Each product costs about two passes over the data. The value is nan if the iteration does not converge.
    """

    columns: ClassVar[tuple[str, ...]] = ("sharpness",)

    tol: float = 1e-3
    products: int = 300

    def __post_init__(self) -> None:
        if not 0 <= self.tol < 1:
            raise ValueError(f"tol must lie between 0 and 1, and below 1, got {self.tol}")
        if self.products < 20:
            raise ValueError(f"products must be at least 20, got {self.products}")

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        import torch

        size = len(snapshot.weights)
        if size > _DENSE:
            return {"sharpness": self._by_iteration(snapshot, size)}
        rows = [snapshot.hessian_product(unit) for unit in torch.eye(size, device=snapshot.weights.device)]
        hessian = torch.stack(rows).double().cpu()
        if not bool(hessian.isfinite().all()):
            return {"sharpness": math.nan}
        return {"sharpness": float(np.linalg.eigvalsh(((hessian + hessian.T) / 2).numpy())[-1])}

    def _by_iteration(self, snapshot: Snapshot, size: int) -> float:
        import torch
        from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh

        class Broken(Exception):
            """Report a product that is not finite, or too many products."""

        asked = 0

        def product(vector: Any) -> Any:
            nonlocal asked
            asked += 1
            found = snapshot.hessian_product(torch.from_numpy(np.ascontiguousarray(vector).reshape(-1)))
            if asked > self.products or not bool(found.isfinite().all()):
                raise Broken
            return found.double().cpu().numpy()

        begin = np.random.Generator(np.random.PCG64(0)).standard_normal(size)
        try:
            if not product(begin).any():
                return 0.0
            hessian = LinearOperator((size, size), matvec=product, dtype=np.float64)
            found: Any = eigsh(hessian, k=1, which="LA", v0=begin, tol=self.tol, return_eigenvectors=False)
            return float(found[0])
        except (Broken, ArpackError):
            return math.nan


@hookimpl
def optcompare_diagnostics() -> dict[str, type[Diagnostic]]:
    return {"sharpness": Sharpness}
