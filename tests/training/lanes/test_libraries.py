"""Compiled programs are kept for later runs, and loaded only where nobody else can have made or changed
them.
"""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch

from optcompare.training.lanes.engines import compiler_process, inductor
from optcompare.training.lanes.engines.compiler_process import CompilerProcess
from optcompare.training.lanes.engines.inductor import Compiling
from optcompare.training.lanes.engines.libraries import CacheEntry, Libraries
from optcompare.training.lanes.update_rules import Unsupported
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.other_users import give_to_nobody, needs_root
from tests.helpers.workloads import small_workload

pytestmark = pytest.mark.skipif(os.name == "nt", reason="programs are compiled on POSIX systems")

DAMAGE = {
    "truncated": lambda entry, other: entry.library.write_bytes(entry.library.read_bytes()[:-5]),
    "emptied": lambda entry, other: entry.library.write_bytes(b""),
    "zeroed": lambda entry, other: entry.library.write_bytes(bytes(entry.library.stat().st_size)),
    "longer": lambda entry, other: entry.library.write_bytes(entry.library.read_bytes() + b"\0"),
    "another's": lambda entry, other: os.replace(other.library, entry.library),
    "another's, with its checksum": lambda entry, other: [
        os.replace(other.library, entry.library),
        os.replace(other._digest, entry._digest),
    ],
    "without a checksum": lambda entry, other: entry._digest.unlink(),
    "with an empty checksum": lambda entry, other: entry._digest.write_bytes(b""),
}


class Update(torch.nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, carry, rates, data, index):
        return [carry[0] * self.factor]


EXAMPLE = [torch.ones(3, 4)], [torch.ones(2, 3)], [torch.ones(10, 4)], torch.zeros(2, 3, 5, dtype=torch.int64)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "optcompare"


@pytest.fixture
def log(cache, monkeypatch):
    """What is compiled and loaded, where the compiler writes its program's key for a library."""
    log = []

    class Compiler:
        def __init__(self, entry, job):
            log.append("compiled")
            with entry.locked() as locked, entry.work() as work:
                assert locked
                (work / "scan.pt2").write_bytes(entry.key.encode())
                entry.publish(work / "scan.pt2")

        def is_running(self):
            return False

        def complaint(self):
            return ""

        def leave_running(self):
            pass

    def load(path, follow):
        log.append(f"loaded {'its own' if path.read_text() == path.stem else 'something else'}")
        return lambda *arguments: ([torch.zeros(1)], None)

    monkeypatch.setattr(inductor, "obstacle", lambda: None)
    monkeypatch.setattr(inductor, "CompilerProcess", Compiler)
    monkeypatch.setattr(inductor, "loaded", load)
    return log


def compiling(factor=2.0, said=None):
    """The program of an update, as a run asks for it."""
    say = said.append if said is not None else lambda line: None
    return Compiling(torch.fx.symbolic_trace(Update(factor)), EXAMPLE, 0, Libraries(say))


def loaded(factor=2.0, said=None):
    made = compiling(factor, said)
    with made.scan() as (scan, _):
        scan(*EXAMPLE)
    return made


class TestKept:
    def test_a_program_is_compiled_once_and_loaded_by_later_runs(self, log, cache):
        assert (loaded().cached, loaded().cached, loaded(3.0).cached) == (False, True, False)
        assert log == ["compiled", "loaded its own", "loaded its own", "compiled", "loaded its own"]
        assert {path.suffix for path in cache.iterdir()} == {".pt2", ".sha256", ".lock"}

    def test_strides_are_of_what_a_program_is_compiled_for(self, log):
        loaded()
        carry, rates, _, index = EXAMPLE
        other = Compiling(
            torch.fx.symbolic_trace(Update(2.0)),
            (carry, rates, [torch.ones(4, 10).T], index),
            0,
            Libraries(log.append),
        )
        assert not other.cached

    @pytest.mark.parametrize("kind", DAMAGE)
    def test_a_damaged_library_is_never_loaded_and_made_again(self, log, kind):
        one, other = loaded(), loaded(3.0)
        log.clear()
        DAMAGE[kind](one._entry, other._entry)
        assert (loaded().cached, loaded().cached) == (False, True)
        assert log == ["compiled", "loaded its own", "loaded its own"]

    def test_one_that_is_damaged_after_a_run_has_found_it_is_not_loaded(self, log):
        loaded()
        found = compiling()
        log.clear()
        found._entry.library.write_bytes(b"")
        with pytest.raises(Unsupported, match="torch's compiler failed: it left no library"), found.scan():
            pass
        assert log == []

    def test_a_program_that_fails_in_its_first_updates_is_not_kept(self, log):
        made = compiling()
        with pytest.raises(Unsupported, match="cannot be loaded: no such kernel"), made.scan():
            raise RuntimeError("no such kernel")
        assert not made._entry.library.exists()
        assert not loaded().cached


class TestEndedAProcess:
    DIES = """
import os, sys
from pathlib import Path
from optcompare.training.lanes.engines.libraries import CacheEntry
entry = CacheEntry(Path(sys.argv[1]), sys.argv[2])
with entry.locked(), entry.on_trial():
    os.kill(os.getpid(), int(sys.argv[3]))
"""

    def die(self, entry, number):
        done = subprocess.run(
            [sys.executable, "-c", self.DIES, str(entry.directory), entry.key, str(int(number))]
        )
        assert done.returncode == -number

    @pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGILL])
    def test_a_library_that_ended_a_process_is_not_tried_again_until_the_marker_is_removed(self, log, number):
        entry = loaded()._entry
        log.clear()
        self.die(entry, number)
        marker = entry.library.with_suffix(".loading")
        why = re.escape(f"loading it ended a process before (to try it again, remove {marker})")
        for _ in range(2):
            with pytest.raises(Unsupported, match=why):
                compiling()
        assert log == []
        marker.unlink()
        assert loaded().cached

    def test_one_that_ends_a_process_between_looking_and_loading_is_not_tried_either(self, log):
        loaded()
        found = compiling()
        log.clear()
        self.die(found._entry, signal.SIGSEGV)
        with pytest.raises(Unsupported, match="loading it ended a process before"), found.scan():
            pass
        assert log == []

    def test_it_is_not_compiled_again_where_the_library_is_gone(self, log):
        entry = loaded()._entry
        log.clear()
        self.die(entry, signal.SIGSEGV)
        entry.discard()
        with pytest.raises(Unsupported, match="loading it ended a process before"):
            compiling()
        assert log == []

    @pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
    def test_an_interrupt_is_not_put_down_to_the_library(self, log, error):
        with pytest.raises(error), compiling().scan():
            raise error
        assert loaded().cached

    @pytest.mark.slow
    def test_a_run_goes_on_traced(self, log, monkeypatch):
        monkeypatch.setattr("optcompare.training.lanes.engines.choice.worth_tracing", lambda updates: True)
        monkeypatch.setattr(
            "optcompare.training.lanes.engines.choice.worth_compiling", lambda *arguments: True
        )
        monkeypatch.setattr(CacheEntry, "refusal", lambda self: "loading it ended a process before")
        lanes, loop = both(small_workload(), "full")
        agree(lanes, loop)
        assert trainers(lanes) == {"lanes"}
        assert log == []


class TestTrusted:
    def spoil(self, path, how):
        if how == "link":
            path.rename(path.with_name("elsewhere"))
            path.symlink_to(path.with_name("elsewhere"))
        elif how == "nobody":
            give_to_nobody(path)
        elif how == "pipe":
            path.unlink()
            os.mkfifo(path, 0o600)
        else:
            path.chmod(int(how, 8))

    @pytest.mark.parametrize("how", ["link", "0777", "0770", pytest.param("nobody", marks=needs_root)])
    def test_a_directory_that_others_may_have_written_to_is_neither_read_nor_written(self, log, cache, how):
        loaded()
        self.spoil(cache, how)
        before = {path.name: path.stat().st_mtime_ns for path in cache.iterdir()}
        log.clear()
        said = []
        private = loaded(said=said)._entry.directory
        assert log == ["compiled", "loaded its own"], "not what lay there"
        assert private != cache
        assert {path.name: path.stat().st_mtime_ns for path in cache.iterdir()} == before
        (line,) = said
        assert line.startswith("compiled programs are kept for this run only, since ")
        assert str(cache) in line

    @pytest.mark.parametrize(
        "how", ["link", "pipe", "0666", "0660", pytest.param("nobody", marks=needs_root)]
    )
    @pytest.mark.parametrize("suffix", [".pt2", ".sha256", ".lock", ".loading"])
    def test_a_file_that_others_may_have_written_is_neither_read_nor_written(self, log, cache, how, suffix):
        path = loaded()._entry.library.with_suffix(suffix)
        path.touch()
        self.spoil(path, how)
        before = path.lstat()
        log.clear()
        said = []
        assert loaded(said=said)._entry.directory != cache
        assert log == ["compiled", "loaded its own"]
        assert path.lstat()[:9] == before[:9]
        assert said[0].startswith("compiled programs are kept for this run only, since ")
        assert str(path) in said[0]

    def test_a_private_directory_is_this_users_alone_and_ends_with_the_run(self, log, cache):
        cache.touch()
        made = loaded()
        directory = made._entry.directory
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        del made
        assert not directory.exists()

    @pytest.mark.parametrize("spoil", [Path.touch, lambda cache: cache.symlink_to("nowhere")])
    def test_where_the_cache_cannot_be_written_a_run_keeps_its_programs_to_itself(self, log, cache, spoil):
        spoil(cache)
        said = []
        libraries = Libraries(said.append)
        step = torch.fx.symbolic_trace(Update(2.0))
        made = [Compiling(step, EXAMPLE, 0, libraries) for _ in range(2)]
        assert [(one.cached, one.kept) for one in made] == [(False, False), (True, False)]
        assert len(said) == 1

    def test_where_nothing_can_be_written_lanes_are_traced(self, log, cache, monkeypatch, tmp_path):
        import torch._inductor.codecache  # noqa: F401 (its import creates the temporary directory)

        monkeypatch.setattr("optcompare.training.lanes.engines.choice.worth_tracing", lambda updates: True)
        monkeypatch.setattr(
            "optcompare.training.lanes.engines.choice.worth_compiling", lambda *arguments: True
        )
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
        cache.touch()
        lanes, loop = both(small_workload(), "full")
        agree(lanes, loop)
        assert trainers(lanes) == {"lanes"}
        lines = lanes.environment["trainers"]
        assert any(
            "traced, not compiled: the compiled program cannot be kept: no temporary directory" in x
            for x in lines
        )

    def test_a_directory_that_is_removed_during_a_run_leaves_programs_traced(self, log, cache):
        made = compiling()
        for path in cache.iterdir():
            path.unlink()
        cache.rmdir()
        with pytest.raises(Unsupported, match=r"it left no library|cannot be loaded"), made.scan():
            pass


class TestLock:
    HOLDS = """
import sys, time
from pathlib import Path
from optcompare.training.lanes.engines.libraries import CacheEntry
with CacheEntry(Path(sys.argv[1]), "key").locked(), CacheEntry(Path(sys.argv[1]), "key").work() as work:
    print(work, flush=True)
    time.sleep(600)
"""

    @pytest.fixture
    def holder(self, tmp_path):
        process = subprocess.Popen(
            [sys.executable, "-c", self.HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        with process:
            process.work = Path(process.stdout.readline().strip())
            yield process
            process.kill()

    def test_it_ends_with_its_process_whatever_has_its_number_now(self, tmp_path, holder):
        entry = CacheEntry(tmp_path, "key")
        assert entry.is_busy()
        holder.kill()
        holder.wait()
        entry._lock.write_text(str(os.getpid()), "utf-8")
        assert not entry.is_busy()

    def test_what_a_killed_compiler_leaves_is_removed_by_the_next_run(self, cache):
        assert Libraries(print).entry("key").directory == cache
        for key in ("key", "other"):
            (cache / f"{key}.abc.work").mkdir()
        Libraries(print).entry("third")
        assert list(cache.glob("*.work")) == []

    def test_the_work_of_a_compiler_that_lives_stays(self, tmp_path, holder):
        CacheEntry(tmp_path, "key").sweep()
        assert holder.work.is_dir()

    def test_a_program_that_another_process_compiles_is_not_compiled_twice(self, log, monkeypatch):
        monkeypatch.setattr(CacheEntry, "is_busy", lambda self, seconds=0: True)
        made = compiling()
        assert (log, made.ready()) == ([], False)


FAKE = """
import os, sys, time, types
directory, key, *sys.path[:] = sys.argv[1:]
def compile_job(job, entry, work):
    with open(os.path.join(directory, "log"), "a") as log:
        log.write("compiled ")
    (work / "scan.pt2").write_bytes(job)
    {then}
    entry.publish(work / "scan.pt2")
fake = types.ModuleType("optcompare.training.lanes.engines.scan")
fake.compile_job = compile_job
sys.modules[fake.__name__] = fake
from optcompare.training.lanes.engines.compiler_process import serve
serve(directory, key)
"""


class TestProcess:
    """The compiling process with something else in place of torch's compiler."""

    @pytest.fixture
    def start(self, cache, monkeypatch):
        cache.mkdir(mode=0o700)
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
        started = []

        def start(job=b"job", then="pass"):
            monkeypatch.setattr(compiler_process, "_BEGIN", FAKE.replace("{then}", then))
            started.append(CompilerProcess(CacheEntry(cache, "key"), job))
            return started[-1]

        yield start
        for process in started:
            process.end()
            process.leave_running()

    def test_the_job_comes_by_a_pipe_however_long_and_only_the_library_is_left(self, start, cache):
        job = os.urandom(2**21)
        old = os.umask(0)
        try:
            process = start(job)
            assert process.complaint() == ""
        finally:
            os.umask(old)
        assert CacheEntry(cache, "key").is_intact()
        assert (cache / "key.pt2").read_bytes() == job
        assert sorted(path.name for path in cache.iterdir()) == [
            "key.lock",
            "key.pt2",
            "key.sha256",
            "log",
            "torch",
        ]
        assert all(
            not path.stat().st_mode & 0o077 for path in cache.iterdir() if path.suffix in (".pt2", ".sha256")
        )

    def test_it_looks_for_no_garbage(self, start, cache):
        process = start(then="import gc; assert not gc.isenabled()")
        assert process.complaint() == ""

    def test_two_processes_write_one_library_once(self, start, cache):
        both = [start(job) for job in (b"one", b"other")]
        assert [process.complaint() for process in both] == ["", ""]
        assert (cache / "log").read_text() == "compiled "
        assert CacheEntry(cache, "key").is_intact()

    def test_a_reader_never_finds_a_library_half_written(self, start, cache):
        process = start(then="time.sleep(600)")
        while process.is_running() and not list(cache.glob("*.work/scan.pt2")):
            time.sleep(0.01)
        assert CacheEntry(cache, "key").is_busy()
        assert not CacheEntry(cache, "key").library.exists()

    def test_one_that_is_ended_removes_its_files(self, start, cache):
        process = start(then="time.sleep(600)")
        while process.is_running() and not list(cache.glob("*.work/scan.pt2")):
            time.sleep(0.01)
        process.end()
        assert list(cache.glob("*.work")) == []
        assert not CacheEntry(cache, "key").is_busy()

    def test_it_imports_nothing_from_the_working_directory(self, start, cache, tmp_path, monkeypatch):
        (tmp_path / "here").mkdir()
        for name in ("filelock", "tempfile", "optcompare"):
            (tmp_path / "here" / f"{name}.py").write_text("raise SystemExit('from the working directory')")
        monkeypatch.chdir(tmp_path / "here")
        assert start().complaint() == ""
        assert CacheEntry(cache, "key").is_intact()
