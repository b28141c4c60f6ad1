"""The diagnostic contract: measurements during training in addition to losses and metrics."""

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
    """Hold the gradients g_i of R single training samples.

    With a weighted loss, g_i is R·w_i/Σw times the gradient of sample i's own loss, so that ḡ is always the
    mean of the g_i.

    Attributes:
        squares: |g_i|², float64[R].
        mean: ḡ, [P].
    """

    squares: Tensor
    mean: Tensor


class Snapshot(Protocol):
    """A copy of a trial at one record, after ``update`` updates; changes of it do not affect the training.

    Each value is computed at its first use, and once for all diagnostics. Weights and gradients are flat,
    [P], in the model's order, trained weights only. Losses are the workload's mean losses in evaluation mode:
    dropout is off, and BatchNorm uses its running averages, recalibrated if those of the record are. "The
    last update" is number ``update``, counted from 1. Its attributes are None at update 0.
    """

    update: int
    """The number of updates so far."""
    samples: int
    """The number of training samples so far with evaluated gradients."""
    seed: int
    lr: float
    """The learning rate of the last update; before the first one, that of the arm."""
    workload: Workload
    model: nn.Module
    """A copy of the model in evaluation mode, with the present weights."""
    weights: Tensor
    """w_u, the present weights."""
    start: Tensor
    """w_0, the weights of the shared start."""
    before: Tensor | None
    """w_(u-1), the weights before the last update."""

    @property
    def gradient(self) -> Tensor:
        """Return ∇L(w_u) of the mean loss L over all training samples."""
        ...

    @property
    def gradient_before(self) -> Tensor | None:
        """Return ∇L(w_(u-1))."""
        ...

    @property
    def batch_gradient(self) -> Tensor | None:
        """Return the gradient of the last update's batch at w_(u-1), in evaluation mode.

        With dropout or BatchNorm it differs from the gradient of the update.
        """
        ...

    @property
    def batch(self) -> Any:
        """Return the batch of the last update as a whole."""
        ...

    def chunks(self) -> Iterator[Any]:
        """Yield all training samples in chunks of ``--eval-chunk`` rows, in the data's own order."""
        ...

    def sampled(self, rows: int) -> Samples:
        """Return gradients of single training samples at w_u.

        Args:
            rows: The number of samples. They are drawn without replacement by (seed, update) alone, so that
                they are the same for all arms. If there are no more, all samples in the data's own order.

        Raises:
            DiagnosticError: The model has no gradients of single samples; the message names the layer.
        """
        ...

    def hessian_product(self, vector: Tensor) -> Tensor:
        """Return ∇²L(w_u)·vector, [P], over all training samples.

        Args:
            vector: The direction, [P].

        Raises:
            DiagnosticError: The model cannot be differentiated twice; the message names the layer.
        """
        ...


class Diagnostic:
    """Base class of all diagnostics.

    A subclass is a dataclass with a :meth:`measure` method::

        @dataclass
        class WeightNorm(Diagnostic):
            order: float = 2.0
            columns = ("weight_norm",)

            def measure(self, snapshot):
                return {"weight_norm": snapshot.weights.norm(self.order)}

    The fields of the dataclass are the parameters, in order (``weight_norm:1``). A diagnostic has no state.
    ``__post_init__`` raises ValueError for a parameter that is out of its range.
    """

    columns: ClassVar[tuple[str, ...]] = ()
    """The columns of the records table that it fills."""

    def measure(self, snapshot: Snapshot) -> Mapping[str, Any]:
        """Return a number for each of ``columns``, NaN for a missing one.

        Args:
            snapshot: The trial at a record.
        """
        raise NotImplementedError(f"{type(self).__name__} has no measure(snapshot)")

    def parameters(self) -> dict[str, Any]:
        """Return the parameters by name."""
        fields: Any = dataclasses.fields(self) if dataclasses.is_dataclass(self) else ()
        return {field.name: getattr(self, field.name) for field in fields if field.init}

    def __str__(self) -> str:
        return str(as_spec(type(self).__name__, self.parameters()))
