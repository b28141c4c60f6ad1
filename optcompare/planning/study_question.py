"""The question of a batch-size study: an arm for each batch size, with trials that stop at a goal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..core.bounds import check_count
from ..core.budget import Budget
from ..errors import ComparisonError
from ..registry.manager import Registry
from .factories import make_workload
from .question import STUDY, Question

EXAMPLE_GOAL = "train_loss=0.3"
"""The goal of the default workload, which has none itself."""
MEASUREMENTS = 16
"""Measurements an epoch; with one, trials could end only at the ends of epochs."""
RATES = STUDY.tune
"""The learning rates that each batch size tries by default."""


def study_question(
    registry: Registry, question: Question, batch_sizes: Sequence[int] | None, max_epochs: int
) -> Question:
    """Return the question of a batch-size study.

    Args:
        registry: The registry in which the workload is looked up.
        question: The question of the user, with workload, goal, optimizers, tuning and seeds.
        batch_sizes: Samples in an update; None: powers of two up to the training samples.
        max_epochs: Epochs after which a trial ends that has not reached the goal.

    Returns:
        The question, with a strategy for each batch size, and trials that stop at the goal.

    Raises:
        OptcompareError: There is no goal, a batch size or ``max_epochs`` cannot be, or there are too few
            learning rates.
    """
    workload, part = make_workload(registry, question.workload)
    goal = question.goal or workload.goal or (EXAMPLE_GOAL if part.reference == STUDY.workload else None)
    if goal is None:
        raise ComparisonError(
            "a batch-size study counts what it takes to a goal; give one, such as --goal train_loss=0.3"
        )
    sizes = rising(batch_sizes, workload.size, part.label)
    if question.tune is None or question.tune < 2:
        raise ComparisonError(
            f"tuning needs at least 2 learning rates, got --tune {question.tune}; give --tune {RATES}"
        )
    check_count("--max-epochs", max_epochs)
    return dataclasses.replace(
        question,
        strategies=[f"mini:{size}" for size in sizes],
        lr_scaling="none" if workload.batch_size is None else "sqrt",
        goal=goal,
        stop_at_goal=True,
        measure=MEASUREMENTS,
        budget=Budget("epochs", max_epochs),
    )


def rising(sizes: Sequence[int] | None, n: int, workload: str) -> list[int]:
    """Return the batch sizes of a study in rising order.

    Args:
        sizes: The sizes that the user typed; None: powers of two up to ``n``.
        n: Training samples of the workload.
        workload: The label of the workload, for error messages.

    Returns:
        The sizes, each once.

    Raises:
        ComparisonError: One is no whole number from 1 to ``n``.
    """
    if sizes is None:
        return [2**power for power in range(n.bit_length())]
    wrong = [size for size in sizes if not (isinstance(size, int) and size >= 1)]
    if wrong or not sizes:
        raise ComparisonError(
            f"batch sizes are whole numbers from 1 on, got {', '.join(map(repr, wrong)) or 'none'}"
        )
    large = [size for size in sizes if size > n]
    if large:
        raise ComparisonError(
            f"--batch-sizes: {', '.join(map(str, large))} is more than the {n} training "
            f"sample{'s' * (n != 1)} of {workload}; the largest batch is {n}"
        )
    return sorted(dict.fromkeys(sizes))
