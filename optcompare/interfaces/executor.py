"""The demands of a run on an executor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Demand:
    """Describe what an executor must provide.

    Attributes:
        unguarded: Exit code of a worker that re-imported an unguarded ``__main__``.
        jobs: The number of tasks at once; None: as many as the executor can run.
        threads: The threads of each task.
        device: The device of each task, such as ``cpu`` or ``cuda:0``.
        imports_main: Whether a new process may import the user's script. Importing it executes all of it
            but the part under ``if __name__ == "__main__":``. If False, tasks carry what it defines.
    """

    unguarded: ClassVar[int] = 117

    jobs: int | None
    threads: int
    device: str
    imports_main: bool = True

    @property
    def gpus(self) -> int:
        """Return the number of GPUs that a task needs."""
        return int(self.device.startswith("cuda"))
