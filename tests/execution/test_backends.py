"""Trials trained in other processes, or wherever an executor takes them: the same bits, whatever happens to a
worker.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, OptcompareError, RunDirectoryError, Strategy, compare, load
from optcompare.cli.main import main
from optcompare.core.rng import permutation
from optcompare.storage.run_dir import reserved
from tests.helpers.strategies import Growing
from tests.helpers.trials import Press, same
from tests.helpers.workloads import Counts, dropping, small_workload, wandering

SCRIPT = Path(sys.executable).with_name("optcompare")


UNGUARDED = """
import torch
import optcompare

workload = optcompare.workload_from(lambda: torch.nn.Linear(3, 1), (torch.ones(8, 3), torch.ones(8)))
optcompare.compare(workload, ["full", "mini:2"], seeds=2, epochs=1, lr=0.1, jobs=2)
"""


@pytest.mark.slow
def test_a_script_that_its_own_processes_would_run_again_is_told_so_in_one_line(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    ended = subprocess.run([sys.executable, script], capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 1
    assert "put what the script does under if __name__ == '__main__':" in ended.stderr.splitlines()[-1]
    assert ended.stderr.count("Traceback") == 1


@dataclass
class Ends(Strategy):
    """Takes its process along in the second epoch of seed 1: always, or once where there is no file yet."""

    how: str = "exit"
    file: str = ""

    def batches(self, epoch):
        in_worker = os.environ.get("OPTCOMPARE_TEST_PARENT") != str(os.getpid())
        if (
            torch.equal(epoch.order, permutation(1, 1, len(epoch.order)))
            and in_worker
            and not (self.file and Path(self.file).exists())
        ):
            if self.file:
                Path(self.file).touch()
            if self.how == "exit":
                os._exit(3)
            os.kill(os.getpid(), signal.SIGKILL)
        yield from epoch.order.split(4)


@pytest.fixture
def parent(monkeypatch):
    monkeypatch.setenv("OPTCOMPARE_TEST_PARENT", str(os.getpid()))


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [2, 3])
def test_results_do_not_depend_on_how_many_jobs_there_are(monkeypatch, jobs):
    """Cut after each epoch or update and sent to another process: dropout, momentum and strategies' state go
    along.
    """
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    settings = {
        "optimizers": ["sgd:momentum=0.9", "adam"],
        "lr": 0.01,
        "seeds": 3,
        "epochs": 4,
        "trainer": "loop",
    }
    strategies = ["mini:3", Growing()]
    whole = compare(small_workload(model=wandering), strategies, **settings)
    result = compare(small_workload(model=wandering), strategies, **settings, jobs=jobs)
    same(result, whole)
    assert set(result.records["clock"]) == {"shared"}
    assert result.environment["jobs"] == jobs


@pytest.mark.slow
def test_what_a_notebook_defines_travels(monkeypatch):
    class Local(Strategy):
        def batches(self, epoch):
            yield from epoch.order.split(7)

    settings = {
        "strategies": [Local(), "full"],
        "seeds": 2,
        "epochs": 2,
        "trainer": "loop",
        "order": lambda s, e, n: range(n),
    }
    workload = small_workload(model=lambda: nn.Linear(3, 1))
    same(compare(workload, **settings, jobs=2), compare(workload, **settings))


def test_tuning_and_lanes_are_spread_over_the_jobs():
    settings = {
        "strategies": ["mini:3", "full"],
        "tune": 3,
        "seeds": 4,
        "epochs": 6,
        "dtype": "float64",
        "trainer": "lanes",
    }
    here, there = (compare(small_workload(), **settings, jobs=jobs) for jobs in (None, 2))
    assert set(there.trials["trainer"]) == {"lanes"}
    assert there.records["train_loss"].tolist() == pytest.approx(
        here.records["train_loss"].tolist(), rel=1e-9
    )
    assert there.trials[["phase", "arm", "lr", "seed"]].equals(here.trials[["phase", "arm", "lr", "seed"]])
    assert all(check.held for check in there.certificate)
    assert "lanes, made by both, differ by at most " in there.certificate[-1].detail


@pytest.mark.slow
def test_lanes_that_a_worker_refuses_go_to_the_loop():
    settings = {"strategies": ["mini:3"], "seeds": 3, "epochs": 2}
    whole = compare(small_workload(model=dropping), **settings, trainer="loop")
    result = compare(small_workload(model=dropping), **settings, trainer="lanes", jobs=2)
    same(result, whole)
    why = (
        "the model or the loss draws random numbers in its own code (such as F.dropout); "
        "lanes can draw only the masks of layers such as nn.Dropout"
    )
    assert result.notes == [f"mini:3: 3 trials in the loop instead of lanes: {why}"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("exit", "exit code 3"),
        ("kill", "killed by SIGKILL, as when memory runs out: give fewer --jobs, or a smaller --chunk"),
    ],
)
def test_a_worker_that_dies_costs_its_trial_one_retry_and_the_others_nothing(parent, how, why):
    settings = {"seeds": 4, "epochs": 3, "trainer": "loop"}
    whole = compare(small_workload(), ["mini:4", Ends()], **settings)
    result = compare(small_workload(), ["mini:4", Ends(how)], **settings, jobs=2)
    lost = result.trials[result.trials["status"] == "failed"]
    assert [*zip(lost["arm"], lost["seed"], strict=True)] == [(result.comparison.arms[1].label, 1)]
    assert lost["reason"].tolist() == [f"the process that trained it ended, 2 times: {why}"]
    ended = result.trials[result.trials["status"] == "finished"]
    assert ended["final_sha256"].tolist() == whole.trials.loc[ended.index, "final_sha256"].tolist()


@pytest.mark.slow
def test_a_worker_that_dies_once_is_replaced_and_the_trial_ends_in_the_same_bits(
    parent, tmp_path, monkeypatch
):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    settings = {"seeds": 3, "epochs": 3, "trainer": "loop"}
    strategies = [Ends("kill", str(tmp_path / "dead"))]
    whole = compare(small_workload(), strategies, **settings)
    same(compare(small_workload(), strategies, **settings, jobs=2), whole)
    assert (tmp_path / "dead").exists()


@pytest.mark.slow
def test_a_model_that_hides_state_is_not_cut(monkeypatch):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)

    settings = {"strategies": ["mini:3"], "seeds": 3, "epochs": 3, "trainer": "loop"}
    same(
        compare(small_workload(model=Counts), **settings, jobs=2),
        compare(small_workload(model=Counts), **settings),
    )


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 9])
def test_interrupted_with_jobs_and_resumed_with_others_it_ends_in_the_same_bits(tmp_path, monkeypatch, at):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    settings = {
        "strategies": ["mini:3", Growing()],
        "optimizers": ["adam"],
        "seeds": 3,
        "epochs": 5,
        "trainer": "loop",
    }
    whole = compare(small_workload(), **settings)
    cut = compare(small_workload(), **settings, out=tmp_path / "run", observer=Press(at), jobs=2)
    assert cut.status == "interrupted"
    assert 1 <= (cut.trials["status"] == "interrupted").sum() <= 2, "as many as were under way"
    result = compare(small_workload(), **settings, resume=tmp_path / "run", jobs=3)
    same(result, whole)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.slow
def test_an_executor_of_threads_handed_in_trains_the_same_and_is_left_running():
    settings = {"strategies": ["mini:3", "full"], "seeds": 3, "epochs": 3, "trainer": "loop"}
    with ThreadPoolExecutor(2) as threads:
        result = compare(small_workload(model=wandering), **settings, executor=threads, jobs=2)
        assert threads.submit(sum, [1, 2]).result() == 3
    same(result, compare(small_workload(model=wandering), **settings))


STRANGER = """
import optcompare

@optcompare.hookimpl
def optcompare_executors():
    return {"loky": loky, "nothing": lambda demand, address: None}

def loky(demand, address):
    \"\"\"Processes that joblib reuses.\"\"\"
    from joblib.externals.loky import get_reusable_executor
    assert (demand.jobs, demand.threads, demand.device, demand.gpus, address) == (2, 1, "cpu", 0, "a:b")
    return get_reusable_executor(max_workers=2)
"""


@pytest.mark.slow
def test_a_strangers_executor_is_plugged_in_by_a_hook(tmp_path, capsys):
    (tmp_path / "stranger.py").write_text(STRANGER)
    settings = {
        "strategies": "mini,full",
        "seeds": 3,
        "epochs": 3,
        "trainer": "loop",
        "plugins": str(tmp_path / "stranger.py"),
    }
    same(compare("line", **settings, executor="loky:a:b", jobs=2), compare("line", **settings))
    with pytest.raises(OptcompareError, match=r"unknown executor 'lok' \(did you mean 'loky'\?\)"):
        compare("line", **settings, executor="lok")
    with pytest.raises(
        OptcompareError,
        match=r"executor nothing: its factory must return a concurrent\.futures\.Executor, got a NoneType",
    ):
        compare("line", **settings, executor="nothing")
    with pytest.raises(SystemExit, match="0"):
        main(["list", "executors", "--plugin", str(tmp_path / "stranger.py")])
    assert "loky  Processes that joblib reuses.\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
        (
            {"jobs": 2, "epochs": None, "seconds": 1.0},
            "a budget of seconds needs the machine for one trial at a time",
        ),
        (
            {"executor": "processes:here"},
            "executor processes takes no address, got 'here'; say how many with jobs",
        ),
    ],
)
def test_what_cannot_be_run_so_is_said_at_once(settings, why, tmp_path):
    with pytest.raises(OptcompareError, match=why):
        compare("line", "full", **{"seeds": 1, "epochs": 2, **settings}, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_what_cannot_travel_is_named():
    lock = threading.Lock()

    class Held(Strategy):
        def batches(self, epoch):
            assert not lock.locked()
            yield from epoch.order.split(4)

    with pytest.raises(
        ComparisonError, match=r"workload .* or its strategies cannot be sent to other processes: .*lock"
    ):
        compare(small_workload(), [Held()], seeds=2, epochs=1, jobs=2)


def children(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for processes in /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_no_worker_outlives_the_run(tmp_path, number):
    command = [
        SCRIPT,
        "run",
        "--strategies",
        "single",
        "--epochs",
        "100000",
        "--trainer",
        "loop",
        "--jobs",
        "2",
        "--out",
        "x",
    ]
    with subprocess.Popen(
        command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        workers: list[int] = []
        end = time.monotonic() + 60
        while len(workers) < 2 and time.monotonic() < end:
            time.sleep(0.1)
            workers = [
                pid
                for pid in children(process.pid)
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
        time.sleep(3.0)  # the second press would end it at once, the first lets each update end
        process.send_signal(number)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130), out
    while any(Path(f"/proc/{pid}").exists() for pid in workers) and time.monotonic() < end + 60:
        time.sleep(0.1)
    assert not [pid for pid in workers if Path(f"/proc/{pid}").exists()]
    assert "Traceback" not in out
    if number == signal.SIGINT:
        assert load(tmp_path / "x").status == "interrupted"


@pytest.mark.slow
def test_two_runs_do_not_share_a_directory(tmp_path):
    settings = {"strategies": ["full"], "seeds": 1, "epochs": 2, "trainer": "loop"}
    compare(small_workload(), **settings, out=tmp_path / "run")
    with (
        reserved(tmp_path / "run", occupied=True),
        pytest.raises(
            RunDirectoryError,
            match=r"another run is writing to .*run; wait for it, or give another directory",
        ),
    ):
        compare(small_workload(), **{**settings, "seeds": 2}, resume=tmp_path / "run")
    assert len(compare(small_workload(), **{**settings, "seeds": 2}, resume=tmp_path / "run").trials) == 2
