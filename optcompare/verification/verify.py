"""Does a run directory hold what the run would give again? Checks that compute it anew, one after another."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any

from ..core.columns import run_key
from ..core.comparison import Comparison, Trial
from ..core.formatting import duration
from ..core.trial_key import TrialKey
from ..errors import OptcompareError, RunDirectoryError, explain
from ..planning.resolve import objects_of, restore
from ..registry.manager import Registry
from ..results.tables import ResultTables
from ..storage import run_dir
from ..storage.looks_file import LOOKS, looks_changed
from ..storage.provenance import describe_environment, differences, other_sources
from ..storage.run_tables import has_tables
from ..storage.state_files import SavedStates
from ..storage.trusted_code import load_registry
from ..training.contender import Setup
from ..training.device import resolve as resolve_device
from ..training.loop.trainer import LoopTrainer
from ..training.splits import other_splits
from ..training.state import TrialState
from .recompute import (
    Finding,
    Row,
    Rows,
    certificate_again,
    conclusions_again,
    is_complete,
    kept_weights,
    name_of,
    rows_of,
    some,
    trials_as_asked,
    trials_of,
)
from .replay_batches import KINDS, MOST_WORK, adaptive, of_some_seeds, unlike
from .retrain import Saved, compared, shortened


def verify(
    directory: Path,
    trials: int | None = 3,
    plugins: Sequence[str] = (),
    advanced: Callable[[int, int, float], None] = lambda done, of, share: None,
    trust: bool = False,
    seconds: float = math.inf,
) -> Iterator[Finding]:
    """Each check as soon as it is made; ``trials``: how many to train again, ``plugins``: further ones.

    Initial weights, orders and batches are computed again for all trials of as many seeds as take about a
    quarter of a minute, or of all with ``trials=None``, which also trains all of them again. ``advanced`` is
    told of the trials that are planned or trained again: how many are done, of how many, and the share of the
    work. ``seconds``: how long training again may take in all, by the times that the run noted; trials that
    would take longer are left out. Plugins and files that the run names are loaded, as they are to resume it,
    where this user named them before, among ``plugins``, or says so by ``trust``; see
    :mod:`optcompare.storage.trusted_code`. Raises :class:`OptcompareError` where there is no run, or a plugin
    that it names cannot or must not be loaded.
    """
    about = run_dir.read_json(directory)
    comparison, environment = _claimed(directory, about)
    if not has_tables(directory):
        raise RunDirectoryError(f"{directory} holds no trial: the run was stopped before the first had ended")
    registry = load_registry(comparison, directory, plugins, trust=trust)
    return _findings(directory, about, comparison, environment, registry, trials, seconds, advanced)


def _findings(
    directory: Path,
    about: Row,
    comparison: Comparison,
    environment: Row,
    registry: Registry,
    trials: int | None,
    seconds: float,
    advanced: Callable[[int, int, float], None],
) -> Iterator[Finding]:
    yield _files(directory, about)
    try:
        result = ResultTables.read(directory)
        rows = rows_of(result)
    except (OptcompareError, ValueError, TypeError, KeyError, AttributeError) as error:
        yield Finding("tables", False, f"cannot be read: {' '.join(str(error).split())}")
        return
    yield trials_as_asked(result, rows)
    yield certificate_again(result, rows, about)
    yield conclusions_again(result, directory, about)
    yield kept_weights(directory, rows)
    setup, missing = _setup(registry, comparison)
    yield _environment(registry, setup, comparison, environment, missing)
    if setup is None:
        yield Finding("fingerprints", None, missing)
        yield Finding("trained again", None, missing)
        return
    absent = _absent_device(comparison)
    on_cpu = dataclasses.replace(setup, comparison=dataclasses.replace(comparison, device="cpu"))
    trainer = LoopTrainer(on_cpu if absent else setup)
    yield from _fingerprints(
        trainer, rows if trials is None else of_some_seeds(rows, MOST_WORK), len(rows), advanced
    )
    ended = _in_turn(rows)
    sample = _affordable(ended, trials, seconds)
    if absent or not sample:
        none = (
            "none was asked for"
            if trials == 0
            else _too_long(ended, seconds)
            if ended
            else "no trial has ended"
        )
        yield Finding("trained again", None, absent or none)
        return
    yield from _trained_again(trainer, sample, result, directory, advanced)


def _claimed(directory: Path, about: Row) -> tuple[Comparison, Row]:
    path = directory / run_dir.COMPARISON
    try:
        if not isinstance(about["environment"], dict):
            raise TypeError("environment is no object")
        return Comparison.from_json(about["comparison"]), about["environment"]
    except (KeyError, TypeError, ValueError, OptcompareError) as error:
        raise RunDirectoryError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _files(directory: Path, about: Row) -> Finding:
    name, files = "files", about.get("files")
    if files is None and is_complete(about):
        return Finding(
            name, False, f"{run_dir.COMPARISON} notes no SHA-256 of them, as this version does for every run"
        )
    if files is None:
        return Finding(
            name, None, "no SHA-256 of them was noted, since the run did not come to its end, or is older"
        )
    if not isinstance(files, dict) or not files:
        return Finding(name, False, f"{run_dir.COMPARISON} lists none")
    wrong = [
        f"{each} {found}"
        for each, sha256 in files.items()
        if (found := _unlike_file(directory, each, sha256))
    ]
    changed = looks_changed(directory, about.get("looks"))
    wrong += [changed] if changed else []
    named = ", ".join([*files, *([LOOKS] if about.get("looks") else [])])
    return Finding(
        name, not wrong, "; ".join(wrong) or f"{named}: the SHA-256 that {run_dir.COMPARISON} notes"
    )


def _unlike_file(directory: Path, name: str, sha256: Any) -> str:
    if Path(name).name != name:
        return "lies elsewhere"
    try:
        now = run_dir.file_sha256(directory / name)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if now == sha256 else f"was changed: its SHA-256 is {shortened(now)}, not {shortened(sha256)}"


def _setup(registry: Registry, comparison: Comparison) -> tuple[Setup | None, str]:
    """The setup, or why there is none."""
    objects = objects_of(comparison)
    if objects:
        return None, f"{objects} existed only as an object in the session that ran it"
    try:
        return restore(registry, comparison)[0], ""
    except OptcompareError as error:
        return None, str(error)


def _environment(
    registry: Registry, setup: Setup | None, comparison: Comparison, then: Row, missing: str
) -> Finding:
    device = _absent_device(comparison)
    where = resolve_device("cpu" if device else comparison.device)
    splits = other_splits(setup.workload, comparison.split_seeds) if setup else ()
    now = describe_environment(registry, setup.workload if setup else None, where, comparison.threads, splits)
    if setup is None:
        now |= {name: then[name] for name in ("data_sha256", "splits_sha256") if name in then}
    found = [*([device] if device else []), *differences(then, now)]
    if setup is None and not objects_of(comparison):
        found.append(missing)
    what = (
        "versions, sources of plugins, device and threads"
        if setup is None
        else "versions, data, sources of plugins, device and threads"
    )
    maker = other_sources(then, now)
    alike = f"{what} are as they were"
    if maker:
        alike = f"made by {maker}, whose source files are others and known; all else is as it was"
    return Finding("environment", not found, "; ".join(found) or alike)


def _absent_device(comparison: Comparison) -> str:
    try:
        resolve_device(comparison.device, comparison.dtype)
        return ""
    except OptcompareError as error:
        return str(error)


def _fingerprints(
    trainer: LoopTrainer, rows: Rows, of: int, advanced: Callable[[int, int, float], None]
) -> Iterator[Finding]:
    """Of these trials, which may be a sample ``of`` more."""
    try:
        wrong = list(unlike(trainer, rows, advanced))
    except (OptcompareError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        yield Finding("fingerprints", False, f"cannot be computed again: {explain(error)}")
        return
    free = list(dict.fromkeys(trial.arm.label for trial, _ in rows if adaptive(trainer, trial)))
    planned = sum(not adaptive(trainer, trial) for trial, _ in rows)
    seeds = len({trial.seed for trial, _ in rows})
    made = f"a model was made again for each of {seeds:,} seed{'s' * (seeds > 1)}"
    sampled = f" of {of:,} (a sample of seeds; all of them: --trials all)" if len(rows) < of else ""
    alike = (
        f"weights_sha256 of {trials_of(len(rows))}{sampled}; {made}",
        f"order_sha256 of {trials_of(len(rows))}{sampled}",
        f"batches_sha256 and samples of {trials_of(planned)}{sampled}, planned again",
    )
    for name, kind, said in zip(("initial weights", "sample order", "batches"), KINDS, alike, strict=True):
        found = [f"{name_of(trial)}: {what}" for each, trial, what in wrong if each == kind]
        adapts = (
            f"; those of {', '.join(free)} follow from the training, and are checked by training again"
            if free
            else ""
        )
        if kind == KINDS[2]:
            nothing = None if not planned else not found
            yield Finding(
                name, nothing, (some(found) or (said if planned else "none can be planned")) + adapts
            )
        else:
            yield Finding(name, not found, some(found) or said)


def _in_turn(rows: Rows) -> list[tuple[Trial, Row]]:
    """Trials that ended, from every arm in turn, of the report and of tuning; in an order that fingerprints
    decide.
    """
    groups: dict[str, dict[str, list[tuple[Trial, Row]]]] = {"report": {}, "tune": {}}
    for trial, row in sorted(
        rows,
        key=lambda one: hashlib.sha256(f"{TrialKey.of(one[0])} {one[1]['final_sha256']}".encode()).digest(),
    ):
        if row["status"] in ("finished", "diverged") and row["updates"] > 0:
            groups[trial.phase].setdefault(trial.arm.label, []).append((trial, row))
    phases = [zip_longest(*of_phase.values()) for of_phase in groups.values()]
    in_turn = [[one for turn in phase for one in turn if one is not None] for phase in phases]
    return [one for one in chain.from_iterable(zip_longest(*in_turn)) if one is not None]


def _affordable(ended: Rows, most: int | None, seconds: float) -> list[tuple[Trial, Row]]:
    """The first so many that together take no longer than so many seconds."""
    chosen, left = list[tuple[Trial, Row]](), seconds
    for trial, row in ended:
        if most is not None and len(chosen) >= most:
            break
        if (cost := _cost(row)) <= left:
            chosen.append((trial, row))
            left -= cost
    return chosen


def _cost(row: Row) -> float:
    """The seconds of a trial in the loop; one of lanes is trained twice, the second time from moved
    weights.
    """
    return float(row["train_seconds"] + row["measure_seconds"]) * (1 if row["trainer"] == "loop" else 2)


def _too_long(ended: Rows, seconds: float) -> str:
    least = min(_cost(row) for _, row in ended)
    return (
        f"each trial would take longer than {duration(seconds)}, the shortest about {duration(least)} "
        "(--trials 1)"
    )


def _trained_again(
    trainer: LoopTrainer,
    sample: Rows,
    result: ResultTables,
    directory: Path,
    advanced: Callable[[int, int, float], None],
) -> Iterator[Finding]:
    key = run_key(result.records.columns)
    records = result.records.groupby(key, sort=False).indices
    states = _states(directory, sample)
    work = [row["updates"] * (1 if row["trainer"] == "loop" else 2) for _, row in sample]
    for number, (trial, row) in enumerate(sample):
        places = records.get(TrialKey.of(trial)[: len(key)], ())
        mine = [
            {str(k): v for k, v in one.items()}
            for one in result.records.iloc[list(places)].to_dict("records")
        ]
        before, whole = sum(work[:number]), sum(work)

        def tick(share: float, number: int = number, before: int = before, whole: int = whole) -> None:
            advanced(number, len(sample), (before + share * work[number]) / whole)

        saved = Saved(trial, row, mine, states.get(TrialKey.of(trial)))
        held: bool | None
        try:
            held, said = compared(trainer, saved, "earlier" in result.environment, tick)
        except (OptcompareError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            held, said = False, explain(error)
        yield Finding(
            f"trained again: {name_of(trial)}", held, f"{said} ({_TRAINERS.get(row['trainer'], '?')})"
        )


def _states(directory: Path, sample: Rows) -> dict[TrialKey, TrialState]:
    """The states of these trials that were kept and can be read."""
    wanted = {TrialKey.of(trial): row["updates"] for trial, row in sample if row["trainer"] != "loop"}
    with suppress(RunDirectoryError, KeyError, TypeError, AttributeError):
        found = SavedStates(directory).items() if wanted else ()
        return {key: state for key, state in found if wanted.get(key) == state["progress"]["updates"]}
    return {}


_TRAINERS: Mapping[str, str] = {"loop": "loop", "lanes": "lanes", "lanes+loop": "lanes, then the loop"}
