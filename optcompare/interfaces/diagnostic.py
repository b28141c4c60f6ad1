"""The diagnostic contract: what is computed of a training under way, beside losses and metrics."""

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


class Moment(Protocol):
    """A trial at one record, after ``update`` updates. Nothing that is done with it reaches the training.

    All is computed when it is first asked for, and once for all diagnostics. Weights and gradients are flat,
    [P], in the model's order, trained weights alone. Losses are the workload's mean losses in eval mode:
    dropout is off, and BatchNorm takes its running averages, recalibrated where the losses of the record are.
    "The last update" is number ``update``, counted from 1; what tells of it is None at update 0.
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
    """A throw-away copy in eval mode, at the weights as they are now."""
    weights: Tensor
    """w_u, as they are now."""
    start: Tensor
    """w_0, the shared start's."""
    before: Tensor | None
    """w_(u-1), from which the last update set out."""

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
        """The gradient of the last update's batch at w_(u-1); with dropout or BatchNorm it is not quite what
        the update used, which was not in eval mode.
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
        """Gradients at w_u of ``rows`` training samples, drawn without replacement by (seed, update) alone,
        so that all arms get the same; of all of them, in the data's own order, where there are no more.

        Raises :class:`DiagnosticError`, naming the layer, for a model that has no gradients of single
        samples.
        """
        ...

    def hessian_product(self, vector: Tensor) -> Tensor:
        """∇²L(w_u)·vector, [P], over all training samples.

        Raises :class:`DiagnosticError`, naming the layer, for a model that cannot be differentiated twice.
        """
        ...


class Diagnostic:
    """Base of all diagnostics. A subclass is a dataclass with a :meth:`measure` method::

        @dataclass
        class WeightNorm(Diagnostic):
            order: float = 2.0
            columns = ("weight_norm",)

            def measure(self, moment):
                return {"weight_norm": moment.weights.norm(self.order)}

    The dataclass's fields are the parameters, in order (``weight_norm:1``); it has no state. A parameter that
    makes no sense raises ValueError in ``__post_init__``.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    """The columns of the records that it fills."""

    def measure(self, moment: Moment) -> Mapping[str, Any]:
        """A number for each of ``columns``, nan where there is none."""
        raise NotImplementedError(f"{type(self).__name__} has no measure(moment)")

    def parameters(self) -> dict[str, Any]:
        """The fields with their values."""
        fields: Any = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        return {field.name: getattr(self, field.name) for field in fields if field.init}

    def __str__(self) -> str:
        return str(as_spec(type(self).__name__, self.parameters()))
