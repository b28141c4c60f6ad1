"""The differences between two updates of one model: gradients, weights, buffers, plain attributes."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch

from ..core.tree import to_dense
from ..training.loop.plain_loop import PlainLoop
from ..training.loop.trial import TrialRun
from ..training.measurement.module_state import same, saved_state

if TYPE_CHECKING:
    from torch import Tensor


Kept = dict[str, Any]
_ROUNDED = 1e-4
"""The largest relative difference by rounding in values that a model keeps, such as a running loss."""
GRADIENT, WEIGHTS = "its gradient", "the weights after it"
MEASURED_LOSS = "the training loss, as it is measured,"


@dataclass(frozen=True)
class Difference:
    """Hold the difference between two updates, relative to the norm of the plain one, and its subject."""

    size: float
    what: str

    def __gt__(self, other: float) -> bool:
        return self.size > other

    def __le__(self, other: float) -> bool:
        return self.size <= other

    def __str__(self) -> str:
        return f"{self.what} differs" + ("" if math.isinf(self.size) else f" by {self.size:.1e} of its norm")


def compared(
    run: TrialRun, plain: PlainLoop, gradients: Sequence[Tensor | None], changed: Sequence[str]
) -> Difference:
    """Return the largest difference in gradient, weights, buffers and the optimizer's settings.

    Args:
        run: The trial of the engine, after its update.
        plain: The plain loop, after the same update.
        gradients: The gradients of the engine's update.
        changed: Attributes that differ after it.

    Returns:
        The difference.
    """
    differences = [Difference(apart(run.weights, plain.weights), WEIGHTS)]
    if not run.takes_closure:
        differences.append(Difference(apart(gradients, plain.gradient), GRADIENT))
    for group, other in zip(run.optimizer.param_groups, plain.optimizer.param_groups, strict=True):
        wrong = [
            name for name, value in group.items() if name != "params" and not same(value, other.get(name))
        ]
        differences += [Difference(math.inf, f"the optimizer's {name}") for name in wrong]
    theirs = dict(plain.model.named_buffers())
    for name, buffer in run.model.named_buffers():
        differences.append(Difference(apart([buffer], [theirs[name]]), f"the buffer {name}"))
    for name in changed:
        differences.append(Difference(math.inf, f"the attribute {name}"))
    return max(differences, key=lambda each: each.size)


def differing_attributes(before: Sequence[Kept], after: Sequence[Kept]) -> list[str]:
    """Find attributes other than weights and buffers that differ between two loops after an update.

    Args:
        before: The values of model and loss by name, in the engine and in the plain loop.
        after: The same after the update.

    Returns:
        The names.
    """
    names = [
        name
        for name in after[0]
        if name in after[1]
        and any(not same(one.get(name), other.get(name)) for one, other in zip(before, after, strict=True))
    ]
    return [name for name in names if not _alike(after[0][name], after[1][name])]


def other_values(run: TrialRun | PlainLoop) -> Kept:
    """List the plain values that a model and its loss keep, with the buffers of the loss.

    Args:
        run: The loop with the model and the loss.

    Returns:
        Numbers, texts and tensors by name.
    """
    loss = run.workload.loss
    values: Kept = {}
    for name, module in (("", run.model), ("loss.", loss)):
        if isinstance(module, torch.nn.Module):
            values |= {f"{name}{path}": value for path, value in _leaves(saved_state(module))}
    if isinstance(loss, torch.nn.Module):
        values |= {f"loss.{path}": value.detach().clone() for path, value in loss.named_buffers()}
    return values


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield numbers, texts and tensors within nested containers, each with its path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _leaves(each, f"{path}.{key}" if path else str(key))
    elif isinstance(value, (list, tuple)):
        for number, each in enumerate(value):
            yield from _leaves(each, f"{path}[{number}]")
    elif isinstance(value, (bool, int, float, str, torch.Tensor)):
        yield path, value


def _alike(one: Any, other: Any) -> bool:
    """Test whether two values are equal up to rounding."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return apart([one], [other]) <= _ROUNDED
    if isinstance(one, float) and isinstance(other, float):
        return same(one, other) or math.isclose(one, other, rel_tol=_ROUNDED, abs_tol=_ROUNDED)
    return same(one, other)


def apart(ours: Sequence[Tensor | None], theirs: Sequence[Tensor | None]) -> float:
    """Return |ours - theirs| / |theirs| over all tensors.

    Args:
        ours: Tensors; None for a missing gradient, which counts as zeros.
        theirs: Tensors of the same number.

    Returns:
        0 if they are equal; infinity if shapes, or the positions of NaN and infinity, differ.
    """
    square = norm = 0.0
    for one, other in zip(ours, theirs, strict=True):
        if one is None and other is None:
            continue
        a = _numbers(one) if one is not None else torch.zeros_like(_numbers(cast("Tensor", other)))
        b = _numbers(other) if other is not None else torch.zeros_like(a)
        if a.shape != b.shape or not torch.equal(a.isfinite(), b.isfinite()):
            return math.inf
        both = a.isfinite()
        square += float((a[both] - b[both]).square().sum())
        norm += float(b[both].square().sum())
    return math.sqrt(square / norm) if norm else math.sqrt(square)


def _numbers(tensor: Tensor) -> Tensor:
    """Convert a tensor to float64, complex numbers to two each."""
    values = to_dense(tensor.detach())
    values = torch.view_as_real(values.resolve_conj()) if values.is_complex() else values
    return values.cpu().double()


def digest(value: Any) -> str:
    """Return the SHA-256 of nested tensors and values.

    Args:
        value: Tensors, dicts, lists, tuples, and what ``repr`` distinguishes.

    Returns:
        64 hexadecimal digits.
    """
    found = hashlib.sha256()

    def add(each: Any) -> None:
        if isinstance(each, torch.Tensor):
            values = to_dense(each.detach())
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
