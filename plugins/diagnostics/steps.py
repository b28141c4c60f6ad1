"""The last update, and the distance from the start."""

import math
from dataclasses import dataclass
from typing import ClassVar

from optcompare import Diagnostic, Snapshot, hookimpl


@dataclass
class UpdateNorm(Diagnostic):
    """|w_u - w_(u-1)|, the size of the last update. nan at update 0."""

    columns: ClassVar[tuple[str, ...]] = ("update_norm",)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        before = snapshot.before
        return {
            "update_norm": math.nan
            if before is None
            else float((snapshot.weights.double() - before.double()).norm())
        }


@dataclass
class Distance(Diagnostic):
    """|w_u - w_0|, the distance from the shared start."""

    columns: ClassVar[tuple[str, ...]] = ("distance",)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        return {"distance": float((snapshot.weights.double() - snapshot.start.double()).norm())}


@dataclass
class Alpha(Diagnostic):
    """Where the last update ended on a parabola of L: -1 start, 0 bottom, 1 as high on the other side.

    The parabola goes through the training loss L along the update; above 1 the loss rose.

    With s = w_u - w_(u-1) and the slopes f'(0) = ∇L(w_(u-1))·s and f'(1) = ∇L(w_u)·s, the parabola's bottom
    lies at τ = f'(0)/(f'(0) - f'(1)), and alpha = 1/τ - 1 = -f'(1)/f'(0). Gradient descent on a quadratic,
    along a direction of curvature h: lr·h - 1. L is that of all training samples in evaluation mode, not
    of the batch. nan at update 0, and where the update did not start downhill.
    """

    columns: ClassVar[tuple[str, ...]] = ("alpha",)

    def measure(self, snapshot: Snapshot) -> dict[str, float]:
        if snapshot.before is None or snapshot.gradient_before is None:
            return {"alpha": math.nan}
        step = snapshot.weights.double() - snapshot.before.double()
        began, ended = (
            float(snapshot.gradient_before.double() @ step),
            float(snapshot.gradient.double() @ step),
        )
        return {"alpha": -ended / began if began < 0 else math.nan}


@hookimpl
def optcompare_diagnostics() -> dict[str, type[Diagnostic]]:
    return {"update_norm": UpdateNorm, "distance": Distance, "alpha": Alpha}
