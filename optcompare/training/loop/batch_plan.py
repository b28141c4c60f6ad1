"""The batches of an epoch, checked against what the strategy promises."""

from __future__ import annotations

import copy
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
    """The checked batches of one epoch of a non-adaptive strategy.

    ``sizes``: of its batches; ``ends[i]``: samples of this epoch once update i is made; ``flat``:
    int64[samples], their indices; ``in_order``: whether they follow the shared order. ``order`` is the
    epoch's shared order, which nobody else could write to; ``watched``: passes the batches on, and sees when
    each comes.
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
        """Where in its order each index stands that was yielded, int64[samples]."""
        places = torch.empty_like(order)
        places[order] = torch.arange(len(order))  # sorting it would take three times as much memory
        return places[self.flat]

    def on(self, order: Tensor, positions: Tensor | None) -> Plan:
        """The same cuts of another epoch's order; ``positions`` (None: as they come) of the indices in it."""
        plan = copy.copy(self)
        vars(plan).pop("batches", None)
        plan.flat = order if positions is None else order[positions]
        plan.in_order = positions is None
        return plan

    @cached_property
    def batches(self) -> Sequence[Tensor]:
        """The batches, int64[B] each."""
        return torch.split(self.flat, self.sizes)

    @cached_property
    def _boundaries(self) -> bytes:
        return repr(self.ends).encode()

    def digest(self, previous: bytes, count: int) -> bytes:
        """SHA-256 of ``previous`` and the first ``count`` batches."""
        if count == len(self.ends):
            return hashlib.sha256(previous + self._boundaries + self.flat.numpy().tobytes()).digest()
        return digest(previous, self.ends[:count], self.flat[: self.ends[count - 1] if count else 0])

    def _cut(self, n: int, where: str) -> None:
        ends = list(accumulate(self.sizes))
        check_enough(ends[-1], n, where)
        last = bisect_left(ends, n)
        self.sizes = [*self.sizes[:last], self.sizes[last] - (ends[last] - n)]
        self.flat = self.flat[:n]


def started(strategy: Strategy, epoch: Epoch, name: str) -> Generator[Tensor, StepStats, None]:
    """The generator of an adaptive strategy, which can be told how its updates went."""
    generator = strategy.batches(epoch)
    if not isinstance(generator, Generator):
        kind = type(generator).__name__
        raise StrategyError(
            f"strategy {name} is adaptive, so batches() must be a generator (yield); got a {kind}"
        )
    return generator


def digest(previous: bytes, ends: list[int], indices: Tensor) -> bytes:
    """Chains the fingerprint of the batches yielded so far: their boundaries and their indices, in order."""
    return hashlib.sha256(previous + repr(ends).encode() + indices.numpy().tobytes()).digest()


def check_form(batches: list[Any], sizes: list[int], epoch: int, n: int, name: str, first: int = 0) -> Tensor:
    """All batches at once: int64 tensors of one dimension, none empty; returns them as one tensor.

    ``first`` is the number of the first batch, for the message of the :class:`StrategyError`.
    """
    if not batches:
        raise StrategyError(f"strategy {name}, epoch {epoch}: it yielded no batch")
    kinds = {(getattr(batch, "dtype", None), getattr(batch, "ndim", None)) for batch in batches}
    if kinds != {(torch.int64, 1)} or 0 in sizes:
        _blame(batches, epoch, n, name, first)
    return torch.cat(batches)


def check_batch(batch: Any, epoch: int, n: int, name: str, number: int) -> int:
    """One batch of an adaptive strategy (None: there was none); returns its size."""
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
    """Every index from 0 to n-1."""
    low, high = flat.aminmax()
    if int(low) < 0 or int(high) >= n:
        _blame(batches, epoch, n, name, first)


def check_coverage(flat: Tensor, ends: list[int], epoch: int, n: int, name: str) -> None:
    """Every index from 0 to n-1 exactly once."""
    counts = torch.bincount(flat, minlength=n)
    if int(counts.max()) > 1:
        index = int(counts.argmax())
        second = int((flat == index).nonzero()[1])
        batch = next(number for number, end in enumerate(ends) if end > second)
        raise StrategyError(
            f"strategy {name}, epoch {epoch}, batch {batch}: index {index} is repeated; coverage 'once' "
            "allows each "
            'index once an epoch (coverage = "free" allows repeats)'
        )
    if len(flat) < n:
        missing = int((counts == 0).nonzero()[0])
        raise StrategyError(
            f"strategy {name}, epoch {epoch}: {n - len(flat)} of {n} samples were left out, index {missing} "
            "first; "
            "coverage 'once' needs every index"
        )


def check_enough(samples: int, n: int, where: str) -> None:
    """An epoch of free coverage has N samples too."""
    if samples < n:
        raise StrategyError(f"strategy {where}: it yielded {samples} of the {n} samples that an epoch has")


def as_indices(batch: Any) -> Any:
    """Return a batch of whole numbers as an int64 tensor; anything else as it is.

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
    """The batches of a generator and their sizes, up to more than an epoch holds, since it may never end."""
    found, sizes, samples = list[Any](), list[int](), 0
    for given in batches:
        batch = as_indices(given)
        size = _size(batch)
        found.append(batch)
        sizes.append(size)
        samples += size
        if samples > n or len(found) > n:
            break
    return found, sizes


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
