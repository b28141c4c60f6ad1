"""Write curves for TensorBoard; needs the extra ``[tensorboard]``."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optcompare import ComparisonError, Tracker, hookimpl

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from optcompare import Comparison, Result, Trial


@hookimpl
def optcompare_trackers() -> dict[str, type[Tracker]]:
    return {"tensorboard": TensorBoard}


NOT_CURVES = ("seed", "repeat", "split", "mark", "samples", "lr")


class TensorBoard(Tracker):
    """Curves in TensorBoard over training samples, in the run directory or in ``tensorboard:LOGDIR``."""

    def __init__(self, address: str, directory: Path | None) -> None:
        super().__init__(address, directory)
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ComparisonError(
                'tracker tensorboard needs the extra: pip install "optcompare[tensorboard]"'
            ) from error
        if not address and directory is None:
            raise ComparisonError(
                "tracker tensorboard does not know where to write; give tensorboard:LOGDIR, or out="
            )
        self._make = SummaryWriter
        self._logs = Path(address) if address else directory / "tensorboard"  # type: ignore[operator]
        self._open: dict[Trial, SummaryWriter] = {}
        self._names: dict[str, str] = {}

    def run_started(self, comparison: Comparison) -> None:
        for number, arm in enumerate(comparison.arms):
            name = re.sub(r"[^\w.@=,+-]+", "-", arm.label)[:80]
            taken = name in self._names.values()
            self._names[arm.label] = f"{name}~{number}" if taken else name

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        writer = self._writer(trial)
        for name, value in record.items():
            measured = isinstance(value, int | float) and not (name.startswith("test_") and math.isnan(value))
            if measured and name not in NOT_CURVES:
                writer.add_scalar(name, value, record["samples"])

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        if outcome["status"] != "finished":
            self._writer(trial).add_text(
                "ended", f"{outcome['status']}: {outcome['reason']}", outcome["samples"]
            )
        if trial in self._open:
            self._open.pop(trial).close()

    def run_finished(self, result: Result) -> None:
        for writer in self._open.values():
            writer.close()
        with self._make(str(self._logs)) as writer:
            writer.add_text("verdict", "\n\n".join(result.verdict()))
            if len(result.records):
                writer.add_figure("comparison", result.plot())

    def _writer(self, trial: Trial) -> SummaryWriter:
        if trial not in self._open:
            tuned = ("tune", f"lr={trial.arm.lr:.4g}") if trial.phase == "tune" else ("", "")
            repeat = f"-repeat-{trial.repeat}" if trial.repeat else ""
            path = (
                self._logs / tuned[0] / self._names[trial.arm.label] / tuned[1] / f"seed-{trial.seed}{repeat}"
            )
            self._open[trial] = self._make(str(path), flush_secs=10)
        return self._open[trial]
