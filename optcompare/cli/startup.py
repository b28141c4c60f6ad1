"""Look for garbage where there can be some: while a command trains, and rarely among imported modules.

Modules hold hundreds of thousands of objects, and none of them is garbage: to look at them all takes a tenth
of a short command, and a tenth again while the process ends.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping
from typing import Any

_WHILE_IMPORTING, _AS_USUAL = (100_000, 20, 100), gc.get_threshold()


def collect_rarely() -> None:
    """Collect garbage rarely, until :func:`collect_as_usual`; a command that does not train needs no more."""
    gc.set_threshold(*_WHILE_IMPORTING)


def collect_as_usual() -> None:
    """Exempt all objects so far from collection, and collect garbage as Python does from now on.

    Without :func:`collect_rarely` before, as in another program, nothing changes.
    """
    if _is_changed():
        gc.freeze()
        gc.set_threshold(*_AS_USUAL)


def collect_no_more() -> None:
    """Exempt all objects so far from the collections while the process ends, which frees its memory."""
    gc.freeze()


class CollectRarelyAtTheEnd:
    """Observe a run, and collect garbage rarely once all its trials have ended.

    Importing matplotlib and drawing make many objects. As with :func:`collect_as_usual`, nothing changes in
    another program.
    """

    def measured(self, trial: object, record: Mapping[str, Any]) -> None:
        pass

    def trial_finished(self, trial: object, outcome: Mapping[str, Any]) -> None:
        pass

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        if done >= of and _is_changed():
            collect_rarely()


def _is_changed() -> bool:
    """Return whether this process has called :func:`collect_rarely`."""
    return gc.get_threshold() == _WHILE_IMPORTING or gc.get_freeze_count() > 0
