"""Compute the curves and the recommendation of a batch-size study from a result's tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pandas as pd

from ..analysis.batch_scaling import NO_RETUNING, Curve, StudyContext, curves
from ..analysis.lr_scores import best_rates
from ..analysis.retuning import without_each_tuning_seed
from ..analysis.scaling_words import words
from ..analysis.update_seconds import clocks
from ..errors import ComparisonError

if TYPE_CHECKING:
    from .tables import ResultTables

NOTHING_TRAINED = (
    "no trial made an update: {goal} holds before training, or trials failed; give a goal that takes training"
)


def scaling_curves(result: ResultTables) -> list[Curve]:
    """Summarise a batch-size study.

    Args:
        result: The result of the study.

    Returns:
        One curve for each optimizer.

    Raises:
        ComparisonError: The result is no batch-size study.
    """
    comparison = result.comparison
    if result.goal is None or not comparison.stop_at_goal:
        raise ComparisonError(
            "this run is no batch-size study, since its trials do not stop at a goal; run optcompare scaling"
        )
    records = result.reported[0]
    sizes = records[records["update"] > 0].groupby("arm")["batch_size"].max()
    arms = pd.DataFrame(
        [(arm.label, arm.optimizer.label, int(sizes.get(arm.label, 0)), arm.lr) for arm in comparison.arms],
        columns=["arm", "optimizer", "batch_size", "lr"],
    )
    known = arms[arms["batch_size"] > 0]
    return curves(result.times_to_goal(), known, _study_context(result, records)) if len(known) else []


def scaling_words(result: ResultTables) -> list[str]:
    """State the findings of a batch-size study, one line each.

    Args:
        result: The result of the study.
    """
    study = scaling_curves(result)
    if not study:
        return [NOTHING_TRAINED.format(goal=result.goal)]
    return words(study, str(result.goal), str(result.comparison.budget))


def study_answer(result: ResultTables) -> list[str]:
    """Return the recommendation; lines without the label of an optimizer begin with a capital.

    Args:
        result: The result of the study.
    """
    several = len({arm.optimizer.label for arm in result.comparison.arms}) > 1
    return [line if several else line[:1].upper() + line[1:] for line in result.recommendation()]


def _study_context(result: ResultTables, records: pd.DataFrame) -> StudyContext:
    comparison, goal, environment = result.comparison, result.goal, result.environment
    assert goal is not None
    edges: dict[str, bool] = {}
    retuned = NO_RETUNING
    if comparison.tuning is not None:
        best, tuning = best_rates(result.tuning()), result.of_phase("tune")
        edges = dict(zip(best["arm"], best["at_edge"].astype(bool), strict=True))
        if len(tuning[1]) and (tuning[1]["status"] != "interrupted").all():
            retuned = without_each_tuning_seed(*tuning, result.compared, goal)
    start = records.loc[records["update"] == 0, goal.metric].mean() if len(records) else math.nan
    return StudyContext(
        at_edge=edges,
        retuned=retuned,
        tuning_seeds=0 if comparison.tuning is None else len(comparison.tuning.seed_list()),
        noise=pd.DataFrame(environment.get("noise", [])),
        update_times=environment.get("update_times", []),
        clocks=clocks(records),
        averages=environment.get("moving_averages", {}),
        level=result.look().level,
        start=float(start / goal.value) if goal.falls and goal.value > 0 else math.nan,
        window=comparison.goal_window,
    )
