"""One question to lanes and to the loop, and what must be alike in their answers."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from optcompare import compare

MEASURED = ("train_", "valid_", "test_")
ROW = [
    "phase",
    "arm",
    "strategy",
    "optimizer",
    "lr",
    "seed",
    "mark",
    "update",
    "epoch",
    "samples",
    "batch_size",
]
TRIAL = ["phase", "arm", "lr", "seed", "status", "weights_sha256", "order_sha256", "updates", "samples"]


def both(workload, strategies="mini:4", optimizers="sgd", *, may_fail=False, **question):
    """The answers of lanes and of the loop to one question; lanes must not fail unless ``may_fail``."""
    budget = {} if {"epochs", "samples"} & question.keys() else {"updates": 20}
    question = {"seeds": 3, "dtype": "float64", **budget, **question}
    answers = [
        compare(workload, strategies, optimizers, trainer=trainer, **question)
        for trainer in ("lanes", "loop")
    ]
    failed = {why for why in answers[0].trials["fallback"] if why.startswith("lanes failed")}
    assert may_fail or not failed, failed
    return answers


def rows(table, columns):
    keys = ["phase", "arm", "lr", "seed", *(["update"] if "update" in table else [])]
    return table.sort_values(keys, ignore_index=True)[columns]


def agree(one, other, rtol=1e-9, batches=True):
    """The same records, trials and final weights, up to rounding; before the first update to the last bit."""
    assert list(one.records.columns) == list(other.records.columns)
    measured = [name for name in other.records if name.startswith(MEASURED)]
    pd.testing.assert_frame_equal(rows(one.records, ROW), rows(other.records, ROW))
    np.testing.assert_allclose(rows(one.records, measured), rows(other.records, measured), rtol=rtol)
    firsts = [rows(result.records[result.records["update"] == 0], measured) for result in (one, other)]
    pd.testing.assert_frame_equal(*firsts, check_exact=True)
    columns = [*TRIAL, "batches_sha256"] if batches else TRIAL
    pd.testing.assert_frame_equal(rows(one.trials, columns), rows(other.trials, columns))
    assert one.weights.keys() == other.weights.keys()
    for trial, weights in one.weights.items():
        for name, value in weights.items():
            torch.testing.assert_close(value, other.weights[trial][name], rtol=rtol, atol=rtol)


def trainers(result):
    return set(result.trials["trainer"])
