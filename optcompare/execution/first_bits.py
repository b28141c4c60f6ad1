"""Fingerprint the first updates of a comparison, which must be the same in all processes that train it."""

from __future__ import annotations

from typing import Any

import torch

from ..core.comparison import Trial
from ..core.rng import preserved_rng
from ..errors import USER_CODE_ERRORS, explain
from ..planning.update_differences import digest
from ..training.loop.trainer import LoopTrainer
from ..training.measurement.evaluation import averages_of
from ..training.settings import preserved_settings

_ROWS, _UPDATES = 64, 2


def first_bits(trainer: LoopTrainer) -> str:
    """Make two updates and an evaluation of one arm of each optimizer on a few rows, and fingerprint them.

    Settings of torch, patches and registrations that only one process has change the fingerprint.

    Args:
        trainer: The loop trainer of the comparison.

    Returns:
        64 hexadecimal digits.
    """
    comparison = trainer.setup.comparison
    arms = {arm.optimizer.label: arm for arm in reversed(comparison.arms)}
    found: list[Any] = []
    for arm in arms.values():
        with preserved_rng(), preserved_settings():
            try:
                run = trainer.run(Trial(arm, comparison.seeds[0]), None)
                rows = torch.arange(min(_ROWS, run.source.n, arm.chunk))
                for _ in range(_UPDATES):
                    run.update(rows)
                found.append([run.model.state_dict(), run.optimizer.state_dict()["state"]])
                batch = next(run.source.stream([rows], 0, 0, ahead=False))
                found.append(averages_of(run.workload, run.model, batch))
            except USER_CODE_ERRORS as error:  # a loss may need more rows
                found.append(explain(error))
    return digest(found)
