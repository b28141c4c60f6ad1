"""Count the CPU cores that this process may use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def usable_cores(root: Path = Path("/")) -> int:
    """Return the number of cores that the CPU affinity and the control groups leave to this process.

    Args:
        root: The directory that holds ``proc`` and ``sys``.

    Returns:
        The number of whole cores, at least 1.
    """
    quotas = [_allowed_cores(), *_quotas(root)]
    return max(1, int(min(quotas)))


def _allowed_cores() -> int:
    """Return the number of cores in the affinity mask, or all of the machine where there is no mask."""
    if hasattr(os, "process_cpu_count"):
        return os.process_cpu_count() or 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _quotas(root: Path) -> Iterator[float]:
    """Yield the CPU quotas of this process's control groups and their parents, in cores."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers not in ("", "cpu", "cpu,cpuacct", "cpuacct,cpu"):
            continue
        top = root / "sys/fs/cgroup" / controllers
        group = top / path.lstrip("/")
        for directory in (group, *group.parents):
            if directory.is_relative_to(top):
                yield from _quota(directory)


def _quota(directory: Path) -> Iterator[float]:
    """Yield the CPU quota of one control group, of version 2 or 1, if it has one."""
    limit, _, period = _text(directory / "cpu.max").strip().partition(" ")
    limit = limit or _text(directory / "cpu.cfs_quota_us").strip()
    period = period or _text(directory / "cpu.cfs_period_us").strip()
    if limit.isdigit() and period.isdigit() and int(period):
        yield int(limit) / int(period)


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except OSError:
        return ""
