"""Name the clocks of arms for names and captions, if the arms on one axis have different clocks."""

from __future__ import annotations

import pandas as pd

NBSP = "\u00a0"
CLOCKS = {"measured": "time measured", "shared": "time of several at once", "estimated": "time estimated"}
"""A record's ``clock`` in words: timed alone, timed while other trials ran, or updates × the time of one."""


def clock_notes(records: pd.DataFrame) -> dict[str, str]:
    """Name each arm's clock, if not all arms have the same.

    Args:
        records: The column ``arm``, and ``clock`` if the run recorded it.

    Returns:
        By arm 'time estimated' and the like, or 'time partly estimated' for an arm with several clocks; {} if
        all
        seconds have the same clock.
    """
    if "clock" not in records or records["clock"].nunique() < 2:
        return {}
    notes: dict[str, str] = {}
    for arm, clocks in records.groupby("arm", sort=False, observed=True)["clock"]:
        names = [text for clock, text in CLOCKS.items() if (clocks == clock).any()]
        partly = len(names) > 1
        notes[str(arm)] = (
            names[-1].replace("time ", "time partly ") if partly else names[0] if names else "time unknown"
        )
    return notes


def clock_sentence(records: pd.DataFrame) -> str:
    """Name each arm's clock in a sentence for a caption; empty if all arms have the same.

    Args:
        records: The column ``arm``, and ``clock`` if the run recorded it.
    """
    arms: dict[str, list[str]] = {}
    for arm, note in clock_notes(records).items():
        arms.setdefault(note, []).append(arm)
    parts = [f"{note.replace(' ', NBSP)}: {', '.join(those)}" for note, those in arms.items()]
    clocks = "; ".join(parts)
    meaning = " Estimated: updates × time of one alone." if "estimated" in clocks else ""
    return f"{clocks[:1].upper()}{clocks[1:]}.{meaning}" if clocks else ""
