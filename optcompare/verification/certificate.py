"""The fairness certificate, computed again from the tables and compared with the saved one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from ..analysis.certificate import Agreement, Evidence, Reference
from ..analysis.check import Check
from ..analysis.start_checks import Coverage
from ..analysis.traits import Traits
from ..core.columns import run_key
from ..core.comparison import Trial
from ..core.goal import ROWS_COLUMNS
from ..core.trial_key import TrialKey
from ..results.tables import ResultTables
from ..storage.provenance import is_of_these_sources
from .earlier_sentences import RENAMED, free_strategies, numbers
from .finding import Finding, TrialRows, some

NAME = "certificate"


def check_certificate(result: ResultTables, rows: TrialRows, about: Mapping[str, Any]) -> Finding:
    """Compare the saved certificate with one that is computed from the tables.

    Args:
        result: The result of the run.
        rows: The trials of the run.
        about: The contents of ``comparison.json``.
    """
    again = _evidence(result, rows).certificate(*_recorded(result))
    if not about.get("certificate"):
        broken = [f"{check.name}: {check.detail}" for check in again if not check.held]
        held = f"not written yet; all {len(again)} checks hold for these tables"
        return Finding(NAME, not broken, some(broken) or held)
    wrong = _differences(result, again)
    return Finding(
        NAME, not wrong, some(wrong) or f"its {len(again)} checks come out the same from the tables"
    )


def _evidence(result: ResultTables, rows: TrialRows) -> Evidence:
    """Collect the evidence of the tables about each trial and its first measurement."""
    comparison = result.comparison
    evidence = Evidence(comparison, _free(result.certificate))
    for trial, row in rows:
        unended = (
            row["status"] == "finished" and not row["reason"]
        )  # A finished trial with a reason stopped at its goal.
        shorter = row["budget"] < comparison.budget.amount and unended and trial.phase == "report"
        if result.status == "finished" or not shorter:
            # A run that was stopped while it was extended had not looked at shorter trials again.
            evidence.trial_ended(trial, row)
    trials = {TrialKey.of(trial): trial for trial, _ in rows}
    before = result.records[result.records["update"] == 0]
    for trial, record in _records_of(trials, before, ("train_loss", "valid_loss", *ROWS_COLUMNS)):
        evidence.first_record(trial, record)
    finished = {TrialKey.of(trial): trial for trial, row in rows if row["status"] == "finished"}
    last = result.records.drop_duplicates(run_key(result.records), keep="last")
    for trial, record in _records_of(finished, last, ROWS_COLUMNS):
        evidence.last_record(trial, record)
    return evidence


def _records_of(
    trials: Mapping[TrialKey, Trial], records: pd.DataFrame, columns: Sequence[str]
) -> Iterator[tuple[Trial, dict[str, Any]]]:
    """Yield the trial and some columns of each record of these trials."""
    chosen = [*run_key(records), *(name for name in columns if name in records)]
    for row in records[chosen].to_dict("records"):
        record = {str(name): value for name, value in row.items()}
        trial = trials.get(TrialKey.of_row(record))
        if trial is not None:
            yield trial, record


def _free(certificate: Sequence[Check]) -> list[str]:
    """Return the strategies that may repeat samples, which are not in the tables."""
    for check in certificate:
        if isinstance(check.data, Coverage):
            return check.data.free
        if check.name == Coverage.name:
            return free_strategies(check.detail)
    return []


def _recorded(result: ResultTables) -> tuple[Agreement, Reference | None, Traits]:
    """Return the evidence that the environment records instead of the tables."""
    recorded = result.environment
    agreement = recorded.get("agreement") or {"checked": 0, "apart": 0.0, "tolerance": 0.0}
    reference = recorded.get("reference")
    return (
        Agreement(**agreement),
        Reference(**reference) if reference else None,
        Traits(**recorded.get("traits", {})),
    )


def _differences(result: ResultTables, again: Sequence[Check]) -> list[str]:
    """Describe the difference between certificate and tables, for each check that differs."""
    now = {check.name: check for check in again}
    saved = [
        dataclasses.replace(check, name=RENAMED.get(check.name, check.name)) for check in result.certificate
    ]
    known_sources, over = is_of_these_sources(result.environment), result.status == "finished"
    wrong = [f"it has a check that is not known: {check.name}" for check in saved if check.name not in now]
    for check in saved:
        found = now.get(check.name)
        if found is None or (check.held == found.held and not (over and _other(check, found, known_sources))):
            continue
        wrong.append(f"{check.name}: the certificate has {_result(check)}; the tables give {_result(found)}")
    return wrong + [f"it lacks {name}" for name in now if name not in {check.name for check in saved}]


def _result(check: Check) -> str:
    return f"'{'held' if check.held else 'not held'}' ({check.detail})"


def _other(saved: Check, found: Check, known_sources: bool) -> bool:
    """Return whether the evidence differs, in data or in the sentence.

    Args:
        saved: The check of the run.
        found: The check that is computed from the tables.
        known_sources: Whether the same sources wrote the run; only then must the sentence be the same.
    """
    if saved.data is not None and not saved.data.same(found.data):
        return True
    if known_sources:
        return saved.data is None or saved.detail != saved.data.sentence()
    return numbers(saved.detail) != numbers(found.detail)
