"""A plugin with two workloads that train in milliseconds, and suites of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

PLUGIN = """
import dataclasses
import os
import signal

import torch
from optcompare import Suite, Workload, hookimpl

ended = []


def points(slope: float = 2.0) -> Workload:
    "Fit a line through 12 points; 4 more are for validation."
    x = torch.linspace(-1, 1, 16).reshape(-1, 1)
    y, valid = slope * x, torch.arange(16) % 4 == 1
    return Workload(
        model=lambda: torch.nn.Linear(1, 1), train=(x[~valid], y[~valid]), valid=(x[valid], y[valid]),
        loss=torch.nn.functional.mse_loss, lr=0.3, epochs=3, batch_size=4,
    )


@hookimpl
def optcompare_workloads():
    return {"points": points}


@hookimpl
def optcompare_trial_finished(trial, outcome):
    ended.append(trial.arm.label)
    if len(ended) == int(os.environ.get("STOP_AFTER", 0)):
        os.kill(os.getpid(), signal.SIGINT)


@hookimpl
def optcompare_suites():
    return {"broken": lambda: 1 / 0, "no-suite": lambda: 3}
"""


def entry(workload: str = "points", **values: Any) -> dict[str, Any]:
    """A workload of a suite, as in its file."""
    return {"workload": workload, "budget": {"unit": "epochs", "amount": 4}, "measure": 3, **values}


def goal(value: float, samples: float = 24.0) -> dict[str, Any]:
    """A goal with its reference, as in a file."""
    of_search = {"arm": "mini:4@sgd", "lr": 0.1, "samples": samples, "updates": samples / 4}
    return {"goal": f"valid_loss={value}", "reference": of_search}


SEARCH = {"strategies": ["mini:4"], "optimizers": ["sgd", "adamw"], "tune": 3, "tune_seeds": 1, "repeats": 3}


def write_suite(path: Path, *workloads: dict[str, Any], **values: Any) -> Path:
    """Write the file of a suite."""
    path.write_text(json.dumps({"name": "tiny", "workloads": list(workloads), **values}), encoding="utf-8")
    return path
