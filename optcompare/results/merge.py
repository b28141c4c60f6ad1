"""Merge several run directories of one question into one result.

Runs with different questions are refused, with the reason.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pandas as pd

from ..analysis.check import Check
from ..analysis.statistics import final_columns
from ..core.columns import run_key
from ..core.comparison import Comparison
from ..core.parameters import suggestion
from ..core.tuning import Repeat
from ..errors import ComparisonError, RunDirectoryError
from ..storage import run_dir
from .tables import ResultTables

Tables = TypeVar("Tables", bound=ResultTables)

SAME = (
    "workload",
    "budget",
    "device",
    "dtype",
    "autocast",
    "threads",
    "deterministic",
    "measure",
    "order",
    "goal",
    "stop_at_goal",
    "goal_window",
    "recalibrate",
    "split_seeds",
    "masks",
)


def run_directories(directories: Sequence[Path]) -> list[Path]:
    """Return the run directories among these, and those directly inside the others.

    Args:
        directories: Run directories, and directories that contain run directories.

    Raises:
        RunDirectoryError: A directory is no run and contains none.
    """
    # A shell expands runs/* to plain files too, which are skipped; a single path is checked in any case.
    folders = [path for path in directories if len(directories) == 1 or not path.is_file()]
    return [path for directory in folders for path in _runs(directory)]


def merge(runs: Sequence[tuple[Path, Tables]]) -> Tables:
    """Merge runs into the union of their arms and seeds.

    A trial that several runs hold is taken from the first of them. Arms of equal settings are one arm even if
    their labels differ, since labels depend on the other arms; the merged arm has the label of the first run.

    Args:
        runs: The run directories, for messages, and their tables.

    Raises:
        ComparisonError: The runs do not have the same question: settings differ, or the fingerprints of the
            weights or of the order of a shared seed, or two arms of one label.
    """
    (first_path, merged), *others = runs
    for path, tables in others:
        other = _relabelled(tables, merged, path)
        reason = _difference(merged, other)
        if reason:
            raise ComparisonError(f"{first_path} and {path} did not ask the same question: {reason}")
        merged = _together(merged, other)
    return merged


def _relabelled(other: Tables, one: Tables, path: Path) -> Tables:
    """Return a result with the labels of ``one`` for arms of the same settings."""
    known = {arm.content: arm.label for arm in one.comparison.arms if arm.content is not None}
    labels = {arm.label: known.get(arm.content or "", arm.label) for arm in other.comparison.arms}
    renamed = {label: to for label, to in labels.items() if label != to}
    if not renamed:
        return other
    taken = {arm.label for arm in other.comparison.arms} - set(renamed)
    for label, to in renamed.items():
        if to in taken:
            raise ComparisonError(
                f"{path} calls the arm {to} {label}, and another arm {to}; leave the run out, or run it "
                "again with other labels"
            )
    notes = [f"{to}: {label} in {path}, whose settings are the same" for label, to in renamed.items()]
    return dataclasses.replace(with_labels(other, renamed), notes=[*other.notes, *notes])


def with_labels(tables: Tables, renamed: Mapping[str, str]) -> Tables:
    """Give arms other labels, in the comparison, in all tables, and in the recorded looks.

    Args:
        tables: The tables of one comparison.
        renamed: The new labels, by the present ones; other arms keep theirs.

    Returns:
        A copy with the same trials and numbers.
    """
    comparison = tables.comparison
    labels = {arm.label: renamed.get(arm.label, arm.label) for arm in comparison.arms}
    paths, plane = (
        table if table is None or "arm" not in table else table.assign(arm=table["arm"].replace(renamed))
        for table in (tables.paths, tables.plane)
    )
    return dataclasses.replace(
        tables,
        comparison=dataclasses.replace(
            comparison,
            arms=tuple(dataclasses.replace(arm, label=labels[arm.label]) for arm in comparison.arms),
            baseline=comparison.baseline and labels[comparison.baseline],
            control=comparison.control and labels[comparison.control],
            tuning=comparison.tuning and comparison.tuning.relabelled(labels),
        ),
        records=tables.records.assign(arm=tables.records["arm"].replace(renamed)),
        trials=tables.trials.assign(arm=tables.trials["arm"].replace(renamed)),
        paths=paths,
        plane=plane,
        weights={
            (labels.get(arm, arm), seed, repeat): kept for (arm, seed, repeat), kept in tables.weights.items()
        },
        looks=tables.looks.relabelled(renamed),
    )


def _runs(directory: Path) -> list[Path]:
    if (directory / run_dir.COMPARISON).is_file():
        return [directory]
    inside = sorted(path.parent for path in directory.glob(f"*/{run_dir.COMPARISON}"))
    if not inside:
        siblings = [path.parent.name for path in directory.parent.glob(f"*/{run_dir.COMPARISON}")]
        nearest = "" if directory.exists() else suggestion(directory.name, siblings)
        raise RunDirectoryError(
            f"{directory} is no run directory and holds none{nearest}; give the directory of a run"
        )
    return inside


def _difference(one: ResultTables, other: ResultTables) -> str:
    a, b = one.comparison, other.comparison
    for name in SAME:
        if getattr(a, name) != getattr(b, name):
            return f"{name} is {_shown(getattr(a, name))} in one and {_shown(getattr(b, name))} in the other"
    for option, follows, rows in (
        ("--measure-rows", "the arms", [each.measure_rows or "all" for each in (a, b)]),
        ("--eval-chunk", "the model", [each.eval_chunk for each in (a, b)]),
    ):
        if rows[0] != rows[1]:
            return (
                f"{option} is {rows[0]} in one and {rows[1]} in the other, which follows from {follows} "
                "unless you give it; give both runs the same"
            )
    tried = [c.tuning.rate_count * c.tuning.seeds * c.repeats if c.tuning else 0 for c in (a, b)]
    if tried[0] != tried[1]:
        return f"an arm was tuned with {tried[0]} trials in one and {tried[1]} in the other"
    if a.repeats != b.repeats:
        return f"an arm was tuned {a.repeats} times in one and {b.repeats} in the other"
    if [one.seeds for one in _repeats(a)] != [one.seeds for one in _repeats(b)]:
        return (
            "their tuning repeats have other seeds, which are drawn from the first seed; give both the same "
            "--first-seed"
        )
    tested = [final_columns(each.records) for each in (one, other)]
    if tested[0] != tested[1] and len(one.records) and len(other.records):
        return "one was measured on a test set and the other was not"
    union = dataclasses.replace(a, seeds=_seeds(a, b))
    moved = [seed for each in (a, b) for seed in each.seeds if each.split_of(seed) != union.split_of(seed)]
    if moved:
        return (
            f"seed {moved[0]} is on another split of the data than it would be in the merged run; before "
            f"seeds are added, their number must be a multiple of {a.split_seeds}"
        )
    theirs = {arm.label: arm for arm in b.arms}
    for arm in a.arms:
        if arm.label in theirs and theirs[arm.label] != arm:
            return f"the arm {arm.label} has other settings"
        if arm.label in theirs and _rates(a, arm.label) != _rates(b, arm.label):
            return f"the arm {arm.label} has other learning rates in its tuning repeats"
    for column, what in (("weights_sha256", "initial weights"), ("order_sha256", "order of samples")):
        prints = pd.concat([result.reported[1][["seed", column, "updates"]] for result in (one, other)])
        if column == "order_sha256" and (a.budget.unit != "epochs" or a.stop_at_goal):
            continue  # arms went through different numbers of epochs
        whole = prints[prints[column] != ""]
        finished = pd.concat([result.reported[1]["status"] for result in (one, other)]) == "finished"
        differing = whole[finished.to_numpy()[prints[column] != ""]].groupby("seed")[column].nunique()
        if (differing > 1).any():
            return f"seed {differing.index[differing > 1][0]} has another {what} (their SHA-256 differ)"
    return ""


def _shown(value: object) -> str:
    return str(getattr(value, "label", value))


def _together(one: Tables, other: Tables) -> Tables:
    key = run_key(one.trials)
    known = set(map(tuple, one.trials[key].to_numpy()))
    tables = {}
    for name in ("records", "trials"):
        theirs = getattr(other, name)
        new = [tuple(row) not in known for row in theirs[key].to_numpy()]
        tables[name] = pd.concat([getattr(one, name), theirs[new]], ignore_index=True)
    comparison = _union(one.comparison, other.comparison)
    return dataclasses.replace(
        one,
        comparison=comparison,
        certificate=_both(one, other),
        status="interrupted" if "interrupted" in (one.status, other.status) else one.status,
        notes=list(dict.fromkeys([*one.notes, *other.notes])),
        plane=None,  # the planes of different runs have different axes
        weights={},
        looks=one.looks.together_with(other.looks),
        **tables,
    )


def _both(one: ResultTables, other: ResultTables) -> list[Check]:
    """Return checks that hold if they held in both runs."""
    theirs = {check.name: check for check in other.certificate}
    return [
        check
        if check.name not in theirs or theirs[check.name].held
        else dataclasses.replace(theirs[check.name], detail=f"in a merged run: {theirs[check.name].detail}")
        for check in one.certificate
    ]


def _seeds(a: Comparison, b: Comparison) -> tuple[int, ...]:
    return tuple(dict.fromkeys([*a.seeds, *b.seeds]))


def _union(a: Comparison, b: Comparison) -> Comparison:
    labels = {arm.label for arm in a.arms}
    return dataclasses.replace(
        a,
        arms=(*a.arms, *(arm for arm in b.arms if arm.label not in labels)),
        seeds=_seeds(a, b),
        control=a.control or (b.control if a.baseline == b.baseline else None),
        tuning=a.tuning.merged(b.tuning) if a.tuning and b.tuning else None,
    )


def _repeats(comparison: Comparison) -> tuple[Repeat, ...]:
    return comparison.tuning.repeats if comparison.tuning is not None else ()


def _rates(comparison: Comparison, label: str) -> list[float | None]:
    """Return the learning rate of an arm in each tuning repeat."""
    return [one.best.get(label) for one in _repeats(comparison)]
