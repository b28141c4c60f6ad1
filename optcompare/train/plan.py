"""The batches of an epoch, checked against what the strategy promises."""

from __future__ import annotations

import hashlib
from collections.abc import Generator, Iterator
from itertools import accumulate, islice
from typing import TYPE_CHECKING, Any

import torch

from ..errors import StrategyError
from ..strategy import Epoch, StepStats, Strategy

if TYPE_CHECKING:
    from torch import Tensor


class Plan:
    """The checked batches of one epoch of a non-adaptive strategy.

    ``batches``: int64[B] each; ``ends[i]``: samples of this epoch once update i is made.
    """

    def __init__(self, strategy: Strategy, epoch: Epoch, name: str) -> None:
        n = len(epoch.order)
        limited = islice(_up_to(n, strategy.batches(epoch)), n + 1)
        self.batches = list(limited)
        check(self.batches, epoch.index, n, name)
        if strategy.coverage == "free":
            self.batches = _cut(self.batches, n, f"{name}, epoch {epoch.index}")
        self.ends = list(accumulate(map(len, self.batches)))
        self._flat = torch.cat(self.batches)
        if strategy.coverage == "once":
            check_coverage(self._flat, self.ends, epoch.index, n, name)

    def digest(self, previous: bytes, count: int) -> bytes:
        """SHA-256 of ``previous`` and the first ``count`` batches."""
        return digest(previous, self.ends[:count], self._flat[: self.ends[count - 1] if count else 0])


def started(strategy: Strategy, epoch: Epoch, name: str) -> Generator[Tensor, StepStats, None]:
    """The generator of an adaptive strategy, which can be told how its updates went."""
    generator = strategy.batches(epoch)
    if not isinstance(generator, Generator):
        kind = type(generator).__name__
        raise StrategyError(f"strategy {name} is adaptive, so batches() must be a generator (yield); got a {kind}")
    return generator


def digest(previous: bytes, ends: list[int], indices: Tensor) -> bytes:
    """Chains the fingerprint of the batches yielded so far: their boundaries and their indices, in order."""
    return hashlib.sha256(previous + repr(ends).encode() + indices.numpy().tobytes()).digest()


def check(batches: list[Any], epoch: int, n: int, name: str, first: int = 0) -> None:
    """All batches at once: int64 tensors of one dimension, none empty, every index from 0 to n-1.

    ``first`` is the number of the first batch, for the message of the :class:`StrategyError`.
    """
    if not batches:
        raise StrategyError(f"strategy {name}, epoch {epoch}: it yielded no batch")
    if {getattr(batch, "dtype", None) for batch in batches} != {torch.int64} or {batch.ndim for batch in batches} != {
        1
    }:
        _blame(batches, epoch, n, name, first)
    if 0 in set(map(len, batches)):
        _blame(batches, epoch, n, name, first)
    low, high = torch.cat(batches).aminmax()
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
            f"strategy {name}, epoch {epoch}, batch {batch}: index {index} is repeated; coverage 'once' allows each "
            'index once an epoch (coverage = "free" allows repeats)'
        )
    if len(flat) < n:
        missing = int((counts == 0).nonzero()[0])
        raise StrategyError(
            f"strategy {name}, epoch {epoch}: {n - len(flat)} of {n} samples were left out, index {missing} first; "
            "coverage 'once' needs every index"
        )


def _up_to(n: int, batches: Iterator[Any]) -> Iterator[Any]:
    samples = 0
    for batch in batches:
        yield batch
        samples += len(batch) if isinstance(batch, torch.Tensor) and batch.ndim else 1
        if samples > n:
            return


def _cut(batches: list[Tensor], n: int, where: str) -> list[Tensor]:
    ends = list(accumulate(map(len, batches)))
    if ends[-1] < n:
        raise StrategyError(f"strategy {where}: it yielded {ends[-1]} of the {n} samples that an epoch has")
    last = next(number for number, end in enumerate(ends) if end >= n)
    surplus = ends[last] - n
    return [*batches[:last], batches[last][: len(batches[last]) - surplus]]


def _blame(batches: list[Any], epoch: int, n: int, name: str, first: int) -> None:
    for number, batch in enumerate(batches, first):
        where = f"strategy {name}, epoch {epoch}, batch {number}"
        rule = "a batch is a one-dimensional int64 tensor of indices"
        if not isinstance(batch, torch.Tensor):
            raise StrategyError(f"{where}: got a {type(batch).__name__}; {rule}")
        if batch.dtype != torch.int64 or batch.ndim != 1:
            raise StrategyError(f"{where}: got {batch.dtype} of shape {list(batch.shape)}; {rule}")
        if len(batch) == 0:
            raise StrategyError(f"{where}: the batch is empty; {rule}")
        outside = batch[(batch < 0) | (batch >= n)]
        if len(outside):
            raise StrategyError(f"{where}: index {int(outside[0])} is out of range; there are {n} samples")
