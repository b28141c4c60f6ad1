"""The texts of plugins that tests load."""

from __future__ import annotations

LOUD = """
from optcompare import hookimpl

@hookimpl
def optcompare_trial_finished(trial, outcome):
    print("ended", trial.arm.label, trial.seed, flush=True)
"""
