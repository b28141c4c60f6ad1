"""The training, validation and test data of a workload: data of its own, or a share of the training data."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TypeGuard

import numpy as np
import torch

from ..core.hold_out import hold_out
from ..errors import WorkloadError
from ..interfaces.data import rows
from .data import PreparedData, UserData, prepare_data

Subsets = dict[str, PreparedData]
"""The prepared data by name: ``train``, and ``valid`` and ``test`` where there are such."""


def prepare_subsets(
    train: UserData,
    valid: UserData,
    test: UserData,
    *,
    without_y: bool = False,
    samples: bool = False,
    split: int = 0,
) -> Subsets:
    """Prepare the training data, and the validation and test data where there are such.

    Args:
        train: The training data, in any form of :func:`~optcompare.adapters.data.prepare_data`.
        valid: The validation data, a share of ``train`` between 0 and 1, or None.
        test: The test data, a share of ``train`` between 0 and 1, or None.
        without_y: Whether inputs without a y are enough.
        samples: Whether a list holds samples, since a collate function makes batches of it.
        split: The number of the split, where shares are held out; the same number holds out the same samples.

    Returns:
        The prepared data by name, ``train`` first.

    Raises:
        WorkloadError: Data has a form that cannot be used, or a share leaves no samples on one side.
    """
    training = prepare_data(train, "train", without_y=without_y, samples=samples)
    n, held_out = rows(training.data), Subsets()
    for name, source in (("test", test), ("valid", valid)):
        if is_share(source):
            training, held_out[name] = _split(training, float(source), name, n, split)
        elif source is not None:
            held_out[name] = prepare_data(
                source, name, training.classes, without_y=without_y, samples=samples
            )
    return {"train": training, **{name: held_out[name] for name in ("valid", "test") if name in held_out}}


def is_share(source: UserData) -> TypeGuard[float]:
    """Return whether a number replaces data: the share of the training data to hold out.

    Args:
        source: Data in any form, a share, or None.
    """
    return isinstance(source, (int, float))


def _split(
    whole: PreparedData, share: float, name: str, n: int, split: int
) -> tuple[PreparedData, PreparedData]:
    """Hold some samples out, of each class in proportion where that is possible.

    Args:
        whole: The samples that are left.
        share: The part of the ``n`` samples to hold out.
        name: ``valid`` or ``test``.
        n: The number of samples before anything was held out.
        split: The number of the split.

    Returns:
        The samples that are left, then those that are held out.

    Raises:
        WorkloadError: No samples would remain on one side.
    """
    count, left = math.ceil(share * n) if 0 < share < 1 else 0, rows(whole.data)
    if not 0 < count < left:
        raise WorkloadError(
            f"{name}={share} of {n} samples leaves none on one side; give a share between 0 and 1, such as "
            "0.2"
        )
    y = whole.data[-1] if isinstance(whole.data, tuple) else None
    codes = y if isinstance(y, torch.Tensor) and y.ndim == 1 and not y.is_floating_point() else None
    class_sizes = torch.zeros(0) if codes is None else codes.unique(return_counts=True)[1]
    stratified = (
        len(class_sizes) > 1 and int(class_sizes.min()) > 1 and min(count, left - count) >= len(class_sizes)
    )
    stratify = codes.numpy() if stratified and codes is not None else None
    parts = hold_out(left, count, split, stratify)
    stay, held_out = (whole.select(torch.from_numpy(np.sort(part))) for part in parts)
    method = "each class in proportion" if stratified else "drawn at random"
    note = f"{name}: {count} of the {n} samples are held out, {method}, the same ones whatever the seed"
    return replace(stay, notes=(*whole.notes, note)), replace(held_out, notes=())
