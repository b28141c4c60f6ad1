"""Tensors that are the same: their type, shape, layout and values."""

from __future__ import annotations

import math

import pytest
import torch

from optcompare.core.tree import equal_tensors

ONE = torch.tensor([1.0, math.nan])
SPARSE = torch.sparse_coo_tensor([[0, 2]], [1.0, math.nan], (3,), check_invariants=True)


def test_a_tensor_equals_a_copy_with_the_same_nan():
    assert equal_tensors(ONE, ONE.clone())
    assert equal_tensors(SPARSE, SPARSE.clone())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ONE, torch.tensor([1.0, 2.0])),
        (ONE, ONE.double()),
        (ONE, ONE[:1]),
        (SPARSE, SPARSE.to_dense()),
        (SPARSE, torch.sparse_coo_tensor([[0, 1]], [1.0, math.nan], (3,), check_invariants=True)),
        (SPARSE, torch.sparse_coo_tensor([[0]], [1.0], (3,), check_invariants=True)),
    ],
    ids=["a value", "a type", "a shape", "a layout", "an index", "a count"],
)
def test_tensors_differ_in(one, other):
    assert not equal_tensors(one, other)
