"""The module that a trial trained, made again from its final weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..core.comparison import Comparison
from ..errors import ComparisonError

if TYPE_CHECKING:
    from torch import nn

    from ..interfaces.workload import Workload


def trained_module(
    workload: Workload, seed: int, comparison: Comparison, weights: Mapping[str, Any], *, recalibrated: bool
) -> nn.Module:
    """Make the module of a trial on the CPU, with these final weights.

    Args:
        workload: What was trained.
        seed: The trial's.
        comparison: Says in which dtype, on which split of the data, and from which rows averages are
        recalibrated. weights: The final state dict. recalibrated: Whether BatchNorm's running averages are
        those of the measurements instead of those of the training.
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


def refuse_other_repeat(repeat: int | None, repeats: int) -> None:
    """Raises :class:`ComparisonError` unless the trial's tuning repeat is named where there are several, and
    only there.
    """
    if repeat is None and repeats > 1:
        raise ComparisonError(
            f"each arm was tuned {repeats} times; say which with repeat=1 to repeat={repeats}"
        )
    if repeat is not None and not (repeats > 1 and repeat in range(1, repeats + 1)):
        there = f"there are 1 to {repeats}" if repeats > 1 else "arms were not tuned several times"
        raise ComparisonError(f"there is no repeat {repeat}; {there}")
