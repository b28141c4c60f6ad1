"""The answer in two or three plain sentences with their numbers, made from the pairs. It says no more than they do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from ..core.formatting import number
from ..core.goal import Goal
from .paired import control_spread, pairs, seeds_needed

LISTED = 3
ROUGH = 0.1


def verdict(
    workload: str,
    records: pd.DataFrame,
    trials: pd.DataFrame,
    baseline: str,
    column: str,
    *,
    goal: Goal | None = None,
    control: str | None = None,
    final: bool = True,
) -> list[str]:
    """Sentences on samples to the goal (where there is one), on the final ``column``, and on what this does not show.

    All is said against the baseline and means what :func:`optcompare.analysis.paired.pairs` says: a ratio or a difference is
    stated as found only where it is claimed there. Otherwise the sentence says that nothing can be claimed, that it is
    indistinguishable from rounding (with a control), which trials were lost, or, with too few seeds, how many it takes.
    Each interval is of its own comparison, p is Holm's. Up to three arms beside the baseline are named one by one; of
    more there are counts, and the arms furthest off. ``final``: whether final values
    are worth a sentence. Raises as ``pairs`` does.
    """
    table = pairs(records, trials, baseline, column, goal=goal, control=control)
    sentences = [] if len(table) else [f"There is no arm to compare {baseline} with."]
    if not len(table) and control is not None:
        spread = control_spread(records, trials, baseline, control, column)
        sentences.append(f"On final {column}, rounding alone moves {baseline} by up to {number(spread)}.")
    if len(table) and goal:
        sentences.append(_goal_sentence(table, str(goal).replace("=", " ")))
    if len(table) and final:
        lost = {str(arm): _lost(group["status"]) for arm, group in trials.groupby("arm", sort=False)}
        sentences.append(_final_sentence(table, lost, column))
    if len(table) and (table["same_start"] & (table["repeats"] == 0)).any():
        sentences.append(
            "The start is the same on all seeds: only the order of samples varies, or what is drawn in training."
        )
    cut = int((trials["status"] == "interrupted").sum())
    where = f"{workload}, on {_count(trials['seed'].nunique(), 'seed')}"
    where += f" ({_count(cut, 'interrupted trial')} left out)" if cut else ""
    return [*sentences, f"This is one workload, {where}: it says nothing about others."]


def _goal_sentence(table: pd.DataFrame, name: str) -> str:
    baseline, most = table["baseline"].iloc[0], table.iloc[int(table["goal_seeds"].argmax())]
    seeds, m = _count(most["goal_seeds"], "seed"), len(table)
    if not (table["goal_hits"].any() or table["goal_baseline_hits"].any()):
        return f"No arm reaches {name} on any of {seeds}."
    if m <= LISTED:
        return _sentence(_goal_clause(row, name, seeds_needed(m)) for _, row in table.iterrows())
    fewer, more = (table["goal_claimed"] & side for side in (table["goal_ratio"] < 1, table["goal_ratio"] > 1))
    never, logs = table["goal_hits"] == 0, np.log(table["goal_ratio"])
    counts = [
        _counted(table[fewer], "with fewer samples", logs, _ratio),
        _counted(table[more], "with more samples", logs, _ratio),
        _counted(table[~(fewer | more | never)], "where no difference in samples can be claimed"),
        _counted(table[never], "that never reach it"),
    ]
    of_baseline = f"{baseline} reaches {name} on {most['goal_baseline_hits']} of {seeds}"
    return _sentence([of_baseline, f"of {m} arms against it: {', '.join(filter(None, counts))}"])


def _goal_clause(row: pd.Series, name: str, needed: int) -> str:
    arm, baseline, both, seeds = row["arm"], row["baseline"], row["goal_pairs"], row["goal_seeds"]
    hits = f"{arm} reaches {name} on {row['goal_hits']} of {_count(seeds, 'seed')}"
    hits += f" and {baseline} on {row['goal_baseline_hits']}"
    if seeds == 0:
        return f"{arm} shares no seed with {baseline}"
    if both < needed:
        return hits
    of_seeds = f"{both} of {_count(seeds, 'seed')}"
    if row["goal_ratio_low"] == row["goal_ratio_high"] == 1:
        clause = f"{arm} reaches {name} after as many samples as {baseline} ({of_seeds})"
    elif row["goal_claimed"]:
        clause = f"{arm} reaches {name} with {_ratio(row, f' the samples of {baseline}', of_seeds)}"
    else:
        clause = f"no difference in samples to {name} can be claimed between {arm} and {baseline}"
        clause += f" ({_ratio(row, '', of_seeds)})"
    return clause if both == seeds else f"{clause}; {hits}"


def _final_sentence(table: pd.DataFrame, lost: dict[str, str], column: str) -> str:
    baseline, m, spread = str(table["baseline"].iloc[0]), len(table), float(table["control_spread"].iloc[0])
    varied, needed = table[table["repeats"] == 0], seeds_needed(m)
    seeds = int(_shared(varied).max()) if len(varied) else needed
    few, clauses = seeds < needed, [f"{baseline} {lost[baseline]}"] if lost[baseline] else []
    if few:
        too_few = f"{_count(seeds, 'seed')} {'is' if seeds == 1 else 'are'} too few for {_count(m, 'comparison')}"
        clauses.insert(0, f"no difference is claimed: {too_few}, {needed} are needed")
    if m <= LISTED:
        clauses += [_final_clause(row, lost[row["arm"]], few) for _, row in table.iterrows()]
    elif not few:
        clauses.append(f"of {m} arms against {baseline}: {_final_counts(table)}")
    elif others := sum(bool(lost[arm]) for arm in table["arm"]):
        clauses.append(f"{others} of {m} arms against {baseline} diverged or failed on a seed or more")
    if not math.isnan(spread):
        clauses.append(f"rounding alone moves {baseline} by up to {number(spread)}")
    return f"On final {column}, {'; '.join(clauses)}."


def _final_clause(row: pd.Series, lost: str, few: bool) -> str:
    arm, baseline, seeds = row["arm"], row["baseline"], int(_shared(row))
    wins = f"better on {row['wins']} of {_count(seeds, 'seed')}"
    wins += f" and equal on {row['ties']}" if row["ties"] else ""
    if seeds == 0:
        return f"{arm} shares no seed with {baseline}"
    if row["repeats"]:
        difference = (
            f"{number(abs(row['difference']))} {'lower' if row['difference'] < 0 else 'higher'} than {baseline}"
        )
        ends = f"ends {difference}" if row["difference"] else f"equals {baseline}"
        return (
            f"{arm} {ends}, in one run that all {row['repeats']} seeds repeat: the seed changes nothing in these arms"
        )
    if math.isnan(row["difference"]):
        return f"{arm} {lost + ' and ' if lost else ''}is {wins}, without a mean difference"
    if row["ties"] == seeds:
        return f"{arm} equals {baseline} on {seeds} of {_count(seeds, 'seed')}"
    if few:
        return f"{arm} is {wins}"
    if row["claimed"]:
        return f"{arm} ends {_distance(row, f' than {baseline}', wins)}"
    if row["indistinguishable"]:
        return f"{arm} is indistinguishable from rounding (mean difference {number(row['difference'])})"
    facts = [_interval(row["low"], row["high"]), _p(row["p_holm"]), wins]
    difference = f"mean difference {number(row['difference'])}, {', '.join(facts)}"
    return f"no difference between {arm} and {baseline} can be claimed ({difference})"


def _final_counts(table: pd.DataFrame) -> str:
    difference, claimed, once = table["difference"], table["claimed"], table["repeats"] > 0
    unknown, inside = difference.isna(), table["indistinguishable"] & ~once
    counts = [
        _counted(table[claimed & (difference < 0)], "lower", difference, _distance),
        _counted(table[claimed & (difference > 0)], "higher", difference, _distance),
        _counted(table[~(claimed | inside | unknown | once)], "where no difference can be claimed"),
        _counted(table[once], "that are one run, which all seeds repeat"),
        _counted(table[inside], "indistinguishable from rounding"),
        _counted(table[unknown], "without a mean difference, for seeds were lost"),
    ]
    return ", ".join(filter(None, counts))


def _ratio(row: pd.Series, of: str = "", *more: str) -> str:
    facts = [_interval(row["goal_ratio_low"], row["goal_ratio_high"]), *more]
    if row["goal_resolution"] > ROUGH:
        facts.append(f"roughly, for measurements lie up to {row['goal_resolution']:.0%} of the samples apart")
    times = f"{number(row['goal_ratio'])} times{of}"
    return f"{times} ({', '.join(facts)})" if of else ", ".join([times, *facts])


def _distance(row: pd.Series, than: str = "", *more: str) -> str:
    low, high = sorted([abs(row["low"]), abs(row["high"])])
    facts = ", ".join([_interval(low, high), _p(row["p_holm"]), *more])
    far = number(abs(row["difference"]))
    return f"{far} {'lower' if row['difference'] < 0 else 'higher'}{than} ({facts})" if than else f"{far}, {facts}"


def _counted(
    rows: pd.DataFrame,
    what: str,
    distance: pd.Series | None = None,
    describe: Callable[[pd.Series], str] | None = None,
) -> str:
    """``3 lower (furthest mini:2: …)``; nothing for none."""
    if rows.empty or distance is None or describe is None:
        return f"{len(rows)} {what}" if len(rows) else ""
    row = rows.iloc[int(distance[rows.index].abs().argmax())]
    return f"{len(rows)} {what} (furthest {row['arm']}: {describe(row)})"


def _lost(statuses: pd.Series) -> str:
    parts = [f"{status} on {n}" for status in ("diverged", "failed") if (n := int((statuses == status).sum()))]
    return f"{' and '.join(parts)} of {_count(len(statuses), 'seed')}" if parts else ""


def _shared(of: pd.DataFrame | pd.Series) -> Any:
    return of["wins"] + of["losses"] + of["ties"]


def _interval(low: float, high: float) -> str:
    return f"95% interval {number(low)} to {number(high)}"


def _p(p: float) -> str:
    return "Holm p < 0.0001" if p < 1e-4 else f"Holm p {p:.2g}"


def _count(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _sentence(clauses: Iterable[str]) -> str:
    text = "; ".join(clauses)
    return f"{text.replace('no', 'No', 1) if text.startswith('no difference') else text}."
