"""The command line, called in this process."""

from __future__ import annotations

import re

import pytest

from optcompare.cli.main import main


def run(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code


def without_progress(stderr: str) -> str:
    """Leave out lines of progress, which a process prints every few seconds and so only on a slow machine."""
    return re.sub(
        r"^(\d+ of \d+ trials, (\d+%, .*|finishing…)|preparing: .*)\n", "", stderr, flags=re.MULTILINE
    )
