"""Import modules without looking for garbage among them, which takes a tenth of a short command.

Modules hold hundreds of thousands of objects, and none of them is garbage.
"""

from __future__ import annotations

import gc

_WHILE_IMPORTING, _AS_USUAL = (100_000, 20, 100), gc.get_threshold()


def collect_rarely() -> None:
    """Collect garbage rarely, until :func:`collect_as_usual`; a command that does not train needs no more."""
    gc.set_threshold(*_WHILE_IMPORTING)


def collect_as_usual() -> None:
    """Exempt all objects so far from collection, and collect garbage as Python does from now on.

    Without :func:`collect_rarely` before, as in another program, nothing changes.
    """
    if gc.get_threshold() == _WHILE_IMPORTING:
        gc.freeze()
        gc.set_threshold(*_AS_USUAL)
