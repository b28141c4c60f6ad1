"""Compiled programs that are kept on disk for later runs, in files that only this user can have written."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path

from ....core.user_directories import (
    UntrustedDirectory,
    cache_directory,
    distrust_reason,
    own_directory,
    temporary_directory,
)

_INSTANT, _A_MOMENT = 0.0, 0.2
_WORK = ".work"


class Libraries:
    """The entries of the user's cache, or of a fresh private directory where the cache is not to be trusted.

    ``say``: receives, in one line, why the user's cache is not used.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def entry(self, key: str) -> Entry:
        """Return the entry of a program, whether it has been compiled or not.

        Args:
            key: A file name without suffix that stands for all that the program depends on.

        Raises:
            Untrusted: Neither the cache nor a private directory can be used.
        """
        if self._users is not None:
            entry = Entry(self._users, key)
            why = entry.fault()
            if why is None:
                return entry
            self._say(_alone(why))
        return Entry(self._of_this_run, key, temporary=True)

    @cached_property
    def _users(self) -> Path | None:
        try:
            directory = own_directory(cache_directory())
        except UntrustedDirectory as why:
            self._say(_alone(str(why)))
            return None
        for left in directory.glob(f"*{_WORK}"):  # by processes that were killed
            Entry(directory, left.name.partition(".")[0]).sweep()
        return directory

    @cached_property
    def _of_this_run(self) -> Path:
        directory = temporary_directory()
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        return directory


class Entry:
    """One compiled program: its library, the library's SHA-256, a lock, and a marker.

    The lock is one of the operating system, which ends with the process that holds it. It is held while the
    library is compiled, and while it is loaded and run for the first time, during which the marker exists. A
    marker without a held lock was left by a process that the library ended. ``temporary``: the directory is
    removed at the end of this run.
    """

    def __init__(self, directory: Path, key: str, *, temporary: bool = False) -> None:
        self.directory, self.key, self.temporary = directory, key, temporary
        self.library, self._digest = directory / f"{key}.pt2", directory / f"{key}.sha256"
        self._lock, self._marker = directory / f"{key}.lock", directory / f"{key}.loading"

    def fault(self) -> str | None:
        """Return why somebody else may have written one of the files, or None."""
        for path in (self.library, self._digest, self._lock, self._marker):
            if os.path.lexists(path) and (why := distrust_reason(path)) is not None:
                return why
        return None

    def is_intact(self) -> bool:
        """Return whether there is a library with the SHA-256 that was written with it, under this key."""
        try:
            return self._digest.read_bytes() == self._checksum(self.library)
        except OSError:
            return False

    def is_busy(self, seconds: float = _INSTANT) -> bool:
        """Whether another process compiles or loads it, for at least so many seconds."""
        with self.locked(seconds) as locked:
            return not locked

    def refusal(self) -> str | None:
        """Return why the program is not tried again, or None; needs the lock to be free or held here."""
        if not self._marker.exists():
            return None
        return f"loading it ended a process before (to try it again, remove {self._marker})"

    @contextmanager
    def locked(self, seconds: float = _A_MOMENT) -> Iterator[bool]:
        """Hold the lock, and yield whether it could be had within so many seconds."""
        from filelock import FileLock, Timeout

        lock = FileLock(self._lock, timeout=seconds, mode=0o600)
        try:
            lock.acquire()
        except Timeout:
            yield False
            return
        try:
            yield True
        finally:
            lock.release()

    @contextmanager
    def on_trial(self) -> Iterator[None]:
        """Leave a marker if the process ends meanwhile; for the process that holds the lock."""
        os.close(os.open(self._marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            yield
        finally:
            self._marker.unlink(missing_ok=True)

    @contextmanager
    def work(self) -> Iterator[Path]:
        """A fresh directory beside the library, to make it in; for the process that holds the lock."""
        self._remove_work()
        with tempfile.TemporaryDirectory(
            prefix=f"{self.key}.", suffix=_WORK, dir=self.directory, ignore_cleanup_errors=True
        ) as path:
            yield Path(path)

    def publish(self, made: Path) -> None:
        """Put a library from :meth:`work` in its place, then its SHA-256; called with the lock held."""
        digest = made.with_suffix(self._digest.suffix)
        digest.write_bytes(self._checksum(made))
        os.replace(made, self.library)
        os.replace(digest, self._digest)

    def discard(self) -> None:
        """Remove the library; for the process that holds the lock."""
        for path in (self.library, self._digest):
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove what killed processes left of their work, unless one is at it."""
        with self.locked(_INSTANT) as locked:
            if locked:
                self._remove_work()

    def _remove_work(self) -> None:
        for left in self.directory.glob(f"{self.key}.*{_WORK}"):
            shutil.rmtree(left, ignore_errors=True)

    def _checksum(self, library: Path) -> bytes:
        return f"{hashlib.sha256(library.read_bytes()).hexdigest()}  {self.library.name}\n".encode()


def _alone(why: str) -> str:
    return f"compiled programs are kept for this run alone, since {why}"
