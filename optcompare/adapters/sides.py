"""What is trained on, what is held out for validation, and the test set: each given, or a share of the
first.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..errors import WorkloadError
from ..interfaces.data import rows
from .data import Given, given

Sides = dict[str, Given]


def sides_of(
    train: Any, valid: Any, test: Any, *, alone: bool = False, samples: bool = False, number: int = 0
) -> Sides:
    """Return the data of train, and of valid and test where there are such.

    Args:
        train: As the user has it.
        valid: As the user has it, or a share of train.
        test: As valid.
        alone: Whether inputs without a y are enough.
        samples: Whether a list is one of samples, since there is a function that makes a batch of them.
        number: Of the split, where shares are held out; the same samples at every call.
    """
    training = given(train, "train", alone=alone, samples=samples)
    n, held_out = rows(training.data), Sides()
    for name, side in (("test", test), ("valid", valid)):
        if is_share(side):
            training, held_out[name] = _split(training, float(side), name, n, number)
        elif side is not None:
            held_out[name] = given(side, name, training.classes, alone=alone, samples=samples)
    return {"train": training, **{name: held_out[name] for name in ("valid", "test") if name in held_out}}


def is_share(side: Any) -> bool:
    """Whether a side is given as a share of train."""
    return isinstance(side, (int, float))


def _split(whole: Given, share: float, name: str, n: int, number: int) -> tuple[Given, Given]:
    """What is trained on and what is held out, of classes each in proportion where that can be.

    Args:
        whole: Of which some is held out.
        share: Of the ``n`` samples that there were before anything was held out.
        name: valid or test.
        n: All samples.
        number: Of the split.

    Raises:
        WorkloadError: Nothing is left on one side.
    """
    from sklearn.model_selection import train_test_split

    count, left = math.ceil(share * n) if 0 < share < 1 else 0, rows(whole.data)
    if not 0 < count < left:
        raise WorkloadError(
            f"{name}={share} of {n} samples leaves none on one side; give a share between 0 and 1, such as "
            "0.2"
        )
    y = (
        whole.data[-1]
        if isinstance(whole.data, tuple) and isinstance(whole.data[-1], torch.Tensor)
        else torch.zeros(0)
    )
    kinds = y.unique(return_counts=True)[1] if y.ndim == 1 and not y.is_floating_point() else torch.zeros(0)
    alike = len(kinds) > 1 and int(kinds.min()) > 1 and min(count, left - count) >= len(kinds)
    stratify = y.numpy() if alike else None
    parts = train_test_split(np.arange(left), test_size=count, random_state=number, stratify=stratify)
    stay, held_out = (whole.part(torch.from_numpy(np.sort(part))) for part in parts)
    how = "each class in proportion" if alike else "drawn at random"
    note = f"{name}: {count} of the {n} samples are held out, {how}, the same ones whatever the seed"
    return replace(stay, notes=(*whole.notes, note)), replace(held_out, notes=())
