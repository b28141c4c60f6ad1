"""Measure one trial on the loop trainer: records, probes near a goal, diagnostics and the test set."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from ...core.columns import Record
from ...core.comparison import Trial
from ...interfaces.optimizer import evaluation_weights
from ...interfaces.workload import Workload
from ..data import Source
from ..device import Clock
from ..measurement.counters import Progress
from ..measurement.diagnosing import Diagnosing
from ..measurement.evaluation import (
    empty_test_columns,
    evaluate,
    final_sources,
    next_evaluation,
    regular_sources,
)
from ..measurement.evaluation_rows import EvaluationRows, PartValues
from ..measurement.goal_watch import GoalWatch
from ..measurement.module_flags import refuse_new_weights
from ..measurement.projection import is_first, is_sketched, sketch
from ..measurement.recalibration import Sample, recalibrated
from ..measurement.record import record_of
from ..position import POSITION
from ..setup import Setup

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class LiveObjects:
    """Hold the live objects of a trial.

    Attributes:
        workload: The workload, on the trial's device and in its precision.
        model: The module that is trained.
        optimizer: The optimizer of its trainable weights.
        weights: The trainable weights, in the model's order.
        device: Their device.
    """

    workload: Workload
    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    weights: Sequence[Tensor]
    device: torch.device


class TrialMeasurement:
    """Measure one trial and collect its records, without any effect on its training.

    Attributes:
        records: The records of the current task.
        sample: Training rows for recalibrated running averages; None where they are not recalibrated.
        follows: Whether the path of the (two) weights is followed.
        diagnosing: The diagnostics.
    """

    def __init__(
        self,
        setup: Setup,
        trial: Trial,
        sources: Mapping[str, Source],
        live: LiveObjects,
        progress: Progress,
        diagnosing: Diagnosing,
    ) -> None:
        comparison = setup.comparison
        self.records: list[Record] = []
        self.diagnosing = diagnosing
        self._comparison, self._trial = comparison, trial
        self._live, self._progress, self._source = live, progress, sources["train"]
        self._sources, self._brief = regular_sources(sources), setup.brief
        self._test = {} if setup.brief else final_sources(sources, trial)
        self._rows = EvaluationRows.of(comparison, self._sources, comparison.split_of(trial.seed))
        self._watch = GoalWatch.of(comparison, setup.workload, sources)
        self._evaluated_at = math.inf
        self._empty_test_columns = empty_test_columns(setup.workload, sources, raw=comparison.recalibrate)
        self._sketched = is_sketched(comparison, trial)
        self.sample = Sample.of(self._source.n, comparison.eval_chunk) if comparison.recalibrate else None
        two = sum(weight.numel() for weight in live.weights) == 2
        self.follows = comparison.measure > 0 and is_first(comparison, trial) and two

    def start(self) -> None:
        """Append the record before the first update."""
        self._follow_weights()
        self.measure()

    def next_point(self) -> int | None:
        """Return the samples at which the trial is measured next; None: only at its end."""
        evaluation = next_evaluation(self._progress.samples, self._source.n, self._comparison.measure)
        if self._watch is None:
            return evaluation
        self._evaluated_at = math.inf if evaluation is None else evaluation
        return self._watch.next_stop(self._progress, evaluation)

    def after_updates(self, point: int | None) -> None:
        """Measure if the evaluation point is reached.

        Near a goal, where points are closer, only what the goal needs is measured between evaluation points.

        Args:
            point: The result of :meth:`next_point` before the updates.
        """
        self._follow_weights()
        if point is None or self._progress.samples < point:
            return
        if self._watch is None or self._progress.samples >= self._evaluated_at:
            self.measure()
            return
        clock = Clock(self._live.device)
        with self.evaluation_weights(), clock:
            POSITION.follow(self._progress)
            self._probe(self._watch)
        self._progress.measure_seconds += clock.seconds

    def measure(self) -> None:
        """Append a record."""
        live, progress = self._live, self._progress
        with self.evaluation_weights():
            refuse_new_weights(live.model, live.weights, progress.updates)
            POSITION.follow(progress)
            clock = Clock(live.device)
            if self._sketched:
                with clock:
                    progress.keep_snapshot(sketch(live.weights))
            with clock:
                if self._watch is not None and self._watch.to_be_probed(progress):
                    self._probe(self._watch)
                values = self._values()
            reached = (
                self._watch.evaluated(progress, values) if self._watch else self._comparison.ends_at(values)
            )
            progress.count_measurement(values, clock.seconds, reached)
            n = self._source.n
            self.records.append(record_of(self._comparison, self._trial, progress, n, values, "measured"))

    def complete(self) -> None:
        """Measure all rows for the last record of a trial that has ended, and the test set if it finished.

        Their columns replace those of the last record of this task.
        """
        live, progress = self._live, self._progress
        POSITION.follow(progress)
        clock = Clock(live.device)
        with clock:
            if progress.sampled and not self._brief:
                names = self._rows.not_whole(progress.sampled)
                whole = self._values_of({name: self._sources[name] for name in names})
                progress.count_whole({**progress.sampled, **whole, **self._rows.counts(names)})
            if self._test and progress.status == "finished":
                progress.tested |= self._values_of(self._test)
        progress.measure_seconds += clock.seconds
        if self.records and progress.tested:
            self.records[-1] = {**self.records[-1], **progress.tested}

    def keep_update(self, batch: Tensor) -> None:
        """Keep weights and batch of the next update, for its diagnostics."""
        with self.evaluation_weights():
            progress = self._progress
            self.diagnosing.keep(progress.updates, self._live.weights, batch, progress.epoch)

    def recalibrated(self) -> AbstractContextManager[None]:
        """Use recalibrated running averages within the context, where the comparison has them."""
        return recalibrated(self._live.workload, self._live.model, self._source, self.sample)

    def evaluation_weights(self) -> AbstractContextManager[None]:
        """Use the weights of the optimizer's evaluation mode within the context, where it has modes."""
        return evaluation_weights(self._live.optimizer, self._live.weights)

    def _probe(self, watch: GoalWatch) -> None:
        """Measure the goal's metric on its fixed sample of rows."""
        live, name = self._live, watch.goal.data
        with self.recalibrated():
            chunk = self._comparison.eval_chunk
            values = evaluate(live.workload, live.model, {name: self._sources[name]}, chunk, watch.rows)
        watch.probed(self._progress, values[watch.goal.metric])

    def _values(self) -> dict[str, float]:
        """Return the columns of an evaluation point: losses, metrics, numbers of rows and diagnostics."""
        progress, rows = self._progress, self._rows
        if not rows.sampled or (progress.updates == 0 and not self._brief):
            values = {**rows.counts(self._sources), **self._values_of(self._sources)}
        else:
            values = self._sampled_values()
            progress.sampled = values if rows.not_whole(values) else {}
        return {**values, **self._empty_test_columns, **self._diagnosed(values)}

    def _sampled_values(self) -> dict[str, float]:
        """Return losses, metrics and numbers of rows on the sample; of the goal's set on all rows near it."""
        progress, rows = self._progress, self._rows
        parts = rows.part_values(progress)
        values = {**rows.counts(), **self._values_of(self._sources, rows, parts)}
        names = rows.needing_all(values, parts, progress, self._watch)
        if names:
            values |= {**rows.counts(names), **self._values_of({name: self._sources[name] for name in names})}
            rows.note_goal(progress, values, self._watch)
        return values

    def _values_of(
        self,
        sources: Mapping[str, Source],
        rows: EvaluationRows | None = None,
        parts: PartValues | None = None,
    ) -> dict[str, float]:
        """Return losses and metrics, by column; see :func:`evaluate` for the arguments.

        If the comparison recalibrates running averages, the ``raw_`` columns use those of the training.
        """
        live, chunk, raw = self._live, self._comparison.eval_chunk, dict[str, float]()
        if self.sample is not None:
            values = evaluate(live.workload, live.model, sources, chunk, rows)
            raw = {f"raw_{name}": value for name, value in values.items()}
        with self.recalibrated():
            return evaluate(live.workload, live.model, sources, chunk, rows, parts) | raw

    def _diagnosed(self, values: Mapping[str, float]) -> dict[str, float]:
        """Return the columns of diagnostics; NaN where the weights are not finite."""
        if not self.diagnosing.columns or not math.isfinite(values["train_loss"]):
            return dict.fromkeys(self.diagnosing.columns, math.nan)
        lr = float(self._live.optimizer.param_groups[0]["lr"])
        with self.recalibrated():
            progress = self._progress
            return self.diagnosing.values(self._live.model, progress.updates, progress.samples, lr)

    def _follow_weights(self) -> None:
        if self.follows:
            with self.evaluation_weights():
                point = torch.cat([weight.detach().reshape(-1) for weight in self._live.weights]).tolist()
            self._progress.follow(self._progress.updates, point)
