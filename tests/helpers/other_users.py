"""Files of another user, where the tests run as root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can make files of another user"
)


def give_to_nobody(path: Path) -> None:
    """Makes user ``nobody`` the owner of a file, a directory or a link."""
    import pwd

    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1, follow_symlinks=False)
