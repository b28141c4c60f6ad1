"""Comparison of bits before a run of another version continues: one trial of each arm is trained again."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..core.comparison import Budget, Trial
from ..errors import ComparisonError
from ..storage.previous_run import PreviousRun
from ..training.device import torch_settings
from ..training.loop.trainer import LoopTrainer


def refuse_other_bits(trainer: LoopTrainer, previous: PreviousRun, maker: str) -> str:
    """Train the shortest finished trial of each arm again, and compare its final weights to the last bit.

    Trials that were trained in lanes are not comparable to the last bit, and are left out.

    Args:
        trainer: The loop trainer of the comparison that continues.
        previous: The previous run.
        maker: The version that wrote the previous run, in words.

    Returns:
        A sentence about the outcome for the notes.

    Raises:
        ComparisonError: A trial ends with other weights.
    """
    comparison = previous.comparison
    shortest: dict[str, dict[str, Any]] = {}
    for named in previous.trials.to_dict("records"):
        row = {str(name): value for name, value in named.items()}
        comparable = (row["status"], row["trainer"], row["phase"]) == ("finished", "loop", "report")
        best = shortest.get(row["arm"])
        if comparable and (best is None or row["updates"] < best["updates"]):
            shortest[row["arm"]] = row
    for label, row in shortest.items():
        trial = Trial(dataclasses.replace(comparison.arm(label), lr=float(row["lr"])), int(row["seed"]))
        amount = min(float(row.get("budget", comparison.budget.amount)), comparison.budget.amount)
        budget = Budget(comparison.budget.unit, amount)
        if budget.unit == "seconds":
            budget = Budget("updates", int(row["updates"]))
        measure = comparison.measure if comparison.stop_at_goal else 0
        shortened = dataclasses.replace(comparison, budget=budget, measure=measure, diagnostics=())
        with torch_settings(comparison.threads, comparison.deterministic):
            _, state = trainer.for_comparison(shortened).advance([trial], None, lambda: False)
        if state["progress"]["final_sha256"] != row["final_sha256"]:
            raise ComparisonError(
                f"this run was begun with {maker}, and this version trains {label}, seed {trial.seed}, to "
                "other weights; begin a new run, or give --force to go on nevertheless"
            )
    begun = f"the run was begun with {maker}, which has other source files"
    if not shortest:
        return (
            f"{begun}; no trial of it was trained in the loop, so that none could be compared to the last bit"
        )
    return f"{begun}; one trial of each of {len(shortest)} arms, trained again, ends in the same bits"
