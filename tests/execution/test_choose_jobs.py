"""The number of jobs as a function of facts: the cores, the memory, the work, and what stands against it."""

from __future__ import annotations

import pytest

from optcompare.execution.choose_jobs import JobChoice, JobFacts, choose_jobs

GB = 2**30


def facts(**changes):
    """A run of twenty trials of three seconds each, on two cores with plenty of memory."""
    known = {
        "cores": 2,
        "threads": 1,
        "rounds": [[3.0] * 20],
        "start_seconds": 4.0,
        "free_bytes": 8 * GB,
        "worker_bytes": 1 * GB,
        "lane_shares": 100,
    }
    return JobFacts(**{**known, **changes})


@pytest.mark.parametrize(
    ("changes", "jobs"),
    [
        ({}, 2),
        ({"cores": 4, "threads": 2}, 2),
        ({"cores": 4, "rounds": [[3.0] * 80]}, 4),
        ({"cores": 64, "rounds": [[30.0] * 3]}, 3),
        ({"cores": 4, "free_bytes": 3 * GB}, 3),
        ({"cores": 4, "lane_shares": 2}, 2),
        ({"rounds": [[10.0] * 2, [], [10.0] * 2]}, 2),
        ({"cores": 4, "rounds": [[30.0, 5.0, 5.0, 5.0, 5.0]]}, 2),
        ({"rounds": [[0.001] * 100_000]}, 2),
    ],
    ids=[
        "two cores",
        "two threads a trial",
        "four cores",
        "as many as trials",
        "memory for two more",
        "memory of lanes",
        "rounds",
        "no more than save time",
        "many short trials",
    ],
)
def test_several_processes_train_where_they_save_time(changes, jobs):
    assert choose_jobs(facts(**changes)) == JobChoice(jobs)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"obstacle": "the device is cuda"}, "the device is cuda"),
        ({"cores": 1}, "1 core, 1 thread a trial"),
        ({"threads": 2}, "2 cores, 2 threads a trial"),
        ({"rounds": [[100.0]]}, "there is a single trial or group of lanes"),
        ({"rounds": []}, "there is a single trial or group of lanes"),
        (
            {"rounds": [[0.5] * 20]},
            "about 10 s of training do not repay another process, which takes about 4.0 s to start",
        ),
        ({"free_bytes": GB}, "another process may need 1.0 GB of memory, and 1.0 GB are free"),
        ({"lane_shares": 1}, "lanes need the memory, and smaller groups may round differently"),
        (
            {"rounds": [[60.0, 1.0]]},
            "most of the time is that of one trial or group of lanes, which is not divided",
        ),
    ],
    ids=["obstacle", "cores", "threads", "single", "nothing", "short", "memory", "lanes", "one long group"],
)
def test_one_process_trains_where_more_would_not_help_and_the_reason_is_in_words(changes, why):
    choice = choose_jobs(facts(**changes))
    assert choice == JobChoice(1, why)
    assert str(choice) == f"one process trains all trials: {why}"


def test_several_processes_are_announced_with_the_option_for_undisturbed_seconds():
    assert str(JobChoice(2)) == (
        "2 trials or groups of lanes at once, each in its own process (--jobs 1 for undisturbed seconds)"
    )


def test_a_process_that_starts_after_the_run_would_have_ended_counts_for_nothing():
    slow = facts(rounds=[[10.0, 10.0]], start_seconds=6.0)
    assert choose_jobs(slow).jobs == 1
    assert choose_jobs(facts(rounds=[[10.0, 10.0]], start_seconds=4.0)).jobs == 2
