"""Find numbers in data that no model can be trained on: where they are, and how many."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..errors import WorkloadError

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK_ROWS = 2**16
_MAX_COLUMNS = 3


def refuse_non_finite(
    who: str, where: str, data: Any, columns: Sequence[str] = (), *, targets: bool = True
) -> None:
    """Refuse NaN and infinite values in inputs and targets, in one pass without copies.

    Args:
        who: The workload, with which the message begins.
        where: What the data is called, such as ``train``.
        data: (x, y), (x1, x2, y) or a mapping of tensors.
        columns: The names of the columns of x, for the message.
        targets: Whether y is checked, too.

    Raises:
        WorkloadError: A floating-point tensor holds NaN or infinite values.
    """
    for part, tensor in _named_parts(data):
        if part == "the targets" and not targets:
            continue
        if not tensor.is_floating_point() or tensor.numel() == 0:
            continue
        low, high = tensor.aminmax()  # NaN if any value is NaN
        if not (low.isfinite() and high.isfinite()):
            values = _describe_non_finite(tensor, columns if part == "the inputs" else ())
            raise WorkloadError(
                f"{who}: {part} of {where} hold {values}; replace them, or leave out their rows"
            )


def _named_parts(data: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(data, Mapping):
        named = [(f"the values of '{key}'", value) for key, value in data.items()]
    elif isinstance(data, (tuple, list)):
        inputs = (
            ["the inputs"]
            if len(data) == 2
            else [f"the values of input {number}" for number in range(1, len(data))]
        )
        named = list(zip([*inputs, "the targets"], data, strict=True))
    else:
        named = [("the values", data)]
    yield from ((name, value) for name, value in named if isinstance(value, torch.Tensor))


def _describe_non_finite(tensor: Tensor, columns: Sequence[str]) -> str:
    """Describe such values, as in ``2 NaN and 1 infinite value in 3 of 1,437 rows, the first in row 7``."""
    rows = tensor.reshape(len(tensor), -1) if tensor.ndim else tensor.reshape(1, 1)
    width = rows.shape[1]
    wrong_counts, bad_count, first, missing = torch.zeros(width, dtype=torch.int64), 0, -1, 0
    for begin in range(0, len(rows), _BLOCK_ROWS):
        block = rows[begin : begin + _BLOCK_ROWS]
        wrong = ~block.isfinite()
        wrong_counts += wrong.sum(0).cpu()
        missing += int(block.isnan().sum())
        wrong_rows = wrong.any(1)
        if first < 0 and wrong_rows.any():
            first = begin + int(wrong_rows.nonzero()[0])
        bad_count += int(wrong_rows.sum())
    infinite = int(wrong_counts.sum()) - missing
    kinds = [f"{missing:,} NaN"] if missing else []
    kinds += [f"{infinite:,} infinite value{'' if infinite == 1 else 's'}"] if infinite else []
    text = f"{' and '.join(kinds)} in {bad_count:,} of {len(rows):,} rows, the first in row {first:,}"
    if tensor.ndim != 2 or width == 1:
        return text
    counts = {number: int(count) for number, count in enumerate(wrong_counts) if count}
    names = [f"column {_name(number, columns)}: {count:,}" for number, count in counts.items()]
    more = f" and {len(names) - _MAX_COLUMNS} more columns" if len(names) > _MAX_COLUMNS else ""
    return f"{text} ({', '.join(names[:_MAX_COLUMNS])}{more})"


def _name(number: int, columns: Sequence[str]) -> str:
    return f"'{columns[number]}'" if number < len(columns) else str(number)
