"""Check a run directory's trials, conclusions and kept weights against its own tables."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.comparison import Trial
from ..core.regular_files import read_regular
from ..core.trial_key import TrialKey
from ..core.version import installed_version
from ..errors import RunDirectoryError, explain
from ..results.tables import ResultTables
from ..storage import run_dir
from ..storage.provenance import is_of_these_sources
from ..storage.state_files import SavedStates
from ..training.shared_init import fingerprint
from .finding import Finding, TableRow, TrialRows, name_of, shortened, some, trials_of
from .summary_file import is_same_summary


def rows_of(result: ResultTables) -> list[tuple[Trial, TableRow]]:
    """Return every trial of the table with its row, in plain numbers.

    Raises:
        OptcompareError: A row names an arm that is not in the comparison.
        ValueError: A cell is not a number, but must be one.
    """
    comparison, found = result.comparison, list[tuple[Trial, TableRow]]()
    for cells in result.trials.to_dict("records"):
        row = {str(name): value for name, value in cells.items()}
        row.setdefault("repeat", 0)
        for name in ("seed", "repeat", "updates", "samples", "epochs_begun", "epochs_checked"):
            row[name] = int(row[name])
        row["lr"] = float(row["lr"])
        row.setdefault("budget", float(comparison.budget.amount))
        arm = dataclasses.replace(comparison.arm(row["arm"]), lr=row["lr"])
        found.append((Trial(arm, row["seed"], row["phase"], row["repeat"]), row))
    return found


def check_trials(result: ResultTables, rows: TrialRows) -> Finding:
    """Check that the table has planned trials only, each once, and all of them if the run has finished."""
    comparison, over = result.comparison, result.status == "finished"
    planned = [*comparison.tuning_trials(), *comparison.trials()]
    expected, known = {TrialKey.of(trial) for trial in planned}, {_without_rate(trial) for trial in planned}
    held = Counter(TrialKey.of(trial) for trial, _ in rows)
    wrong = [f"{key}: {count} rows" for key, count in held.items() if count > 1]
    wrong += [
        f"{name_of(trial)} is not part of the comparison"
        for trial, _ in rows
        if (TrialKey.of(trial) not in expected if over else _without_rate(trial) not in known)
    ]
    wrong += [f"{key} is missing" for key in expected - held.keys()] if over else []
    many = f"{len(rows):,} of {len(expected):,}" if len(rows) < len(expected) else f"all {len(rows):,}"
    return Finding("trials", not wrong, some(wrong) or f"{many} planned trials, each once")


def _without_rate(trial: Trial) -> tuple[str, str, int, int]:
    """Identify a trial whose learning rate may not be chosen yet."""
    return trial.phase, trial.arm.label, trial.seed, trial.repeat


def is_complete(about: Mapping[str, Any]) -> bool:
    """Return whether this version wrote ``comparison.json`` at the run's end, so that it must be complete."""
    environment = about.get("environment")
    maker = environment.get("optcompare") if isinstance(environment, dict) else None
    return about.get("status") != "running" and maker == installed_version()


def check_conclusions(result: ResultTables, directory: Path, about: Mapping[str, Any]) -> Finding:
    """Compare summary, claims and verdict with those computed from the tables and the recorded looks.

    Args:
        result: The result of the run.
        directory: The run directory.
        about: The contents of ``comparison.json``.
    """
    name = "conclusions"
    if not about.get("verdict") and not is_complete(about):
        return Finding(name, None, "none were written, since the run did not come to its end")
    try:
        summary, verdict, claims = result.summary_csv(), result.verdict(), result.claims()
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return Finding(name, False, f"nothing follows from these tables: {explain(error)}")
    wrong = []
    with suppress(OSError):  # check_files reports it
        written = read_regular(directory / run_dir.SUMMARY)
        if not any(is_same_summary(written, one) for one in (summary, _with_formulas(result))):
            wrong.append(f"{run_dir.SUMMARY} is not what the tables give")
    if about.get("verdict") != verdict and not is_of_these_sources(result.environment) and not wrong:
        maker = result.environment.get("optcompare")
        version = f"version {maker}" if maker != installed_version() else f"other sources of version {maker}"
        reworded = f"summary.csv comes out the same; the verdict of {version} is worded otherwise by this one"
        return Finding(name, None, f"{reworded}: {_other_sentences(about, verdict)}")
    if about.get("verdict") != verdict:
        wrong.append(f"the verdict is not what the tables give: {_other_sentences(about, verdict)}")
    wrong += _other_claims(about.get("claims") if is_complete(about) else about.get("claims", claims), claims)
    compared = f"{len(claims)} comparison{'s' * (len(claims) != 1)}"
    alike = f"summary.csv, {compared} and the verdict come out the same from the tables"
    return Finding(name, not wrong, "; ".join(wrong) or alike)


def _other_sentences(about: Mapping[str, Any], verdict: Sequence[str]) -> str:
    """Describe the written sentences that are not in the verdict of the tables, and those that they lack."""
    written = about.get("verdict")
    then = written if isinstance(written, list) else [written]
    strange = [repr(sentence) for sentence in then if sentence not in verdict]
    missing = [repr(sentence) for sentence in verdict if sentence not in then]
    parts = [
        f"{who} {some(sentences)}"
        for who, sentences in (("it has", strange), ("the tables give", missing))
        if sentences
    ]
    return ", ".join(parts) or "its sentences stand in another order, or twice"


def _with_formulas(result: ResultTables) -> bytes:
    """Return ``summary.csv`` as other sources of this version, or earlier versions, may have written it."""
    if is_of_these_sources(result.environment):
        return b""
    return str(result.summary(wide=True).to_csv(index=False, lineterminator="\n")).encode()


def _other_claims(written: Any, claims: Sequence[TableRow]) -> list[str]:
    """Describe the written claims that do not follow from the tables."""
    if not isinstance(written, list) or not all(isinstance(each, dict) for each in written):
        return ["the claims are no list of comparisons"]
    known = {(each.get("arm"), each.get("baseline"), each.get("measure")): each for each in written}
    wrong = []
    for claim in claims:
        named = f"{claim['arm']} against {claim['baseline']} in {claim['measure']}"
        then = known.pop((claim["arm"], claim["baseline"], claim["measure"]), None)
        if then is None:
            wrong.append(f"{named} is missing among the claims")
        elif then != claim:
            wrong.append(f"{named}: {_claimed(then)} is claimed, the tables give {_claimed(claim)}")
    return wrong + [f"{key} among the claims is no comparison of this run" for key in known]


def _claimed(claim: TableRow) -> str:
    return f"{claim.get('claims') or 'nothing'} (p {claim.get('p')}, Holm p {claim.get('p_holm')})"


def check_kept_weights(directory: Path, rows: TrialRows) -> Finding:
    """Compare the fingerprint of every kept state with that in the table."""
    name, known = "kept weights", {TrialKey.of(trial): (trial, row) for trial, row in rows}
    wrong, count = [], 0
    try:
        for key, state in SavedStates(directory).items():
            trial, row = known.get(key, (None, None))
            if trial is None or row is None or state["progress"]["updates"] != row["updates"]:
                continue  # kept just before the run was killed
            count += 1
            now = fingerprint(state["model"])
            if now != row["final_sha256"]:
                then = shortened(row["final_sha256"])
                wrong.append(f"{name_of(trial)}: {then} in trials.parquet, {shortened(now)} in states")
    except (RunDirectoryError, KeyError, TypeError, AttributeError) as error:
        return Finding(name, False, f"cannot be read: {error}")
    if not count:
        return Finding(name, None, "none were kept")
    alike = f"final_sha256 of the weights in states, {trials_of(count)}"
    return Finding(name, not wrong, some(wrong) or alike)
