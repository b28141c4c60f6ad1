"""What a run needs of an executor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Demand:
    """What an executor must provide.

    Attributes:
        unguarded: Exit code of a worker that re-imported an unguarded ``__main__``.
        jobs: Tasks at once; None: as many as it has room for.
        threads: Threads of each task.
        device: Of each task, such as ``cpu`` or ``cuda:0``.
    """

    unguarded: ClassVar[int] = 117

    jobs: int | None
    threads: int
    device: str

    @property
    def gpus(self) -> int:
        """GPUs that a task needs."""
        return int(self.device.startswith("cuda"))
