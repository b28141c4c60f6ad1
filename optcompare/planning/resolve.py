"""A question in names, specs and objects becomes a :class:`~optcompare.training.contender.Setup`: pure data
with live objects.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from ..core.comparison import Arm, Budget, Comparison, LrScaling, Part
from ..core.file_paths import comma_hints, parse_list
from ..core.goal import Goal
from ..core.grammar import parse, quoted
from ..core.parameters import shortest
from ..core.schedule import canonical_schedule
from ..core.tuning import scale_lr
from ..errors import USER_CODE_ERRORS, ComparisonError, StrategyError, explain
from ..interfaces.data import rows as sample_count
from ..interfaces.diagnostic import Diagnostic
from ..interfaces.optimizer import default_lr, is_plain_sgd
from ..interfaces.strategy import Epoch, Strategy
from ..interfaces.workload import Workload
from ..registry.manager import Registry
from ..training.contender import Contender, Setup
from ..training.data import default_chunk
from ..training.shared_init import Order
from .factories import (
    DiagnosticLike,
    OptimizerChoice,
    OptimizerLike,
    StrategyLike,
    make_diagnostics,
    make_optimizer,
    make_strategy,
    make_workload,
)
from .patience import yielding
from .split_checks import tuning_notes
from .tuning_grids import plan_tuning


@dataclasses.dataclass(frozen=True)
class _Asked:
    """One contender as asked for; ``batch_size``: samples in its first update, ``reference``: one of several
    rates.
    """

    strategy: Strategy
    part: Part
    optimizer: OptimizerChoice
    batch_size: int
    reference: float | None
    typed: str


def resolve(
    registry: Registry,
    *,
    workload: str | Workload,
    strategies: Sequence[StrategyLike],
    optimizers: Sequence[OptimizerLike],
    lr: float | Sequence[float] | None,
    chunk: int | None,
    eval_chunk: int | None,
    budget: Budget | None,
    order: Order | None,
    lr_scaling: LrScaling = "none",
    schedule: str = "none",
    clip: float | None = None,
    tune: int | None = None,
    tune_range: tuple[float, float] | None = None,
    tune_seeds: int = 3,
    tune_repeats: int = 1,
    goal: str | None = None,
    baseline: str | None = None,
    control: bool = False,
    diagnostics: str | Sequence[DiagnosticLike] | DiagnosticLike = (),
    **settings: Any,
) -> tuple[Setup, list[str]]:
    """The setup, and sentences that the user should hear.

    ``settings`` are further fields of the comparison.
    """
    task, task_part = make_workload(registry, workload)
    asked, notes = _asked(registry, task, strategies, optimizers, lr)
    _refuse_tuning_of(tune, tune_range, tune_seeds, tune_repeats, lr)
    rows, eval_rows, said = _chunks(task, chunk, eval_chunk)
    notes += said
    diagnosed = make_diagnostics(registry, _flat(diagnostics))
    arms, contenders = [], {}
    rates = [_learning_rate(one, lr, lr_scaling, task) for one in asked]
    texts = [
        _optimizer_text(one, rate, tuned=tune is not None) for one, rate in zip(asked, rates, strict=True)
    ]
    schedules = [canonical_schedule(one.optimizer.of_arm.get("schedule", schedule)) for one in asked]
    clips = [one.optimizer.of_arm.get("clip", clip) for one in asked]
    if len(set(schedules)) > 1:
        texts = [_with(text, "schedule", each, "none") for text, each in zip(texts, schedules, strict=True)]
    if len(set(clips)) > 1:
        texts = [_with(text, "clip", each, None) for text, each in zip(texts, clips, strict=True)]
    for one, rate, text, scheduled, clipped in zip(asked, rates, texts, schedules, clips, strict=True):
        label = one.part.label if len(set(texts)) == 1 else f"{one.part.label}@{text}"
        scaling = "none" if one.optimizer.lr is not None else lr_scaling
        arms.append(
            Arm(
                label,
                one.part,
                one.optimizer.part,
                one.optimizer.values,
                rate,
                rows,
                scaling,
                scheduled,
                clipped,
            )
        )
        if one.strategy.plain_sgd and clipped is not None:
            raise ComparisonError(
                f"strategy {one.part.label} holds for plain sgd alone, so that arm {label} cannot be clipped"
            )
        contenders[label] = Contender(one.strategy, one.optimizer.factory)
    tuned = tuple(arms)
    _refuse_same_arms(arms, asked)
    baseline = baseline or (arms[0].label if arms else None)
    for arm, one in list(zip(arms, asked, strict=True)):
        if control and arm.label == baseline:
            arms.append(_control(arm, one.batch_size))
            contenders[arms[-1].label] = contenders[arm.label]
    comparison = Comparison(
        workload=task_part,
        arms=tuple(arms),
        budget=budget or Budget("epochs", task.epochs),
        eval_chunk=eval_rows,
        order="shuffled" if order is None else "custom",
        goal=_goal(goal or task.goal, task),
        errors=tuple(task.errors),
        baseline=baseline,
        control=arms[-1].label if len(arms) > len(asked) else None,
        diagnostics=tuple(part for _, part in diagnosed),
        **settings,
    )
    if tune is not None:
        tuning = plan_tuning(tuned, tune, tune_range, tune_seeds, tune_repeats, comparison.seeds[0])
        comparison = dataclasses.replace(comparison, tuning=tuning)
    computed = {part.label: diagnostic for diagnostic, part in diagnosed}
    notes += tuning_notes(comparison, task)
    return Setup(comparison, task, contenders, order, computed), list(dict.fromkeys([*task.notes, *notes]))


def _chunks(task: Workload, chunk: int | None, eval_chunk: int | None) -> tuple[int, int, list[str]]:
    """Rows in one forward pass, in training and in evaluation; what does not combine over parts is computed
    in one.
    """
    default = default_chunk(task.train, task.collate)
    asked = (default if chunk is None else chunk, default if eval_chunk is None else eval_chunk)
    if task.in_parts:
        return *asked, []
    whole = max(map(sample_count, task.sets.values()))
    given = [
        f"--{name} {rows}"
        for name, rows in (("chunk", chunk), ("eval-chunk", eval_chunk))
        if rows and rows < whole
    ]
    notes = [
        f"{' and '.join(given)} {'do' if len(given) > 1 else 'does'} not apply: an objective is computed on "
        "a whole batch in "
        "one pass, unless weight(batch) says how its parts combine"
    ]
    return max(asked[0], whole), max(asked[1], whole), notes if given else []


def _asked(
    registry: Registry, task: Workload, strategies: Any, optimizers: Any, lr: float | Sequence[float] | None
) -> tuple[list[_Asked], list[str]]:
    found, notes = [], []
    asked = _flat(strategies)
    for listed in (asked, _flat(optimizers)):
        _refuse_repeated(listed)
    for place, item in enumerate(asked):
        spec = parse(item, optimizers=True) if isinstance(item, str) else None
        bare = item if spec is None else dataclasses.replace(spec, optimizer=None)
        with comma_hints(asked, place):
            strategy, part = make_strategy(registry, bare, task.batch_size)
        size = getattr(strategy, "batch_size", None)
        if isinstance(size, int) and size > task.size:
            notes.append(
                f"{part.label}: a batch of {size} is more than the {task.size} training samples, so it runs "
                "as full batch"
            )
        first = _first_batch_size(strategy, part.label, task.size)
        choices = [spec.optimizer] if spec is not None and spec.optimizer else _flat(optimizers)
        for position, choice in enumerate(choices):
            with comma_hints(choices, position):
                optimizer = make_optimizer(registry, choice)
            if strategy.plain_sgd and not is_plain_sgd(optimizer.factory, optimizer.values):
                raise ComparisonError(
                    f"strategy {part.label} holds for plain sgd alone, not for {optimizer.part.label}; give "
                    "it an optimizer "
                    f"of its own, {part.label}@sgd"
                )
            each = lr if isinstance(lr, list | tuple) and optimizer.lr is None else [None]
            own = spec is not None and spec.optimizer is not None
            typed = str(item) if own or len(choices) == 1 else f"{item}@{choice}"
            found += [_Asked(strategy, part, optimizer, first, rate, typed) for rate in each]
    return found, notes


def _refuse_repeated(listed: Sequence[Any]) -> None:
    """Raise where the same text stands twice in a list of strategies or optimizers."""
    for place, item in enumerate(listed):
        if isinstance(item, str) and item in listed[:place]:
            raise ComparisonError(f"{item} is listed twice; leave one out or change a setting")


def _refuse_same_arms(arms: Sequence[Arm], asked: Sequence[_Asked]) -> None:
    """Raise where two arms train the same, by the names that were typed."""
    seen: dict[str, str] = {}
    for arm, one in zip(arms, asked, strict=True):
        if arm.content is not None and (first := seen.setdefault(arm.content, one.typed)) is not one.typed:
            both = (
                f"{first} and {one.typed} are the same arm, {arm.label}"
                if first != one.typed
                else f"{first} is listed twice"
            )
            raise ComparisonError(f"{both}; leave one out or change a setting")


def _first_batch_size(strategy: Strategy, name: str, n: int) -> int:
    """Samples in the first update, from a copy of the strategy on an order of its own."""
    try:
        mine = copy.deepcopy(strategy)
        with yielding(name):
            return len(next(iter(mine.batches(Epoch(0, torch.arange(n), 0, mine)))))
    except (TypeError, StopIteration):
        return 1  # whatever it yielded, the rehearsal says what is wrong with it
    except StrategyError:
        raise
    except USER_CODE_ERRORS as error:
        raise StrategyError(f"strategy {name}, epoch 0: {explain(error)}") from error


def _control(baseline: Arm, batch_size: int) -> Arm:
    """The baseline again with its gradients accumulated in other pieces: the same mathematics, other
    rounding.
    """
    rows = min(batch_size, baseline.chunk)
    if rows < 2:
        raise ComparisonError(
            f"--control accumulates the baseline's gradients in other pieces, and {baseline.label} updates "
            "on single "
            "samples; choose another with --baseline"
        )
    return dataclasses.replace(baseline, label=f"{baseline.label} (control)", chunk=math.ceil(rows / 2))


def _goal(text: str | None, task: Workload) -> str | None:
    if text is None:
        return None
    goal = Goal.parse(text, task.errors)
    goal.check([f"{part}_{name}" for part in task.sets for name in ("loss", *task.metrics)])
    return str(goal)


def objects_of(comparison: Comparison) -> str:
    """What of a saved comparison existed only as an object, which no file can bring back; empty if nothing
    did.
    """
    parts = [
        comparison.workload,
        *comparison.diagnostics,
        *(part for arm in comparison.arms for part in (arm.strategy, arm.optimizer)),
    ]
    missing = [part.label for part in parts if part.reference is None]
    missing += ["the order of samples"] if comparison.order == "custom" else []
    return ", ".join(dict.fromkeys(missing))


def restore(registry: Registry, comparison: Comparison) -> tuple[Setup, list[str]]:
    """The setup of a saved comparison; raises where it held objects that only the caller has."""
    what = objects_of(comparison)
    if what:
        raise ComparisonError(
            f"{what} existed only as an object in the session that ran it; run it there again with compare()"
        )
    workload, _ = make_workload(registry, str(comparison.workload.reference))
    contenders = {
        arm.label: Contender(
            make_strategy(registry, str(arm.strategy.reference), None)[0],
            make_optimizer(registry, str(arm.optimizer.reference)).factory,
        )
        for arm in comparison.arms
    }
    diagnosed = make_diagnostics(registry, [str(part.reference) for part in comparison.diagnostics])
    computed = {part.label: diagnostic for diagnostic, part in diagnosed}
    return Setup(comparison, workload, contenders, diagnostics=computed), list(workload.notes)


def _learning_rate(one: _Asked, lr: Any, rule: LrScaling, task: Workload) -> float:
    optimizer = one.optimizer
    if optimizer.lr is not None:
        return _number(optimizer.lr)
    given = one.reference if isinstance(lr, list | tuple) else lr
    for rate in (given, task.lr_for(optimizer.name), default_lr(optimizer.factory)):
        if rate is not None:
            return scale_lr(_number(rate), rule, one.batch_size, task.batch_size)
    raise ComparisonError(
        f"optimizer {optimizer.name} has no default learning rate; give one with --lr or "
        f"{optimizer.name}:lr=…"
    )


def _optimizer_text(one: _Asked, rate: float, *, tuned: bool) -> str:
    """The optimizer in a label, with the rate where it was asked for by name and tuning will not replace
    it.
    """
    named = one.reference is not None or one.optimizer.lr is not None
    return one.optimizer.part.label + (f":lr={shortest(rate)}" if named and not tuned else "")


def _with(optimizer: str, name: str, value: Any, usual: Any) -> str:
    """The optimizer in a label, with what sets its arm apart."""
    return (
        optimizer
        if value == usual
        else f"{optimizer}:{name}={shortest(value) if name == 'clip' else quoted(value)}"
    )


def _refuse_tuning_of(count: int | None, limits: Any, seeds: int, repeats: int, lr: Any) -> None:
    if count is None and (limits is not None or seeds != 3 or repeats != 1):
        raise ComparisonError(
            "--tune-range, --tune-seeds and --tune-repeats say how to tune; give --tune N too"
        )
    if count is not None and isinstance(lr, list | tuple):
        raise ComparisonError(
            "--tune searches the learning rate itself; give one --lr as its reference, not several"
        )


def _number(rate: Any) -> float:
    if not isinstance(rate, (int, float)):
        raise ComparisonError(f"the learning rate must be a number, got {rate!r}")
    return float(rate)


def _flat(items: Any) -> list[Any]:
    """A list given as one text, one object or a sequence of both, as single items."""
    if isinstance(items, str):
        return [str(spec) for spec in parse_list(items, optimizers=True)]
    if isinstance(items, Strategy | Diagnostic) or callable(items) or not isinstance(items, Iterable):
        return [items]
    return [single for item in items for single in (_flat(item) if isinstance(item, str) else [item])]
