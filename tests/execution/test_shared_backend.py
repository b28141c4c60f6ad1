"""Trials trained in this process and in a worker beside it, as ``--jobs auto`` does: the same bits as in one
process, whatever happens to the worker.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from concurrent.futures import wait
from dataclasses import dataclass

import pytest
import torch
from torch import nn

from optcompare import Strategy, compare
from optcompare.execution import open_backend, shared_backend
from optcompare.execution.choose_jobs import JobChoice
from optcompare.execution.run import execute
from optcompare.execution.run_options import RunOptions
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.registry.manager import Registry
from tests.helpers.strategies import Growing
from tests.helpers.trials import Press, same
from tests.helpers.workloads import Counts, small_workload, wandering


class Seen:
    """What a worker did: replies that arrived, and the tasks of both processes."""

    def __init__(self):
        self.replies, self.here, self.there = 0, [], []


@pytest.fixture
def two(monkeypatch):
    """Two jobs, the second of which has started before the first task is trained."""
    seen, backend = Seen(), shared_backend.SharedBackend
    results, received, trained = backend.results, backend._received, backend._train_here

    def after_the_start(self, queue):
        wait([worker.beginning for worker in self._workers if worker.beginning is not None])
        yield from results(self, queue)

    def counted(self, worker, queue):
        seen.replies += 1
        seen.there += worker.batch
        yield from received(self, worker, queue)

    def noted(self, task, queue):
        seen.here.append(task)
        yield from trained(self, task, queue)

    monkeypatch.setattr(backend, "results", after_the_start)
    monkeypatch.setattr(backend, "_received", counted)
    monkeypatch.setattr(backend, "_train_here", noted)
    monkeypatch.setattr(open_backend, "automatic_jobs", lambda *facts: JobChoice(2))
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 1.0], ids=["cut after each epoch or update", "as usual"])
def test_trials_of_the_loop_end_in_the_same_bits(two, monkeypatch, seconds):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", seconds)
    question = {"optimizers": ["sgd:momentum=0.9", "adam"], "lr": 0.01, "seeds": 20, "epochs": 4}
    question |= {"strategies": ["mini:3", Growing()], "trainer": "loop"}
    whole = compare(small_workload(model=wandering), **question, jobs=1)
    shared = compare(small_workload(model=wandering), **question)
    same(shared, whole)
    assert two.replies
    assert two.here
    assert (set(shared.records["clock"]), shared.environment["jobs"]) == ({"shared"}, 2)
    assert (set(whole.records["clock"]), whole.environment["jobs"]) == ({"measured"}, 1)
    assert shared.notes == whole.notes


class OwnSGD(torch.optim.SGD):
    """Has no lane rule, so that its trials run in the loop."""


def program(task):
    return task.trials[0].arm.strategy.label


@pytest.mark.slow
def test_tuned_lanes_and_trials_of_the_loop_end_in_the_same_bits(two):
    """Groups of lanes stay whole, and those of one program in one process: their width may change bits."""
    model = lambda: nn.Sequential(nn.Linear(3, 5), nn.Tanh(), nn.Linear(5, 1))  # noqa: E731
    question = {"strategies": ["mini:3", "full"], "optimizers": ["sgd", OwnSGD], "tune": 6, "seeds": 5}
    question |= {"epochs": 6, "trainer": "lanes"}
    whole = compare(small_workload(model=model), **question, jobs=1)
    shared = compare(small_workload(model=model), **question)
    same(shared, whole)
    assert set(shared.trials["trainer"]) == {"lanes", "loop"}
    assert shared.notes == whole.notes
    lanes_here = {program(task) for task in two.here if task.trainer == "lanes"}
    lanes_there = {program(task) for task in two.there if task.trainer == "lanes"}
    assert lanes_here
    assert lanes_there
    assert lanes_here.isdisjoint(lanes_there)
    assert {len(task.trials) for task in [*two.here, *two.there] if task.trainer == "lanes"} == {5, 6, 12}


@pytest.mark.slow
@pytest.mark.parametrize(("begun", "resumed"), [("auto", 1), (2, "auto"), (1, "auto")])
def test_interrupted_and_resumed_with_other_jobs_a_run_ends_in_the_same_bits(
    two, tmp_path, monkeypatch, begun, resumed
):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    question = {"strategies": ["mini:3", Growing()], "optimizers": ["adam"], "seeds": 6, "epochs": 5}
    question |= {"trainer": "loop"}
    whole = compare(small_workload(), **question, jobs=1)
    cut = compare(small_workload(), **question, out=tmp_path / "run", observer=Press(9), jobs=begun)
    assert cut.status == "interrupted"
    result = compare(small_workload(), **question, resume=tmp_path / "run", jobs=resumed)
    same(result, whole)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.slow
def test_interrupted_lanes_go_on_in_the_same_bits(two, tmp_path, monkeypatch):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    question = {"strategies": ["mini:3", "full"], "seeds": 4, "epochs": 30, "trainer": "lanes"}
    whole = compare(small_workload(), **question, jobs=1)
    cut = compare(small_workload(), **question, out=tmp_path / "run", observer=Press(9))
    assert cut.status == "interrupted"
    same(compare(small_workload(), **question, resume=tmp_path / "run"), whole)


@dataclass
class Ends(Strategy):
    """Kills its process in seed 0, unless that is the process of the test."""

    def batches(self, epoch):
        if os.environ["OPTCOMPARE_TEST_PARENT"] != str(os.getpid()):
            os.kill(os.getpid(), signal.SIGKILL)
        yield from epoch.order.split(4)


@pytest.mark.slow
def test_trials_of_a_worker_that_dies_are_trained_by_this_process(two, monkeypatch):
    monkeypatch.setenv("OPTCOMPARE_TEST_PARENT", str(os.getpid()))
    question = {"strategies": [Ends(), "mini:3"], "seeds": 4, "epochs": 3, "trainer": "loop"}
    whole = compare(small_workload(), **question, jobs=1)
    shared = compare(small_workload(), **question)
    same(shared, whole)
    assert (shared.trials["status"] == "finished").all()
    (note,) = [note for note in shared.notes if note not in whole.notes]
    assert note.startswith(
        "a further process could not take part, and others trained its trials: killed by SIGKILL"
    )


@pytest.mark.slow
def test_lanes_of_a_worker_that_dies_stay_lanes(two, monkeypatch):
    question = {"strategies": ["mini:3", "full"], "seeds": 4, "epochs": 30, "trainer": "lanes"}
    whole = compare(small_workload(), **question, jobs=1)
    exchange = shared_backend.SharedBackend._exchange

    def killing(self, queue):
        yield from exchange(self, queue)
        for process in multiprocessing.active_children():
            process.kill()

    monkeypatch.setattr(shared_backend.SharedBackend, "_exchange", killing)
    shared = compare(small_workload(), **question)
    same(shared, whole)
    assert set(shared.trials["trainer"]) == {"lanes"}


@pytest.mark.slow
def test_a_worker_that_trains_to_other_bits_takes_no_part(two, monkeypatch):
    monkeypatch.setattr(open_backend, "first_bits", lambda trainer: "others")
    question = {"strategies": ["mini:3"], "seeds": 4, "epochs": 3, "trainer": "loop"}
    shared = compare(small_workload(), **question)
    same(shared, compare(small_workload(), **question, jobs=1))
    assert two.replies == 0
    (note,) = shared.notes
    assert note.endswith(": its first updates end in other bits than those of this process")


@pytest.mark.slow
def test_a_worker_that_has_not_started_by_the_end_is_not_waited_for(monkeypatch):
    monkeypatch.setattr(open_backend, "automatic_jobs", lambda *facts: JobChoice(2))
    shared = compare(small_workload(), "mini:3", seeds=2, epochs=1, trainer="loop")
    assert shared.status == "finished"
    assert multiprocessing.active_children() == []


def test_where_no_process_can_be_started_this_one_trains_alone(monkeypatch):
    def refused(*arguments):
        raise OSError("Resource temporarily unavailable")

    monkeypatch.setattr(open_backend, "automatic_jobs", lambda *facts: JobChoice(2))
    monkeypatch.setattr(open_backend, "make_executor", refused)
    shared = compare(small_workload(), "mini:3", seeds=2, epochs=1, trainer="loop")
    (note,) = shared.notes
    assert note.startswith("a further process could not be started: ")
    assert "Resource temporarily unavailable" in note
    assert set(shared.records["clock"]) == {"measured"}


def test_what_cannot_be_sent_to_other_processes_is_trained_in_one_and_reported(monkeypatch):
    lock, lines = threading.Lock(), []

    class Held(Strategy):
        def batches(self, epoch):
            assert not lock.locked()
            yield from epoch.order.split(4)

    monkeypatch.setattr(open_backend, "automatic_jobs", lambda *facts: JobChoice(2))
    question = Question(workload=small_workload(), strategies=[Held()], seeds=2, device="cpu")
    result = execute(prepare(Registry.load(()), question), options=RunOptions(report_trainer=lines.append))
    assert (result.status, result.environment["jobs"], result.notes) == ("finished", 1, [])
    assert lines[0].startswith(
        "one process trains all trials: workload custom or its strategies cannot be sent"
    )
    assert "lock" in lines[0]


@pytest.mark.slow
@pytest.mark.parametrize("model", [Counts], ids=["hidden state"])
def test_a_model_that_hides_state_is_not_cut(two, monkeypatch, model):
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)
    question = {"strategies": ["mini:3"], "seeds": 5, "epochs": 3, "trainer": "loop"}
    same(
        compare(small_workload(model=model), **question),
        compare(small_workload(model=model), **question, jobs=1),
    )
    assert two.replies


UNGUARDED = """
import torch
import optcompare
from optcompare.execution import choose_jobs, job_facts, shared_backend

print("the script runs")
choose_jobs.START_SECONDS = 0.0
job_facts.usable_cores = lambda: 2
began = shared_backend.SharedBackend._begin


def begin(self, worker, beginning, queue):
    print(began(self, worker, beginning, queue), len(self._workers), "took part")


def results(self, queue, results=shared_backend.SharedBackend.results):
    self._workers[0].beginning.exception()
    yield from results(self, queue)


class Model(torch.nn.Linear):
    def forward(self, x):
        return 2 * super().forward(x)


shared_backend.SharedBackend._begin = begin
shared_backend.SharedBackend.results = results
workload = optcompare.workload_from(lambda: Model(3, 1), (torch.ones(8, 3), torch.ones(8)))
result = optcompare.compare(workload, ["full", "mini:2"], seeds=2, epochs=1, lr=0.1, trainer="loop")
print(result.status, result.notes)
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["a script", "standard input", "an argument"])
def test_a_script_without_a_guard_is_not_run_again(tmp_path, how):
    script = tmp_path / "script.py"
    script.write_text(UNGUARDED)
    command = {"a script": [str(script)], "standard input": ["-"], "an argument": ["-c", UNGUARDED]}[how]
    text = UNGUARDED if how == "standard input" else None
    ended = subprocess.run(
        [sys.executable, *command],
        input=text,
        capture_output=True,
        text=True,
        timeout=100,
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")},
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines.count("the script runs") == 1
    assert "None 1 took part" in lines
    assert lines[-1].startswith("finished ")
    assert "further process" not in lines[-1]
