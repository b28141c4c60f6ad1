"""The gradient of the training loss, and how well one batch estimates it."""

import math
from dataclasses import dataclass
from typing import ClassVar

from optcompare import Diagnostic, Snapshot, hookimpl


@dataclass
class GradNorm(Diagnostic):
    """|∇L(w_u)|: L is the mean loss of all training samples in evaluation mode, w_u the weights."""

    columns: ClassVar[tuple[str, ...]] = ("grad_norm",)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        return {"grad_norm": float(snapshot.gradient.double().norm())}


@dataclass
class GradCosine(Diagnostic):
    """The cosine between the last update's batch gradient and ∇L, both at the weights before that update.

    Both are in evaluation mode, so that only the choice of samples counts: 1 for a full batch. nan at update
    0, and where one of the two is 0.
    """

    columns: ClassVar[tuple[str, ...]] = ("grad_cosine",)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        if snapshot.batch_gradient is None or snapshot.gradient_before is None:
            return {"grad_cosine": math.nan}
        batch, full = snapshot.batch_gradient.double(), snapshot.gradient_before.double()
        scale = float(batch.norm() * full.norm())
        return {"grad_cosine": float(batch @ full) / scale if scale > 0 else math.nan}


@hookimpl
def optcompare_diagnostics() -> dict[str, type[Diagnostic]]:
    return {"grad_norm": GradNorm, "grad_cosine": GradCosine}
