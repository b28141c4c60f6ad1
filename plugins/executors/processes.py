"""Run tasks in processes of this machine, as ``--jobs N`` does."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any

from optcompare import ComparisonError, Demand, PluginError, hookimpl

_SIGNALS = {getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)}


@hookimpl
def optcompare_executors() -> dict[str, Callable[..., Executor]]:
    return {"processes": processes}


def processes(demand: Demand, address: str) -> Processes:
    """Run trials in N new processes of this machine, and replace a process that dies."""
    if address:
        raise ComparisonError(
            f"executor processes takes no address, got '{address}'; say how many with --jobs"
        )
    jobs = demand.jobs or max(1, (os.cpu_count() or 1) // demand.threads)
    return Processes(jobs, _devices(demand.device), imports_main=demand.imports_main and _has_script())


def _has_script() -> bool:
    """Return whether a new process can import the user's script: not one that Python read from stdin."""
    script = getattr(sys.modules["__main__"], "__file__", None)
    return script is None or Path(script).exists()


def _devices(device: str) -> list[str]:
    """Return the names of the CUDA devices for CUDA_VISIBLE_DEVICES; empty if tasks need no choice."""
    if device != "cuda":
        return []
    import torch

    count = torch.cuda.device_count()
    named = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name]
    return named[:count] if named else [str(index) for index in range(count)]


class Processes(Executor):
    """Submit tasks to pools of one process each, so that a process that dies loses only its own task.

    Args:
        jobs: The number of processes.
        devices: CUDA devices, which are assigned to the processes in turn; each process uses only its own.
        imports_main: Whether a new process imports the user's script.
    """

    def __init__(self, jobs: int, devices: Sequence[str] = (), *, imports_main: bool = True) -> None:
        self.jobs = jobs
        self._slots = [
            _Slot(devices[number % len(devices)] if devices else None, imports_main) for number in range(jobs)
        ]
        self._files = tempfile.TemporaryDirectory(prefix="optcompare-")

    def share(self, value: bytes) -> Callable[[], bytes]:
        """Write a value to a file, which each process reads once."""
        path = Path(self._files.name) / "shared"
        path.write_bytes(value)
        return functools.partial(Path.read_bytes, path)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        slot = min(self._slots, key=lambda slot: slot.waiting)
        return slot.submit(functools.partial(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """End the processes: after their tasks, or at once if ``wait`` is false."""
        for slot in self._slots:
            slot.shutdown(wait)
        self._files.cleanup()


class _Slot:
    """Hold one process, which is started for its first task."""

    def __init__(self, device: str | None, imports_main: bool) -> None:
        self.waiting, self._device, self._imports_main = 0, device, imports_main
        self._pool: ProcessPoolExecutor | None = None
        self._context = _Context(imports_main)

    def submit(self, task: Callable[[], Any]) -> Future[Any]:
        if self._context.unguarded:
            raise ComparisonError(
                "a process for jobs ran the script again, which calls optcompare when it is imported; put "
                "what the script does under if __name__ == '__main__':"
            )
        if self._pool is None:
            self._context = _Context(self._imports_main)
            self._pool = ProcessPoolExecutor(1, self._context, initializer=_begin, initargs=(self._device,))
        outer: Future[Any] = Future()
        outer.set_running_or_notify_cancel()
        self.waiting += 1
        with _blocked_interrupts():
            try:
                inner = self._pool.submit(task)
            except BrokenProcessPool as error:  # the process ended while it had no task
                inner = Future()
                inner.set_exception(error)
            inner.add_done_callback(functools.partial(self._done, outer))
        return outer

    def shutdown(self, wait: bool) -> None:
        if self._pool is not None:
            if not wait:
                self._context.end()
            self._pool.shutdown(wait=wait, cancel_futures=True)

    def _done(self, outer: Future[Any], inner: Future[Any]) -> None:
        self.waiting -= 1
        error = inner.exception()
        if isinstance(error, BrokenProcessPool):
            self._pool = None
            error = PluginError(self._context.how_it_ended())
        if error is not None:
            outer.set_exception(error)
        else:
            outer.set_result(inner.result())


class _Context(SpawnContext):
    """Spawn processes, which import the user's script or not, and keep a list of them."""

    def __init__(self, imports_main: bool) -> None:
        super().__init__()
        self._kind = SpawnProcess if imports_main else _WithoutScript
        self._processes: list[SpawnProcess] = []

    def Process(self, *args: Any, **kwargs: Any) -> SpawnProcess:  # type: ignore[override]
        self._processes.append(self._kind(*args, **kwargs))
        return self._processes[-1]

    def end(self) -> None:
        for process in self._processes:
            if process.pid is not None:
                process.kill()

    @property
    def unguarded(self) -> bool:
        """Return whether a process ended because it would have run the user's script again."""
        return any(
            process.exitcode == Demand.unguarded for process in self._processes if process.pid is not None
        )

    def how_it_ended(self) -> str:
        process = self._processes[-1]
        process.join(1.0)  # the exit code follows shortly after the end
        code = process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"killed by {name}" + (
            ", as when memory runs out: give fewer --jobs, or a smaller --chunk" if name == "SIGKILL" else ""
        )


class _WithoutScript(SpawnProcess):
    """Start without the user's script: a new process imports the file of ``__main__``, if it has one."""

    def start(self) -> None:
        script = sys.modules["__main__"]
        sys.modules["__main__"] = types.ModuleType("__main__")
        try:
            super().start()
        finally:
            sys.modules["__main__"] = script


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """Block Ctrl-C in processes that are started within the context, since the parent handles it."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin(device: str | None) -> None:
    """Prepare a new process: set its CUDA device and signal handlers, and end it with its parent."""
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device  # CUDA reads this at its first use, which is later
    for number in _SIGNALS - {signal.SIGTERM}:  # a terminal sends these to all its processes
        signal.signal(number, signal.SIG_IGN)
    if hasattr(signal, "pthread_sigmask"):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    warnings.filterwarnings(
        "ignore", "Sparse invariant checks"
    )  # of torch, when a state that is sparse arrives
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
