"""Check that a loss is a weighted mean over rows, and depends only on the model and the batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from ..core.tree import equal_tensors, move_batch, tensors
from ..errors import USER_CODE_ERRORS, WorkloadError
from ..interfaces.data import is_tensors
from ..interfaces.workload import Workload
from ..training.data import DatasetSource, Source
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.evaluation import in_eval_mode
from ..training.own_loss import with_own_loss
from ..training.placement import place
from .unsaved_state import values_within

if TYPE_CHECKING:
    from torch import Tensor, nn

_RANDOM, _DISTINCT, _SEARCHED, _COLUMNS, _MOST = 8, 8, 2**16, 8, 64
_ROUNDED, _EXACT, _NOISE = 1e-4, 1e-9, 20.0
"""Relative differences of two losses that may be rounding, in the comparison's dtype and in float64."""


def check_loss(trainer: LoopTrainer, workload: Workload, model: nn.Module, name: str, seed: int) -> None:
    """Check that the loss of a batch is the weighted mean of its parts' losses, on one set of the data.

    Tried on the first rows, the last ones, random ones and rows of different y, in uneven parts; and, where
    the data are computed in several passes, on parts as large as those passes.

    Args:
        trainer: The loop trainer, which has the data and the shared start.
        workload: The workload with its own copy of the loss on the device.
        model: The model in evaluation mode, at the shared start.
        name: ``train``, ``valid`` or ``test``.
        seed: The seed of the shared start.
    """
    source = trainer.sources[name]
    chunk = _chunk(trainer, name)
    rows = _spread(source.n, _parts(trainer.setup.workload, name))[: max(2, chunk)]
    _refuse_other_samples(workload, source, name, rows)
    if not workload.in_parts or len(rows) < 2:
        return
    _refuse_other_means(
        trainer,
        workload,
        model,
        source,
        rows.split([len(rows) // 8 + 1, len(rows) - len(rows) // 8 - 1]),
        seed,
    )
    if chunk < source.n:
        order = torch.randperm(source.n, generator=torch.Generator().manual_seed(1))
        try:
            _refuse_other_means(
                trainer, workload, model, source, order[: chunk + chunk // 2 + 1].split(chunk), seed
            )
        except (MemoryError, torch.OutOfMemoryError):  # a batch need not fit whole
            parts = order[:chunk].split([chunk // 3, chunk - chunk // 3])
            _refuse_other_means(trainer, workload, model, source, [rows for rows in parts if len(rows)], seed)


def _chunk(trainer: LoopTrainer, name: str) -> int:
    """Return the smallest number of rows that one pass has."""
    comparison = trainer.setup.comparison
    chunks = [comparison.eval_chunk, *(arm.chunk for arm in comparison.arms if name == "train")]
    return min(chunks)


def _parts(workload: Workload, name: str) -> list[Tensor]:
    """List the tensors of a set of the data, y first; none of a Dataset."""
    data = workload.sets[name]
    return tensors(data)[::-1] if is_tensors(data) else []


def _spread(n: int, parts: Sequence[Tensor]) -> Tensor:
    """Choose the first rows, the last ones, random ones, and rows of different y or of extreme values."""
    generator = torch.Generator().manual_seed(0)
    chosen = [
        *range(min(3, n)),
        *range(max(0, n - 3), n),
        *torch.randint(n, (_RANDOM,), generator=generator).tolist(),
    ]
    searched = torch.cat(
        [torch.arange(min(n, _SEARCHED)), torch.randint(n, (_SEARCHED,), generator=generator)]
    )
    searched = searched[:n] if n <= _SEARCHED else searched
    for number, part in enumerate(parts):
        values = part[searched].reshape(len(searched), -1)[:, :_COLUMNS]
        if values.numel() == 0 or values.is_complex():
            continue
        if number == 0:
            first: dict[float, int] = {}
            for row, value in zip(searched.tolist(), values[:, 0].tolist(), strict=True):
                first.setdefault(value, row)
                if len(first) >= _DISTINCT:
                    break
            chosen += first.values()
        ranked = values.float().nan_to_num()
        chosen += searched[torch.cat([ranked.argmax(0), ranked.argmin(0)])].tolist()
    rows = torch.tensor(
        list(dict.fromkeys(chosen))[::-1][:_MOST]
    )  # the smallest and largest stay if there are too many
    return rows[torch.randperm(len(rows), generator=generator)]


def _refuse_other_samples(workload: Workload, source: Source, name: str, rows: Tensor) -> None:
    """Refuse a Dataset that gives another sample when it is read again, which measuring does."""
    if not isinstance(source, DatasetSource):
        return
    before = values_within(dataset=source.dataset)
    one, again = (next(source.stream([rows], 0, 0, ahead=False)) for _ in range(2))
    after = values_within(dataset=source.dataset)
    drew = any(value[0] == "generator" and before.get(name, value) != value for name, value in after.items())
    if drew or not all(map(equal_tensors, tensors(one), tensors(again))):
        raise WorkloadError(
            f"workload {workload.name}: the Dataset of {name} draws from a random generator of its own, or "
            "gives other values when a sample is read again, so that measuring would change what is "
            "trained on; let it draw from torch's, NumPy's or Python's global generators, which are seeded "
            "for each sample"
        )


def changed_by_reading(source: Source) -> list[str]:
    """Find plain attributes of a Dataset that change when a sample is read.

    Args:
        source: The data; what a Dataset keeps of samples in containers is left out.

    Returns:
        Their names; none for tensors.
    """
    if not isinstance(source, DatasetSource):
        return []
    before = values_within(dataset=source.dataset)
    for _ in range(2):
        next(source.stream([torch.tensor([source.n - 1])], 0, 0, ahead=False))
    after = values_within(dataset=source.dataset)
    changed = [name for name, value in after.items() if before.get(name, value) != value]
    return [name.removeprefix("dataset.") for name in changed if "[" not in name and "(" not in name]


def _refuse_other_means(
    trainer: LoopTrainer,
    workload: Workload,
    model: nn.Module,
    source: Source,
    parts: Sequence[Tensor],
    seed: int,
) -> None:
    batches = [next(source.stream([rows], 0, 0, ahead=False)) for rows in (*parts, torch.cat(list(parts)))]
    found = _whole_and_parts(workload, model, batches)
    if _agree(found, _ROUNDED):
        return
    try:  # in float64 rounding disappears, and a loss that is no mean stays as it is
        wide = with_own_loss(trainer.setup.workload, trainer.device, torch.float64)
        again = place(trainer.start(seed).model(), trainer.device, torch.float64)
        with in_eval_mode(again):
            exact = _whole_and_parts(
                wide, again, [move_batch(batch, trainer.device, torch.float64) for batch in batches]
            )
    except USER_CODE_ERRORS:
        exact = found
    if _agree(exact, _EXACT if exact is not found else _ROUNDED):
        return
    whole, mean, _ = exact
    given = (
        "and weight(batch) what it was divided by"
        if workload.weight
        else "or say what it was divided by with weight(batch)"
    )
    raise WorkloadError(
        f"workload {workload.name}: the loss of {sum(map(len, parts))} "
        f"rows{_shapes(workload, model, batches[-1])} is {whole:.6g}, but {mean:.6g} as the weighted mean "
        f"of its parts; it must be a mean over rows, {given}; a loss of whole batches goes into "
        "objective(model, batch)"
    )


def _whole_and_parts(
    workload: Workload, model: nn.Module, batches: Sequence[Any]
) -> tuple[float, float, float]:
    """Return the last batch's loss, the weighted mean of the others', and the effect of random numbers."""
    *parts, last = batches
    total = weights = 0.0
    for part in parts:
        weight = workload.weigh(part)
        if not (weight >= 0 and math.isfinite(weight)):
            raise WorkloadError(
                f"workload {workload.name}: weight(batch) must be positive and finite, got {weight}; 0 is "
                "for a batch in which nothing counts"
            )
        total += weight * workload.mean_loss(model, part).item() if weight else 0.0
        weights += weight
    whole, again = (workload.mean_loss(model, last).item() for _ in range(2))
    if not weights:
        raise WorkloadError(
            f"workload {workload.name}: weight(batch) must be positive and finite, got 0 for rows from all "
            "over the data"
        )
    return whole, total / weights, abs(whole - again)


def _agree(found: tuple[float, float, float], within: float) -> bool:
    """Test whether whole and parts are equal up to rounding and random numbers."""
    whole, mean, drawn = found
    return not math.isfinite(whole) or math.isclose(
        whole, mean, rel_tol=within, abs_tol=within / 100 + _NOISE * drawn
    )


def _shapes(workload: Workload, model: nn.Module, batch: Any) -> str:
    """Describe the shapes of output and y, since a loss that reshapes one may broadcast it."""
    pair = () if workload.loss is None else workload.outcome(model, batch)
    if not (pair and all(isinstance(each, torch.Tensor) for each in pair)):
        return ""
    return f" (output {list(pair[0].shape)}, y {list(pair[1].shape)})"


def refuse_foreign_weights(workload: Workload, model: nn.Module, batch: Any) -> None:
    """Check that the loss depends on no trainable tensors but the model's, since no optimizer trains others.

    Args:
        workload: The workload with the loss.
        model: The model with the weights that are trained.
        batch: A batch of the data.

    Raises:
        WorkloadError: It does; the message names them.
    """
    known = {id(weight) for weight in [*model.parameters(), *tensors(batch)]}
    first, second = (_trainable(workload.mean_loss(model, batch)) for _ in range(2))
    foreign = [leaf for number, leaf in first.items() if number in second and number not in known]
    if not foreign:
        return
    of_loss = dict(workload.loss.named_parameters()) if isinstance(workload.loss, torch.nn.Module) else {}
    names = [name for name, weight in of_loss.items() if any(weight is leaf for leaf in foreign)]
    if names:
        raise WorkloadError(
            f"workload {workload.name}: the loss has trainable weights ({', '.join(names)}), which no "
            "optimizer would train; make it a part of the model, and give objective(model, batch)"
        )
    shapes = ", ".join(str(list(leaf.shape)) for leaf in foreign[:3])
    raise WorkloadError(
        f"workload {workload.name}: the loss depends on {len(foreign)} trainable tensors that are not the "
        f"model's (of shape {shapes}), which no optimizer would train; make them parameters of the model, "
        "or detach them"
    )


def _trainable(loss: Tensor) -> dict[int, Tensor]:
    """Return the leaf tensors of a graph by their identity."""
    found: dict[int, Tensor] = {}
    todo, seen = [loss.grad_fn], set()
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        leaf = getattr(node, "variable", None)
        if isinstance(leaf, torch.Tensor):
            found[id(leaf)] = leaf
        todo += [following for following, _ in node.next_functions]
    return found
