"""Whether XLA can be used, and jax with settings that leave those of its other users alone."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import Any

from .....core.environment import environment_variable

_GPU_MEMORY = "XLA_PYTHON_CLIENT_PREALLOCATE"
_LOGGER = "jax._src.xla_bridge"


def obstacle() -> str | None:
    """Return the reason why no program can be run by XLA, or None; jax is not imported."""
    with suppress(ImportError, ValueError):
        if find_spec("jax") is not None and find_spec("jaxlib") is not None:
            return None
    return 'it needs the extra: pip install "optcompare[xla]"'


@contextmanager
def jax_on_the_cpu() -> Iterator[Any]:
    """Import jax, and compute on the CPU with the dtypes of torch within the context.

    The settings hold within the context alone. Where jax sees a GPU, it takes no memory there ahead.

    Yields:
        The module jax.
    """
    import jax

    with (
        jax.enable_x64(True),
        jax.default_device(_cpu()),
        jax.debug_nans(False),
        jax.disable_jit(False),
        jax.transfer_guard("allow"),
    ):
        yield jax


@functools.cache
def _cpu() -> Any:
    """Return the CPU as a device; this starts jax's backends if nothing has before."""
    import jax

    with environment_variable(_GPU_MEMORY, "false"), _only_errors():
        return jax.devices("cpu")[0]


@contextmanager
def _only_errors() -> Iterator[None]:
    """Suppress the warning that there is a GPU for which jax is not installed."""
    logger = logging.getLogger(_LOGGER)
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
