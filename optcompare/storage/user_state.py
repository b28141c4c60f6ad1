"""The user's state directory, for data of this user that belong to no run directory."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path


def user_state() -> Path:
    """Return the state directory of this user.

    It is ``optcompare`` in ``$XDG_STATE_HOME`` if that is set, on any system. Otherwise it is in
    ``~/.local/state``, on macOS in ``~/Library/Application Support``, on Windows in ``%LOCALAPPDATA%``.
    """
    named, home = os.environ.get("XDG_STATE_HOME", ""), Path(os.path.expanduser("~"))
    usual = home / ".local" / "state"
    if sys.platform == "darwin":
        usual = home / "Library" / "Application Support"
    elif os.name == "nt":
        usual = Path(os.environ.get("LOCALAPPDATA", home))
    return (Path(named) if named else usual) / "optcompare"


def is_only_mine(path: Path) -> bool:
    """Return whether this user owns a file or directory (no link) that nobody else can write to."""
    try:
        status = path.lstat()
    except (OSError, ValueError):
        return False
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        return False
    if os.name == "nt":  # Windows has no owners and permissions of this kind.
        return True
    return status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
