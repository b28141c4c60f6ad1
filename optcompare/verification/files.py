"""Check the files of a run directory, and the environment of its run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..core.comparison import Comparison
from ..errors import OptcompareError
from ..planning.resolve import objects_of
from ..registry.manager import Registry
from ..storage import run_dir
from ..storage.looks_file import LOOKS, looks_changed
from ..storage.provenance import describe_environment, differences, other_sources
from ..training.device import resolve as resolve_device
from ..training.setup import Setup
from ..training.splits import other_splits
from .finding import Finding, shortened
from .recompute import is_complete


def check_files(directory: Path, about: Mapping[str, Any]) -> Finding:
    """Compare the SHA-256 of every file with the one in ``comparison.json``.

    Args:
        directory: The run directory.
        about: The contents of ``comparison.json``.
    """
    name, files = "files", about.get("files")
    if files is None and is_complete(about):
        detail = f"{run_dir.COMPARISON} notes no SHA-256 of them, as this version does for every run"
        return Finding(name, False, detail)
    if files is None:
        detail = "no SHA-256 of them was noted, since the run did not come to its end, or is older"
        return Finding(name, None, detail)
    if not isinstance(files, dict) or not files:
        return Finding(name, False, f"{run_dir.COMPARISON} lists none")
    changes = {each: _change(directory, each, sha256) for each, sha256 in files.items()}
    wrong = [f"{each} {change}" for each, change in changes.items() if change]
    changed = looks_changed(directory, about.get("looks"))
    wrong += [changed] if changed else []
    named = ", ".join([*files, *([LOOKS] if about.get("looks") else [])])
    alike = f"{named}: the SHA-256 that {run_dir.COMPARISON} notes"
    return Finding(name, not wrong, "; ".join(wrong) or alike)


def _change(directory: Path, name: str, sha256: Any) -> str:
    """Describe the change of a file; empty for none."""
    if Path(name).name != name:
        return "lies elsewhere"
    try:
        now = run_dir.file_sha256(directory / name)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if now == sha256 else f"was changed: its SHA-256 is {shortened(now)}, not {shortened(sha256)}"


def check_environment(
    registry: Registry, setup: Setup | None, comparison: Comparison, then: Mapping[str, Any], missing: str
) -> Finding:
    """Compare versions, data, sources of plugins, device and threads with those of the run.

    Args:
        registry: The plugins that are loaded now.
        setup: The setup of the trials; None if it cannot be restored.
        comparison: The comparison of the run.
        then: The environment that the run recorded.
        missing: Why there is no setup.
    """
    device = absent_device(comparison)
    where = resolve_device("cpu" if device else comparison.device)
    splits = other_splits(setup.workload, comparison.split_seeds) if setup else ()
    now = describe_environment(registry, setup.workload if setup else None, where, comparison.threads, splits)
    if setup is None:
        now |= {name: then[name] for name in ("data_sha256", "splits_sha256") if name in then}
    found = [*([device] if device else []), *differences(then, now)]
    if setup is None and not objects_of(comparison):
        found.append(missing)
    alike = f"versions{', data' if setup else ''}, sources of plugins, device and threads are as they were"
    maker = other_sources(then, now)
    if maker:
        alike = f"made by {maker}, with other source files, which are known; everything else is unchanged"
    return Finding("environment", not found, "; ".join(found) or alike)


def absent_device(comparison: Comparison) -> str:
    """Return why this machine cannot use the device of a comparison; empty if it can."""
    try:
        resolve_device(comparison.device, comparison.dtype)
        return ""
    except OptcompareError as error:
        return str(error)
