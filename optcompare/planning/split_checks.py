"""Check that a workload makes the splits of its data that a comparison needs, the same each time."""

from __future__ import annotations

from ..core.comparison import Comparison
from ..errors import WorkloadError
from ..interfaces.workload import Workload
from ..storage.provenance import data_sha256
from ..training.loop.trainer import LoopTrainer
from ..training.splits import split_again


def check_splits(trainer: LoopTrainer) -> None:
    """Check that the workload makes each split, each time the same, and others than its own.

    Args:
        trainer: The loop trainer of the comparison; nothing is checked if it has one split only.

    Raises:
        WorkloadError: It does not.
    """
    comparison, workload = trainer.setup.comparison, trainer.setup.workload
    if comparison.split_seeds == 1:
        return
    who = f"workload {workload.name}"
    own, first = data_sha256(workload), data_sha256(split_again(workload, 1))
    if first == own:
        raise WorkloadError(f"{who}: resplit(1) returns its own split; let the split depend on the number")
    if first != data_sha256(split_again(workload, 1)):
        raise WorkloadError(
            f"{who}: resplit(1), called twice, returns two splits; let the split depend on the number alone"
        )
    if data_sha256(split_again(workload, 0)) != own:
        raise WorkloadError(
            f"{who}: resplit(0) returns another split than the workload has; number 0 is its own"
        )
    for number in range(2, comparison.split_seeds):
        trainer.on_split_of(comparison.seeds[number])


def tuning_notes(comparison: Comparison, workload: Workload) -> list[str]:
    """Note that tuning trains on rows that report trials are measured on, where splits share rows.

    Args:
        comparison: The comparison with its tuning.
        workload: The workload of the comparison.

    Returns:
        A sentence, or nothing.
    """
    if comparison.tuning is None or comparison.split_seeds == 1 or len(workload.sets) == 1:
        return []
    held_out = "test" if workload.test is not None else "validation"
    return [
        f"tuning seeds take the {comparison.split_seeds} splits in turn, so that rows on which a report "
        f"trial is measured ({held_out} rows of its split) had a part in the choice of the learning rates, "
        "and in nothing else"
    ]
