"""Directories of this user alone, for files that are executed or loaded.

Nobody else can have put files there.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from .environment import COMPILER_CACHE, environment_variable


class UntrustedDirectory(Exception):
    """The reason why a directory is not used, as half a sentence."""


def cache_directory() -> Path:
    """Return the directory of files that this program can make again.

    Returns:
        ``optcompare`` in ``$XDG_CACHE_HOME`` where that is an absolute path, on any system; else in
        ``~/.cache``, on macOS in ``~/Library/Caches``, on Windows ``optcompare/cache`` in ``%LOCALAPPDATA%``.
    """
    named, home = os.environ.get("XDG_CACHE_HOME", ""), Path(os.path.expanduser("~"))
    if os.path.isabs(named):
        return Path(named) / "optcompare"
    if sys.platform == "darwin":
        return home / "Library" / "Caches" / "optcompare"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", home)) / "optcompare" / "cache"
    return home / ".cache" / "optcompare"


def own_directory(path: Path) -> Path:
    """Create a directory, and check that only this user, or root, could have written there.

    The directory must be a real one, owned by this user and writable by nobody else. No directory or link on
    the way to it may be writable by other users, who could put another one in its place. On Windows, where a
    profile is protected by access control lists, only links are refused.

    Args:
        path: An absolute path. Missing directories are created, for this user alone.

    Returns:
        ``path``.

    Raises:
        UntrustedDirectory: Somebody else could have written there, or nothing can be written there.
    """
    if not path.is_absolute():
        raise UntrustedDirectory(f"there is no home directory for {path}")
    try:
        for place in [*reversed(path.parents), path]:
            if not os.path.lexists(place):
                with suppress(FileExistsError):
                    place.mkdir(mode=0o700)
            why = distrust_reason(path, directory=True) if place == path else _ancestor_distrust_reason(place)
            if why is not None:
                raise UntrustedDirectory(why)
        for place in path.resolve().parents:  # behind links
            if (why := _ancestor_distrust_reason(place)) is not None:
                raise UntrustedDirectory(why)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise UntrustedDirectory(f"nothing can be written to {path} ({error.strerror or error})") from error
    return path


def temporary_directory() -> Path:
    """Create a fresh private directory, which the caller removes.

    Returns:
        The absolute path of the directory.

    Raises:
        UntrustedDirectory: No such directory can be created, or others may write where temporary files are.
    """
    try:
        path = Path(tempfile.mkdtemp(prefix="optcompare-")).absolute()
    except OSError as error:
        raise UntrustedDirectory(f"no temporary directory can be made ({error.strerror or error})") from error
    try:
        return own_directory(path)
    except UntrustedDirectory:
        with suppress(OSError):
            path.rmdir()
        raise


@contextmanager
def torch_cache_of_this_user() -> Iterator[None]:
    """Let torch's compiler keep its files where only this user can write, within the block.

    Torch loads shared libraries from there. Its default has a predictable name in the shared temporary
    directory. A directory that ``$TORCHINDUCTOR_CACHE_DIR`` names is used if :func:`own_directory` accepts
    it, else ``torch`` in the user's cache, else a temporary one. Where there is none either, nothing changes.
    The environment is restored afterwards.
    """
    with ExitStack() as life:
        directory = _torch_directory(os.environ.get(COMPILER_CACHE), life)
        with environment_variable(COMPILER_CACHE, None if directory is None else str(directory)):
            yield


def distrust_reason(path: Path, *, directory: bool = False) -> str | None:
    """Return why an existing file or directory cannot be trusted.

    Args:
        path: The file or directory.
        directory: Whether it must be a directory, rather than a regular file.

    Returns:
        The reason: it is a link, belongs to another user, or is writable by others; None where there is none.

    Raises:
        OSError: There is no such file, or it cannot be examined.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        return f"{path} is a symbolic link"
    if not (stat.S_ISDIR if directory else stat.S_ISREG)(found.st_mode):
        return f"{path} is not a {'directory' if directory else 'regular file'}"
    if os.name != "nt" and found.st_uid != os.geteuid():
        return f"{path} belongs to another user"
    if os.name != "nt" and found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"other users may write to {path}"
    return None


def _torch_directory(named: str | None, life: ExitStack) -> Path | None:
    by_user = [] if not named or _is_torchs_choice(named) else [Path(named).absolute()]
    for place in [*by_user, cache_directory() / "torch"]:
        with suppress(UntrustedDirectory):
            return own_directory(place)
    with suppress(UntrustedDirectory):
        directory = temporary_directory()
        life.callback(shutil.rmtree, directory, ignore_errors=True)
        return directory
    return None


def _is_torchs_choice(named: str) -> bool:
    """Return whether torch has set the environment variable itself.

    Torch does so when its compiler is imported.
    """
    return os.path.dirname(named) == tempfile.gettempdir() and os.path.basename(named).startswith(
        "torchinductor_"
    )


def _ancestor_distrust_reason(place: Path) -> str | None:
    """Return the reason why other users could replace a directory's contents, or the target of a link."""
    if os.name == "nt":
        return None
    for found in _entry_and_target(place):
        if found.st_uid not in (os.geteuid(), 0):
            return f"{place} belongs to another user"
        by_others = found.st_mode & stat.S_IWOTH or (
            found.st_mode & stat.S_IWGRP and not _is_private(found.st_gid)
        )
        if stat.S_ISDIR(found.st_mode) and by_others and not found.st_mode & stat.S_ISVTX:
            return f"other users may write to {place}"
    return None


def _entry_and_target(place: Path) -> Iterator[os.stat_result]:
    yield place.lstat()
    yield place.stat()


def _is_private(group: int) -> bool:
    """Return whether a group belongs to the user alone.

    Many systems create such a group, named like the user and without other members.
    """
    try:
        import grp
        import pwd

        user, found = pwd.getpwuid(os.geteuid()), grp.getgrgid(group)
    except (ImportError, KeyError):
        return False
    return found.gr_name == user.pw_name and set(found.gr_mem) <= {user.pw_name}
