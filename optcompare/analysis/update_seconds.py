"""Seconds per update of arms that one clock timed in turn, and the clocks of all other arms."""

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
        rows: One row for each round and arm, with ``arm, batch_size, round, updates, seconds`` (per update),
            as a study records them in ``environment["update_times"]``; empty if nothing was recorded.

    Returns:
        One row for each arm, in the order of the rows: ``arm, batch_size, seconds, low, high, rounds``.
        ``seconds, low, high`` are seconds per update: the median, the smallest and the largest of all rounds.
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
    """Return whether one clock timed all these arms equally often, so that their seconds are comparable.

    Args:
        table: The table of :func:`update_seconds`.
        arms: Labels of arms.

    Returns:
        Whether it did; False without arms.
    """
    own = table[table["arm"].isin(list(arms))]
    whole = set(own["arm"]) == set(arms) and own["rounds"].nunique() == 1
    return whole and bool(np.isfinite(own["seconds"].to_numpy(float)).all())


def clocks(records: pd.DataFrame, table: pd.DataFrame | None = None) -> dict[str, str]:
    """Name the clock of each arm's seconds.

    Args:
        records: Records with the columns ``arm`` and ``clock``; without the latter, as in runs of old
            versions, only arms of ``table`` are known.
        table: The table of :func:`update_seconds`; its arms have the clock ``timed``.

    Returns:
        By arm ``timed``; else the clock of all its records: ``measured`` (the trial ran alone),
        ``estimated`` (updates × the seconds of an update that runs alone, for lanes) or ``shared`` (other
        trials ran at the same time); ``mixed`` if the records differ.
    """
    found: dict[str, str] = {}
    if "clock" in records.columns:
        for arm, own in records.groupby("arm", sort=False)["clock"]:
            kinds = [str(kind) for kind in own.dropna().unique()]
            if kinds:
                found[str(arm)] = kinds[0] if len(kinds) == 1 else MIXED
    timed = [] if table is None else table["arm"].tolist()
    return found | dict.fromkeys(map(str, timed), TIMED)
