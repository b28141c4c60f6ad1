"""Log runs to an MLflow tracking store; needs the extra ``[mlflow]``."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from pathlib import Path
from sys import stderr
from typing import TYPE_CHECKING, Any

from optcompare import ComparisonError, Tracker, hookimpl

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

    from optcompare import Comparison, Result, Trial

MOST, EVERY = 1000, 5.0
"""The most values that a store accepts at once; seconds between updates of an unfinished trial."""
NOT_METRICS = ("seed", "repeat", "split", "mark", "samples", "lr")
LONGEST = 6000
_ENDS = {"finished": "FINISHED", "interrupted": "KILLED"}


@hookimpl
def optcompare_trackers() -> dict[str, type[Tracker]]:
    return {"mlflow": MLflow}


class MLflow(Tracker):
    """Runs in an MLflow store: MLflow's own choice, or that of ``mlflow:sqlite:///runs/mlflow.db``.

    A parent run for the comparison, and nested in it a run for each trial, with metrics over training
    samples.
    """

    def __init__(self, address: str, directory: Path | None) -> None:
        super().__init__(address, directory)
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # the default of seven takes minutes
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # send nothing to third parties
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param, RunTag
            from mlflow.exceptions import MlflowException
        except ImportError as error:
            raise ComparisonError(
                'tracker mlflow needs the extra: pip install "optcompare[mlflow]"'
            ) from error
        if address.startswith("sqlite:///"):
            Path(address.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        self._metric, self._param, self._tag = Metric, Param, RunTag
        try:
            self._client: MlflowClient = MlflowClient(tracking_uri=address or None)
            self._client.search_experiments(
                max_results=1
            )  # creates the tables of the store, which takes seconds
        except MlflowException as error:
            raise ComparisonError(
                f"tracker mlflow cannot use {address}: {str(error).splitlines()[0]}"
            ) from error
        self._parent = self._experiment = ""
        self._runs: dict[Trial, str] = {}
        self._waiting: dict[Trial, list[Metric]] = {}
        self._sent: dict[Trial, float] = {}

    def run_started(self, comparison: Comparison) -> None:
        name = f"optcompare/{comparison.workload.label}"
        found = self._client.get_experiment_by_name(name)
        self._experiment = found.experiment_id if found else self._client.create_experiment(name)
        values = {
            "workload": comparison.workload.label,
            "budget": comparison.budget,
            "seeds": len(comparison.seeds),
            "device": comparison.device,
            "dtype": comparison.dtype,
            "threads": comparison.threads,
            "arms": ", ".join(arm.label for arm in comparison.arms),
            "goal": comparison.goal,
        }
        run_name = ", ".join(arm.label for arm in comparison.arms)
        self._parent = self._begin(run_name, values, {"optcompare.directory": str(self.directory or "")})

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        now = time.time()
        waiting = self._waiting.setdefault(trial, [])
        waiting += [
            self._metric(name, float(value), int(now * 1000), record["samples"])
            for name, value in record.items()
            if isinstance(value, int | float)
            and name not in NOT_METRICS
            and not (name.startswith("test_") and math.isnan(value))
        ]
        if now - self._sent.setdefault(trial, now) > EVERY or len(waiting) > MOST:
            self._send(trial)

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        self._send(trial, {"optcompare.status": outcome["status"], "optcompare.reason": outcome["reason"]})
        self._end(self._runs.pop(trial), outcome["status"])

    def run_finished(self, result: Result) -> None:
        tags = {"mlflow.note.content": "\n\n".join(result.verdict()), "optcompare.status": result.status}
        summary = result.summary(wide=True)
        now = int(time.time() * 1000)
        losses = [f"final_{result.compared}", *(name for name in summary if name == "final_test_loss")]
        metrics = [
            self._metric(f"{loss}/{_name(row['arm'])}", float(row[loss]), now, 0)
            for row in summary.to_dict("records")
            for loss in losses
        ]
        self._client.log_batch(self._parent, metrics=metrics[:MOST], tags=self._tags(tags))
        plot = self.directory / "comparison.png" if self.directory else None
        if plot is not None and plot.is_file():
            self._client.log_artifact(self._parent, str(plot))
        self._end(self._parent, result.status)

    def _send(self, trial: Trial, tags: Mapping[str, str] | None = None) -> None:
        metrics = self._waiting.pop(trial, [])
        for first in range(0, max(len(metrics), 1), MOST):
            chunk = metrics[first : first + MOST]
            self._client.log_batch(self._run(trial), metrics=chunk, tags=self._tags(tags or {}))
        self._sent[trial] = time.time()

    def _run(self, trial: Trial) -> str:
        if trial not in self._runs:
            arm = trial.arm
            values = {
                "arm": arm.label,
                "strategy": arm.strategy.label,
                "optimizer": arm.optimizer.label,
                "lr": arm.lr,
                "schedule": arm.schedule,
                "seed": trial.seed,
                "repeat": trial.repeat or None,
                "phase": trial.phase,
                **arm.hyperparameters,
            }
            self._runs[trial] = self._begin(trial.name, values, {"mlflow.parentRunId": self._parent})
        return self._runs[trial]

    def _begin(self, name: str, params: Mapping[str, Any], tags: Mapping[str, str]) -> str:
        run = self._client.create_run(self._experiment, run_name=name[:250], tags=dict(tags))
        shown = [self._param(key, str(value)[:LONGEST]) for key, value in params.items() if value is not None]
        self._client.log_batch(run.info.run_id, params=shown)
        return str(run.info.run_id)

    def _end(self, run: str, status: str) -> None:
        with redirect_stdout(stderr):  # it may print a link there
            self._client.set_terminated(run, _ENDS.get(status, "FAILED"))

    def _tags(self, tags: Mapping[str, str]) -> list[Any]:
        return [self._tag(key, value[:LONGEST]) for key, value in tags.items() if value]


def _name(text: str) -> str:
    """Return a text as a valid name of a metric in MLflow."""
    return "".join(c if c.isalnum() or c in "_-. :/" else "-" for c in text)[:200]
