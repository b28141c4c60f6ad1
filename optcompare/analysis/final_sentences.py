"""What the verdict says of final values."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from ..core.formatting import number
from .phrases import LISTED, corrected_p, count, counted, interval, won


def final_sentences(
    table: pd.DataFrame,
    lost: Mapping[str, str],
    column: str,
    unit: str,
    observation: str = "seed",
    *,
    withheld: bool = False,
) -> list[str]:
    """Say which arms end lower or higher than the baseline.

    Args:
        table: As :func:`optcompare.analysis.paired.pairs` gives it, with a row at least.
        lost: How many trials of each arm were lost, in words; empty for none.
        column: What is compared.
        unit: What is counted: ``seed``, or ``pair`` of seeds and tuning repeats.
        observation: What is one observation: ``seed``, or ``split`` where seeds share one.
        withheld: Whether nothing may be claimed.

    Returns:
        A sentence for each of up to three arms, or one with counts; before it what is missing for any claim.
    """
    baseline, varied = str(table["baseline"].iloc[0]), table[table["one_run_seeds"] == 0]
    few = len(varied) > 0 and not varied["enough_seeds"].any()
    sentences = []
    if few and not withheld:
        n, m = int(varied["n"].max()), int(table["comparisons"].iloc[0])
        too_few = f"{count(n, observation)} {'is' if n == 1 else 'are'} too few for {count(m, 'comparison')}"
        sentences.append(f"No difference is claimed: {too_few}, {table['seeds_needed'].iloc[0]} are needed.")
    if lost[baseline]:
        sentences.append(f"{baseline} {lost[baseline]}.")
    if len(table) <= LISTED:
        clauses = [_of_arm(row, lost[row["arm"]], unit, few or withheld) for _, row in table.iterrows()]
        return [*sentences, *(f"On final {column}, {clause}." for clause in clauses)]
    if few or withheld:
        others = sum(bool(lost[arm]) for arm in table["arm"])
        said = f"{others} of {len(table)} arms against {baseline} diverged or failed on a seed or more"
        return [*sentences, *([f"On final {column}, {said}."] if others else [])]
    return [*sentences, f"On final {column}, of {len(table)} arms against {baseline}: {_counts(table)}."]


def _of_arm(row: pd.Series, lost: str, unit: str, unclaimed: bool) -> str:
    arm, baseline, seeds = row["arm"], row["baseline"], int(row["wins"] + row["losses"] + row["ties"])
    if seeds == 0:
        return f"{arm} shares no {unit} with {baseline}"
    if row["one_run_seeds"]:
        return _one_run(row)
    if row["ties"] == seeds and not lost:
        return f"{arm} equals {baseline} on {seeds} of {count(seeds, unit)}{_equality(row, unclaimed)}"
    if row["one_difference"]:
        same = f"by the same {number(abs(row['difference']))} on all {count(seeds, unit)}"
        one = f"{arm} ends {_side(row)} than {baseline} {same}: that is one observation, and is not tested"
        return f"{one}{_equality(row, unclaimed)}"
    if row["rounding_only"]:
        alike = f"{arm} and {baseline} differ by no more than rounding on all {count(seeds, unit)}: that is not tested"
        return f"{alike}{_equality(row, unclaimed)}"
    facts = [won(row, unit), *([f"{arm} {lost}"] if lost else []), *_description(row)]
    equal = _equality(row, unclaimed)
    if unclaimed:
        return f"{arm} is {', '.join(facts)}{equal}"
    facts.insert(1, corrected_p(row["p_holm"]))
    if row["claimed"]:
        worst = ", lost trials as the worst" if row["test"] == "signs" else ""
        return f"{arm} ends {_side(row)} than {baseline}, {unit} by {unit}{worst} ({', '.join(facts)}){equal}"
    if row["at_odds"] and not row["ties"]:
        facts.append("which rests on few large differences")
    return f"no difference between {arm} and {baseline} can be claimed ({', '.join(facts)}){equal}"


def _one_run(row: pd.Series) -> str:
    difference = f"ends {number(abs(row['difference']))} {_side(row)} than {row['baseline']}"
    ends = difference if row["difference"] else f"equals {row['baseline']}"
    repeats = f"in one run that all {row['one_run_seeds']} seeds repeat: the seed changes nothing in these arms"
    return f"{row['arm']} {ends}, {repeats}"


def _description(row: pd.Series) -> list[str]:
    if math.isnan(row["difference"]):
        return []
    ends = [] if math.isnan(row["low"]) else [interval(row["low"], row["high"])]
    return [f"mean difference {number(row['difference'])}", *ends, f"median {number(row['median'])}"]


def _equality(row: pd.Series, unclaimed: bool) -> str:
    """Of the margin, where there is one; with too few seeds only that equality is claimed, which takes fewer of them."""
    if math.isnan(row["margin"]) or (unclaimed and not row["equal_claimed"]):
        return ""
    if row["equal_claimed"]:
        return f", and within {number(row['margin'])} of it ({corrected_p(row['equal_p_holm'])})"
    return f"; that it lies within {number(row['margin'])} cannot be claimed ({corrected_p(row['equal_p_holm'])})"


def _counts(table: pd.DataFrame) -> str:
    difference, claimed, once = table["difference"], table["claimed"], table["one_run_seeds"] > 0
    lost, lower = difference.isna(), table["lower"]
    untested = (table["rounding_only"] | table["one_difference"]) & ~once
    counts = [
        counted(table[claimed & lower & ~lost], "lower", difference, _distance),
        counted(table[claimed & lower & lost], "lower, lost trials as the worst"),
        counted(table[claimed & ~lower & ~lost], "higher", difference, _distance),
        counted(table[claimed & ~lower & lost], "higher, lost trials as the worst"),
        counted(table[~(claimed | untested | once)], "where no difference can be claimed"),
        counted(table[once], "that are one run, which all seeds repeat"),
        counted(table[untested], "where nothing varies above rounding"),
        counted(table[table["equal_claimed"]], f"within {number(table['margin'].iloc[0])} of it"),
    ]
    return ", ".join(filter(None, counts))


def _distance(row: pd.Series) -> str:
    low, high = sorted([abs(row["low"]), abs(row["high"])])
    return f"mean {number(abs(row['difference']))}, {interval(low, high)}, {corrected_p(row['p_holm'])}"


def _side(row: pd.Series) -> str:
    return "lower" if row["lower"] else "higher"
