"""What an earlier run left behind, and how its comparison may be extended."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..core.columns import KEY, RECORD_COLUMNS, TRIAL_COLUMNS, run_key
from ..core.comparison import Arm, Budget, Comparison, Trial
from ..core.goal import TEST
from ..core.schedule import depends_on_budget
from ..core.tuning import Tuning
from ..errors import ComparisonError
from .journal import Kept, State, chosen, has_tables, read_run, trial_numbers
from .provenance import differences
from .run_dir import read_json

Row = dict[str, Any]


@dataclass
class Earlier:
    """``trials`` and ``records`` of those that ended; ``kept``: their states, and that of the task under
    way.
    """

    comparison: Comparison
    records: pd.DataFrame
    trials: pd.DataFrame
    environment: Mapping[str, Any]
    notes: Sequence[str]
    kept: Kept
    directory: Path

    def __post_init__(self) -> None:
        self._rows = _lists(self.trials)
        self._key = run_key(self._rows)
        self._ended = {
            key: place
            for place, key in enumerate(zip(*(self._rows[name] for name in self._key), strict=True))
        }
        of_records, of_trials = trial_numbers(self.records, self.trials)
        self._order = np.argsort(of_records, kind="stable")
        self._begins, self._ends = (
            np.searchsorted(of_records[self._order], of_trials, side).tolist() for side in ("left", "right")
        )

    @classmethod
    def read(cls, directory: Path) -> Earlier:
        """From a run directory, whether it came to its end or not."""
        values = read_json(directory)
        comparison = Comparison.from_json(values["comparison"])
        environment, notes = values["environment"], values["notes"]
        if has_tables(directory):
            records, trials = read_run(directory, RECORD_COLUMNS, TRIAL_COLUMNS, comparison)
        else:  # it was stopped before the first trial had ended
            records, trials = pd.DataFrame(columns=list(KEY)), pd.DataFrame(columns=[*KEY, "status"])
        trials = trials[~trials["status"].isin(["interrupted"])]
        return cls(comparison, records, trials, environment, notes, Kept(directory), directory)

    def row(self, trial: Trial) -> Row | None:
        """The row of a trial that ended, if it did."""
        place = self._ended.get(self._identity(trial))
        return None if place is None else {name: values[place] for name, values in self._rows.items()}

    def records_of(self, trial: Trial) -> list[Row]:
        """The records of a trial that ended."""
        begin, end = self._bounds_of(trial)
        names, columns = (
            list(self._columns),
            [column.at(self._order[begin:end]) for column in self._columns.values()],
        )
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]

    def first_of(self, trial: Trial) -> list[Row]:
        """The first of them alone, if there is one, and of it the numbers."""
        begin, end = self._bounds_of(trial)
        place = self._ended.get(self._identity(trial), 0)
        return [{name: values[place] for name, values in self._firsts.items()}] if begin < end else []

    def _bounds_of(self, trial: Trial) -> tuple[int, int]:
        place = self._ended.get(self._identity(trial))
        return (0, 0) if place is None else (self._begins[place], self._ends[place])

    def _identity(self, trial: Trial) -> tuple[Any, ...]:
        values = (trial.phase, trial.arm.label, trial.arm.lr, trial.seed, trial.repeat)
        return values[: len(self._key)]

    @cached_property
    def _columns(self) -> dict[str, _Column]:
        return {str(name): _Column(self.records[name]) for name in self.records.columns}

    @cached_property
    def _firsts(self) -> dict[str, list[Any]]:
        places = np.minimum(self._begins, len(self._order) - 1)
        return _lists(self.records.select_dtypes("number").iloc[self._order[places]])

    def with_later(self, records: pd.DataFrame, trials: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
        """This run's tables with those of a later one: the later rows of a trial count, unless they were
        interrupted.
        """
        if trials.empty:
            return self.records_of_ended(), self.trials
        cut = trials[trials["status"] == "interrupted"]
        kept = _rows_in(cut, self.trials)  # they had ended before, with a smaller budget
        later = trials[~_rows_in(trials, cut[kept])]
        records = chosen(records, ~_rows_in(records, cut[kept]))
        before = self.trials[~_rows_in(self.trials, later)]
        old = chosen(self.records, _rows_in(self.records, before))
        return pd.concat([old, records], ignore_index=True), pd.concat([before, later], ignore_index=True)

    def records_of_ended(self) -> pd.DataFrame:
        return chosen(self.records, _rows_in(self.records, self.trials))


def _lists(table: pd.DataFrame) -> dict[str, list[Any]]:
    """The values of each column, from which rows are picked far faster than from the table."""
    return {str(name): table[name].tolist() for name in table.columns}


class _Column:
    """A column whose values are read a few at a time: texts are numbers into the list of those there are."""

    def __init__(self, column: pd.Series) -> None:
        self._texts: np.ndarray | None = None
        if pd.api.types.is_numeric_dtype(column):
            self._values = column.to_numpy()
            return
        places, texts = pd.factorize(column, use_na_sentinel=False)
        self._values, self._texts = places.astype(np.int32), np.asarray(texts, dtype=object)

    def at(self, places: np.ndarray) -> list[Any]:
        values = self._values[places]
        found: list[Any] = (values if self._texts is None else self._texts[values]).tolist()
        return found


def extended(
    comparison: Comparison, budget: Budget | None, seeds: Sequence[int] | None, arms: Comparison | None
) -> Comparison:
    """The comparison with a longer budget, more seeds or the further arms of another comparison."""
    changes: dict[str, Any] = {}
    if budget is not None:
        before = comparison.budget
        if budget.unit != before.unit or budget.amount < before.amount:
            raise ComparisonError(
                f"this run had {before} each; it can be resumed with that or more, not with {budget}"
            )
        changes["budget"] = budget
    if seeds is not None:
        missing = [seed for seed in comparison.seeds if seed not in seeds]
        if missing:
            raise ComparisonError(
                f"this run has {len(comparison.seeds)} seeds, of which {missing[0]} is not among the "
                f"{len(seeds)} asked "
                f"for; give --seeds {len(comparison.seeds)} or more"
            )
        changes["seeds"] = tuple(seeds)
        longer = dataclasses.replace(comparison, seeds=tuple(seeds))
        moved = [seed for seed in comparison.seeds if longer.split_of(seed) != comparison.split_of(seed)]
        if moved:
            raise ComparisonError(
                f"seed {moved[0]} was trained on split {comparison.split_of(moved[0])} of the data, and "
                "would be on split "
                f"{longer.split_of(moved[0])}; list the earlier seeds first, in their order"
            )
    if arms is not None:
        changes["arms"] = _joined(comparison, arms)
    return dataclasses.replace(comparison, **changes)


def refuse_other_question(asked: Comparison, earlier: Comparison) -> None:
    """Raises unless ``asked`` is the earlier comparison, but for more seeds, more arms or a longer budget."""
    free = ("budget", "seeds", "arms", "tuning", "plugins")
    one, other = asked.to_json(), earlier.to_json()
    differing = [name for name in one if name not in free and one[name] != other[name]]
    known = {arm.label: arm for arm in asked.arms}
    rates = (
        {}
        if earlier.tuning is None or earlier.tuning.repeats
        else {arm.label: arm.lr for arm in earlier.arms}
    )
    for arm in earlier.arms:
        mine = known.get(arm.label)
        if mine is None or dataclasses.replace(mine, lr=rates.get(arm.label, mine.lr)) != arm:
            differing.append(f"arm {arm.label}")
    if asked.repeats != earlier.repeats:
        differing.append(f"tuning repeats ({asked.repeats} and {earlier.repeats})")
    elif not _tuned_alike(asked.tuning, earlier.tuning):
        differing.append("tuning")
    if differing:
        raise ComparisonError(
            f"this is not the comparison that is to be resumed; different: {', '.join(differing)}; ask the "
            "same question, "
            "with more seeds, more arms or a longer budget"
        )
    extended(earlier, asked.budget, asked.seeds, None)


def with_earlier_tuning(asked: Comparison, earlier: Comparison) -> Comparison:
    """The comparison with the rates of the earlier run, where it tunes the same arms.

    An earlier version may have split the same number of rates between its rounds in another way.
    """
    one, other = asked.tuning, earlier.tuning
    if one is None or other is None or one.rates.keys() != other.rates.keys():
        return asked
    return dataclasses.replace(asked, tuning=other)


def _tuned_alike(asked: Tuning | None, earlier: Tuning | None) -> bool:
    """Whether both try as many rates over the same range; what was found around the best stands among the
    earlier rates.
    """
    if asked is None or earlier is None:
        return asked is earlier
    of_both = [(asked.rates[label], rates) for label, rates in earlier.rates.items() if label in asked.rates]
    return (asked.rate_count, asked.seeds) == (earlier.rate_count, earlier.seeds) and all(
        rates[0] == tried[0] and tried[-1] in rates for tried, rates in of_both
    )


def refuse_changes(then: Mapping[str, Any], now: Mapping[str, Any], force: bool) -> list[str]:
    """What changed since the earlier run, as notes where ``force`` says to go on; else raises, listing it."""
    changed = differences(then, now)
    if changed and not force:
        raise ComparisonError(
            f"since this run began, {'; '.join(changed)}; give --force to go on all the same"
        )
    return [f"resumed although {change}" for change in changed]


def _joined(comparison: Comparison, asked: Comparison) -> tuple[Any, ...]:
    def parts(arm: Any) -> tuple[Any, ...]:
        values = repr(sorted(arm.hyperparameters.items()))
        return str(arm.strategy.reference), str(arm.optimizer.reference), values, arm.schedule, arm.clip

    known = {parts(arm) for arm in comparison.arms}
    new = [arm for arm in asked.arms if parts(arm) not in known]
    lost = {parts(arm) for arm in comparison.arms} - {parts(arm) for arm in asked.arms}
    ordinary = [arm for arm in comparison.arms if arm.label != comparison.control]
    if lost & {parts(arm) for arm in ordinary}:
        names = ", ".join(arm.label for arm in ordinary if parts(arm) in lost)
        raise ComparisonError(
            f"--strategies leaves out {names}, which this run has; list those too, and the new ones"
        )
    if new and comparison.tuning is not None:
        raise ComparisonError(
            "this run was tuned; a new arm would need tuning of its own, so start a new run"
        )
    taken = {arm.label for arm in comparison.arms}
    labelled = [
        dataclasses.replace(
            arm, label=arm.label if arm.label not in taken else f"{arm.strategy.label}@{arm.optimizer.label}"
        )
        for arm in new
    ]
    return (*comparison.arms, *labelled)


def goes_on(arm: Arm, before: Budget, now: Budget) -> bool:
    """Whether what was trained of an arm under one budget is the beginning of what it trains under the
    other.
    """
    return before == now or not depends_on_budget(arm.schedule)


def _rows_in(table: pd.DataFrame, trials: pd.DataFrame) -> np.ndarray:
    """Which rows belong to one of these trials."""
    if table.empty or trials.empty:
        return np.zeros(len(table), dtype=bool)
    numbers, wanted = trial_numbers(table, trials)
    return np.isin(numbers, wanted)


def prolonged(state: State) -> State:
    """The final state of a trial as the state of one that goes on."""
    return {**state, "progress": {**state["progress"], "status": "running", "tested": {}}}


def untested(record: Row) -> Row:
    """A record of a trial that goes on from its end, as one along its way, without what was measured on the
    test set.
    """
    return {name: math.nan if name.startswith(TEST) else value for name, value in record.items()}
