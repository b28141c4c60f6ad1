"""Check that measurements and checkpoints between updates do not change the training."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..core.comparison import Trial
from ..core.rng import preserved_rng
from ..errors import USER_CODE_ERRORS, ComparisonError
from ..interfaces.workload import Workload
from ..training.loop.trainer import LoopTrainer
from ..training.loop.trial import TrialRun
from ..training.state import TrialState
from .first_updates import FirstRows
from .unsaved_state import WORKLOADS, changed_unseen, values_within
from .update_differences import digest

if TYPE_CHECKING:
    from torch import Tensor

_MEASURED_ROWS, _FEW = 64, 2


def unsaved_values(trainer: LoopTrainer, trial: Trial, batches: Sequence[Tensor]) -> list[str]:
    """Find values that an update changes and that a checkpoint does not bring back.

    Args:
        trainer: The loop trainer of the comparison.
        trial: A trial of the arm.
        batches: Index batches of its first updates; a few rows of one are enough.

    Returns:
        The names of the values, with the objects that hold them.
    """
    with preserved_rng():
        first, second = batches[0], batches[-1]
        try:
            return _changed_by(trainer, trial, first[:_FEW], second[-_FEW:])
        except USER_CODE_ERRORS:  # some losses need more rows
            return _changed_by(trainer, trial, first, second)


def _changed_by(trainer: LoopTrainer, trial: Trial, first: Tensor, second: Tensor) -> list[str]:
    """Compare a trial and its copy from a checkpoint after one more update, which recomputes caches."""
    run, shared = trainer.run(trial, None), trainer.setup.workload
    before = _values_of(run, shared)
    for rows in (first, second):
        run.update(rows)
    state = through_a_file(run.state())
    try:
        restored = trainer.run(trial, state)
    except RuntimeError:  # a buffer that grows does not fit into a new module
        return ["the shapes in state_dict()"]
    for each in (run, restored):
        each.update(first)
    return changed_unseen(before, _values_of(run, shared), _values_of(restored, shared))


def changed_by_measuring(trainer: LoopTrainer, trial: Trial) -> list[str]:
    """Find values that a measurement changes, though nothing is trained.

    Args:
        trainer: The loop trainer of the comparison.
        trial: A trial of the arm.

    Returns:
        The names of the values, with the objects that hold them.
    """
    trainer, shared = _few_rows(trainer), trainer.setup.workload
    with preserved_rng():
        run = trainer.run(trial, None)
        run.measure()  # values that are computed once and cached exist now
        before = _values_of(run, shared)
        run.measure()
        after = _values_of(run, shared)
    return [name for name, value in after.items() if before.get(name) != value]


def _values_of(run: TrialRun, shared: Workload) -> dict[str, Any]:
    """List all values that a trial can reach; values of the ``shared`` workload have a prefix."""
    called = {name: getattr(run.workload, name) for name in ("loss", "forward", "objective", "weight")}
    return values_within(
        model=run.model,
        optimizer=run.optimizer,
        **{WORKLOADS * (value is getattr(shared, name)) + name: value for name, value in called.items()},
    )


def refuse_other_end(
    trainer: LoopTrainer, trial: Trial, batches: Sequence[Tensor], *, cut: bool, say: Callable[[str], None]
) -> None:
    """Check that measurements and a checkpoint between updates do not change a bit of the result.

    Args:
        trainer: The loop trainer of the comparison.
        trial: A trial of the arm.
        batches: The batches of its first updates.
        cut: Whether a checkpoint is tested; false if it is known to be incomplete.
        say: A function that receives a remark if the device does not reproduce its own bits.

    Raises:
        ComparisonError: The result differs; the message names the cause.
    """
    plain = _end(trainer, trial, batches, measured=False, cut=False)
    if plain == _end(trainer, trial, batches, measured=True, cut=cut):
        return
    name = f"arm {trial.arm.label}"
    if plain != _end(trainer, trial, batches, measured=False, cut=False):
        if trainer.device.type != "cpu":
            say(f"{trial.arm.label} does not end in the same bits twice on this device")
            return
        raise ComparisonError(
            f"{name}: trained twice from the same start, it ends differently; something outside the model, "
            "such as a global counter or a random generator of its own, takes part"
        )
    if plain != _end(trainer, trial, batches, measured=True, cut=False):
        raise ComparisonError(
            f"{name}: measuring changes what is trained: the model or the loss keeps something, other than "
            "buffers, plain attributes and generators of the model, that changes in evaluation mode too"
        )
    raise ComparisonError(
        f"{name}: a trial that continues from a checkpoint ends differently: the optimizer or the "
        "model keeps something that is neither in state_dict() nor a plain attribute"
    )


def _end(trainer: LoopTrainer, trial: Trial, batches: Sequence[Tensor], *, measured: bool, cut: bool) -> str:
    """Return the fingerprint of model and optimizer after the updates."""
    trainer = _few_rows(trainer)
    with preserved_rng():
        run = trainer.run(trial, None)
        for number, indices in enumerate(batches):
            run.update(indices)
            if measured:
                run.measure()
            if cut and number in (0, len(batches) - 1):
                run = trainer.run(trial, through_a_file(run.state()))
        return digest(
            [run.model.state_dict(), dict(run.model.named_buffers()), run.optimizer.state_dict()["state"]]
        )


def _few_rows(trainer: LoopTrainer) -> LoopTrainer:
    """Return the trainer with measurements of the loss on a few rows; a metric may need all rows."""
    trainer = trainer.for_comparison(dataclasses.replace(trainer.setup.comparison, stop_at_goal=False))
    bare = dataclasses.replace(trainer.setup.workload, metrics={}, errors=())
    trainer.setup = dataclasses.replace(trainer.setup, workload=bare)
    trainer.sources = {name: FirstRows(source, _MEASURED_ROWS) for name, source in trainer.sources.items()}
    return trainer


def through_a_file(state: TrialState) -> TrialState:
    """Save and load a state, as a checkpoint does.

    Args:
        state: The state of a trial.

    Returns:
        The state as it is read back.
    """
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: TrialState = torch.load(file, weights_only=True)
    return loaded
