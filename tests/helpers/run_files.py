"""The files of a run directory."""

from __future__ import annotations

FILES = {
    "comparison.json",
    "records.parquet",
    "trials.parquet",
    "paths.parquet",
    "summary.csv",
    "looks.jsonl",
    "comparison.png",
}
"""Of a result that is saved; a run keeps states beside them."""
