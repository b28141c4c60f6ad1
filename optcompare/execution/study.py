"""Measure a batch-size study after all of its trials have ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..core.comparison import Trial
from ..core.rng import preserved_rng
from ..errors import USER_CODE_ERRORS, explain
from ..interfaces.moving_averages import moving_averages
from ..training.loop.trainer import LoopTrainer
from ..training.settings import preserved_settings
from .noise_scale import noise_scales
from .update_times import update_times

if TYPE_CHECKING:
    import pandas as pd


def study_measurements(
    trainer: LoopTrainer, records: pd.DataFrame, trials: pd.DataFrame
) -> tuple[dict[str, Any], list[str]]:
    """Measure the noise scale and the seconds of updates, and read the optimizers' moving averages.

    Args:
        trainer: The loop trainer of the study, after its trials have ended.
        records: One row for each measurement.
        trials: One row for each trial.

    Returns:
        Further entries of the environment, as plain values, and notes on missing ones. The entries are
        ``noise`` (points of :func:`.noise_scales`), ``update_times`` (rows of :func:`.update_times`) and
        ``moving_averages`` (by arm, then by name, the decay per update; empty for an optimizer without any).
    """
    noise, no_noise = noise_scales(trainer, records, trials)
    times, no_times = update_times(trainer)
    averages, no_averages = _averages(trainer)
    entries = {"noise": noise, "update_times": times, "moving_averages": averages}
    return entries, [*no_noise, *no_times, *no_averages]


def _averages(trainer: LoopTrainer) -> tuple[dict[str, dict[str, float]], list[str]]:
    """Return the moving averages of each arm's optimizer, which is made once for all arms that share it."""
    comparison, found, notes = trainer.setup.comparison, dict[str, dict[str, float]](), list[str]()
    for optimizer in dict.fromkeys(arm.optimizer for arm in comparison.arms):
        arms = [arm for arm in comparison.arms if arm.optimizer == optimizer]
        try:
            with preserved_rng(), preserved_settings():
                averages = moving_averages(trainer.run(Trial(arms[0], comparison.seeds[0]), None).optimizer)
        except USER_CODE_ERRORS as error:
            notes.append(f"{optimizer.label}: its moving averages are not known: {explain(error)}")
            continue
        found |= {arm.label: averages for arm in arms}
    return found, notes
