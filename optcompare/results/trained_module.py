"""Make the trained module of a trial from its final weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..core.comparison import Comparison
from ..errors import ComparisonError, RunDirectoryError

if TYPE_CHECKING:
    from torch import nn

    from ..interfaces.workload import Workload


def trained_module(
    workload: Workload, seed: int, comparison: Comparison, weights: Mapping[str, Any], *, recalibrated: bool
) -> nn.Module:
    """Make the module of a trial on the CPU, with its final weights.

    Args:
        workload: The workload that was trained.
        seed: The seed of the trial.
        comparison: The comparison with the dtype, the split of the data and the rows for recalibration.
        weights: The final state dict.
        recalibrated: Whether BatchNorm's running averages are those of the measurements instead of those of
            the training.
    """
    from ..training.autocast import in_autocast
    from ..training.data import first_rows, source
    from ..training.device import DTYPES, resolve
    from ..training.measurement.recalibration import Sample, recalibrate
    from ..training.placement import place
    from ..training.shared_init import SharedStart
    from ..training.splits import split_again

    cpu, dtype, split = resolve("cpu"), DTYPES[comparison.dtype], comparison.split_of(seed)
    own = split_again(workload, split) if split else workload
    model = SharedStart(own, seed, lambda: first_rows(own.train, 2, own.collate)).model()
    place(model, cpu, dtype)
    model.load_state_dict(dict(weights))
    if recalibrated:
        rows = source(own.train, cpu, dtype, own.workers, own.collate)
        called = in_autocast(own, cpu, comparison.autocast)
        recalibrate(called, model, rows, Sample.of(rows.n, comparison.eval_chunk))
    return model


def kept_weights(
    comparison: Comparison,
    weights: Mapping[tuple[str, int, int], Mapping[str, Any]],
    which: tuple[str, int, int | None],
    *,
    known: bool,
) -> Mapping[str, Any]:
    """Return the final weights of a trial.

    Args:
        comparison: The comparison.
        weights: The kept weights, by arm, seed and tuning repeat (0 without repeats).
        which: The arm, the seed, and the tuning repeat if there are several.
        known: Whether the workload is known; without it weights make no module.

    Raises:
        ComparisonError: The arm, seed or repeat was not compared.
        RunDirectoryError: The weights were not kept.
    """
    arm, seed, repeat = which
    comparison.arm(arm)
    if seed not in comparison.seeds:
        raise ComparisonError(f"there is no seed {seed!r}; there are {', '.join(map(str, comparison.seeds))}")
    _refuse_other_repeat(repeat, comparison.repeats)
    kept = weights.get((arm, seed, repeat or 0))
    if kept is None or not known:
        trial = f"{arm}, seed {seed}{f', repeat {repeat}' if repeat else ''}"
        raise RunDirectoryError(
            f"the final weights of {trial}, were not kept; run compare() and use the Result that it returns"
        )
    return kept


def _refuse_other_repeat(repeat: int | None, repeats: int) -> None:
    """Refuse a tuning repeat that does not exist, and None if there are several repeats."""
    if repeat is None and repeats > 1:
        raise ComparisonError(
            f"each arm was tuned {repeats} times; choose one with repeat=1 to repeat={repeats}"
        )
    if repeat is not None and not (repeats > 1 and repeat in range(1, repeats + 1)):
        known = f"there are 1 to {repeats}" if repeats > 1 else "arms were not tuned several times"
        raise ComparisonError(f"there is no repeat {repeat}; {known}")
