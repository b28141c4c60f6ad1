"""What a run directory claims, against what its own tables say: trials, certificate, summary, verdict, kept
weights.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..analysis.certificate import Agreement, Evidence, Reference
from ..analysis.traits import Traits
from ..core.columns import run_key
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
from .retrain import shortened

_SHOWN = 3
_RENAMED = {"same updates by either trainer": "fast and reference trainers agree"}
"""Checks of the certificate that earlier versions call otherwise."""
Row = dict[str, Any]
Rows = Sequence[tuple[Trial, Row]]


@dataclass(frozen=True)
class Finding:
    """One check, whether it held (None: it could not be made), and the evidence in words."""

    name: str
    held: bool | None
    detail: str


def rows_of(result: ResultTables) -> list[tuple[Trial, Row]]:
    """Every trial of the table with its row."""
    rows: list[Row] = [
        {str(name): value for name, value in row.items()} for row in result.trials.to_dict("records")
    ]
    for row in rows:
        row.setdefault("repeat", 0)
        for name in ("seed", "repeat", "updates", "samples", "epochs_begun", "epochs_checked"):
            row[name] = int(row[name])
        row["lr"] = float(row["lr"])
        row.setdefault("budget", float(result.comparison.budget.amount))
    arms = result.comparison.arm
    return [
        (
            Trial(
                dataclasses.replace(arms(row["arm"]), lr=row["lr"]), row["seed"], row["phase"], row["repeat"]
            ),
            row,
        )
        for row in rows
    ]


def trials_as_asked(result: ResultTables, rows: Rows) -> Finding:
    """Only what was asked for, each once; of a run that came to its end, all of it."""
    comparison, name = result.comparison, "trials"
    asked = {TrialKey.of(trial) for trial in [*comparison.tuning_trials(), *comparison.trials()]}
    held = Counter(TrialKey.of(trial) for trial, _ in rows)
    over = result.status == "finished"
    loose = {key._replace(lr=0.0) for key in asked}  # rates of tuning that is under way are not known yet
    wrong = [f"{key}: {count} rows" for key, count in held.items() if count > 1]
    wrong += [
        f"{name_of(t)} was never asked for"
        for t, _ in rows
        if (TrialKey.of(t) not in asked if over else TrialKey.of(t)._replace(lr=0.0) not in loose)
    ]
    wrong += [f"{key} is missing" for key in asked - held.keys()] if over else []
    many = (
        f"{len(rows):,} of {len(asked):,} that were asked for"
        if len(rows) < len(asked)
        else f"all {len(rows):,} that were asked for"
    )
    return Finding(name, not wrong, some(wrong) or f"{many}, each once")


def certificate_again(result: ResultTables, rows: Rows, about: Row) -> Finding:
    """The certificate again, from the tables alone."""
    comparison, name = result.comparison, "certificate"
    coverage = next(
        (check.detail for check in result.certificate if check.name == "every sample once an epoch"), ""
    )
    free = re.search(r"but for (.*), which may repeat", coverage)
    evidence = Evidence(comparison, free[1].split(", ") if free else [])
    over = result.status == "finished"
    before = result.records[result.records["update"] == 0]
    trials = {TrialKey.of(trial): trial for trial, _ in rows}
    for trial, row in rows:
        unended = row["status"] == "finished" and not row["reason"]  # one with a reason stopped at its goal
        shorter = row["budget"] < comparison.budget.amount and unended and trial.phase == "report"
        if over or not shorter:  # a run that was stopped while it was extended had not looked at those again
            evidence.trial_ended(trial, row)
    for record in before[
        [*run_key(before), *(c for c in ("train_loss", "valid_loss") if c in before)]
    ].to_dict("records"):
        first = {str(name): value for name, value in record.items()}
        whose = trials.get(TrialKey.of_row(first))
        if whose is not None:
            evidence.first_record(whose, first)
    agreement = result.environment.get("agreement") or {"checked": 0, "apart": 0.0, "tolerance": 0.0}
    reference = result.environment.get("reference")
    traits = Traits(**result.environment.get("traits", {}))
    again = evidence.certificate(
        Agreement(**agreement), Reference(**reference) if reference else None, traits
    )
    if not about.get("certificate"):
        broken = [f"{check.name}: {check.detail}" for check in again if not check.held]
        return Finding(
            name,
            not broken,
            some(broken) or f"not written yet; all {len(again)} checks hold for these tables",
        )
    now = {check.name: check for check in again}
    claims = [
        dataclasses.replace(claim, name=_RENAMED.get(claim.name, claim.name)) for claim in result.certificate
    ]
    content = _words if is_of_these_sources(result.environment) else _numbers  # others may word it otherwise
    wrong = [
        f"it says of {claim.name} that {'it held' if claim.held else 'it did not hold'}: {claim.detail}; "
        "the tables say "
        f"that it {'held' if now[claim.name].held else 'did not'}: {now[claim.name].detail}"
        if claim.name in now
        else f"it has a check that is not known: {claim.name}"
        for claim in claims
        if claim.name not in now
        or claim.held != now[claim.name].held
        or (over and content(claim.detail) != content(now[claim.name].detail))
    ]
    wrong += [f"it lacks {each}" for each in now if each not in {claim.name for claim in claims}]
    return Finding(
        name, not wrong, some(wrong) or f"its {len(again)} checks come out the same from the tables"
    )


def _words(detail: str) -> list[str]:
    """In any order: trainers and arms are named in the order in which trials ended, which the table does not
    keep.
    """
    return sorted(re.findall(r"[^\s,;]+", detail))


def _numbers(detail: str) -> list[str]:
    """What another version, which words it otherwise, says too."""
    return sorted(re.findall(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", detail))


def is_complete(about: Row) -> bool:
    """Whether this version wrote the run to its end, so that nothing may be missing in
    ``comparison.json``.
    """
    environment = about.get("environment")
    maker = environment.get("optcompare") if isinstance(environment, dict) else None
    return about.get("status") != "running" and maker == installed_version()


def conclusions_again(result: ResultTables, directory: Path, about: Row) -> Finding:
    """Summary, claims and verdict again, from the tables and the looks at them."""
    name = "conclusions"
    if not about.get("verdict") and not is_complete(about):
        return Finding(name, None, "none were written, since the run did not come to its end")
    try:
        summary, verdict, claims = result.summary_csv(), result.verdict(), result.claims()
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        return Finding(name, False, f"nothing follows from these tables: {explain(error)}")
    wrong = []
    with suppress(OSError):  # the check of the files says so
        if read_regular(directory / run_dir.SUMMARY) not in (summary, _with_formulas(result)):
            wrong.append(f"{run_dir.SUMMARY} is not what the tables give")
    if about.get("verdict") != verdict and not is_of_these_sources(result.environment) and not wrong:
        maker = result.environment.get("optcompare")
        whose = f"version {maker}" if maker != installed_version() else f"other sources of version {maker}"
        said = f"summary.csv comes out the same; the verdict of {whose} is worded otherwise by this one"
        return Finding(name, None, f"{said}: {' '.join(verdict)}")
    if about.get("verdict") != verdict:
        wrong.append(f"the verdict is not what the tables give: {' '.join(verdict)}")
    wrong += _other_claims(about.get("claims") if is_complete(about) else about.get("claims", claims), claims)
    alike = (
        f"summary.csv, {len(claims)} comparison{'s' * (len(claims) != 1)} and the verdict come out the same "
        "from the tables"
    )
    return Finding(name, not wrong, "; ".join(wrong) or alike)


def _with_formulas(result: ResultTables) -> bytes:
    """``summary.csv`` as other sources of this version, or earlier ones, may have written it."""
    if is_of_these_sources(result.environment):
        return b""
    return str(result.summary(wide=True).to_csv(index=False, lineterminator="\n")).encode()


def _other_claims(written: Any, claims: Sequence[Row]) -> list[str]:
    """What is written of each comparison and does not follow from the tables."""
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


def _claimed(claim: Row) -> str:
    return f"{claim.get('claims') or 'nothing'} (p {claim.get('p')}, Holm p {claim.get('p_holm')})"


def kept_weights(directory: Path, rows: Rows) -> Finding:
    """Every state that was kept is the one whose fingerprint the table has."""
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
                wrong.append(
                    f"{name_of(trial)}: {shortened(row['final_sha256'])} in trials.parquet, "
                    f"{shortened(now)} in states"
                )
    except (RunDirectoryError, KeyError, TypeError, AttributeError) as error:
        return Finding(name, False, f"cannot be read: {error}")
    if not count:
        return Finding(name, None, "none were kept")
    return Finding(
        name, not wrong, some(wrong) or f"final_sha256 of the weights in states, {trials_of(count)}"
    )


def name_of(trial: Trial) -> str:
    tuned = f", tuning lr {trial.arm.lr:g}" if trial.phase == "tune" else ""
    return f"{trial.name}{tuned}"


def trials_of(number: int) -> str:
    return f"{number:,} trial{'s' * (number != 1)}"


def some(found: Sequence[str]) -> str:
    """The first few."""
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more
