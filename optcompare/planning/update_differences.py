"""How far two updates of one model are apart: gradients, weights, buffers, plain attributes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ..core.tree import dense
from ..training.loop.plain_loop import PlainLoop
from ..training.loop.trial import TrialRun
from ..training.measurement.module_state import same

if TYPE_CHECKING:
    from torch import Tensor


GRADIENT, WEIGHTS = "its gradient", "the weights after it"
MEASURED_LOSS = "the training loss, as it is measured,"


@dataclass(frozen=True)
class Difference:
    """How far two updates are apart, relative to the plain one's norm, and in what."""

    size: float
    what: str

    def __gt__(self, other: float) -> bool:
        return self.size > other

    def __le__(self, other: float) -> bool:
        return self.size <= other

    def __str__(self) -> str:
        return f"{self.what} differs" + ("" if math.isinf(self.size) else f" by {self.size:.1e} of its norm")


def compared(run: TrialRun, plain: PlainLoop, gradients: Sequence[Tensor | None], changed: Sequence[str]) -> Difference:
    """The largest difference in gradient, weights and buffers; ``changed``: attributes that the two left unlike."""
    found = [Difference(apart(run.weights, plain.weights), WEIGHTS)]
    if not run.takes_closure:
        found.append(Difference(apart(gradients, plain.gradient), GRADIENT))
    for mine, other in zip(run.optimizer.param_groups, plain.optimizer.param_groups, strict=True):
        wrong = [name for name, value in mine.items() if name != "params" and not same(value, other.get(name))]
        found += [Difference(math.inf, f"the optimizer's {name}") for name in wrong]
    theirs = dict(plain.model.named_buffers())
    for name, buffer in run.model.named_buffers():
        found.append(Difference(apart([buffer], [theirs[name]]), f"the buffer {name}"))
    for name in changed:
        found.append(Difference(math.inf, f"the attribute {name}"))
    return max(found, key=lambda each: each.size)


def unlike_attributes(before: Sequence[dict[str, Any]], after: Sequence[dict[str, Any]]) -> list[str]:
    """The plain attributes, numbers and texts, that an update changed in either module and left unlike in the two."""
    names = [
        name
        for name, value in after[0].items()
        if isinstance(value, (bool, int, float, str))
        and any(not same(one.get(name), other.get(name)) for one, other in zip(before, after, strict=True))
    ]
    return [name for name in names if not same(after[0][name], after[1].get(name))]


def apart(ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> float:
    """|ours - theirs| / |theirs| over all tensors; NaN and infinity in both at the same places agree."""
    square = norm = 0.0
    for one, other in zip(ours, theirs, strict=True):
        if one is None and other is None:
            continue
        a, b = (None if each is None else _numbers(each) for each in (one, other))
        if a is None or b is None:
            a, b = a if a is not None else torch.zeros_like(b), b if b is not None else torch.zeros_like(a)  # type: ignore[arg-type]
        if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
            return math.inf
        both = a.isfinite()
        square += float((a[both] - b[both]).square().sum())
        norm += float(b[both].square().sum())
    return math.sqrt(square / norm) if norm else math.sqrt(square)


def _numbers(tensor: Tensor) -> Tensor:
    """As float64, complex numbers as two."""
    values = dense(tensor.detach())
    values = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    return values.cpu().double()


def digest(value: Any) -> str:
    """SHA-256 of nested tensors and values."""
    found = hashlib.sha256()

    def add(each: Any) -> None:
        if isinstance(each, torch.Tensor):
            values = dense(each.detach())
            found.update(f"{values.dtype}{tuple(values.shape)}".encode())
            found.update(values.cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
        elif isinstance(each, dict):
            for key, inner in each.items():
                found.update(repr(key).encode())
                add(inner)
        elif isinstance(each, (list, tuple)):
            for inner in each:
                add(inner)
        else:
            found.update(repr(each).encode())

    add(value)
    return found.hexdigest()
