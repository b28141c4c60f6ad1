"""Derive from a result what is tested for each arm, and what limits the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from ..analysis.limits import Setting
from ..analysis.paired_tests import PairedTests

if TYPE_CHECKING:
    from .tables import ResultTables


def verdict_setting(result: ResultTables) -> Setting:
    """Return the settings that limit the verdict of a result, in addition to its seeds.

    Args:
        result: The result of a comparison.
    """
    comparison = result.comparison
    tuned = comparison.tuning is not None
    scored_alike = tuned and not comparison.stop_at_goal  # else the scores are numbers of samples
    sensitivity = result.rate_sensitivity() if scored_alike else pd.DataFrame(columns=["arm", "loss"])
    return Setting(
        tunings=comparison.repeats if tuned else 0,
        sensitivity=dict(zip(sensitivity["arm"], sensitivity["loss"], strict=True)),
        splits=0 if result.verdict_on == "train_loss" else comparison.split_seeds,
    )


def paired_tests(result: ResultTables) -> PairedTests:
    """Return the tests for each arm; a control that was not trained is left out.

    Args:
        result: The result of a comparison.
    """
    comparison = result.comparison
    trained = set(result.reported[1]["arm"])
    return PairedTests(
        result.baseline,
        result.verdict_on,
        goal=result.goal,
        control=comparison.control if comparison.control in trained else None,
        margin=comparison.margin,
        final=not comparison.stop_at_goal,
        dtype=comparison.dtype,
    )
