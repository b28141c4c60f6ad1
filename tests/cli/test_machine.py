"""Where the machine or a plugin's own code gives way: one line, the exit code that the README says, no traceback."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from optcompare.registry.manager import Registry
from tests.helpers.commands import run

SCRIPT = str(Path(sys.executable).with_name("optcompare"))


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is always full")
@pytest.mark.parametrize("arguments", [["list", "strategies"], ["plugins"]])
def test_output_that_cannot_be_written_is_one_line(arguments):
    with open("/dev/full", "w") as full:
        done = subprocess.run([SCRIPT, *arguments], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "error: standard output: No space left on device\n")


@pytest.mark.parametrize(
    ("raised", "line"),
    [
        (OSError(errno.EROFS, "Read-only file system", "/data/x"), "error: /data/x: Read-only file system"),
        (MemoryError("of 8 TB"), "error: out of memory: MemoryError: of 8 TB"),
    ],
)
def test_an_error_of_the_machine_is_one_line(capsys, monkeypatch, raised, line):
    def fails(*arguments: object, **options: object) -> None:
        raise raised

    monkeypatch.setattr(Registry, "load", fails)
    assert run("list", "strategies") == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(line)
