"""What a run asks of an executor."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Demand:
    """What an executor is asked for: so many tasks at once (None: as many as it has room for), and what each
    task needs.

    ``unguarded``: exit code of a worker that re-imported an unguarded ``__main__``.
    """

    unguarded: ClassVar[int] = 117

    jobs: int | None
    threads: int
    device: str

    @property
    def gpus(self) -> int:
        """GPUs that a task needs."""
        return int(self.device.startswith("cuda"))
