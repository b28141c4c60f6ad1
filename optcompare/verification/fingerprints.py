"""Fingerprints of initial weights, sample orders and batches, compared with those computed again."""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import OptcompareError, explain
from ..training.loop.trainer import LoopTrainer
from .finding import Finding, TrialRows, name_of, some, trials_of
from .replay_batches import KINDS, MOST_WORK, adaptive, of_some_seeds, unlike
from .train_again import Effort


def check_fingerprints(trainer: LoopTrainer, all_rows: TrialRows, effort: Effort) -> Iterator[Finding]:
    """Compute the fingerprints of trials again, and compare them with those of the run.

    Args:
        trainer: The loop trainer of the comparison.
        all_rows: All trials of the run.
        effort: The limit of the work; with ``trials=None`` all seeds are checked, else a sample of seeds.

    Yields:
        One finding for each kind of fingerprint.
    """
    rows = all_rows if effort.trials is None else of_some_seeds(all_rows, MOST_WORK)
    try:
        wrong = list(unlike(trainer, rows, effort.advanced))
    except (OptcompareError, ArithmeticError, LookupError, TypeError, ValueError, RuntimeError) as error:
        yield Finding("fingerprints", False, f"cannot be computed again: {explain(error)}")
        return
    free = list(dict.fromkeys(trial.arm.label for trial, _ in rows if adaptive(trainer, trial)))
    planned = sum(not adaptive(trainer, trial) for trial, _ in rows)
    seeds = len({trial.seed for trial, _ in rows})
    sampled = f" of {len(all_rows):,} (a sample of seeds; all of them: --trials all)"
    of = sampled if len(rows) < len(all_rows) else ""
    model = f"a model was made again for each of {seeds:,} seed{'s' * (seeds > 1)}"
    alike = {
        "initial weights": f"weights_sha256 of {trials_of(len(rows))}{of}; {model}",
        "sample order": f"order_sha256 of {trials_of(len(rows))}{of}",
        "batches": f"batches_sha256 and samples of {trials_of(planned)}{of}, planned again",
    }
    for (name, same), kind in zip(alike.items(), KINDS, strict=True):
        found = [f"{name_of(trial)}: {what}" for each, trial, what in wrong if each == kind]
        if name != "batches":
            yield Finding(name, not found, some(found) or same)
            continue
        adapts = "follow from the training, and are checked by training again"
        rest = f"; those of {', '.join(free)} {adapts}" if free else ""
        detail = some(found) or (same if planned else "none can be planned")
        yield Finding(name, not found if planned else None, detail + rest)
