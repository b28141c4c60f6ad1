"""Rows that are held out: those of scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import train_test_split

from optcompare import WorkloadError, hold_out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("n", "count"), [(2, 1), (10, 3), (1797, 360), (442, 441)])
def test_rows_are_those_of_scikit_learn(n, count, seed):
    expected = train_test_split(np.arange(n), test_size=count, random_state=seed)
    for ours, theirs in zip(hold_out(n, count, seed), expected, strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("seed", range(40))
def test_rows_of_each_class_in_proportion_are_those_of_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    classes = np.concatenate([np.arange(4).repeat(2), rng.integers(0, 4, 3 * seed)])
    classes = np.array(["a", "b", "c", "d"])[classes] if seed % 2 else classes
    n = len(classes)
    for count in (4, n // 2, n - 4):
        expected = train_test_split(np.arange(n), test_size=count, random_state=seed, stratify=classes)
        for ours, theirs in zip(hold_out(n, count, seed, classes), expected, strict=True):
            assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("count", [0, 5, 6, -1])
def test_no_row_left_on_one_side_is_an_error(count):
    with pytest.raises(WorkloadError, match=f"holding {count} of 5 rows out leaves none on one side"):
        hold_out(5, count)


@pytest.mark.parametrize(
    ("classes", "count", "message"),
    [
        ([0, 0, 1, 1], 2, "there are classes of 4 rows, but 5 rows"),
        ([0, 0, 1, 1, 2], 3, "3 classes, the smallest of 1 rows, are too rare"),
        ([0, 0, 1, 1, 1], 1, "too rare to hold 1 of 5 rows out in proportion; leave classes out"),
    ],
)
def test_classes_that_cannot_be_held_out_in_proportion_are_an_error(classes, count, message):
    with pytest.raises(WorkloadError, match=message):
        hold_out(5, count, classes=classes)
