"""Keep compiled programs on disk for later runs, in files that only this user can have written."""

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

_NO_WAIT, _SHORT_WAIT = 0.0, 0.2
_WORK = ".work"


class Libraries:
    """Find entries in the user's cache, or in a new private directory where the cache cannot be trusted.

    Args:
        say: A function that receives one line with the reason why the user's cache is not used.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def entry(self, key: str) -> CacheEntry:
        """Return the entry of a program, whether it has been compiled or not.

        Args:
            key: A file name without suffix that stands for all that the program depends on.

        Raises:
            UntrustedDirectory: Neither the cache nor a private directory can be used.
        """
        if self._user_cache is not None:
            entry = CacheEntry(self._user_cache, key)
            why = entry.fault()
            if why is None:
                return entry
            self._say(_private_note(why))
        return CacheEntry(self._private, key, temporary=True)

    @cached_property
    def _user_cache(self) -> Path | None:
        try:
            directory = own_directory(cache_directory())
        except UntrustedDirectory as why:
            self._say(_private_note(str(why)))
            return None
        for left in directory.glob(f"*{_WORK}"):  # left by processes that were killed
            CacheEntry(directory, left.name.partition(".")[0]).sweep()
        return directory

    @cached_property
    def _private(self) -> Path:
        directory = temporary_directory()
        weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
        return directory


class CacheEntry:
    """Hold the files of one compiled program: the library, its SHA-256, a lock, and a marker.

    The operating system releases the lock when the process that holds it ends. The lock is held while the
    library is compiled, and while it is loaded and run for the first time. The marker exists during that
    first run. A marker without a held lock shows that the library crashed a process.

    Args:
        directory: The directory of the files.
        key: The beginning of the names of these files.
        temporary: Whether the directory is removed at the end of this run.
    """

    def __init__(self, directory: Path, key: str, *, temporary: bool = False) -> None:
        self.directory, self.key, self.temporary = directory, key, temporary
        self.library, self._digest = directory / f"{key}.pt2", directory / f"{key}.sha256"
        self._lock, self._marker = directory / f"{key}.lock", directory / f"{key}.loading"

    def fault(self) -> str | None:
        """Return the reason why somebody else may have written one of the files, or None."""
        for path in (self.library, self._digest, self._lock, self._marker):
            if os.path.lexists(path) and (why := distrust_reason(path)) is not None:
                return why
        return None

    def is_intact(self) -> bool:
        """Return whether the library exists and has the SHA-256 that was stored with it under this key."""
        try:
            return self._digest.read_bytes() == self._checksum(self.library)
        except OSError:
            return False

    def is_busy(self, seconds: float = _NO_WAIT) -> bool:
        """Return whether another process holds the lock for at least this many seconds."""
        with self.locked(seconds) as locked:
            return not locked

    def refusal(self) -> str | None:
        """Return the reason why the program is not loaded again, or None.

        The lock must be free, or held by this process.
        """
        if not self._marker.exists():
            return None
        return f"loading it ended a process before (to try it again, remove {self._marker})"

    @contextmanager
    def locked(self, seconds: float = _SHORT_WAIT) -> Iterator[bool]:
        """Hold the lock within the context.

        Args:
            seconds: How long to wait for it.

        Yields:
            Whether the lock was acquired.
        """
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
        """Leave a marker behind if the process ends within the context; called with the lock held."""
        os.close(os.open(self._marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            yield
        finally:
            self._marker.unlink(missing_ok=True)

    @contextmanager
    def work(self) -> Iterator[Path]:
        """Yield a new directory next to the library, to build it in; called with the lock held."""
        self._remove_work()
        with tempfile.TemporaryDirectory(
            prefix=f"{self.key}.", suffix=_WORK, dir=self.directory, ignore_cleanup_errors=True
        ) as path:
            yield Path(path)

    def publish(self, built: Path) -> None:
        """Move a library from :meth:`work` to its final path, then its SHA-256; called with the lock held."""
        digest = built.with_suffix(self._digest.suffix)
        digest.write_bytes(self._checksum(built))
        os.replace(built, self.library)
        os.replace(digest, self._digest)

    def discard(self) -> None:
        """Remove the library; called with the lock held."""
        for path in (self.library, self._digest):
            path.unlink(missing_ok=True)

    def sweep(self) -> None:
        """Remove the temporary files of killed processes, unless another process holds the lock."""
        with self.locked(_NO_WAIT) as locked:
            if locked:
                self._remove_work()

    def _remove_work(self) -> None:
        for left in self.directory.glob(f"{self.key}.*{_WORK}"):
            shutil.rmtree(left, ignore_errors=True)

    def _checksum(self, library: Path) -> bytes:
        return f"{hashlib.sha256(library.read_bytes()).hexdigest()}  {self.library.name}\n".encode()


def _private_note(why: str) -> str:
    return f"compiled programs are kept for this run only, since {why}"
