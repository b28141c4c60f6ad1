"""The strategy contract: how an epoch's samples become update batches."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union

import numpy as np
import torch
from numpy.typing import NDArray

from ..core.parameters import as_spec
from ..core.rng import STRATEGY, seed_sequence

if TYPE_CHECKING:
    from torch import Tensor

Coverage = Literal["once", "free"]


@dataclasses.dataclass
class StepStats:
    """What an adaptive strategy learns of the update it just caused.

    Only what its class names in ``needs`` is computed; the rest is None. With P
    trained weights and a batch of B samples, g_i the gradient of sample i's
    loss at the weights before the update and ḡ their mean:

    - ``loss``: the batch's mean loss before the update; ``lr``: the learning rate used;
    - ``grad``: ḡ, shape [P]; ``grad_norm``: |ḡ|;
    - ``sample_grads``: g_i, shape [B, P]; ``sample_grad_norms``: |g_i|, shape [B];
    - ``sample_grad_dots``: g_i·ḡ, shape [B].
    """

    batch_size: int
    loss: float | None = None
    lr: float | None = None
    grad_norm: float | None = None
    grad: Tensor | None = None
    sample_grad_norms: Tensor | None = None
    sample_grad_dots: Tensor | None = None
    sample_grads: Tensor | None = None


Indices = Union["Tensor", Sequence[int], NDArray[np.integer[Any]]]
"""What a strategy may yield: the indices of the samples of one update."""

NEEDS = tuple(field.name for field in dataclasses.fields(StepStats) if field.name != "batch_size")


class Epoch:
    """One pass over the training set, as a strategy sees it.

    ``index`` counts from 0; ``order`` is this epoch's shared order, int64[N];
    ``rng`` a generator that depends on the seed, the epoch and the strategy alone.
    """

    def __init__(self, index: int, order: Tensor, seed: int, strategy: Strategy) -> None:
        self.index = index
        self.order = order
        self._seed = seed
        self._strategy = strategy

    @cached_property
    def rng(self) -> torch.Generator:
        digest = hashlib.sha256(str(self._strategy).encode()).digest()
        entropy = seed_sequence(STRATEGY, self._seed, self.index, int.from_bytes(digest[:8], "little"))
        return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))


class Strategy:
    """Base of all strategies. A subclass is a dataclass with a :meth:`batches` generator::

        @dataclass
        class MiniBatch(Strategy):
            batch_size: int = 32

            def batches(self, epoch):
                yield from epoch.order.split(self.batch_size)

    The dataclass's init fields are the parameters, in order (``mini:64``). State
    is ``field(init=False)`` of None, bool, int, float, str, list, dict or tensor:
    copied for each trial and carried by checkpoints. A parameter that makes no
    sense raises ValueError in ``__post_init__``.
    """

    adaptive: ClassVar[bool] = False
    """False: driven to its end before the epoch begins, so that the plan can be checked as a whole.
    True: each yield returns the :class:`StepStats` of the update it caused, the last included."""

    coverage: ClassVar[Coverage] = "once"
    """``once``: every index exactly once an epoch.

    ``free``: repeats allowed; the epoch ends after N samples.
    """

    positional: ClassVar[bool] = False
    """True is a promise: every epoch's batches take the same positions of the order that it is given, as cuts
    at fixed places do. An epoch is then planned once, and its positions are used for all.
    """

    plain_sgd: ClassVar[bool] = False
    """True: its rule holds for sgd without momentum or weight decay alone, and it is refused with anything
    else.
    """

    needs: ClassVar[tuple[str, ...]] = ()
    """The fields of :class:`StepStats` that an adaptive strategy reads."""

    def batches(self, epoch: Epoch) -> Iterator[Indices] | Generator[Indices, StepStats, None]:
        """Yield the sample indices of each update; called once an epoch.

        Args:
            epoch: The epoch, with its shared order.

        Returns:
            An iterator of int64[B] tensors, or of NumPy arrays or lists of B whole numbers.
        """
        raise NotImplementedError(f"{type(self).__name__} has no batches(epoch)")

    def parameters(self) -> dict[str, Any]:
        """The init fields with their values."""
        return {field.name: getattr(self, field.name) for field in _fields(self) if field.init}

    def state(self) -> dict[str, Any]:
        """The state fields with their values (not copied)."""
        return {field.name: getattr(self, field.name) for field in _fields(self) if not field.init}

    def load(self, state: dict[str, Any]) -> None:
        """Sets the state fields."""
        for name, value in state.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return str(as_spec(type(self).__name__, self.parameters()))


def _fields(strategy: Strategy) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(strategy) if dataclasses.is_dataclass(strategy) else ()
