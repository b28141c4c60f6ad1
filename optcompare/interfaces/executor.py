"""What a run asks of an executor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Demand:
    """What an executor is asked for: so many tasks at once (None: as many as it has room for), and what each task needs.

    ``unguarded``: with what exit code a new process ends that was about to run the script again which made it.
    """

    unguarded: ClassVar[int] = 117

    jobs: int | None
    threads: int
    device: str

    @property
    def gpus(self) -> int:
        """GPUs that a task needs."""
        return int(self.device.startswith("cuda"))
