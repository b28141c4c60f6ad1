"""Processes for jobs start from wherever the user's code came."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import optcompare

result = optcompare.compare("line", ["full"], seeds=2, epochs=2, trainer="loop", jobs=2)
print(*result.trials["status"])
"""


def test_a_script_that_python_reads_from_stdin_trains_in_several_processes(tmp_path):
    done = subprocess.run(
        [sys.executable, "-"], input=SCRIPT, cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == ["finished", "finished"], done.stderr
