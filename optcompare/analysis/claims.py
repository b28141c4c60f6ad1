"""Claims: the tests of all arms and measures as one family, at the level of the look."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from .error_rate import holm, seeds_needed
from .exact_tests import EXACT_UP_TO
from .looks import Claim, Contrast, Look, PastLook, fingerprint_of


def with_claims(table: pd.DataFrame, tested: Mapping[str, str], look: Look) -> pd.DataFrame:
    """Correct the tests of all rows, and the comparisons of previous looks, by Holm as one family.

    Args:
        table: A table with ``arm, baseline, n, goal_n`` and the p of each test.
        tested: The name of each test by the prefix of its columns, as
            :attr:`.paired_tests.PairedTests.measures` returns it.
        look: The look, with its level and the comparisons of previous looks.

    Returns:
        The table with ``*p_holm``, ``*claimed``, ``comparisons``, ``seeds_needed`` and ``*enough_seeds``
        filled in.
    """
    table, contrasts = table.copy(), comparisons_of(table, tested)
    previous = set(look.family) - set(contrasts)
    values = table[[f"{prefix}p" for prefix in tested]].to_numpy(float).ravel()
    corrected = holm([*values, *[math.nan] * len(previous)])[: len(contrasts)]
    corrected = corrected.reshape(len(table), len(tested))
    size = len(contrasts) + len(previous)
    needed = seeds_needed(max(1, size), look.level)
    for prefix in ("", "goal_", "equal_"):
        table[f"{prefix}p_holm"] = corrected[:, list(tested).index(prefix)] if prefix in tested else math.nan
        table[f"{prefix}claimed"] = (table[f"{prefix}p_holm"] <= look.level) & (not look.withheld)
    table["claimed"] &= ~table["at_odds"].astype(bool)
    table["goal_claimed"] &= ~table["goal_at_odds"].astype(bool)
    table["comparisons"], table["seeds_needed"] = size, needed
    table["enough_seeds"], table["goal_enough_seeds"] = table["n"] >= needed, table["goal_n"] >= needed
    return table


def comparisons_of(table: pd.DataFrame, tested: Mapping[str, str]) -> list[Contrast]:
    """Return all comparisons of the table, row by row, each row in the order of ``tested``.

    Args:
        table: The table of :func:`.paired.pairs`.
        tested: See :func:`with_claims`.
    """
    arms = zip(table["arm"], table["baseline"], strict=True)
    return [Contrast(arm, baseline, measure) for arm, baseline in arms for measure in tested.values()]


def claims_of(table: pd.DataFrame, tested: Mapping[str, str]) -> list[Claim]:
    """Return the claims of the table, row by row.

    Args:
        table: The table of :func:`.paired.pairs`.
        tested: See :func:`with_claims`.
    """
    claims = []
    for _, row in table.iterrows():
        directions = {
            "goal_": "fewer" if row["goal_fewer"] else "more",
            "": "lower" if row["lower"] else "higher",
            "equal_": "equal",
        }
        claimed = [prefix for prefix in tested if row[f"{prefix}claimed"]]
        claims += [
            Claim(Contrast(row["arm"], row["baseline"], tested[prefix]), directions[prefix])
            for prefix in claimed
        ]
    return claims


def could_claim(table: pd.DataFrame, tested: Mapping[str, str], look: Look) -> bool:
    """Return whether any data could lead to a claim; if not, the look costs no level.

    Args:
        table: The table of :func:`.paired.pairs`.
        tested: See :func:`with_claims`.
        look: The look, with its level and whether claims are withheld.
    """
    if look.withheld or table.empty:
        return False
    observations = int(table[["n", "goal_n"]].to_numpy().max())
    sides = 1 if "equal_" in tested else 2
    return int(table["comparisons"].iloc[0]) * sides * math.ldexp(1.0, -observations) <= look.level


def claims_as_rows(table: pd.DataFrame, tested: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return every comparison of the table in plain values.

    Args:
        table: The table of :func:`.paired.pairs`.
        tested: See :func:`with_claims`.

    Returns:
        For each comparison ``arm, baseline, measure, p, p_holm`` and ``claims``: the direction that is
        claimed, empty for none.
    """
    directions = {claim.contrast: claim.direction for claim in claims_of(table, tested)}
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
            "claims": directions.get(contrast, ""),
        }
        for contrast, (raw, corrected) in zip(comparisons_of(table, tested), p, strict=True)
    ]


def _plain(value: float) -> float | None:
    """Return a number for JSON, with None for nan."""
    return None if math.isnan(value) else value


def past_look(trials: pd.DataFrame, table: pd.DataFrame, tested: Mapping[str, str], look: Look) -> PastLook:
    """Return this look at the trials as a past look, for the next ones.

    Args:
        trials: The report's trials.
        table: The table of :func:`.paired.pairs` for these trials.
        tested: See :func:`with_claims`.
        look: The look, with its level and whether claims are withheld.
    """
    return PastLook(
        fingerprint_of(trials),
        int(trials["seed"].nunique()),
        tuple(comparisons_of(table, tested)),
        tuple(claims_of(table, tested)),
        could_claim(table, tested, look),
    )


def drawn_flips(table: pd.DataFrame) -> bool:
    """Return whether some p come from randomly drawn sign flips.

    Args:
        table: The table of :func:`.paired.pairs`.
    """
    many = (table["n"] > EXACT_UP_TO) & (table["test"] == "sign flips")
    goal = (table["goal_n"] > EXACT_UP_TO) & (table["goal_test"] == "sign flips")
    return bool((many | goal).any())
