"""Train a sample of trials again, from every arm in turn, within a time limit."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from ..core.columns import run_key
from ..core.comparison import Trial
from ..core.formatting import duration
from ..core.trial_key import TrialKey
from ..errors import OptcompareError, RunDirectoryError, explain
from ..results.tables import ResultTables
from ..storage.state_files import SavedStates
from ..training.loop.trainer import LoopTrainer
from ..training.state import TrialState
from .finding import Finding, TableRow, TrialRows, name_of
from .retrain import Saved, compared

Advanced = Callable[[int, int, float], None]
"""Called with the number of trials that are done, the number of all, and the share of the work done."""
_TRAINERS: Mapping[str, str] = {"loop": "loop", "lanes": "lanes", "lanes+loop": "lanes, then the loop"}


@dataclass(frozen=True)
class Effort:
    """Limit how much is computed again.

    Attributes:
        trials: The number of trials to train; None: all.
        seconds: The seconds that training may take in all.
        advanced: Called as the work goes on.
    """

    trials: int | None
    seconds: float
    advanced: Advanced


def train_again(
    trainer: LoopTrainer, rows: TrialRows, result: ResultTables, directory: Path, effort: Effort
) -> Iterator[Finding]:
    """Train a sample of trials in the loop, and compare how they end.

    Args:
        trainer: The loop trainer of the comparison.
        rows: All trials.
        result: The result of the run.
        directory: The run directory, which may contain final states.
        effort: The limits on trials and seconds.

    Yields:
        One finding for each trial, or one that explains why no trial is trained.
    """
    ended = _in_turn(rows)
    sample = _affordable(ended, effort)
    if not sample:
        yield Finding("trained again", None, _why_none(ended, effort))
        return
    key = run_key(result.records.columns)
    records = result.records.groupby(key, sort=False).indices
    states = _states(directory, sample)
    work = [row["updates"] * (1 if row["trainer"] == "loop" else 2) for _, row in sample]
    for number, (trial, row) in enumerate(sample):
        indices = records.get(TrialKey.of(trial)[: len(key)], ())
        of_trial = result.records.iloc[list(indices)].to_dict("records")

        def tick(share: float, number: int = number) -> None:
            done = sum(work[:number]) + share * work[number]
            effort.advanced(number, len(sample), done / sum(work))

        saved = Saved(
            trial,
            row,
            [{str(k): v for k, v in one.items()} for one in of_trial],
            states.get(TrialKey.of(trial)),
        )
        held: bool | None
        try:
            held, detail = compared(trainer, saved, "earlier" in result.environment, tick)
        except (OptcompareError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            held, detail = False, explain(error)
        yield Finding(f"trained again: {name_of(trial)}", held, f"{detail} ({_trained_in(row)})")


def _trained_in(row: TableRow) -> str:
    """Name the trainer of a trial, and the engine of lanes, whose last bits depend on the installation."""
    trainer, engine = _TRAINERS.get(row["trainer"], "?"), row.get("engine")
    if not isinstance(engine, str) or not engine:
        return trainer
    return f"{trainer} by {engine}; trained again in the loop, the reference of every engine"


def _in_turn(rows: TrialRows) -> list[tuple[Trial, TableRow]]:
    """Order trials that ended: from every arm in turn, and from report and tuning in turn.

    Fingerprints decide the order within an arm, so that it cannot be chosen.
    """
    groups: dict[str, dict[str, list[tuple[Trial, TableRow]]]] = {"report": {}, "tune": {}}
    for trial, row in sorted(rows, key=lambda one: _digest(*one)):
        if row["status"] in ("finished", "diverged") and row["updates"] > 0:
            groups[trial.phase].setdefault(trial.arm.label, []).append((trial, row))
    phases = [zip_longest(*of_phase.values()) for of_phase in groups.values()]
    in_turn = [[one for turn in phase for one in turn if one is not None] for phase in phases]
    return [one for one in chain.from_iterable(zip_longest(*in_turn)) if one is not None]


def _digest(trial: Trial, row: TableRow) -> bytes:
    """Return the sort key of a trial, which depends on how it ended."""
    return hashlib.sha256(f"{TrialKey.of(trial)} {row['final_sha256']}".encode()).digest()


def _affordable(ended: TrialRows, effort: Effort) -> list[tuple[Trial, TableRow]]:
    """Return the first trials that together stay within the limits."""
    chosen, left = list[tuple[Trial, TableRow]](), effort.seconds
    for trial, row in ended:
        if effort.trials is not None and len(chosen) >= effort.trials:
            break
        if (cost := _cost(row)) <= left:
            chosen.append((trial, row))
            left -= cost
    return chosen


def _cost(row: TableRow) -> float:
    """Return the seconds that a trial takes in the loop; a trial of lanes is trained twice."""
    return float(row["train_seconds"] + row["measure_seconds"]) * (1 if row["trainer"] == "loop" else 2)


def _why_none(ended: TrialRows, effort: Effort) -> str:
    if effort.trials == 0:
        return "no trial, because of --trials 0"
    if not ended:
        return "no trial has ended"
    most, least = duration(effort.seconds), duration(min(_cost(row) for _, row in ended))
    return f"each trial would take longer than {most}, the shortest about {least} (--trials 1)"


def _states(directory: Path, sample: TrialRows) -> dict[TrialKey, TrialState]:
    """Return the kept and readable states of these trials, by the key of the trial."""
    wanted = {TrialKey.of(trial): row["updates"] for trial, row in sample if row["trainer"] != "loop"}
    with suppress(RunDirectoryError, KeyError, TypeError, AttributeError):
        found = SavedStates(directory).items() if wanted else ()
        return {key: state for key, state in found if wanted.get(key) == state["progress"]["updates"]}
    return {}
