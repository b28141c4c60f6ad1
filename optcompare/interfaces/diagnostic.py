"""The diagnostic contract: what is computed during training, in addition to losses and metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Protocol

from ..core.parameters import as_spec

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .workload import Workload


@dataclass(frozen=True)
class Samples:
    """Gradients of single training samples, R of them.

    ``squares``: |g_i|², float64[R]; ``mean``: ḡ, [P]. With a weighted loss, g_i is sample i's share in the
    batch's mean, R·w_i/Σw times the gradient of its own loss, so that ḡ is their mean in any case.
    """

    squares: Tensor
    mean: Tensor


class Snapshot(Protocol):
    """A trial at one record, after ``update`` updates. Nothing that is done with it reaches the training.

    All is computed at its first use, and once for all diagnostics. Weights and gradients are flat, [P], in
    the model's order, trained weights alone. Losses are the workload's mean losses in evaluation mode:
    dropout is off, and BatchNorm uses its running averages, recalibrated where the losses of the record are.
    "The last update" is number ``update``, counted from 1; what describes it is None at update 0.
    """

    update: int
    """Updates made so far."""
    samples: int
    """Training samples whose gradients were evaluated so far."""
    seed: int
    lr: float
    """The learning rate of the last update; before the first, that of the arm."""
    workload: Workload
    model: nn.Module
    """A throw-away copy in evaluation mode, at the weights as they are now."""
    weights: Tensor
    """w_u, as they are now."""
    start: Tensor
    """w_0, the shared start's."""
    before: Tensor | None
    """w_(u-1), from which the last update started."""

    @property
    def gradient(self) -> Tensor:
        """∇L(w_u), of the mean loss L over all training samples."""
        ...

    @property
    def gradient_before(self) -> Tensor | None:
        """∇L(w_(u-1))."""
        ...

    @property
    def batch_gradient(self) -> Tensor | None:
        """The gradient of the last update's batch at w_(u-1), in evaluation mode.

        With dropout or BatchNorm it is not quite what the update used.
        """
        ...

    @property
    def batch(self) -> Any:
        """The last update's batch, in one piece."""
        ...

    def chunks(self) -> Iterator[Any]:
        """All training samples, batch by batch, ``--eval-chunk`` rows each, in the data's own order."""
        ...

    def sampled(self, rows: int) -> Samples:
        """Return gradients of single training samples at w_u.

        Args:
            rows: How many samples, drawn without replacement by (seed, update) alone, so that all arms get
                the same; all of them, in the data's own order, where there are no more.

        Raises:
            DiagnosticError: The model has no gradients of single samples; the message names the layer.
        """
        ...

    def hessian_product(self, vector: Tensor) -> Tensor:
        """Return ∇²L(w_u)·vector, [P], over all training samples.

        Args:
            vector: [P].

        Raises:
            DiagnosticError: The model cannot be differentiated twice; the message names the layer.
        """
        ...


class Diagnostic:
    """Base of all diagnostics. A subclass is a dataclass with a :meth:`measure` method::

        @dataclass
        class WeightNorm(Diagnostic):
            order: float = 2.0
            columns = ("weight_norm",)

            def measure(self, snapshot):
                return {"weight_norm": snapshot.weights.norm(self.order)}

    The dataclass's fields are the parameters, in order (``weight_norm:1``); it has no state. A parameter that
    makes no sense raises ValueError in ``__post_init__``.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    """The columns of the records table that it fills."""

    def measure(self, snapshot: Snapshot) -> Mapping[str, Any]:
        """Return a number for each of ``columns``, NaN where there is none.

        Args:
            snapshot: The trial at a record.
        """
        raise NotImplementedError(f"{type(self).__name__} has no measure(snapshot)")

    def parameters(self) -> dict[str, Any]:
        """The fields with their values."""
        fields: Any = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        return {field.name: getattr(self, field.name) for field in fields if field.init}

    def __str__(self) -> str:
        return str(as_spec(type(self).__name__, self.parameters()))
