"""The command line, called in this process."""

from __future__ import annotations

import pytest

from optcompare.cli.main import main


def run(*arguments: object) -> int | str | None:
    with pytest.raises(SystemExit) as exit_:
        main([str(argument) for argument in arguments])
    return exit_.value.code
