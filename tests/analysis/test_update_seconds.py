"""Seconds of an update: summaries of rounds, and the clocks of arms that were not timed in turn."""

from __future__ import annotations

import pandas as pd

from optcompare.analysis.update_seconds import clocks, timed_alike, update_seconds

ROUNDS = [
    {"arm": arm, "batch_size": size, "round": number, "updates": 10, "seconds": seconds}
    for number, both in enumerate([(0.1, 0.4), (0.3, 0.5), (0.2, 0.9)])
    for arm, size, seconds in zip(("one", "eight"), (1, 8), both, strict=True)
]


def test_the_median_round_stands_between_the_smallest_and_the_largest():
    table = update_seconds(ROUNDS)
    assert table.to_dict("records") == [
        {"arm": "one", "batch_size": 1, "seconds": 0.2, "low": 0.1, "high": 0.3, "rounds": 3},
        {"arm": "eight", "batch_size": 8, "seconds": 0.5, "low": 0.4, "high": 0.9, "rounds": 3},
    ]


def test_arms_are_timed_alike_if_each_of_them_was_timed_equally_often():
    table = update_seconds(ROUNDS)
    assert timed_alike(table, ["one", "eight"])
    assert timed_alike(table, ["eight"])
    assert not timed_alike(table, ["one", "eight", "full"])
    assert not timed_alike(table, [])
    assert not timed_alike(update_seconds(ROUNDS[:-1]), ["one", "eight"])


def test_nothing_recorded_is_an_empty_table():
    table = update_seconds([])
    assert table.empty
    assert list(table.columns) == ["arm", "batch_size", "seconds", "low", "high", "rounds"]
    assert not timed_alike(table, ["one"])


def test_the_clock_of_an_arm_is_that_of_all_its_records_or_mixed():
    records = pd.DataFrame(
        [
            ("a", "measured"),
            ("a", "measured"),
            ("b", "estimated"),
            ("c", "measured"),
            ("c", "estimated"),
            ("d", "shared"),
        ],
        columns=["arm", "clock"],
    )
    assert clocks(records) == {"a": "measured", "b": "estimated", "c": "mixed", "d": "shared"}
    assert clocks(records, update_seconds(ROUNDS))["one"] == "timed"
    timed = update_seconds([{"arm": "c", "batch_size": 1, "seconds": 0.1}])
    assert clocks(records, timed) == {"a": "measured", "b": "estimated", "c": "timed", "d": "shared"}


def test_records_of_early_versions_have_no_clock():
    assert clocks(pd.DataFrame({"arm": ["a"]})) == {}
    assert clocks(pd.DataFrame({"arm": ["a"], "clock": [None]})) == {}
