"""States of trials in a run directory: those that ended, from which they can go on, and the tasks that were
under way.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from ..core.comparison import Trial
from ..core.regular_files import open_regular
from ..errors import RunDirectoryError
from .run_dir import write_atomically

STATES, CHECKPOINT = "states", "checkpoint.pt"
Row = Mapping[str, Any]
State = dict[str, Any]
Saved = tuple[dict[str, list[Row]], State]
"""A task under way: the records so far of each of its trials, by its key, and their state."""


class Kept:
    """States that a run directory holds: of ended trials, and of the tasks that were under way."""

    def __init__(self, directory: Path) -> None:
        self._files = sorted((directory / STATES).glob(f"[0-9]*-{STATES}.pt"))
        self._read: tuple[Path, dict[str, State]] | None = None
        self._checkpoint = directory / CHECKPOINT

    @cached_property
    def _places(self) -> dict[str, Path]:
        return {key: path for path in self._files for key in load_states(path)}

    def __contains__(self, trial: Trial) -> bool:
        return key_of(trial) in self._places

    def __getitem__(self, trial: Trial) -> State:
        path = self._places[key_of(trial)]
        if self._read is None or self._read[0] != path:
            self._read = path, load_states(path)
        return self._read[1][key_of(trial)]

    def items(self) -> Iterator[tuple[str, State]]:
        """Every trial's key with its last state, file by file, so that each is read once."""
        for path in self._files:
            for key, state in load_states(path).items():
                if self._places[key] == path:
                    yield key, state

    def checkpoint(self) -> list[Saved]:
        """The tasks that were under way."""
        if not self._checkpoint.exists():
            return []
        tasks = _load(self._checkpoint).get("tasks")
        if not (isinstance(tasks, list) and all(map(_is_saved, tasks))):
            raise _damaged(self._checkpoint)
        return [(records, state) for records, state in tasks]


def key_of(trial: Trial) -> str:
    """A trial's name within a run directory; the same for one that is read and one that is asked for."""
    return _key(trial.phase, trial.seed, trial.arm.lr, trial.arm.label, trial.repeat)


def key_of_row(row: Row) -> str:
    """The same name from a row of the trials or the records."""
    return _key(row["phase"], row["seed"], float(row["lr"]), row["arm"], row.get("repeat", 0))


def _key(phase: str, seed: int, lr: float, arm: str, repeat: int) -> str:
    return f"{phase}{f'/{repeat}' if repeat else ''} {seed} {lr!r} {arm}"


def save_states(path: Path, values: Any) -> None:
    """Write states, or tasks under way; raises :class:`RunDirectoryError` where that cannot be."""
    import torch

    packed = io.BytesIO()  # written to a file, a full disk would be a RuntimeError that does not say so
    torch.save(values, packed)
    write_atomically(path, lambda temporary: temporary.write_bytes(packed.getbuffer()))


def _load(path: Path) -> Any:
    """Nothing is executed: tensors and plain values alone are read."""
    import torch

    try:
        with open_regular(path) as file:
            values = torch.load(file, weights_only=True)
    except Exception as error:
        raise _damaged(path) from error
    if not isinstance(values, dict):
        raise _damaged(path)
    return values


def _damaged(path: Path) -> RunDirectoryError:
    return RunDirectoryError(f"{path} is damaged; delete it, and what it held is trained again")


def load_states(path: Path) -> dict[str, State]:
    """The states of trials that ended, by their keys."""
    values: dict[str, State] = _load(path)
    if not all(isinstance(key, str) and _is_state(state) for key, state in values.items()):
        raise _damaged(path)
    return values


def _is_state(state: Any) -> bool:
    """Whether it could be the state of a trial, or of a group of trials in lanes."""
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
    """Whether it could be a task under way: records by trial, and the state."""
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
    """About how many bytes a state takes."""
    if isinstance(state, Mapping):
        return sum(map(bytes_of, state.values()))
    if isinstance(state, (list, tuple)):
        return sum(map(bytes_of, state))
    return getattr(state, "nbytes", 16)
