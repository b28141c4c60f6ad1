"""Seconds of an update of arms that were timed in turn by one clock, and the clocks of all others."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

COLUMNS = ("arm", "batch_size", "seconds", "low", "high", "rounds")
TIMED, MIXED = "timed", "mixed"


def update_seconds(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Summarise the rounds in which a study timed its arms in turn.

    Args:
        rows: One a round and arm, with ``arm, batch_size, round, updates, seconds`` (of one update), as a
            study records them in ``environment["update_times"]``; empty where nothing was recorded.

    Returns:
        One row an arm, in the order of the rows: ``arm, batch_size, seconds, low, high, rounds``. Seconds are
        those of one
        update: the median, the smallest and the largest round.
    """
    table = pd.DataFrame(list(rows), columns=["arm", "batch_size", "seconds"])
    found = [
        (
            str(arm),
            int(own["batch_size"].iloc[0]),
            float(own["seconds"].median()),
            float(own["seconds"].min()),
            float(own["seconds"].max()),
            len(own),
        )
        for arm, own in table.groupby("arm", sort=False)
    ]
    return pd.DataFrame(found, columns=list(COLUMNS))


def timed_alike(table: pd.DataFrame, arms: Collection[str]) -> bool:
    """Say whether some arms were all timed by the one clock, equally often, so that seconds compare.

    Args:
        table: As :func:`update_seconds` gives it.
        arms: Labels of arms.

    Returns:
        False also where there are no arms.
    """
    own = table[table["arm"].isin(list(arms))]
    whole = set(own["arm"]) == set(arms) and own["rounds"].nunique() == 1
    return whole and bool(np.isfinite(own["seconds"].to_numpy(float)).all())


def clocks(records: pd.DataFrame, table: pd.DataFrame | None = None) -> dict[str, str]:
    """Name the clock of each arm's seconds.

    Args:
        records: Of trials, with the columns ``arm`` and ``clock``; without the latter, as in runs of early
            versions, only arms of ``table`` are known.
        table: As :func:`update_seconds` gives it; its arms have the clock ``timed``.

    Returns:
        By arm: ``timed``; else ``measured`` (a trial alone), ``estimated`` (updates × the seconds of an
        update alone, for trials in lanes) or ``shared`` (measured beside other trials) where all of its
        records say so, and ``mixed`` where they differ.
    """
    found: dict[str, str] = {}
    if "clock" in records.columns:
        for arm, own in records.groupby("arm", sort=False)["clock"]:
            kinds = [str(kind) for kind in own.dropna().unique()]
            if kinds:
                found[str(arm)] = kinds[0] if len(kinds) == 1 else MIXED
    timed = [] if table is None else table["arm"].tolist()
    return found | dict.fromkeys(map(str, timed), TIMED)
