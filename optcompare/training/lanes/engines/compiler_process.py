"""Start and control a process that compiles a program, and define the code that it runs.

The process reads its job from a pipe, and locks the entry before it imports torch.
"""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path

from ....core.environment import COMPILER_DETERMINISM
from ....core.user_directories import torch_cache_of_this_user
from .libraries import CacheEntry

_LONGEST_SECONDS = 600
_PATIENCE_SECONDS, _ENDING_SECONDS = 1.0, 5.0
_BEGIN = (
    "import sys; directory, key, *sys.path[:] = sys.argv[1:]; "
    "from optcompare.training.lanes.engines.compiler_process import serve; serve(directory, key)"
)


class CompilerProcess:
    """Start and control a process that compiles a program.

    The process imports modules only from the paths of this process. A thread sends the job, since writing
    to a pipe blocks until the process reads.

    Args:
        entry: The entry of the program in the cache.
        job: The saved job, which :func:`.scan.compile_job` loads.
    """

    def __init__(self, entry: CacheEntry, job: bytes) -> None:
        self._temporary = entry.temporary
        self._log = tempfile.TemporaryFile(dir=entry.directory)  # noqa: SIM115 (closed by leave_running)
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-P",
                "-c",
                _BEGIN,
                str(entry.directory),
                entry.key,
                *map(os.path.abspath, sys.path),
            ],
            stdin=subprocess.PIPE,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != COMPILER_DETERMINISM},
        )
        threading.Thread(target=self._send, args=(job,)).start()

    def is_running(self) -> bool:
        return self._process.poll() is None

    def complaint(self) -> str:
        """Return the last line of the output, else the exit code; "" after success without output."""
        code = self._process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else f"its process ended with exit code {code}" if code else ""

    def end(self) -> None:
        """End the process and all processes that it started."""
        if not self.is_running():
            return
        if os.name == "nt":
            self._process.kill()
            self._process.wait()
            return
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError, subprocess.TimeoutExpired):
                os.killpg(self._process.pid, number)
                self._process.wait(_ENDING_SECONDS)
                return

    def leave_running(self) -> None:
        """Let the process outlive this one, without the ``ResourceWarning`` of ``Popen``."""
        self._log.close()
        if self._temporary:
            self.end()
        elif self.is_running():
            self._process.returncode = 0

    def _send(self, job: bytes) -> None:
        assert self._process.stdin is not None
        with (
            suppress(OSError),
            self._process.stdin as pipe,
        ):  # if the process has ended, its log has the reason
            pipe.write(job)


def serve(directory: str, key: str) -> None:
    """Compile the job on standard input, unless another process is compiling it already.

    Args:
        directory: The directory of the library.
        key: The key of the program, as in :class:`.libraries.CacheEntry`.
    """
    gc.disable()  # a compiler keeps most of its objects to the end
    job = sys.stdin.buffer.read()
    os.umask(0o077)
    signal.signal(signal.SIGTERM, _end)  # removes temporary files before the process ends
    if hasattr(signal, "alarm"):
        signal.alarm(_LONGEST_SECONDS)
    entry = CacheEntry(Path(directory), key)
    with entry.locked(_PATIENCE_SECONDS) as locked:
        if locked and not entry.is_intact():
            with torch_cache_of_this_user(), entry.work() as work:
                os.environ["TMPDIR"] = tempfile.tempdir = str(work)
                from .scan import compile_job

                compile_job(job, entry, work)
    gc.freeze()  # the process ends, and frees its memory anyway


def _end(number: int, frame: object) -> None:
    raise SystemExit(128 + number)
