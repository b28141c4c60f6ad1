"""Build the contents of ``comparison.json``."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from ..analysis.check import Check
from ..core.comparison import Comparison


def describe(
    comparison: Comparison,
    status: str,
    environment: Mapping[str, Any],
    notes: Sequence[str],
    certificate: Sequence[Check],
    verdict: Sequence[str] = (),
    claims: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """Return the contents of ``comparison.json``.

    Args:
        comparison: The comparison.
        status: running, finished or interrupted.
        environment: Versions, hardware, plugins.
        notes: The messages from before training.
        certificate: The fairness checks.
        verdict: The answer, one sentence each; empty while the run is in progress.
        claims: Every comparison of the verdict, as plain values.
    """
    return {
        "status": status,
        "verdict": list(verdict),
        "claims": list(claims),
        "comparison": comparison.to_json(),
        "certificate": [dataclasses.asdict(check) for check in certificate],
        "notes": list(notes),
        "environment": dict(environment),
    }
