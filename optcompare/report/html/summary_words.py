"""Explain the table of the summary on a page and in a notebook."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..table import clock_words, interval_words
from .markup import sentence

if TYPE_CHECKING:
    import pandas as pd

    from ..result import Result


def summary_words(result: Result, summary: pd.DataFrame) -> str:
    """Explain the averages of a summary, and its seconds if other trials ran at the same time.

    Args:
        result: The result of a run.
        summary: Its summary with all columns.

    Returns:
        Whole sentences.
    """
    jobs = result.environment.get("jobs", 1)
    clocks = clock_words(result.records, jobs) if jobs > 1 else []
    return " ".join(map(sentence, [interval_words(summary), *clocks]))
