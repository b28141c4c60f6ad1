"""Check the batches of an epoch against the contract of the strategy."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ...errors import StrategyError
from ...interfaces.strategy import Epoch, StepStats, Strategy

if TYPE_CHECKING:
    from torch import Tensor

_NARROW = {torch.int8, torch.int16, torch.int32}
_WHOLE = {*_NARROW, torch.int64, torch.uint8}


class Plan:
    """Hold the checked batches of one epoch of a non-adaptive strategy.

    Args:
        strategy: The strategy.
        epoch: The epoch that it receives, with its own copy of the order.
        order: The shared order, int64[N].
        name: The label of the arm, for messages.
        watched: Wraps the iterator of batches, for example to limit its time.

    Attributes:
        sizes: The size of each batch.
        ends: For each update, the samples of the epoch after it.
        flat: The indices of all batches, int64[samples].
        in_order: Whether they follow the shared order.

    Raises:
        StrategyError: The batches break the contract.
    """

    def __init__(
        self,
        strategy: Strategy,
        epoch: Epoch,
        order: Tensor,
        name: str,
        watched: Callable[[Any], Iterator[Any]] = iter,
    ) -> None:
        n = len(order)
        batches, self.sizes = _drawn(watched(_iterator(strategy.batches(epoch), epoch.index, name)), n)
        self.flat = check_form(batches, self.sizes, epoch.index, n, name)
        if strategy.coverage == "free":
            check_range(batches, self.flat, epoch.index, n, name)
            self._cut(n, f"{name}, epoch {epoch.index}")
        self.ends = list(accumulate(self.sizes))
        self.in_order = torch.equal(self.flat, order)
        if strategy.coverage == "once" and not self.in_order:
            check_range(batches, self.flat, epoch.index, n, name)
            check_coverage(self.flat, self.ends, epoch.index, n, name)

    def positions(self, order: Tensor) -> Tensor:
        """Return the position of each yielded index in the order of the epoch, int64[samples]."""
        positions = torch.empty_like(order)
        positions[order] = torch.arange(len(order))  # sorting the order would take three times as much memory
        return positions[self.flat]

    def on(self, order: Tensor, positions: Tensor | None) -> Plan:
        """Return a plan with the same batch sizes for another epoch.

        Args:
            order: The shared order of that epoch, int64[N].
            positions: The positions of the indices in it, int64[samples]; None: all, as they come.
        """
        plan: Plan = object.__new__(type(self))
        vars(plan).update(vars(self))
        vars(plan).pop("batches", None)
        plan.flat = order if positions is None else order[positions]
        plan.in_order = positions is None
        return plan

    @cached_property
    def batches(self) -> Sequence[Tensor]:
        """Return the batches, int64[B] each."""
        return torch.split(self.flat, self.sizes)

    @cached_property
    def _boundaries(self) -> bytes:
        return repr(self.ends).encode()

    def digest(self, previous: bytes, count: int) -> bytes:
        """Return the SHA-256 of ``previous`` and the first ``count`` batches."""
        if count == len(self.ends):
            return hashlib.sha256(previous + self._boundaries + self.flat.numpy().tobytes()).digest()
        return digest(previous, self.ends[:count], self.flat[: self.ends[count - 1] if count else 0])

    def _cut(self, n: int, where: str) -> None:
        ends = list(accumulate(self.sizes))
        check_enough(ends[-1], n, where)
        last = bisect_left(ends, n)
        self.sizes = [*self.sizes[:last], self.sizes[last] - (ends[last] - n)]
        self.flat = self.flat[:n]


def start_generator(strategy: Strategy, epoch: Epoch, name: str) -> Generator[Tensor, StepStats, None]:
    """Start the generator of an adaptive strategy, which receives the statistics of each update.

    Args:
        strategy: The strategy.
        epoch: The epoch that it receives.
        name: The label of the arm, for messages.

    Raises:
        StrategyError: ``batches()`` is no generator function.
    """
    generator = strategy.batches(epoch)
    if not isinstance(generator, Generator):
        kind = type(generator).__name__
        raise StrategyError(
            f"strategy {name} is adaptive, so batches() must be a generator (yield); got a {kind}"
        )
    return generator


def digest(previous: bytes, ends: list[int], indices: Tensor) -> bytes:
    """Chain the fingerprint of batches: hash the previous one, their ends, and their indices in order."""
    return hashlib.sha256(previous + repr(ends).encode() + indices.numpy().tobytes()).digest()


def check_form(batches: list[Any], sizes: list[int], epoch: int, n: int, name: str, first: int = 0) -> Tensor:
    """Check that all batches are non-empty int64 tensors of one dimension, and concatenate them.

    Args:
        batches: The batches.
        sizes: The sizes of these batches.
        epoch: The number of the epoch, for messages.
        n: The number of training samples.
        name: The label of the arm, for messages.
        first: The number of the first batch, for messages.

    Returns:
        The indices of all batches, int64[samples].

    Raises:
        StrategyError: A batch has another form, or there is none.
    """
    if not batches:
        raise StrategyError(f"strategy {name}, epoch {epoch}: it yielded no batch")
    kinds = {(getattr(batch, "dtype", None), getattr(batch, "ndim", None)) for batch in batches}
    if kinds != {(torch.int64, 1)} or 0 in sizes:
        _blame(batches, epoch, n, name, first)
    return torch.cat(batches)


def check_batch(batch: Any, epoch: int, n: int, name: str, number: int) -> int:
    """Check one batch of an adaptive strategy, and return its size; None: the strategy yielded none."""
    size = _size(batch)
    check_range(
        [batch],
        check_form([] if batch is None else [batch], [size], epoch, n, name, number),
        epoch,
        n,
        name,
        number,
    )
    return size


def check_range(batches: list[Tensor], flat: Tensor, epoch: int, n: int, name: str, first: int = 0) -> None:
    """Check that every index lies between 0 and n-1."""
    low, high = flat.aminmax()
    if int(low) < 0 or int(high) >= n:
        _blame(batches, epoch, n, name, first)


def check_coverage(flat: Tensor, ends: list[int], epoch: int, n: int, name: str) -> None:
    """Check that the batches hold every index from 0 to n-1 exactly once."""
    counts = torch.bincount(flat, minlength=n)
    if int(counts.max()) > 1:
        index = int(counts.argmax())
        second = int((flat == index).nonzero()[1])
        batch = next(number for number, end in enumerate(ends) if end > second)
        raise StrategyError(
            f"strategy {name}, epoch {epoch}, batch {batch}: index {index} is repeated; coverage 'once' "
            'allows each index once an epoch (coverage = "free" allows repeats)'
        )
    if len(flat) < n:
        missing = int((counts == 0).nonzero()[0])
        raise StrategyError(
            f"strategy {name}, epoch {epoch}: {n - len(flat)} of {n} samples were left out, index {missing} "
            "first; coverage 'once' needs every index"
        )


def check_enough(samples: int, n: int, where: str) -> None:
    """Check that an epoch with free coverage has at least N samples."""
    if samples < n:
        raise StrategyError(f"strategy {where}: it yielded {samples} of the {n} samples that an epoch has")


def as_indices(batch: Any) -> Any:
    """Convert a batch of whole numbers to an int64 tensor; return anything else unchanged.

    Args:
        batch: What a strategy yielded: a tensor, an array, a list, a tuple or a range.
    """
    if isinstance(batch, torch.Tensor):
        return batch.to(torch.int64) if batch.dtype in _NARROW else batch
    if isinstance(batch, np.ndarray):
        whole = batch.dtype.kind in "iu" or batch.size == 0
        return torch.from_numpy(batch.astype(np.int64)) if whole else batch
    if isinstance(batch, (list, tuple, range)) and all(map(_is_whole, batch)):
        return torch.tensor([int(each) for each in batch], dtype=torch.int64)
    return batch


def _is_whole(value: Any) -> bool:
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return value.ndim == 0 and (
            value.dtype in _WHOLE if isinstance(value, torch.Tensor) else value.dtype.kind in "iu"
        )
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool)


def _iterator(batches: Any, epoch: int, name: str) -> Iterator[Any]:
    try:
        return iter(batches)
    except TypeError:
        kind = "None" if batches is None else f"a {type(batches).__name__}"
        raise StrategyError(
            f"strategy {name}, epoch {epoch}: batches() must yield batches, or return a list of them; it "
            f"returned {kind}"
        ) from None


def _drawn(batches: Iterator[Any], n: int) -> tuple[list[Any], list[int]]:
    """Draw batches and their sizes until they exceed an epoch, since the generator may never end."""
    drawn, sizes, samples = list[Any](), list[int](), 0
    for yielded in batches:
        batch = as_indices(yielded)
        size = _size(batch)
        drawn.append(batch)
        sizes.append(size)
        samples += size
        if samples > n or len(drawn) > n:
            break
    return drawn, sizes


def _size(batch: Any) -> int:
    return batch.size(0) if isinstance(batch, torch.Tensor) and batch.ndim else 1


def _described(batch: Any) -> str:
    if isinstance(batch, np.ndarray):
        return f"a NumPy array of {batch.dtype} and shape {list(batch.shape)}"
    if isinstance(batch, (list, tuple)):
        wrong = next(each for each in batch if not _is_whole(each))
        return f"a {type(batch).__name__} with a {type(wrong).__name__} in it"
    return f"a {type(batch).__name__}"


def _blame(batches: list[Any], epoch: int, n: int, name: str, first: int) -> None:
    for number, batch in enumerate(batches, first):
        where = f"strategy {name}, epoch {epoch}, batch {number}"
        rule = (
            "a batch is a one-dimensional tensor, an array or a list of whole numbers, the indices of its "
            "samples"
        )
        if not isinstance(batch, torch.Tensor):
            raise StrategyError(f"{where}: got {_described(batch)}; {rule}")
        if batch.dtype != torch.int64 or batch.ndim != 1:
            raise StrategyError(f"{where}: got {batch.dtype} of shape {list(batch.shape)}; {rule}")
        if len(batch) == 0:
            raise StrategyError(f"{where}: the batch is empty; {rule}")
        outside = batch[(batch < 0) | (batch >= n)]
        if len(outside):
            raise StrategyError(f"{where}: index {int(outside[0])} is out of range; there are {n} samples")
