"""Refuse sizes that do not fit into the memory of the machine, before anything is allocated."""

from __future__ import annotations

import os
from pathlib import Path

from optcompare import WorkloadError

_BYTES_A_WEIGHT = 16
"""Of a weight in float32, with its gradient and the two moments of Adam."""


def machine_memory() -> int:
    """Return the bytes of memory of the machine, or the limit of its control group if that is less."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")] if hasattr(os, "sysconf") else []
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        text = Path(path).read_text(encoding="utf-8").strip() if Path(path).is_file() else ""
        limits += [int(text)] if text.isdigit() else []
    return min(limits, default=2**33)


def check_model(workload: str, weights: int, settings: str) -> None:
    """Refuse a model that cannot be trained in the memory of this machine.

    Args:
        workload: The name of the workload.
        weights: About how many weights the model has.
        settings: The settings that decide it, for the message, such as ``hidden=64``.

    Raises:
        WorkloadError: Weights, gradients and the state of Adam take more than there is.
    """
    check_fits(workload, f"a model of {weights:,} weights ({settings})", _BYTES_A_WEIGHT * weights)


def check_fits(workload: str, what: str, size: int) -> None:
    """Refuse what does not fit into the memory of this machine.

    Args:
        workload: The name of the workload.
        what: What would take the memory, for the message.
        size: The bytes that it takes.

    Raises:
        WorkloadError: That is more than there is.
    """
    there = machine_memory()
    if size > there:
        raise WorkloadError(
            f"workload {workload}: {what} takes about {size / 2**30:,.0f} GiB of memory, and this machine "
            f"has {there / 2**30:,.0f}; give smaller sizes"
        )
