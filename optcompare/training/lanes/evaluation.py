"""Measure many lanes at once, as the loop trainer measures each trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import torch

from ...core.comparison import Comparison
from ..data import Source, TensorSource
from ..measurement.recalibration import Sample
from .program import Blueprint, Carry

if TYPE_CHECKING:
    from torch import Tensor


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
        rows: Tensor | None = None,
    ) -> list[dict[str, float]]:
        """Return losses and metrics of lanes, by column.

        Args:
            carry: Weights, kept values and slots of all lanes.
            numbers: The numbers of the lanes to evaluate.
            sources: The data to evaluate them on, by the prefix of the columns.
            rows: The rows of each source, int64; None: all.

        Returns:
            The values of each lane, in the order of ``numbers``.
        """
        results, blueprint = list[dict[str, float]](), self._blueprint
        for first in range(0, len(numbers), self._width):
            block = list(numbers[first : first + self._width])
            values = [column[block] for column in carry[: len(blueprint.weights) + len(blueprint.kept)]]
            measured = self._averages(values, sources, rows)
            if self._sample is not None:
                raw, sampled = measured, self._sources["train"].stream(self._sample.indices(), 0, 0)
                measured = self._averages(blueprint.recalibrated(values, sampled), sources, rows)
                measured |= {f"raw_{name}": column for name, column in raw.items()}
            results += [
                {name: column[lane] for name, column in measured.items()} for lane in range(len(block))
            ]
        return results

    def _averages(
        self, values: Carry, sources: Mapping[str, Source], rows: Tensor | None
    ) -> dict[str, list[float]]:
        """Return losses and metrics of weights and kept values [R, …], for each lane."""
        blueprint, lanes, found = self._blueprint, len(values[0]), dict[str, list[float]]()
        device = self._sources["train"].tensors[0].device
        names = ["loss", *blueprint.workload.metrics]
        for prefix, source in sources.items():
            totals = torch.zeros(2, len(names), lanes, dtype=torch.float64, device=device)
            chosen = torch.arange(source.n) if rows is None else rows
            for indices in chosen.split(self._chunk):
                (batch,) = source.stream([indices], 0, 0)
                weight = blueprint.workload.weigh(batch)
                loss, *metrics = [value.double() for value in blueprint.evaluate(values, batch)]
                totals[0, 0] += loss * weight
                totals[1, 0] += weight
                for number, (value, share) in enumerate(zip(metrics[::2], metrics[1::2], strict=True), 1):
                    totals[0, number] += value
                    totals[1, number] += share
            averages = (totals[0] / totals[1]).tolist()
            found |= {f"{prefix}_{name}": column for name, column in zip(names, averages, strict=True)}
        return found
