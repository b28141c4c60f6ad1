"""Date, versions and machine of what a command writes."""

from __future__ import annotations

import datetime
import os
import platform
from typing import Any

import numpy as np
import torch

from ..core.version import installed_version


def versions(*, machine: bool = True) -> dict[str, Any]:
    """Return the date and the versions of what trains, as plain values.

    Args:
        machine: Whether the platform and the number of CPUs are added.
    """
    of_machine = {"platform": platform.platform(), "cpus": os.cpu_count()} if machine else {}
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "optcompare": installed_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        **of_machine,
    }
