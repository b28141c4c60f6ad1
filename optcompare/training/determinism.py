"""Switch deterministic algorithms as torch does, but without importing torch's compiler, which takes seconds.

``torch.use_deterministic_algorithms`` imports the compiler only to set its option ``deterministic``. If code
that is trained imports the compiler later, the option gets its value from the environment.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from ..core.environment import COMPILER_DETERMINISM, environment_variable


def algorithms() -> tuple[bool, bool]:
    """Return whether torch uses deterministic algorithms, and only warns where it has none."""
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


def use_algorithms(enabled: bool, warn_only: bool) -> None:
    """Set both flags, and the option of the compiler if it is imported.

    Args:
        enabled: Whether operations that have a deterministic algorithm use it.
        warn_only: Whether operations that have none warn; else they raise an error.
    """
    if "torch._inductor.config" in sys.modules or (warn_only and not enabled):
        torch.use_deterministic_algorithms(enabled, warn_only=warn_only)
    else:
        torch.set_deterministic_debug_mode("default" if not enabled else "warn" if warn_only else "error")


@contextmanager
def deterministic_algorithms(enabled: bool) -> Iterator[None]:
    """Use deterministic algorithms within the context, warn where there are none, and restore the flags.

    Args:
        enabled: Whether to use them; False uses the fastest ones.
    """
    flags = algorithms()
    with environment_variable(COMPILER_DETERMINISM, str(int(enabled))):
        use_algorithms(enabled, warn_only=enabled)
        try:
            yield
        finally:
            use_algorithms(*flags)
