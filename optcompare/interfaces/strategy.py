"""The strategy contract: how an epoch's samples become update batches."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Generator, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Union

import numpy as np
from numpy.typing import NDArray

from ..core.parameters import as_spec
from ..core.rng import STRATEGY, seed_sequence

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Coverage = Literal["once", "free"]


@dataclasses.dataclass
class StepStats:
    """Describe an update to the adaptive strategy that yielded its batch.

    Only the fields that the strategy's class lists in ``needs`` are computed; the others are None. There are
    P trained weights and B samples; g_i is the gradient of sample i's loss at the weights before the update,
    and ḡ is their mean.

    Attributes:
        batch_size: The batch size B.
        loss: The mean loss of the batch before the update.
        lr: The learning rate of the update.
        grad_norm: |ḡ|.
        grad: ḡ, shape [P].
        sample_grad_norms: |g_i|, shape [B].
        sample_grad_dots: g_i·ḡ, shape [B].
        sample_grads: g_i, shape [B, P].
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
"""The type of a strategy's yields: the indices of the samples of one update."""

NEEDS = tuple(field.name for field in dataclasses.fields(StepStats) if field.name != "batch_size")


class Epoch:
    """Describe one pass over the training set to a strategy.

    Attributes:
        index: The number of the epoch, from 0.
        order: The shared order of this epoch, int64[N].
        rng: A generator that depends only on the seed, the epoch and the strategy.
    """

    def __init__(self, index: int, order: Tensor, seed: int, strategy: Strategy) -> None:
        self.index = index
        self.order = order
        self._seed = seed
        self._strategy = strategy

    @cached_property
    def rng(self) -> torch.Generator:
        import torch

        digest = hashlib.sha256(str(self._strategy).encode()).digest()
        entropy = seed_sequence(STRATEGY, self._seed, self.index, int.from_bytes(digest[:8], "little"))
        return torch.Generator().manual_seed(int(entropy.generate_state(1, np.uint64)[0] >> np.uint64(1)))


class Strategy:
    """Base class of all strategies.

    A subclass is a dataclass with a :meth:`batches` generator::

        @dataclass
        class MiniBatch(Strategy):
            batch_size: int = 32

            def batches(self, epoch):
                yield from epoch.order.split(self.batch_size)

    The init fields of the dataclass are the parameters, in order (``mini:64``). State is a
    ``field(init=False)`` of None, bool, int, float, str, list, dict or tensor; it is copied for each trial
    and saved in checkpoints. ``__post_init__`` raises ValueError for a parameter that is out of its range.
    """

    adaptive: ClassVar[bool] = False
    """False: all batches are taken before the epoch begins, so that the plan can be checked as a whole.

    True: each yield returns the :class:`StepStats` of its update, including the last one.
    """

    coverage: ClassVar[Coverage] = "once"
    """``once``: every index exactly once an epoch.

    ``free``: repeats are allowed; the epoch ends after N samples.
    """

    positional: ClassVar[bool] = False
    """True promises that the batches of every epoch have the same positions in its order.

    Cuts at fixed places do, for example. One epoch is planned, and its positions are used for all.
    """

    plain_sgd: ClassVar[bool] = False
    """True: the rule is valid only for sgd without momentum or weight decay; other optimizers are refused."""

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
        """Return the parameters by name."""
        return {field.name: getattr(self, field.name) for field in _fields(self) if field.init}

    def state(self) -> dict[str, Any]:
        """Return the state fields by name, without copying their values."""
        return {field.name: getattr(self, field.name) for field in _fields(self) if not field.init}

    def load(self, state: dict[str, Any]) -> None:
        """Set the state fields; ``state`` is the result of :meth:`state`."""
        for name, value in state.items():
            setattr(self, name, value)

    def __str__(self) -> str:
        return str(as_spec(type(self).__name__, self.parameters()))


def _fields(strategy: Strategy) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(strategy) if dataclasses.is_dataclass(strategy) else ()
