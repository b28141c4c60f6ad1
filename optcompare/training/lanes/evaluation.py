"""Measure many lanes at once, as the loop trainer measures each trial."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from ...core.comparison import Comparison
from ..data import Source, TensorSource
from ..measurement.evaluation_rows import PartValues
from ..measurement.recalibration import Sample
from .engines.engine import Carry
from .program import Blueprint

if TYPE_CHECKING:
    from torch import Tensor

Passes = Callable[[str], Sequence["Tensor"]]
"""Returns the rows of each forward pass over a set, by its name."""


class LanesEvaluation:
    """Evaluate lanes in blocks, so that they fit into memory.

    Args:
        comparison: The comparison of their trials.
        blueprint: The blueprint of their program.
        sources: The data on the device.
        width: Lanes in a block.
    """

    def __init__(
        self, comparison: Comparison, blueprint: Blueprint, sources: Mapping[str, TensorSource], width: int
    ) -> None:
        self._blueprint, self._sources, self._width = blueprint, sources, width
        self._chunk = comparison.eval_chunk
        n = sources["train"].n
        self._sample = Sample.of(n, comparison.eval_chunk) if comparison.recalibrate else None

    def values(
        self,
        carry: Carry,
        numbers: Sequence[int],
        sources: Mapping[str, Source],
        passes: Passes | None = None,
        parts: Sequence[PartValues | None] = (),
    ) -> list[dict[str, float]]:
        """Return losses and metrics of lanes, by column.

        Args:
            carry: Weights, kept values and slots of all lanes.
            numbers: The numbers of the lanes to evaluate.
            sources: The data to evaluate them on, by the prefix of the columns.
            passes: Returns the rows of each forward pass over a source, int64 each, by its prefix; None: all
                rows.
            parts: For each lane, collects the values of one metric over each pass; empty: none are needed.

        Returns:
            The values of each lane, in the order of ``numbers``.
        """
        results, blueprint = list[dict[str, float]](), self._blueprint
        for first in range(0, len(numbers), self._width):
            block = list(numbers[first : first + self._width])
            values = [column[block] for column in carry[: len(blueprint.weights) + len(blueprint.kept)]]
            of_block = list(parts[first : first + self._width])
            measured = self._averages(values, sources, passes, of_block if self._sample is None else [])
            if self._sample is not None:
                raw, sampled = measured, self._sources["train"].stream(self._sample.indices(), 0, 0)
                measured = self._averages(blueprint.recalibrated(values, sampled), sources, passes, of_block)
                measured |= {f"raw_{name}": column for name, column in raw.items()}
            results += [
                {name: column[lane] for name, column in measured.items()} for lane in range(len(block))
            ]
        return results

    def _averages(
        self,
        values: Carry,
        sources: Mapping[str, Source],
        passes: Passes | None,
        parts: Sequence[PartValues | None],
    ) -> dict[str, list[float]]:
        """Return losses and metrics of weights and kept values [R, …], for each lane."""
        blueprint, lanes, found = self._blueprint, len(values[0]), dict[str, list[float]]()
        device = self._sources["train"].tensors[0].device
        names = ["loss", *blueprint.workload.metrics]
        for prefix, source in sources.items():
            totals = torch.zeros(2, len(names), lanes, dtype=torch.float64, device=device)
            each_pass = torch.arange(source.n).split(self._chunk) if passes is None else passes(prefix)
            for indices in each_pass:
                (batch,) = source.stream([indices], 0, 0)
                weight = blueprint.workload.weigh(batch)
                loss, *metrics = [value.double() for value in blueprint.evaluate(values, batch)]
                _collect(parts, f"{prefix}_", names, loss, metrics, weight, len(indices))
                totals[0, 0] += loss * weight
                totals[1, 0] += weight
                for number, (value, share) in enumerate(zip(metrics[::2], metrics[1::2], strict=True), 1):
                    totals[0, number] += value
                    totals[1, number] += share
            averages = (totals[0] / totals[1]).tolist()
            found |= {f"{prefix}_{name}": column for name, column in zip(names, averages, strict=True)}
        return found


def _collect(
    parts: Sequence[PartValues | None],
    prefix: str,
    names: Sequence[str],
    loss: Tensor,
    metrics: Sequence[Tensor],
    weight: float,
    rows: int,
) -> None:
    """Give each lane its value of a metric over one forward pass.

    Args:
        parts: The collections of the lanes, all of one metric; None for a lane that needs none.
        prefix: The prefix of the set that was evaluated.
        names: The loss and the metrics, without the prefix.
        loss: The mean loss of each lane, [R].
        metrics: Sum and weight of each metric, [R] each.
        weight: The weight of the batch.
        rows: Its rows.
    """
    wanted = next((each.metric for each in parts if each is not None), None)
    if wanted is None or not wanted.startswith(prefix):
        return
    number = names.index(wanted.removeprefix(prefix))
    values = loss if number == 0 else metrics[2 * number - 2] / metrics[2 * number - 1]
    for each, value in zip(parts, values.tolist(), strict=True):
        if each is not None:
            each.add(value, weight, rows)
