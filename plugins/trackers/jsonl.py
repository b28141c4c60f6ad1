"""Write events as JSON lines to standard output, for other programs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from optcompare import ComparisonError, Tracker, hookimpl

if TYPE_CHECKING:
    from optcompare import Comparison, Result, Trial


@hookimpl
def optcompare_trackers() -> dict[str, type[Tracker]]:
    return {"jsonl": JsonLines}


class JsonLines(Tracker):
    """One JSON object a line on standard output; what is not a finite number is null."""

    prints: ClassVar[bool] = True

    def __init__(self, address: str, directory: Path | None) -> None:
        super().__init__(address, directory)
        if address:
            raise ComparisonError(
                f"tracker jsonl takes no address, got '{address}'; it writes to standard output"
            )

    def run_started(self, comparison: Comparison) -> None:
        self._write(
            "run_started", comparison=comparison.to_json(), directory=self.directory and str(self.directory)
        )

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        self._write("measured", **record)

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        self._write("trial_finished", **outcome)

    def run_finished(self, result: Result) -> None:
        held = all(check.held for check in result.certificate)
        verdict, summary = result.verdict(), result.summary(wide=True).to_dict("records")
        self._write("run_finished", status=result.status, verdict=verdict, fair=held, summary=summary)

    def _write(self, event: str, **values: Any) -> None:
        print(
            json.dumps({"event": event, **_plain(values)}, ensure_ascii=False, allow_nan=False, default=str)
        )


def _plain(value: Any) -> Any:
    """Replace numbers that are not finite by None, since JSON cannot represent them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
