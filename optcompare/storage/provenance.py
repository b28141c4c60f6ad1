"""The environment of a result: versions, hardware, sources of plugins, and data, with fingerprints."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import os
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.rng import preserved_rng
from ..core.tree import tensors
from ..core.version import installed_version
from ..interfaces.data import is_tensors
from ..interfaces.workload import Workload
from ..registry.fingerprints import sources_sha256
from ..registry.manager import Registry
from ..registry.plugin_files import shown_name
from ..training.data import SeededSamples
from ..training.device import describe as describe_device
from ..training.shared_init import fingerprint
from .workload_code import workload_sha256

_COMPARED = (
    "optcompare",
    "torch",
    "numpy",
    "device",
    "threads",
    "data_sha256",
    "splits_sha256",
    "code_sha256",
)
_SAMPLED = 64

KNOWN_SOURCES = {
    "565b6dee4914115dd0999bf013b6c1b81078ef3387c5919af2103c7b02d9b2ba": "optcompare 0.1.0",
    "4abeb0e2e6eb2b29d94dd84471919023a2796c9fa3769e804e3f68f7d41d4fca": "the plugins of optcompare 0.1.0",
}
"""Names of earlier versions by the SHA-256 of their sources.

This version trains trials of these versions to the same bits, unless they were wrong. Other sources are a
difference that could change a result. Before a run of a known version continues, a trial of each of its arms
is trained again and compared to the last bit; ``optcompare verify`` does this for more trials.
"""


def describe_environment(
    registry: Registry,
    workload: Workload | None,
    device: torch.device,
    threads: int,
    splits: Iterable[Workload] = (),
) -> dict[str, Any]:
    """Describe versions, hardware, plugins and fingerprints for ``comparison.json``.

    Args:
        registry: The plugins that are loaded.
        workload: The workload; None if it existed only as an object.
        device: The device of the trials.
        threads: The CPU threads of a trial.
        splits: The workload on its other splits, if the comparison uses several.
    """
    others = [data_sha256(split) for split in splits]
    return {
        "optcompare": installed_version(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "device": describe_device(device),
        "threads": threads,
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "data_sha256": None if workload is None else data_sha256(workload),
        **({"splits_sha256": others} if others else {}),
        "workload_sha256": None if workload is None else workload_sha256(workload),
        "code_sha256": sources_sha256(Path(__file__)),
        "plugins": [dataclasses.asdict(plugin) for plugin in registry.plugins()],
    }


def is_of_these_sources(environment: Mapping[str, Any]) -> bool:
    """Return whether the run directory was written by exactly the present source files of optcompare."""
    return environment.get("code_sha256") == sources_sha256(Path(__file__))


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List the changes between two environments that could change a result.

    Known other sources of optcompare (``KNOWN_SOURCES``) are no difference, since their trials are compared.

    Args:
        then: The environment of a previous run.
        now: The present environment.

    Returns:
        One line for each change.
    """
    names = {
        "data_sha256": "the workload's data",
        "splits_sha256": "other splits of the workload's data",
        "code_sha256": "optcompare's own source files",
    }
    known = {"optcompare", "code_sha256"} if then.get("code_sha256") in KNOWN_SOURCES else set()
    found = []
    for name in _COMPARED:
        if then.get(name) != now.get(name) and name not in known:
            change = f": {then.get(name)} then, {now.get(name)} now" if name not in names else " changed"
            found.append(f"{names.get(name, name)}{change}")
    codes = [side.get("workload_sha256") for side in (then, now)]
    # Another Python version has other bytecode.
    if all(codes) and codes[0] != codes[1] and then.get("python") == now.get("python"):
        found.append("the code of the workload's model, loss or metrics changed")
    before, after = (
        {plugin["source"]: plugin["sha256"] for plugin in side.get("plugins", [])} for side in (then, now)
    )
    changed = [
        source for source, sha in before.items() if after.get(source, sha) != sha and sha not in KNOWN_SOURCES
    ]
    # The hash of a plugin is that of its package.
    packages = dict.fromkeys(source.partition(".")[0] for source in changed)
    found += [f"the source files of plugin {shown_name(package)} changed" for package in packages]
    return [*found, *(f"plugin {source} is not loaded now" for source in before if source not in after)]


def other_sources(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the known version whose sources differ between two environments, in words; empty if none."""
    plugins = [
        {plugin["source"]: plugin["sha256"] for plugin in side.get("plugins", [])} for side in (then, now)
    ]
    pairs = [(then.get("code_sha256"), now.get("code_sha256"))]
    pairs += [(sha, plugins[1][source]) for source, sha in plugins[0].items() if source in plugins[1]]
    known = dict.fromkeys(
        KNOWN_SOURCES[before] for before, after in pairs if before in KNOWN_SOURCES and after != before
    )
    return " and ".join(known)


def data_sha256(workload: Workload) -> str:
    """Return the SHA-256 of the data of a workload.

    It covers the tensors of all sets. Of a ``Dataset`` it covers the length, and up to 64 samples at even
    distances.
    """
    digest = hashlib.sha256()
    for name, data in workload.sets.items():
        if is_tensors(data):
            digest.update(
                fingerprint({f"{name}.{index}": part for index, part in enumerate(tensors(data))}).encode()
            )
            digest.update(b"".join(str(key).encode() for key in data) if isinstance(data, Mapping) else b"")
            continue
        n = len(data)
        digest.update(f"{name} {n}".encode())
        with preserved_rng():
            samples = SeededSamples(data, 0, 0)
            for index in sorted({part * n // _SAMPLED for part in range(_SAMPLED)}):
                digest.update(_bytes(samples[index]))
    return digest.hexdigest()


def _bytes(sample: Any) -> bytes:
    if isinstance(sample, torch.Tensor):
        return fingerprint({"": sample}).encode()
    if isinstance(sample, Mapping):
        return b"".join(str(key).encode() + _bytes(value) for key, value in sample.items())
    if isinstance(sample, (tuple, list)):
        return b"".join(map(_bytes, sample))
    return np.asarray(sample).tobytes() if isinstance(sample, np.ndarray) else repr(sample).encode()
