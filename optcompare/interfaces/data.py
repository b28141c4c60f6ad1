"""The data of a workload, tensors of N rows each or a map-style ``Dataset``, and checks of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from typing import Any, cast

from ..errors import WorkloadError


def is_tensors(data: Any) -> bool:
    """Return whether these are tensors of N rows each, rather than a ``Dataset``."""
    return isinstance(data, (tuple, Mapping))


def rows(data: Any) -> int:
    """Return the number of samples."""
    from ..core.tree import len_batch

    return len_batch(data) if is_tensors(data) else len(cast(Sized, data))


def check_data(workload: str, name: str, data: Any, alone: bool) -> None:
    """Check that one set of a workload can be trained on or measured.

    Args:
        workload: The name of the workload, for messages.
        name: ``train``, ``valid`` or ``test``.
        data: The set.
        alone: Whether inputs without a y are allowed, since the workload has its own ``forward`` or
            ``objective``.

    Raises:
        WorkloadError: The set is not usable.
    """
    from ..core.tree import tensors

    if is_tensors(data):
        fewest = 1 if alone or isinstance(data, Mapping) else 2
        named = dict(data) if isinstance(data, Mapping) else dict(enumerate(data))
        odd = [part for part in named.values() if not _holds_tensors(part)]
        if odd or len(named) < fewest:
            kinds = ", ".join(type(part).__name__ for part in named.values())
            got = f"({kinds})" if isinstance(data, tuple) else f"a mapping of {kinds or 'nothing'}"
            raise WorkloadError(
                f"workload {workload}: {name} must be a tuple of tensors (x, y) or a mapping of tensors, "
                f"got {got}"
            )
        lengths = [len(part) if part.ndim else 0 for part in tensors(data)]
        if len(set(lengths)) > 1 or lengths[0] == 0:
            raise WorkloadError(
                f"workload {workload}: {name} needs tensors of one length of at least 1, got {lengths}"
            )
    else:
        _check_dataset(workload, name, data)


def _check_dataset(workload: str, name: str, data: Any) -> None:
    import torch

    kind = type(data).__name__
    if isinstance(data, torch.utils.data.IterableDataset):
        raise WorkloadError(
            f"workload {workload}: {name} is a {kind}, an IterableDataset, which decides its own order; "
            "give a map-style Dataset (__len__ and __getitem__), so that every arm sees the same order"
        )
    if isinstance(data, torch.Tensor) or not hasattr(data, "__getitem__"):
        raise WorkloadError(
            f"workload {workload}: {name} is a {kind}; give a tuple of tensors or a map-style Dataset"
        )
    refuse_empty(f"workload {workload}: {name}", data)


def refuse_empty(name: str, data: Any) -> None:
    """Refuse a Dataset without a length, or without samples.

    Args:
        name: The name of the set, for messages.
        data: The Dataset.

    Raises:
        WorkloadError: It has no length, or no samples.
    """
    kind = type(data).__name__
    try:
        samples = len(data)
    except (TypeError, NotImplementedError) as error:
        raise WorkloadError(
            f"{name} is a {kind} without a length; define __len__, since an epoch is every sample once"
        ) from error
    if samples == 0:
        raise WorkloadError(f"{name} holds no samples; its {kind} has length 0")


def _holds_tensors(part: Any) -> bool:
    import torch

    if isinstance(part, torch.Tensor):
        return True
    parts: Sequence[Any] = (
        list(part.values()) if isinstance(part, Mapping) else part if type(part) is tuple else []
    )
    return bool(parts) and all(map(_holds_tensors, parts))
