"""Follow the weights of a small model along its updates, as they would be measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from .engines.vmapped import flat_rows
from .program import Blueprint

if TYPE_CHECKING:
    from torch import Tensor


def followed_columns(blueprint: Blueprint) -> int:
    """Return how many columns of the carry a program returns after each update.

    The weights are enough, unless the optimizer's evaluation mode has other weights.

    Args:
        blueprint: The blueprint of the lanes.
    """
    return len(blueprint.shapes) if blueprint.optimizer.has_modes else len(blueprint.weights)


def followed_points(blueprint: Blueprint, trail: Tensor, numbers: Sequence[Tensor]) -> list[list[float]]:
    """Return the weights of one lane after each of several updates, by which it would be measured.

    Args:
        blueprint: The blueprint of the lanes.
        trail: The followed columns after each update, flat, [U, P].
        numbers: The hyperparameters of the lane, of no dimension, in the order of their names.
    """
    if blueprint.optimizer.has_modes:
        columns = trail.split([math.prod(shape) for shape in blueprint.shapes], dim=1)
        carry = [column.reshape(-1, *shape) for column, shape in zip(columns, blueprint.shapes, strict=True)]
        each_update = [number.expand(len(trail)) for number in numbers]
        trail = flat_rows(blueprint.evaluated(carry, each_update)[: len(blueprint.weights)])
    points: list[list[float]] = trail.tolist()
    return points
