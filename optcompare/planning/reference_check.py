"""Check that trials equal those of a plain loop, by the first updates of every arm."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Any

import torch

from ..analysis.certificate import Reference
from ..core.comparison import Arm, Trial
from ..errors import USER_CODE_ERRORS, ComparisonError, OptcompareError, explain
from ..training.loop.trainer import LoopTrainer
from .between_updates import changed_by_measuring, refuse_other_end, unsaved_values
from .estimates import Estimate
from .first_updates import FirstUpdates
from .loss_checks import changed_by_reading
from .unsaved_state import SHARED
from .update_differences import GRADIENT, MEASURED_LOSS, WEIGHTS, Difference

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
"""|engine - plain| / |plain| of a gradient, above which the update is repeated in float64."""
_REAL = 1e-6
"""The same in float64, above which it is no rounding: parts of published models compute in float32 whatever
their dtype.
"""
_SHARE, _SECONDS, _NAMED = 0.05, 1.0, 3


def check_reference(trainer: LoopTrainer, estimates: Sequence[Estimate]) -> Reference:
    """Compare the first updates of each arm with those of a plain loop.

    The first update, on the largest batch that the arm will use, is always made: its gradient, computed by
    the engine in its chunks, must be that of one pass over the whole batch, and buffers and plain attributes
    must end alike. Then, within 5% of the expected training or a second, two more, each from where the plain
    loop is; and once more all of them, with measurements and a checkpoint in between, which must end in the
    same bits. Arms that differ only in their rates share a check.

    Args:
        trainer: The loop trainer of the comparison.
        estimates: The estimates of its arms.

    Returns:
        What was checked. ``uncut`` names what trials keep where no checkpoint finds it: those trials are
        trained without interruption, or begin again.

    Raises:
        ComparisonError: An arm would not be trained as by a plain loop, and why.
    """
    comparison, began = trainer.setup.comparison, perf_counter()
    whole = sum(estimate.seconds for estimate in estimates) * len(comparison.seeds)
    bare = dataclasses.replace(comparison, diagnostics=(), autocast=None, masks="generator")
    plain = trainer.for_comparison(bare)
    found, checks, unsaved = (
        Reference(remarks=_of_datasets(trainer)),
        dict[Any, _ArmCheck](),
        dict[Any, list[str]](),
    )
    for arm in comparison.arms:
        key = _kind(arm, plain)
        if key not in checks:
            checks[key] = _ArmCheck(plain, Trial(arm, comparison.seeds[0]), found)
            checks[key].first_update()
            of_optimizer = key[1:3]  # the same for every strategy
            if of_optimizer not in unsaved:
                unsaved[of_optimizer] = checks[key].look_for_state()
            checks[key].unsaved = unsaved[of_optimizer]
        found.updates[arm.label] = 1
        if checks[key].unsaved:
            found.uncut[arm.label] = checks[key].unsaved
    for key, check in checks.items():
        if perf_counter() - began > max(_SECONDS, _SHARE * whole):
            break
        made = check.further_updates()
        found.updates.update({arm.label: made for arm in comparison.arms if _kind(arm, plain) == key})
    return found


def _of_datasets(trainer: LoopTrainer) -> list[str]:
    """Remark on Datasets that change when they are read, which measuring does too."""
    changed = {name: changed_by_reading(source) for name, source in trainer.sources.items()}
    return [
        f"the Dataset of {name} changes {_listed(names)} when a sample is read, and measuring reads samples "
        "too"
        for name, names in changed.items()
        if names
    ]


def uncut_notes(reference: Reference) -> list[str]:
    """Note arms whose trials keep values that no checkpoint holds.

    Args:
        reference: The updates that were checked.

    Returns:
        A sentence for each set of arms that keep the same values.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for label, names in reference.uncut.items():
        found.setdefault(tuple(names), []).append(label)
    common = " and all trials have in common, so that one may depend on those before it"
    return [
        f"{', '.join(labels)}: training changes {_listed(names)}, which no checkpoint "
        f"holds{common if any(name.startswith(SHARED) for name in names) else ''}; when the run is resumed, "
        "a trial that was under way begins again"
        for names, labels in found.items()
    ]


def _listed(names: Sequence[str]) -> str:
    """Join a few names, and count the others."""
    more = f" and {len(names) - _NAMED} more values" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _kind(arm: Arm, trainer: LoopTrainer) -> Any:
    """Return a key that is equal for arms that differ only in their learning rates."""
    strategy = arm.strategy.reference or id(trainer.setup.arm_objects[arm.label].strategy)
    optimizer = arm.optimizer.reference or id(trainer.setup.arm_objects[arm.label].optimizer)
    others = {name: value for name, value in arm.hyperparameters.items() if name != "lr"}
    return strategy, str(optimizer).partition(":")[0], repr(sorted(others.items())), arm.chunk, arm.clip


class _ArmCheck:
    """Check one arm on the first seed.

    ``unsaved`` names what its trials keep where no checkpoint finds it.
    """

    def __init__(self, trainer: LoopTrainer, trial: Trial, found: Reference) -> None:
        self._trainer, self._trial, self._found = trainer, trial, found
        self._tolerance = TOLERANCES[trainer.setup.comparison.dtype]
        self._updates = FirstUpdates(trainer, trial, self._say)
        self.unsaved: list[str] = []

    def first_update(self) -> None:
        """Check that the engine's first gradient is the plain loop's; raise an error that names the cause."""
        updates = self._updates
        try:
            difference = updates.first()
        except (MemoryError, torch.OutOfMemoryError):
            updates.keep_rows(self._trial.arm.chunk)
            difference = updates.first()
        if not self._agrees(difference, updates):
            raise ComparisonError(f"arm {self._trial.arm.label}: {self._why(difference)}")

    def look_for_state(self) -> list[str]:
        """Find what its trials keep where no checkpoint finds it; remark on what measuring changes."""
        with _one_line(self._trial.arm.label):
            if changed := changed_by_measuring(self._trainer, self._trial):
                self._say(f"measuring changes {_listed(changed)} too, so that training must not depend on it")
            return unsaved_values(self._trainer, self._trial, self._updates.batches)

    def _agrees(self, difference: Difference, updates: FirstUpdates) -> bool:
        """Test a difference against the tolerance; remark on one that all but disappears in float64."""
        if difference <= self._tolerance:
            return True
        try:
            exact = updates.exactly().first()
        except USER_CODE_ERRORS:
            return False
        if not _rounds(difference, exact):
            return False
        self._say(
            f"{self._trial.arm.label} differs from one pass by rounding, {difference.size:.0e} of the "
            "gradient's norm"
        )
        return True

    def _why(self, difference: Difference) -> str:
        """Find the cause by leaving out the chunks, and by a second pass over the same rows."""
        chunk, size, measured = (
            self._trial.arm.chunk,
            self._updates.size,
            self._trainer.setup.comparison.eval_chunk,
        )
        divided = (
            "where the loss divides by another number than that of rows, as for masks or padding, say it "
            "with weight(batch)"
        )
        if difference.what == MEASURED_LOSS and self._trainer.setup.workload.size > measured:
            return (
                f"{difference}: measured in passes of {measured} rows, it is not that of one pass; "
                f"{divided}, else give --eval-chunk {self._trainer.setup.workload.size} or more"
            )
        alone = self._updates.in_one_pass()
        if size <= chunk or not self._agrees(alone.first(), alone):
            return (
                "its first update is not that of a plain loop with model() under the same seed, since "
                f"{difference}; the model, the loss or the optimizer depends on something that is made "
                "elsewhere"
            )
        cause = "what the model or the loss makes of a row depends on the others"
        advice = f"give --chunk {size} or more"
        if self._updates.passes_change_the_model(self._tolerance):
            cause = "each forward pass changes what the model makes of the next"
        elif difference.what in (GRADIENT, WEIGHTS):
            advice = f"{divided}, else {advice}"
        return (
            f"a batch of {size} rows would be computed in chunks of {chunk}, and {difference}: {cause}; "
            f"{advice}"
        )

    def further_updates(self) -> int:
        """Check updates 2 and 3, then all of them with measurements and a checkpoint in between.

        Each begins from the state of the plain loop; where no checkpoint holds all of a trial, both loops
        continue from their own.
        """
        with _one_line(self._trial.arm.label):
            self._compare_later(restarted=not self.unsaved)
            refuse_other_end(
                self._trainer, self._trial, self._updates.batches, cut=not self.unsaved, say=self._say
            )
        return len(self._updates.batches)

    def _compare_later(self, *, restarted: bool) -> None:
        """Check the updates after the first."""

        def worst(updates: FirstUpdates) -> Difference:
            return max(
                updates.later(restarted=restarted), key=lambda each: each.size, default=Difference(0.0, "")
            )

        difference = worst(self._updates)
        if difference <= self._tolerance:
            return
        with suppress(Exception):  # other operations of the model may not support float64
            if _rounds(difference, worst(self._updates.exactly())):
                return
        label, alone = self._trial.arm.label, self._updates.in_one_pass()
        if self._updates.size > self._trial.arm.chunk and worst(alone) <= self._tolerance:
            raise ComparisonError(f"arm {label}: {self._why(difference)}")
        kept = (
            "; the optimizer or the model keeps something that is neither in state_dict() nor a plain "
            "attribute"
        )
        raise ComparisonError(
            f"arm {label}: an update after its first is not that of a plain loop from the same state, since "
            f"{difference}{kept if restarted else ''}"
        )

    def _say(self, remark: str) -> None:
        if remark not in self._found.remarks:
            self._found.remarks.append(remark)


@contextmanager
def _one_line(label: str) -> Iterator[None]:
    """Turn failures of restoring a trial from a state into errors of one line."""
    try:
        yield
    except OptcompareError:
        raise
    except USER_CODE_ERRORS as error:
        if "state_dict" not in str(error):
            raise ComparisonError(f"arm {label}: one of its first updates fails: {explain(error)}") from error
        raise ComparisonError(
            f"arm {label}: a trial cannot continue from a checkpoint: {explain(error)}; what forward() "
            "makes, make in __init__"
        ) from error


def _rounds(difference: Difference, exact: Difference) -> bool:
    """Test whether a difference is rounding, since it all but disappears in float64."""
    return exact <= _REAL or exact.size < difference.size / 1e3
