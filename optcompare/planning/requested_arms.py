"""Resolve the arms of a question: each strategy with each optimizer, and the settings of each arm."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from ..core.choices import LR_SCALINGS, LrScaling
from ..core.comparison import Arm, Part
from ..core.file_paths import comma_hints
from ..core.grammar import parse, quoted
from ..core.parameters import shortest
from ..core.schedule import canonical_schedule
from ..core.tuning import scale_lr
from ..errors import USER_CODE_ERRORS, ComparisonError, StrategyError, explain
from ..interfaces.optimizer import default_lr, is_plain_sgd
from ..interfaces.strategy import Epoch, Strategy
from ..interfaces.workload import Workload
from ..registry.manager import Registry
from ..training.setup import ArmObjects
from .factories import make_strategy, single_items
from .optimizer_factory import OptimizerChoice, make_optimizer
from .patience import yielding
from .question import Question


@dataclasses.dataclass(frozen=True)
class StrategyChoice:
    """Hold a requested strategy.

    Args:
        strategy: The strategy object.
        part: The strategy as pure data: its label and its spec.
        first_batch: The number of samples in its first update.
    """

    strategy: Strategy
    part: Part
    first_batch: int


@dataclasses.dataclass(frozen=True)
class RequestedArm:
    """Hold one requested arm, with its settings resolved but without its label.

    Args:
        text: The text that the user typed for it, for error messages.
        strategy: The strategy of the arm.
        optimizer: The optimizer of the arm, and the settings from its spec.
        lr: The learning rate, scaled to the batch size.
        names_lr: Whether the rate is the arm's own: from its spec, or one of several requested rates.
        lr_scaling: How the rate was scaled.
        schedule: How the rate changes, in its canonical form.
        clip: The norm to which larger gradients are scaled down; None: gradients are not clipped.
    """

    text: str
    strategy: StrategyChoice
    optimizer: OptimizerChoice
    lr: float
    names_lr: bool
    lr_scaling: LrScaling
    schedule: str
    clip: float | None

    @property
    def objects(self) -> ArmObjects:
        """Return the strategy and the optimizer factory of the arm."""
        return ArmObjects(self.strategy.strategy, self.optimizer.factory)

    def optimizer_label(self, *, lr: bool, schedule: bool, clip: bool) -> str:
        """Return the optimizer's part of the arm's label.

        Args:
            lr: Whether to show a rate that was set for the arm.
            schedule: Whether to show a schedule other than "none".
            clip: Whether to show the norm to which gradients are clipped.

        Returns:
            A spec, as in ``sgd:lr=0.1:schedule=cosine``.
        """
        label = self.optimizer.part.label
        if lr and self.names_lr:
            label += f":lr={shortest(self.lr)}"
        if schedule and self.schedule != "none":
            label += f":schedule={quoted(self.schedule)}"
        if clip and self.clip is not None:
            label += f":clip={shortest(self.clip)}"
        return label

    def arm(self, label: str, chunk: int) -> Arm:
        """Return the arm as pure data.

        Args:
            label: The label of the arm, unique in the comparison.
            chunk: The number of rows in one forward pass.

        Returns:
            The arm with this label.

        Raises:
            ComparisonError: A setting is not in its range, or gradients are to be clipped under a strategy
                that is only correct for plain SGD.
        """
        part = self.strategy.part
        if self.strategy.strategy.plain_sgd and self.clip is not None:
            raise ComparisonError(
                f"strategy {part.label} is correct for plain sgd only, so that arm {label} cannot be clipped"
            )
        return Arm(
            label=label,
            strategy=part,
            optimizer=self.optimizer.part,
            hyperparameters=self.optimizer.values,
            lr=self.lr,
            chunk=chunk,
            lr_scaling=self.lr_scaling,
            schedule=self.schedule,
            clip=self.clip,
        )

    def control(self, baseline: Arm) -> Arm:
        """Return the rounding control of this arm: gradients accumulated in smaller chunks.

        The mathematics are the same, the rounding is not.

        Args:
            baseline: This arm as pure data.

        Returns:
            The control, labelled ``BASELINE (control)``.

        Raises:
            ComparisonError: The arm updates on single samples.
        """
        rows = min(self.strategy.first_batch, baseline.chunk)
        if rows < 2:
            raise ComparisonError(
                "--control accumulates the baseline's gradients in smaller chunks, and "
                f"{baseline.label} updates on single samples; choose another baseline with --baseline"
            )
        return dataclasses.replace(baseline, label=f"{baseline.label} (control)", chunk=math.ceil(rows / 2))


def requested_arms(
    registry: Registry, question: Question, workload: Workload
) -> tuple[list[RequestedArm], list[str]]:
    """Resolve the arms of a question: each strategy with its own optimizer, or else with every optimizer.

    Args:
        registry: The registry in which names are looked up.
        question: The question.
        workload: The workload of the question.

    Returns:
        The arms in their order, and notes for the user.

    Raises:
        OptcompareError: A name is unknown, a value does not fit, or settings do not combine.
    """
    if question.lr_scaling not in LR_SCALINGS:
        known = ", ".join(LR_SCALINGS)
        raise ComparisonError(f"--lr-scaling must be one of {known}, got {question.lr_scaling!r}")
    strategies, optimizers = single_items(question.strategies), single_items(question.optimizers)
    for listed in (strategies, optimizers):
        _refuse_repeated(listed)
    arms, notes = list[RequestedArm](), list[str]()
    for position, item in enumerate(strategies):
        spec = parse(item, optimizers=True) if isinstance(item, str) else None
        own = None if spec is None else spec.optimizer
        with comma_hints(strategies, position):
            bare = item if spec is None else dataclasses.replace(spec, optimizer=None)
            strategy, part = make_strategy(registry, bare, workload.batch_size)
        notes += _size_notes(strategy, part.label, workload.size)
        choice = StrategyChoice(strategy, part, _first_batch_size(strategy, part.label, workload.size))
        crossed = [own] if own else optimizers
        for position, named in enumerate(crossed):
            with comma_hints(crossed, position):
                optimizer = make_optimizer(registry, named)
            _refuse_other_than_plain_sgd(choice, optimizer)
            text = str(item) if own or len(crossed) == 1 else f"{item}@{named}"
            arms += _at_each_rate(question, workload, text, choice, optimizer)
    return arms, notes


def refuse_same_arms(arms: Sequence[Arm], requested: Sequence[RequestedArm]) -> None:
    """Refuse two arms with the same settings; the message quotes the texts that the user typed.

    Args:
        arms: The arms as pure data.
        requested: The same arms, in the same order, as requested.

    Raises:
        ComparisonError: Two arms have the same settings.
    """
    first_of: dict[str, RequestedArm] = {}
    for arm, one in zip(arms, requested, strict=True):
        first = one if arm.content is None else first_of.setdefault(arm.content, one)
        if first is not one:
            both = (
                f"{first.text} is listed twice"
                if first.text == one.text
                else f"{first.text} and {one.text} are the same arm, {arm.label}"
            )
            raise ComparisonError(f"{both}; leave one out or change a setting")


def _at_each_rate(
    question: Question, workload: Workload, text: str, strategy: StrategyChoice, optimizer: OptimizerChoice
) -> Iterator[RequestedArm]:
    """Yield the arm once for each requested learning rate, or once if its spec sets the rate."""
    several = question.rates()
    listed: Sequence[float | None] = (None,)
    if several is not None and optimizer.lr is None:
        listed = several
    for rate in listed:
        lr = question.lr if several is None else rate
        yield RequestedArm(
            text=text,
            strategy=strategy,
            optimizer=optimizer,
            lr=_learning_rate(question, workload, strategy, optimizer, lr),
            names_lr=rate is not None or optimizer.lr is not None,
            lr_scaling="none" if optimizer.lr is not None else question.lr_scaling,
            schedule=canonical_schedule(optimizer.of_arm.get("schedule", question.schedule)),
            clip=optimizer.of_arm.get("clip", question.clip),
        )


def _learning_rate(
    question: Question, workload: Workload, strategy: StrategyChoice, optimizer: OptimizerChoice, lr: Any
) -> float:
    """Return the rate of the spec; else ``lr``, the workload's rate or the optimizer's default, scaled."""
    if optimizer.lr is not None:
        return _number(optimizer.lr)
    for rate in (lr, workload.lr_for(optimizer.name), default_lr(optimizer.factory)):
        if rate is not None:
            return scale_lr(_number(rate), question.lr_scaling, strategy.first_batch, workload.batch_size)
    raise ComparisonError(
        f"optimizer {optimizer.name} has no default learning rate; give one with --lr or "
        f"{optimizer.name}:lr=…"
    )


def _number(rate: Any) -> float:
    if not isinstance(rate, (int, float)):
        raise ComparisonError(f"the learning rate must be a number, got {rate!r}")
    return float(rate)


def _size_notes(strategy: Strategy, label: str, n: int) -> list[str]:
    """Return a note if the batch size is larger than the training set."""
    size = getattr(strategy, "batch_size", None)
    if not isinstance(size, int) or size <= n:
        return []
    samples = f"{n} training sample{'s' * (n != 1)}"
    return [f"{label}: a batch of {size} is more than the {samples}, so it runs as full batch"]


def _first_batch_size(strategy: Strategy, label: str, n: int) -> int:
    """Return the number of samples in the first update, drawn from a copy of the strategy."""
    try:
        own = copy.deepcopy(strategy)
        with yielding(label):
            return len(next(iter(own.batches(Epoch(0, torch.arange(n), 0, own)))))
    except (TypeError, StopIteration):
        return 1  # the dry run reports what is wrong with the batch
    except StrategyError:
        raise
    except USER_CODE_ERRORS as error:
        raise StrategyError(f"strategy {label}, epoch 0: {explain(error)}") from error


def _refuse_repeated(listed: Sequence[Any]) -> None:
    """Refuse a list of strategies or optimizers that contains the same text twice."""
    for position, item in enumerate(listed):
        if isinstance(item, str) and item in listed[:position]:
            raise ComparisonError(f"{item} is listed twice; leave one out or change a setting")


def _refuse_other_than_plain_sgd(choice: StrategyChoice, optimizer: OptimizerChoice) -> None:
    """Refuse an optimizer for which the strategy is not correct."""
    if choice.strategy.plain_sgd and not is_plain_sgd(optimizer.factory, optimizer.values):
        label = choice.part.label
        raise ComparisonError(
            f"strategy {label} is correct for plain sgd only, not for {optimizer.part.label}; give it an "
            f"optimizer of its own, {label}@sgd"
        )
