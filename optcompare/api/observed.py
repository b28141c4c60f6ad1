"""Observers, the progress bar and warnings of ``compare()`` and ``batch_size_study()``."""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path

from ..errors import ComparisonError
from ..execution.progress import in_notebook, preparation
from ..execution.progress import progress as shown
from ..execution.run_options import RunOptions
from ..execution.runner import Observer
from ..planning.prepare import Prepared


@contextmanager
def observed(
    prepared: Prepared, options: RunOptions, observer: Observer | None, progress: bool | None
) -> Iterator[RunOptions]:
    """Show the progress of a run, and warn at its end of observers and trackers that failed.

    Args:
        prepared: The comparison to run.
        options: The run options.
        observer: The observer of the caller; None: there is none.
        progress: Whether a bar is shown; None: in notebooks only.

    Yields:
        The options with both observers.
    """
    known = len(prepared.registry.warnings)
    with shown() if _is_shown(progress) else nullcontext() as bar:
        observers = [each for each in (observer, bar) if each is not None]
        yield dataclasses.replace(options, observers=observers)
    for warning in prepared.registry.warnings[known:]:
        warnings.warn(warning, stacklevel=6)


def prepared_aloud(progress: bool | None) -> AbstractContextManager[None]:
    """Say what happens before training, if it takes long.

    Args:
        progress: Whether this is shown; None: in notebooks only.
    """
    return preparation() if _is_shown(progress) else nullcontext()


def _is_shown(progress: bool | None) -> bool:
    return in_notebook() if progress is None else progress


def folder(name: str, path: str | Path | None) -> Path | None:
    """Return a path as such; None stays.

    Args:
        name: The argument, with which an error begins.
        path: The path.

    Raises:
        ComparisonError: It is something else.
    """
    if path is not None and not isinstance(path, str | os.PathLike):
        raise ComparisonError(f"{name} must be the path of a folder, got {path!r}")
    return None if path is None else Path(path)


def texts(name: str, items: str | Sequence[str]) -> tuple[str, ...]:
    """Return one or several texts as a tuple.

    Args:
        name: The argument, with which an error begins.
        items: One text, or several.

    Raises:
        ComparisonError: It is something else.
    """
    several = (items,) if isinstance(items, str) else items
    if not isinstance(several, Sequence) or not all(isinstance(item, str) for item in several):
        raise ComparisonError(f"{name} must be a text or a list of texts, got {items!r}")
    return tuple(several)
