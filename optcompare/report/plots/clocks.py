"""Which clock an arm's seconds are of: said beside its name where the arms on one axis have different
ones.
"""

from __future__ import annotations

import pandas as pd

NBSP = "\u00a0"
CLOCKS = {"measured": "time measured", "shared": "time of several at once", "estimated": "time estimated"}
"""A record's ``clock`` in words: of a trial alone, while others ran, or updates × the time of one."""


def clock_notes(records: pd.DataFrame) -> dict[str, str]:
    """Name each arm's clock, if not all arms have the same.

    Args:
        records: With ``arm`` and, in runs that know it, ``clock``.

    Returns:
        'time estimated' and the like by arm, in an arm of several clocks 'time partly estimated'; {} where
        all seconds are of one clock.
    """
    if "clock" not in records or records["clock"].nunique() < 2:
        return {}
    found: dict[str, str] = {}
    for arm, clocks in records.groupby("arm", sort=False, observed=True)["clock"]:
        mine = [text for clock, text in CLOCKS.items() if (clocks == clock).any()]
        partly = len(mine) > 1
        found[str(arm)] = (
            mine[-1].replace("time ", "time partly ") if partly else mine[0] if mine else "time unknown"
        )
    return found


def clock_sentence(records: pd.DataFrame) -> str:
    """Name each arm's clock in a sentence for a caption, '' if all arms have the same."""
    arms: dict[str, list[str]] = {}
    for arm, note in clock_notes(records).items():
        arms.setdefault(note, []).append(arm)
    parts = [f"{note.replace(' ', NBSP)}: {', '.join(those)}" for note, those in arms.items()]
    said = "; ".join(parts)
    how = " Estimated: updates × time of one alone." if "estimated" in said else ""
    return f"{said[:1].upper()}{said[1:]}.{how}" if said else ""
