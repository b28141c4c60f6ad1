"""Data that cannot be trained on: each is one line that says what, where, and what to do."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn
from torch.utils.data import Dataset, IterableDataset

from optcompare import Workload, WorkloadError, compare
from optcompare.core.finite import refuse_non_finite
from tests.helpers.workloads import small_workload

NAN, INF = math.nan, math.inf


class Rows(Dataset):
    """Rows of three inputs and a target; ``odd`` holds what stands in row 2 instead."""

    def __init__(self, odd=0.0):
        self.odd = odd

    def __len__(self):
        return 8

    def __getitem__(self, index):
        return torch.full((3,), self.odd if index == 2 else float(index)), torch.tensor([float(index)])


class NoLength(Dataset):
    def __getitem__(self, index):
        return torch.zeros(3), torch.zeros(1)


class LengthOfNothing(NoLength):
    def __len__(self):
        raise NotImplementedError


class Empty(NoLength):
    def __len__(self):
        return 0


class Stream(IterableDataset):
    """One with a length is no better."""

    def __iter__(self):
        yield torch.zeros(3), torch.zeros(1)

    def __len__(self):
        return 1


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (NoLength(), "is a NoLength without a length; define __len__, since an epoch is every sample once"),
        (LengthOfNothing(), "is a LengthOfNothing without a length; define __len__"),
        (Empty(), "holds no samples; its Empty has length 0"),
        (Stream(), "is a Stream, an IterableDataset, which decides its own order; give a map-style Dataset"),
        ([], "holds no samples; its list has length 0"),
        (3, "is a int; give a tuple of tensors or a map-style Dataset"),
    ],
)
@pytest.mark.parametrize("part", ["train", "valid"])
def test_a_dataset_that_has_no_samples_to_count_is_refused_when_made(data, message, part):
    with pytest.raises(WorkloadError, match=f"^workload custom: {part} {re.escape(message)}"):
        small_workload(**{part: data})


def table_of(rows, width, **odd):
    """Zeros, but for r3c1=NAN in row 3, column 1."""
    x = torch.zeros(rows, width)
    for place, value in odd.items():
        row, column = re.fullmatch(r"r(\d+)c(\d+)", place).groups()
        x[int(row), int(column)] = value
    return x


@pytest.mark.parametrize(
    ("data", "columns", "message"),
    [
        (
            (table_of(9, 3, r4c1=NAN, r6c1=NAN, r6c2=INF), torch.zeros(9)),
            ("age", "size", "price"),
            "the inputs of train hold 2 NaN and 1 infinite value in 2 of 9 rows, the first in row 4 "
            "(column 'size': 2, column 'price': 1); replace them, or leave out their rows",
        ),
        (
            (table_of(9, 3, r8c0=-INF, r7c0=INF), torch.zeros(9)),
            (),
            "the inputs of train hold 2 infinite values in 2 of 9 rows, the first in row 7 (column 0: 2)",
        ),
        (
            (torch.full((2, 6), NAN), torch.zeros(2)),
            (),
            "the inputs of train hold 12 NaN in 2 of 2 rows, the first in row 0 (column 0: 2, column 1: 2, "
            "column 2: 2 "
            "and 3 more columns)",
        ),
        (
            (torch.zeros(5, 3), torch.tensor([0, NAN, 0, NAN, 0])),
            ("a", "b", "c"),
            "the targets of train hold 2 NaN in 2 of 5 rows, the first in row 1; replace",
        ),
        (
            (torch.zeros(2, 1), torch.full((2, 1), INF)),
            ("a",),
            "the targets of train hold 2 infinite values in 2 of 2",
        ),
        (
            (torch.zeros(2, 3), torch.full((2, 4, 4), NAN), torch.zeros(2)),
            (),
            "the values of input 2 of train hold 32 NaN in 2 of 2 rows, the first in row 0; replace",
        ),
        (
            {"tokens": torch.zeros(2, dtype=torch.int64), "weight": torch.tensor([1, NAN])},
            (),
            "the values of 'weight' of train hold 1 NaN in 1 of 2 rows, the first in row 1; replace",
        ),
        (torch.tensor([1, NAN], dtype=torch.float64), (), "the values of train hold 1 NaN in 1 of 2 rows"),
    ],
)
def test_numbers_that_are_not_finite_are_counted_where_they_stand(data, columns, message):
    with pytest.raises(WorkloadError, match=f"^workload w: {re.escape(message)}"):
        refuse_non_finite("workload w", "train", data, columns)


def test_a_row_far_down_is_found(tmp_path):
    x = torch.zeros(200_000, 2)
    x[150_000, 1] = NAN
    with pytest.raises(
        WorkloadError, match=r"1 NaN in 1 of 200,000 rows, the first in row 150,000 \(column 1: 1\)"
    ):
        refuse_non_finite("workload w", "train", (x, torch.zeros(200_000)))


def test_whole_numbers_and_the_largest_floats_are_finite():
    largest = torch.finfo(torch.float32).max
    refuse_non_finite("workload w", "train", (torch.full((4, 2), largest), torch.arange(4)))
    refuse_non_finite("workload w", "train", (torch.full((4, 2), -largest), torch.zeros(4, dtype=torch.bool)))


def of_columns(**changes) -> Workload:
    return small_workload(columns=("age", "size", "price"), **changes)


def test_before_training_a_column_is_named_in_train_and_in_valid():
    x, y = small_workload().train
    odd = x.clone()
    odd[3, 2] = INF
    for part in ("train", "valid"):
        message = (
            rf"the inputs of {part} hold 1 infinite value in 1 of 10 rows, the first in row 3 \(column "
            r"'price': 1\)"
        )
        with pytest.raises(WorkloadError, match=message):
            compare(of_columns(**{"train": (x, y), part: (odd, y)}), "full", seeds=1, epochs=1)


def test_of_a_dataset_the_first_samples_are_looked_at():
    message = "the inputs of the first 5 samples of train hold 3 NaN in 1 of 5 rows, the first in row 2"
    with pytest.raises(WorkloadError, match=message):
        compare(small_workload(train=Rows(NAN)), "full", seeds=1, epochs=1)


def test_an_objective_may_know_what_missing_targets_mean():
    x, y = small_workload().train
    y = y.clone()
    y[4] = NAN

    def known(model, batch):
        return nn.functional.mse_loss(model(batch[0]), batch[1].nan_to_num())

    result = compare(small_workload(train=(x, y), loss=None, objective=known), "full", seeds=1, epochs=1)
    assert result.trials["status"].tolist() == ["finished"]
