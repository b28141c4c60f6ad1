"""Set variables of the environment for a while."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

COMPILER_CACHE = "TORCHINDUCTOR_CACHE_DIR"
"""Where torch's compiler keeps its files."""
COMPILER_DETERMINISM = "TORCHINDUCTOR_DETERMINISTIC"
"""``1``: torch's compiler computes deterministically. It reads this when it is imported."""


@contextmanager
def environment_variable(name: str, value: str | None) -> Iterator[None]:
    """Set a variable of the environment within the context, and restore it afterwards.

    Args:
        name: The name of the variable.
        value: Its value; None leaves the variable as it is, and only restores it.
    """
    before = os.environ.get(name)
    if value is not None:
        os.environ[name] = value
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = before
