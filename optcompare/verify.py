"""Does a run directory hold what the run would give again? Checks that compute it anew, one after another."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice, zip_longest
from pathlib import Path
from typing import Any

from . import rundir
from .comparison import Comparison, Trial
from .errors import OptcompareError, RunDirectoryError
from .fairness import Agreement, Evidence
from .journal import KEY, Kept, State, has_tables, key_of
from .provenance import describe_environment, differences
from .registry import Registry
from .replan import KINDS, adaptive, unlike
from .resolve import objects_of, restore
from .result import Result, load
from .retrain import Saved, compared, shortened
from .start import fingerprint
from .train.contender import Setup
from .train.device import resolve as resolve_device
from .train.loop import LoopTrainer

_SHOWN = 3
Row = dict[str, Any]


@dataclass(frozen=True)
class Finding:
    """One check, whether it held (None: it could not be made), and the evidence in words."""

    name: str
    held: bool | None
    detail: str


def verify(
    directory: Path,
    trials: int | None = 3,
    plugins: Sequence[str] = (),
    advanced: Callable[[int, int, float], None] = lambda done, of, share: None,
) -> Iterator[Finding]:
    """Each check as soon as it is made; ``trials``: how many to train again (None: all), ``plugins``: further ones.

    ``advanced`` is told of the trials that are trained again: how many are done, of how many, and the share of the work.
    Nothing of the directory is executed; the plugins and files that the run names are loaded, as they are to resume it.
    Raises :class:`OptcompareError` where there is no run, or a plugin that it names cannot be loaded.
    """
    about = rundir.read_json(directory)
    comparison, environment = _claimed(directory, about)
    if not has_tables(directory):
        raise RunDirectoryError(f"{directory} holds no trial: the run was stopped before the first had ended")
    _refuse_own_code(directory, comparison)
    given = {Path(name).name for name in plugins}
    registry = Registry.load((*(name for name in comparison.plugins if Path(name).name not in given), *plugins))
    return _findings(directory, about, comparison, environment, registry, trials, advanced)


def _findings(
    directory: Path, about: Row, comparison: Comparison, environment: Row, registry: Registry, trials: int | None,
    advanced: Callable[[int, int, float], None],
) -> Iterator[Finding]:  # fmt: skip
    yield _files(directory, about.get("files"))
    try:
        result = load(directory)
        rows = _rows(result)
    except (OptcompareError, ValueError, TypeError, KeyError, AttributeError) as error:
        yield Finding("tables", False, f"cannot be read: {' '.join(str(error).split())}")
        return
    yield _trials(result, rows)
    yield _certificate(result, rows, about)
    yield _conclusions(result, directory, about)
    yield _kept(directory, rows)
    setup, missing = _setup(registry, comparison)
    yield _environment(registry, setup, comparison, environment, missing)
    if setup is None:
        yield Finding("fingerprints", None, missing)
        yield Finding("trained again", None, missing)
        return
    absent = _absent_device(comparison)
    on_cpu = dataclasses.replace(setup, comparison=dataclasses.replace(comparison, device="cpu"))
    trainer = LoopTrainer(on_cpu if absent else setup)
    yield from _fingerprints(trainer, rows)
    sample = _sample(rows, trials)
    if absent or not sample:
        yield Finding("trained again", None, absent or ("none was asked for" if trials == 0 else "no trial has ended"))
        return
    yield from _trained_again(trainer, sample, result, directory, advanced)


def _claimed(directory: Path, about: Row) -> tuple[Comparison, Row]:
    path = directory / rundir.COMPARISON
    try:
        if not isinstance(about["environment"], dict):
            raise TypeError("environment is no object")
        return Comparison.from_json(about["comparison"]), about["environment"]
    except (KeyError, TypeError, ValueError, OptcompareError) as error:
        raise RunDirectoryError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _refuse_own_code(directory: Path, comparison: Comparison) -> None:
    """A run never holds its own code: one that names some was made to have it executed."""
    named = [*comparison.plugins, *re.findall(r"[^\"':]+\.py", str(comparison.workload.reference))]
    for name in named:
        if name.endswith(".py") and Path(name).resolve().is_relative_to(directory.resolve()):
            raise RunDirectoryError(f"{directory} names code within itself, {name}, which is not executed")


def _files(directory: Path, files: Any) -> Finding:
    name = "files"
    if files is None:
        return Finding(name, None, "no SHA-256 of them was noted, since the run did not come to its end, or is older")
    if not isinstance(files, dict) or not files:
        return Finding(name, False, f"{rundir.COMPARISON} lists none")
    wrong = [f"{each} {found}" for each, sha256 in files.items() if (found := _unlike_file(directory, each, sha256))]
    return Finding(name, not wrong, "; ".join(wrong) or f"{', '.join(files)}: the SHA-256 that {rundir.COMPARISON} notes")


def _unlike_file(directory: Path, name: str, sha256: Any) -> str:
    if Path(name).name != name:
        return "lies elsewhere"
    try:
        now = rundir.file_sha256(directory / name)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if now == sha256 else f"was changed: its SHA-256 is {shortened(now)}, not {shortened(sha256)}"


def _rows(result: Result) -> list[tuple[Trial, Row]]:
    """Every trial of the table with its row."""
    rows: list[Row] = [{str(name): value for name, value in row.items()} for row in result.trials.to_dict("records")]
    for row in rows:
        for name in ("seed", "updates", "samples", "epochs_begun", "epochs_checked"):
            row[name] = int(row[name])
        row["lr"] = float(row["lr"])
        row.setdefault("budget", float(result.comparison.budget.amount))
    arms = result.comparison.arm
    return [(Trial(dataclasses.replace(arms(row["arm"]), lr=row["lr"]), row["seed"], row["phase"]), row) for row in rows]


def _trials(result: Result, rows: Sequence[tuple[Trial, Row]]) -> Finding:
    """Only what was asked for, each once; of a run that came to its end, all of it."""
    comparison, name = result.comparison, "trials"
    asked = {key_of(trial) for trial in [*comparison.tuning_trials(), *comparison.trials()]}
    held = Counter(key_of(trial) for trial, _ in rows)
    over = result.status == "finished"
    loose = {(trial.phase, trial.arm.label, trial.seed) for trial in [*comparison.tuning_trials(), *comparison.trials()]}
    wrong = [f"{key}: {count} rows" for key, count in held.items() if count > 1]
    wrong += [f"{_name(t)} was never asked for" for t, _ in rows
              if (key_of(t) not in asked if over else (t.phase, t.arm.label, t.seed) not in loose)]  # fmt: skip
    wrong += [f"{key} is missing" for key in asked - held.keys()] if over else []
    many = f"{len(rows):,} of {len(asked):,} that were asked for" if len(rows) < len(asked) else f"all {len(rows):,} that were asked for"
    return Finding(name, not wrong, _some(wrong) or f"{many}, each once")


def _certificate(result: Result, rows: Sequence[tuple[Trial, Row]], about: Row) -> Finding:
    """The certificate again, from the tables alone."""
    comparison, name = result.comparison, "certificate"
    coverage = next((check.detail for check in result.certificate if check.name == "every sample once an epoch"), "")
    free = re.search(r"but for (.*), which may repeat", coverage)
    evidence = Evidence(comparison, free[1].split(", ") if free else [])
    over = result.status == "finished"
    before = result.records[result.records["update"] == 0]
    trials = {key_of(trial): trial for trial, _ in rows}
    for trial, row in rows:
        shorter = row["budget"] < comparison.budget.amount and row["status"] == "finished" and trial.phase == "report"
        if over or not shorter:  # a run that was stopped while it was extended had not looked at those again
            evidence.trial_ended(trial, row)
    for record in before[[*KEY, *(c for c in ("train_loss", "valid_loss") if c in before)]].to_dict("records"):
        first = {str(name): value for name, value in record.items()}
        trial = trials.get(f"{first['phase']} {first['seed']} {float(first['lr'])!r} {first['arm']}")
        if trial is not None:
            evidence.first_record(trial, first)
    agreement = result.environment.get("agreement") or {"checked": 0, "apart": 0.0, "tolerance": 0.0}
    again = evidence.certificate(Agreement(**agreement))
    if not about.get("certificate"):
        broken = [f"{check.name}: {check.detail}" for check in again if not check.held]
        return Finding(name, not broken, _some(broken) or f"not written yet; all {len(again)} checks hold for these tables")
    now = {check.name: check for check in again}
    wrong = [
        f"it says of {claim.name} that {'it held' if claim.held else 'it did not hold'}: {claim.detail}; the tables say "
        f"that it {'held' if now[claim.name].held else 'did not'}: {now[claim.name].detail}"
        if claim.name in now else f"it has a check that is not known: {claim.name}"
        for claim in result.certificate
        if claim.name not in now or claim.held != now[claim.name].held
        or (over and _words(claim.detail) != _words(now[claim.name].detail))
    ]  # fmt: skip
    wrong += [f"it lacks {each}" for each in now if each not in {claim.name for claim in result.certificate}]
    return Finding(name, not wrong, _some(wrong) or f"its {len(again)} checks come out the same from the tables")


def _words(detail: str) -> list[str]:
    """In any order: trainers and arms are named in the order in which trials ended, which the table does not keep."""
    return sorted(re.findall(r"[^\s,;]+", detail))


def _conclusions(result: Result, directory: Path, about: Row) -> Finding:
    name = "conclusions"
    if not about.get("verdict"):
        return Finding(name, None, "none were written, since the run did not come to its end")
    wrong = []
    with suppress(OSError):
        if (directory / rundir.SUMMARY).read_bytes() != result.summary_csv():
            wrong.append(f"{rundir.SUMMARY} is not what the tables give")
    if about["verdict"] != result.verdict():
        wrong.append(f"the verdict is not what the tables give: {' '.join(result.verdict())}")
    return Finding(name, not wrong, "; ".join(wrong) or "summary.csv and the verdict come out the same from the tables")


def _kept(directory: Path, rows: Sequence[tuple[Trial, Row]]) -> Finding:
    """Every state that was kept is the one whose fingerprint the table has."""
    name, known = "kept weights", {key_of(trial): (trial, row) for trial, row in rows}
    wrong, count = [], 0
    try:
        for key, state in Kept(directory).items():
            trial, row = known.get(key, (None, None))
            if trial is None or row is None or state["progress"]["updates"] != row["updates"]:
                continue  # kept just before the run was killed
            count += 1
            now = fingerprint(state["model"])
            if now != row["final_sha256"]:
                wrong.append(f"{_name(trial)}: {shortened(row['final_sha256'])} in trials.parquet, {shortened(now)} in states")
    except (RunDirectoryError, KeyError, TypeError, AttributeError) as error:
        return Finding(name, False, f"cannot be read: {error}")
    if not count:
        return Finding(name, None, "none were kept")
    return Finding(name, not wrong, _some(wrong) or f"final_sha256 of the weights in states, {_trials_of(count)}")


def _setup(registry: Registry, comparison: Comparison) -> tuple[Setup | None, str]:
    """The setup, or why there is none."""
    objects = objects_of(comparison)
    if objects:
        return None, f"{objects} existed only as an object in the session that ran it"
    try:
        return restore(registry, comparison)[0], ""
    except OptcompareError as error:
        return None, str(error)


def _environment(registry: Registry, setup: Setup | None, comparison: Comparison, then: Row, missing: str) -> Finding:
    device = _absent_device(comparison)
    where = resolve_device("cpu" if device else comparison.device)
    now = describe_environment(registry, setup.workload if setup else None, where, comparison.threads)
    if setup is None:
        now["data_sha256"] = then.get("data_sha256")
    found = [*([device] if device else []), *differences(then, now)]
    if setup is None and not objects_of(comparison):
        found.append(missing)
    what = "versions, sources of plugins, device and threads" if setup is None else "versions, data, sources of plugins, device and threads"
    return Finding("environment", not found, "; ".join(found) or f"{what} are as they were")


def _absent_device(comparison: Comparison) -> str:
    try:
        resolve_device(comparison.device, comparison.dtype)
        return ""
    except OptcompareError as error:
        return str(error)


def _fingerprints(trainer: LoopTrainer, rows: Sequence[tuple[Trial, Row]]) -> Iterator[Finding]:
    try:
        wrong = list(unlike(trainer, rows))
    except OptcompareError as error:
        yield Finding("fingerprints", False, f"cannot be computed again: {error}")
        return
    free = list(dict.fromkeys(trial.arm.label for trial, _ in rows if adaptive(trainer, trial)))
    planned = sum(not adaptive(trainer, trial) for trial, _ in rows)
    seeds = len({trial.seed for trial, _ in rows})
    alike = (
        f"weights_sha256 of {_trials_of(len(rows))}; a model was made again for each of {seeds:,} seed{'s' * (seeds > 1)}",
        f"order_sha256 of {_trials_of(len(rows))}",
        f"batches_sha256 and samples of {_trials_of(planned)}, planned again",
    )
    for name, kind, said in zip(("initial weights", "sample order", "batches"), KINDS, alike, strict=True):
        found = [f"{_name(trial)}: {what}" for each, trial, what in wrong if each == kind]
        adapts = f"; those of {', '.join(free)} follow from the training, and are checked by training again" if free else ""
        if kind == KINDS[2]:
            nothing = None if not planned else not found
            yield Finding(name, nothing, (_some(found) or (said if planned else "none can be planned")) + adapts)
        else:
            yield Finding(name, not found, _some(found) or said)


def _sample(rows: Sequence[tuple[Trial, Row]], most: int | None) -> list[tuple[Trial, Row]]:
    """Trials that ended, from every arm in turn, of the report and of tuning; which ones, their fingerprints decide."""
    groups: dict[str, dict[str, list[tuple[Trial, Row]]]] = {"report": {}, "tune": {}}
    for trial, row in sorted(rows, key=lambda one: hashlib.sha256(f"{key_of(one[0])} {one[1]['final_sha256']}".encode()).digest()):
        if row["status"] in ("finished", "diverged") and row["updates"] > 0:
            groups[trial.phase].setdefault(trial.arm.label, []).append((trial, row))
    phases = [zip_longest(*of_phase.values()) for of_phase in groups.values()]
    in_turn = [[one for turn in phase for one in turn if one is not None] for phase in phases]
    both = chain.from_iterable(zip_longest(*in_turn))
    return list(islice((one for one in both if one is not None), most))


def _trained_again(
    trainer: LoopTrainer, sample: Sequence[tuple[Trial, Row]], result: Result, directory: Path,
    advanced: Callable[[int, int, float], None],
) -> Iterator[Finding]:  # fmt: skip
    records = result.records.groupby(KEY, sort=False).indices
    states = _states(directory, sample)
    work = [row["updates"] * (1 if row["trainer"] == "loop" else 2) for _, row in sample]
    for number, (trial, row) in enumerate(sample):
        places = records.get((trial.phase, trial.arm.label, trial.arm.lr, trial.seed), ())
        mine = [{str(k): v for k, v in one.items()} for one in result.records.iloc[list(places)].to_dict("records")]
        before, whole = sum(work[:number]), sum(work)

        def tick(share: float, number: int = number, before: int = before, whole: int = whole) -> None:
            advanced(number, len(sample), (before + share * work[number]) / whole)

        saved = Saved(trial, row, mine, states.get(key_of(trial)))
        held, said = compared(trainer, saved, "earlier" in result.environment, tick)
        yield Finding(f"trained again: {_name(trial)}", held, f"{said} ({_TRAINERS.get(row['trainer'], '?')})")


def _states(directory: Path, sample: Sequence[tuple[Trial, Row]]) -> dict[str, State]:
    """The states of these trials that were kept and can be read."""
    wanted = {key_of(trial): row["updates"] for trial, row in sample if row["trainer"] != "loop"}
    with suppress(RunDirectoryError, KeyError, TypeError, AttributeError):
        found = Kept(directory).items() if wanted else ()
        return {key: state for key, state in found if wanted.get(key) == state["progress"]["updates"]}
    return {}


_TRAINERS: Mapping[str, str] = {"loop": "loop", "lanes": "lanes", "lanes+loop": "lanes, then the loop"}


def _name(trial: Trial) -> str:
    tuned = f", tuning lr {trial.arm.lr:g}" if trial.phase == "tune" else ""
    return f"{trial.arm.label}, seed {trial.seed}{tuned}"


def _trials_of(number: int) -> str:
    return f"{number:,} trial{'s' * (number != 1)}"


def _some(found: Sequence[str]) -> str:
    """The first few."""
    more = f"; and {len(found) - _SHOWN:,} more" if len(found) > _SHOWN else ""
    return "; ".join(found[:_SHOWN]) + more
