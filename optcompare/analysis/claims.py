"""What may be claimed: the tests of all arms and measures as one family, at the level of the look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from ..core.goal import Goal
from .error_rate import holm, seeds_needed
from .exact_tests import EXACT_UP_TO
from .looks import Claim, Contrast, Look, PastLook, fingerprint_of


def with_claims(table: pd.DataFrame, tested: Mapping[str, str], look: Look) -> pd.DataFrame:
    """Correct the tests of all rows by Holm as one family, together with what earlier looks compared.

    Args:
        table: Has ``arm, baseline, n, goal_n``, and the p of each test.
        tested: What is tested, as :func:`tested_measures` gives it.
        look: The level, and the comparisons of earlier looks.

    Returns:
        The table with ``*p_holm``, ``*claimed``, ``comparisons``, ``seeds_needed`` and ``*enough_seeds``
        filled in.
    """
    table, places = table.copy(), comparisons_of(table, tested)
    earlier = set(look.family) - set(places)
    values = table[[f"{prefix}p" for prefix in tested]].to_numpy(float).ravel()
    corrected = holm([*values, *[math.nan] * len(earlier)])[: len(places)].reshape(len(table), len(tested))
    size = len(places) + len(earlier)
    needed = seeds_needed(max(1, size), look.level)
    for prefix in ("", "goal_", "equal_"):
        table[f"{prefix}p_holm"] = corrected[:, list(tested).index(prefix)] if prefix in tested else math.nan
        table[f"{prefix}claimed"] = (table[f"{prefix}p_holm"] <= look.level) & (not look.withheld)
    table["claimed"] &= ~table["at_odds"].astype(bool)
    table["goal_claimed"] &= ~table["goal_at_odds"].astype(bool)
    table["comparisons"], table["seeds_needed"] = size, needed
    table["enough_seeds"], table["goal_enough_seeds"] = table["n"] >= needed, table["goal_n"] >= needed
    return table


def tested_measures(column: str, goal: Goal | None, margin: float | None, final: bool) -> dict[str, str]:
    """What is tested of each arm: what it is called in the family of a look, by the prefix of its columns in
    the table.
    """
    found = {"goal_": f"samples to {goal}"} if goal else {}
    found |= {"": f"final {column}"} if final else {}
    return found | ({"equal_": f"final {column} within {margin:g}"} if final and margin is not None else {})


def comparisons_of(table: pd.DataFrame, tested: Mapping[str, str]) -> list[Contrast]:
    """All comparisons of the table, row by row, in the order of ``tested``, which is as
    :func:`tested_measures` gives it.
    """
    arms = zip(table["arm"], table["baseline"], strict=True)
    return [Contrast(arm, baseline, measure) for arm, baseline in arms for measure in tested.values()]


def claims_of(table: pd.DataFrame, tested: Mapping[str, str]) -> list[Claim]:
    """What the table claims; ``tested`` is as :func:`tested_measures` gives it."""
    found = []
    for _, row in table.iterrows():
        says = {
            "goal_": "fewer" if row["goal_fewer"] else "more",
            "": "lower" if row["lower"] else "higher",
            "equal_": "equal",
        }
        claimed = [prefix for prefix in tested if row[f"{prefix}claimed"]]
        found += [
            Claim(Contrast(row["arm"], row["baseline"], tested[prefix]), says[prefix]) for prefix in claimed
        ]
    return found


def could_claim(table: pd.DataFrame, tested: Mapping[str, str], look: Look) -> bool:
    """Whether some test could have claimed something, whatever the data: only then does a look spend of the
    level.
    """
    if look.withheld or table.empty:
        return False
    observations = int(table[["n", "goal_n"]].to_numpy().max())
    sides = 1 if "equal_" in tested else 2
    return int(table["comparisons"].iloc[0]) * sides * math.ldexp(1.0, -observations) <= look.level


def claims_as_rows(table: pd.DataFrame, tested: Mapping[str, str]) -> list[dict[str, Any]]:
    """Every comparison of the table in plain values: ``arm, baseline, measure, p, p_holm``, and what it
    ``claims``, if so.
    """
    said = {claim.contrast: claim.says for claim in claims_of(table, tested)}
    p = (
        table[[f"{prefix}{name}" for prefix in tested for name in ("p", "p_holm")]]
        .to_numpy(float)
        .reshape(-1, 2)
        .tolist()
    )
    return [
        {
            **contrast._asdict(),
            "p": _plain(raw),
            "p_holm": _plain(corrected),
            "claims": said.get(contrast, ""),
        }
        for contrast, (raw, corrected) in zip(comparisons_of(table, tested), p, strict=True)
    ]


def _plain(value: float) -> float | None:
    """A number for JSON, which has no nan."""
    return None if math.isnan(value) else value


def past_look(trials: pd.DataFrame, table: pd.DataFrame, tested: Mapping[str, str], look: Look) -> PastLook:
    """The look that the table is of these trials, as one that was given."""
    return PastLook(
        fingerprint_of(trials),
        int(trials["seed"].nunique()),
        tuple(comparisons_of(table, tested)),
        tuple(claims_of(table, tested)),
        could_claim(table, tested, look),
    )


def drawn_flips(table: pd.DataFrame) -> bool:
    """Whether some p come from randomly drawn sign flips."""
    many = (table["n"] > EXACT_UP_TO) & (table["test"] == "sign flips")
    goal = (table["goal_n"] > EXACT_UP_TO) & (table["goal_test"] == "sign flips")
    return bool((many | goal).any())
