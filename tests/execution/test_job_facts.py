"""The facts of a run that decide on the number of processes, and the obstacles to several."""

from __future__ import annotations

import dataclasses
import multiprocessing
import sys
import threading

import pytest
import torch

from optcompare import compare
from optcompare.cli.main import main
from optcompare.core.budget import Budget
from optcompare.execution import choose_jobs, job_facts
from optcompare.execution.continuation import rounds_left
from optcompare.execution.job_facts import automatic_jobs, planned_jobs
from optcompare.execution.run_options import RunOptions
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.registry.manager import Registry
from optcompare.storage.previous_run import PreviousRun
from tests.helpers.workloads import Pairs, small_workload

SEEN = [0]
SEVERAL = "2 trials or groups of lanes at once, each in its own process (--jobs 1 for undisturbed seconds)"


@pytest.fixture(autouse=True)
def two_free_cores(monkeypatch):
    """On which a run of any length repays a second process, and which nothing observes."""
    monkeypatch.setattr(choose_jobs, "START_SECONDS", 0.0)
    monkeypatch.setattr(job_facts, "usable_cores", lambda: 2)
    monkeypatch.setattr(job_facts, "_is_traced", lambda: False)


def ready(workload=None, strategies=("mini:4", "full"), **settings):
    question = {"seeds": 3, "trainer": "loop", "device": "cpu", **settings}
    return prepare(
        Registry.load(()), Question(workload=workload or small_workload(), strategies=strategies, **question)
    )


def test_an_ordinary_run_is_trained_by_as_many_processes_as_there_are_cores():
    assert (automatic_jobs(ready()).jobs, str(automatic_jobs(ready()))) == (2, SEVERAL)


def counting(output, y):
    SEEN[0] += 1
    return (output - y).square().mean()


class Counting(Pairs):
    """Counts what is read of it."""

    count = 0

    def __getitem__(self, index):
        self.count += 1
        return super().__getitem__(index)


def data():
    return torch.randn(10, 3), torch.randn(10, 1)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: ready(budget=Budget("seconds", 1.0)),
            "a budget of seconds needs the machine for one trial at a time",
        ),
        (
            lambda: ready(order=lambda seed, epoch, n: range(n)),
            "the order is a function of the user, which may have a state",
        ),
        (lambda: ready(small_workload(loss=counting)), "all trials have global SEEN[0] in common"),
        (
            lambda: ready(small_workload(train=Counting(*data()))),
            "the Dataset of train changes count when a sample is read",
        ),
        (
            lambda: ready(small_workload(train=Pairs(*data()), workers=2)),
            "2 loader processes of the workload use other cores",
        ),
        (lambda: ready(threads=2), "2 cores, 2 threads a trial"),
        (lambda: ready(strategies="full", seeds=1), "there is a single trial or group of lanes"),
    ],
    ids=["seconds", "order", "shared state", "Dataset", "loaders", "threads", "one trial"],
)
def test_a_run_that_needs_one_process_says_why(make, why):
    choice = automatic_jobs(make())
    assert choice.jobs == 1
    assert choice.why == why


def test_other_devices_are_left_to_one_process(monkeypatch):
    prepared = ready()
    monkeypatch.setattr(prepared.trainer, "device", torch.device("meta"))
    assert job_facts._of_run(prepared) == "the device is meta"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            lambda patch: patch.setattr(multiprocessing, "parent_process", lambda: object()),
            "this process was itself started by multiprocessing",
        ),
        (
            lambda patch: patch.setattr(threading, "current_thread", lambda: object()),
            "the run is not in the main thread, and others may use the cores",
        ),
        (
            lambda patch: patch.setattr(sys, "executable", "/opt/blender/blender"),
            "this is no ordinary Python process, but one of a program with Python in it",
        ),
        (
            lambda patch: patch.setattr(job_facts, "_is_traced", lambda: True),
            "a debugger, a profiler or a measurement of coverage follows this process",
        ),
    ],
    ids=["worker", "thread", "embedded", "traced"],
)
def test_a_process_that_must_not_start_others_says_why(monkeypatch, change, why):
    change(monkeypatch)
    assert job_facts._of_process() == why


def test_what_traces_python_is_found(monkeypatch):
    monkeypatch.undo()
    before = sys.getprofile()
    sys.setprofile(lambda *event: None)
    try:
        assert job_facts._is_traced()
    finally:
        sys.setprofile(before)


def test_memory_for_another_process_is_as_much_as_this_one_used_and_the_data(monkeypatch):
    prepared = ready()
    monkeypatch.setattr(job_facts, "_peak_bytes", lambda: 2**31)
    assert job_facts._worker_bytes(prepared) == 2**31 + 10 * 4 * 4
    monkeypatch.setattr(job_facts, "free_memory", lambda device: 2**30)
    assert automatic_jobs(prepared).why == "another process may need 2.0 GB of memory, and 1.0 GB are free"


def test_a_group_of_lanes_is_one_task(monkeypatch):
    prepared = ready(trainer="lanes", strategies=("mini:4",), seeds=20)
    assert automatic_jobs(prepared).why == "there is a single trial or group of lanes"
    assert automatic_jobs(ready(trainer="lanes")).jobs == 2
    monkeypatch.setattr("optcompare.training.lanes.families.lanes_that_fit", lambda *facts: (4, 50))
    limited = automatic_jobs(ready(trainer="lanes"))
    assert limited.why == "lanes need the memory, and smaller groups may round differently"


@pytest.mark.slow
def test_only_trials_that_are_left_of_a_previous_run_count(tmp_path):
    question = {"strategies": ["mini:4", "full"], "lr": 0.1, "trainer": "loop", "epochs": 2}
    compare(small_workload(), seeds=3, **question, jobs=1, out=tmp_path / "run")
    previous = PreviousRun.read(tmp_path / "run")
    prepared = ready(strategies="mini:4,full", lr=0.1, seeds=3)
    prepared = prepared.for_comparison(dataclasses.replace(previous.comparison, seeds=(0, 1, 2, 3)))
    left = rounds_left(prepared.setup, previous)
    assert [(trial.arm.label, trial.seed) for trials in left for trial in trials] == [
        ("mini:4", 3),
        ("full", 3),
    ]


def test_a_number_or_an_executor_of_the_user_is_not_overruled():
    assert planned_jobs(ready(), RunOptions(jobs=3)) == (3, "")
    assert planned_jobs(ready(), RunOptions(executor="ray")) == (1, "")
    for jobs in ("auto", None):
        assert planned_jobs(ready(), RunOptions(jobs=jobs)) == (2, SEVERAL)


@pytest.mark.parametrize(
    ("options", "line"),
    [([], f"{SEVERAL[0].upper()}{SEVERAL[1:]}."), (["--jobs", "1"], None), (["--jobs", "2"], None)],
    ids=["auto", "one", "two"],
)
def test_a_dry_run_says_what_was_chosen(capsys, options, line):
    command = ["run", "--strategies", "full,mini", "--trainer", "loop", "--dry-run", *options]
    with pytest.raises(SystemExit, match="0"):
        main(command)
    lines = capsys.readouterr().out.splitlines()
    assert ("at once, each in its own process" in "".join(lines)) == (line is not None)
    assert line is None or lines[-2] == line


@pytest.mark.parametrize("text", ["two", "-1", "1.5"])
def test_jobs_are_a_number_or_auto(capsys, text):
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--jobs", text, "--dry-run"])
    assert f"--jobs takes a whole number from 1 on, or auto; got '{text}'" in capsys.readouterr().err
