"""Time the updates of all arms of a study with one clock, in turn, in several rounds."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from ..core.comparison import Budget, Trial
from ..core.rng import preserved_rng
from ..errors import USER_CODE_ERRORS, explain
from ..training.loop.epochs import train
from ..training.loop.planned_epoch import PlannedEpoch
from ..training.loop.trainer import LoopTrainer
from ..training.loop.trial import TrialRun
from ..training.position import POSITION
from ..training.settings import preserved_settings

ROUNDS = 5
ROUND_SECONDS = 0.03
"""The approximate seconds of an arm's timed updates in a round."""
MOST_SECONDS = 10.0
"""The approximate most seconds of all rounds; slow arms make fewer updates, at least one in each round."""
_LEAST, _UNLIMITED = 3, 2**53
_SHORT_EPOCH = 4
"""The most updates of an epoch that is timed as a whole even if its updates are slow."""


def update_times(trainer: LoopTrainer) -> tuple[list[dict[str, Any]], list[str]]:
    """Time the update of every arm in the loop trainer, in turn, in alternating order.

    In each round an arm begins its trial of the first seed again. It makes a few updates that are not timed,
    then as many as take about 30 ms, at least 3. The time includes loading, the strategy, its needs and the
    update, as in a trial, and no measurement. No generator and no setting of the process changes.

    Args:
        trainer: The loop trainer of a study, with the learning rates that tuning chose.

    Returns:
        Rows of ``arm, batch_size, round, updates, seconds`` (per update), by round, and a note for each arm
        that is left out because it raised an error.
    """
    comparison = trainer.setup.comparison
    endless = Budget("updates", _UNLIMITED)
    timing = trainer.for_comparison(
        dataclasses.replace(comparison, stop_at_goal=False, measure=0, budget=endless)
    )
    arms, share = list(comparison.arms), MOST_SECONDS / (ROUNDS * len(comparison.arms))
    found, notes = list[dict[str, Any]](), dict[str, str]()
    counts = dict[str, tuple[int, int]]()
    for number in range(ROUNDS):
        for arm in reversed(arms) if number % 2 else arms:
            if arm.label in notes:
                continue
            try:
                with preserved_rng(), preserved_settings():
                    run = timing.run(Trial(arm, comparison.seeds[0]), None)
                    if arm.label not in counts:
                        counts[arm.label] = _counts(run, share)
                        run = timing.run(Trial(arm, comparison.seeds[0]), None)
                    untimed, timed = counts[arm.label]
                    _train(run, untimed)
                    updates, seconds = _train(run, timed)
            except USER_CODE_ERRORS as error:
                notes[arm.label] = f"{arm.label}: its updates could not be timed: {explain(error)}"
                continue
            about = {"arm": arm.label, "batch_size": _batch_size(run), "round": number}
            found.append({**about, "updates": updates, "seconds": seconds})
    return [row for row in found if row["arm"] not in notes], list(notes.values())


def _counts(run: TrialRun, share: float) -> tuple[int, int]:
    """Return the number of updates of an arm in each round, untimed and then timed.

    A short epoch is timed as a whole, since its last batch may be smaller than the others.

    Args:
        run: A run at its start; it is trained for a few updates.
        share: The seconds that the arm may take in a round.
    """
    _train(run, 1)  # The first update makes the optimizer's state.
    _, seconds = _train(run, 1)
    if seconds < ROUND_SECONDS / _LEAST:
        _, seconds = _train(run, _LEAST)
    affordable = int(share / seconds)
    untimed = _LEAST if affordable >= 2 * _LEAST else 1
    timed = max(1, min(max(_LEAST, math.ceil(ROUND_SECONDS / seconds)), affordable - untimed))
    epoch = 1 if run.strategy.adaptive else len(run.planner.sizes)
    return untimed, math.ceil(timed / epoch) * epoch if epoch <= max(timed, _SHORT_EPOCH) else timed


def _train(run: TrialRun, updates: int) -> tuple[int, float]:
    """Make at least some number of updates; return how many were made, and the seconds of one.

    The seconds include a share of the planning of the epoch. Unlike in a trial, an epoch that is cut here is
    planned again in the next call. So only the share of planning for the updates that were made counts.
    """
    progress, clock, before = run.progress, run.clock, run.progress.updates
    target, seconds = before + updates, 0.0

    def until() -> bool:
        return POSITION.update + 1 >= target  # The counters of progress change at measurements only.

    while progress.updates < target:
        made, begun = progress.updates, clock.seconds
        if run.strategy.adaptive or run.takes_closure:
            train(run, until, lambda: False)
            seconds += clock.seconds - begun
            continue
        epoch = PlannedEpoch(run)
        planned = clock.seconds
        epoch.train(until)
        share = (progress.updates - made) / len(run.planner.sizes)
        seconds += clock.seconds - planned + share * (planned - begun)
    return progress.updates - before, seconds / (progress.updates - before)


def _batch_size(run: TrialRun) -> int:
    """Return the largest batch size of an epoch, or the last one of an adaptive strategy."""
    return run.progress.batch_size if run.strategy.adaptive else max(run.planner.sizes)
