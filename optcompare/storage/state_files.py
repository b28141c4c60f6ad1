"""States of trials in a run directory: final states, and the tasks that were under way."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..core.columns import Record
from ..core.comparison import Trial
from ..core.regular_files import open_regular
from ..core.trial_key import TrialKey
from ..errors import RunDirectoryError
from ..training.state import State, TrialState
from .run_dir import write_atomically

STATES, CHECKPOINT = "states", "checkpoint.pt"


class SavedTask(NamedTuple):
    """A task under way.

    Attributes:
        records: The records so far of each of its trials, in the order of the state.
        state: The state of the task, with these trials only.
    """

    records: dict[TrialKey, list[Record]]
    state: State


class SavedStates:
    """Read the states in a run directory.

    Args:
        directory: The run directory.
    """

    def __init__(self, directory: Path) -> None:
        self._files = sorted((directory / STATES).glob(f"[0-9]*-{STATES}.pt"))
        self._last: tuple[Path, dict[TrialKey, TrialState]] | None = None
        self._checkpoint = directory / CHECKPOINT

    @cached_property
    def _file_of(self) -> dict[TrialKey, Path]:
        return {key: path for path in self._files for key in load_states(path)}

    def __contains__(self, trial: Trial) -> bool:
        """Return whether the final state of a trial is kept."""
        return TrialKey.of(trial) in self._file_of

    def __getitem__(self, trial: Trial) -> TrialState:
        """Return the final state of a trial."""
        key = TrialKey.of(trial)
        path = self._file_of[key]
        if self._last is None or self._last[0] != path:
            self._last = path, load_states(path)
        return self._last[1][key]

    def items(self) -> Iterator[tuple[TrialKey, TrialState]]:
        """Yield the key and the last state of every trial, reading each file once."""
        for path in self._files:
            for key, state in load_states(path).items():
                if self._file_of[key] == path:
                    yield key, state

    def checkpoint(self) -> list[SavedTask]:
        """Return the tasks that were under way at the last checkpoint.

        Raises:
            RunDirectoryError: The file is damaged.
        """
        if not self._checkpoint.exists():
            return []
        tasks = _load(self._checkpoint).get("tasks")
        if not (isinstance(tasks, list) and all(map(_is_saved, tasks))):
            raise _damaged(self._checkpoint)
        return [SavedTask(_by_key(self._checkpoint, records), state) for records, state in tasks]


def save_states(path: Path, states: Mapping[TrialKey, TrialState]) -> None:
    """Write the final states of trials.

    Args:
        path: The file.
        states: The states by trial.

    Raises:
        RunDirectoryError: The file cannot be written.
    """
    _save(path, {str(key): state for key, state in states.items()})


def save_checkpoint(path: Path, tasks: Iterable[SavedTask]) -> None:
    """Write the tasks that are under way.

    Args:
        path: The file.
        tasks: All tasks under way.

    Raises:
        RunDirectoryError: The file cannot be written.
    """
    found = [[{str(key): own for key, own in task.records.items()}, task.state] for task in tasks]
    _save(path, {"tasks": found})


def load_states(path: Path) -> dict[TrialKey, TrialState]:
    """Read the final states of trials.

    Raises:
        RunDirectoryError: The file is damaged.
    """
    values = _load(path)
    if not all(isinstance(key, str) and _is_state(state) for key, state in values.items()):
        raise _damaged(path)
    return _by_key(path, values)


def _save(path: Path, values: Any) -> None:
    import torch

    packed = io.BytesIO()  # If torch wrote to a full disk, its RuntimeError would not name the reason.
    torch.save(values, packed)
    write_atomically(path, lambda temporary: temporary.write_bytes(packed.getbuffer()))


def _load(path: Path) -> dict[Any, Any]:
    """Read a file of tensors and plain values, without executing anything in it."""
    import torch

    try:
        # Indices beyond the size of a sparse tensor would end the process when they are used.
        with open_regular(path) as file, torch.sparse.check_sparse_tensor_invariants():
            values = torch.load(file, weights_only=True)
    except Exception as error:
        raise _damaged(path) from error
    if not isinstance(values, dict):
        raise _damaged(path)
    return values


def _by_key(path: Path, values: Mapping[str, Any]) -> dict[TrialKey, Any]:
    try:
        return {TrialKey.parse(text): value for text, value in values.items()}
    except (TypeError, ValueError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> RunDirectoryError:
    return RunDirectoryError(f"{path} is damaged; delete it, and what it held is trained again")


def _is_state(state: Any) -> bool:
    """Return whether a value could be the state of a trial, or of a group of trials in lanes."""
    if not isinstance(state, dict):
        return False
    lanes = state.get("lanes", [state])
    return isinstance(lanes, list) and all(
        isinstance(lane, dict)
        and isinstance(lane.get("progress"), dict)
        and isinstance(lane.get("model"), dict)
        for lane in lanes
    )


def _is_saved(task: Any) -> bool:
    """Return whether a value could be a task under way: records by trial, and the state."""
    if not (
        isinstance(task, (list, tuple))
        and len(task) == 2
        and isinstance(task[0], dict)
        and _is_state(task[1])
    ):
        return False
    rows = task[0].values()
    lanes = task[1].get("lanes")
    alike = lanes is None or len(lanes) == len(task[0])
    return alike and all(isinstance(own, list) and all(isinstance(row, dict) for row in own) for own in rows)


def bytes_of(state: Any) -> int:
    """Return the approximate number of bytes of a state.

    Args:
        state: A state, or any part of one.
    """
    if isinstance(state, Mapping):
        return sum(map(bytes_of, state.values()))
    if isinstance(state, (list, tuple)):
        return sum(map(bytes_of, state))
    if getattr(state, "is_sparse", False):
        return bytes_of([state._indices(), state._values()])
    return getattr(state, "nbytes", 16)
