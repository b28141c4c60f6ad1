"""Where arms are measured."""

from __future__ import annotations

import pytest

from optcompare import compare
from optcompare.training.measurement.evaluation import last_evaluation, next_evaluation
from tests.helpers.workloads import small_workload


def marks(n: int, measure: int, up_to: int) -> list[int]:
    found = [0]
    while (mark := next_evaluation(found[-1], n, measure)) is not None and mark <= up_to:
        found.append(mark)
    return found


def test_marks_are_doublings_up_to_the_data_then_every_epoch():
    assert marks(6, 1, 24) == [0, 1, 2, 4, 6, 12, 18, 24]
    assert marks(8, 1, 24) == [0, 1, 2, 4, 8, 16, 24]


def test_measure_puts_that_many_marks_into_each_epoch():
    """N = 10, 3 an epoch: 10/3 = 3.33 and 6.67 round up to 4 and 7."""
    assert marks(10, 3, 20) == [0, 1, 2, 4, 7, 8, 10, 14, 17, 20]


def test_measuring_off_has_no_marks():
    assert next_evaluation(0, 10, 0) is None
    assert last_evaluation(10, 10, 0) == 0


@pytest.mark.parametrize("n", [1, 2, 6, 7, 64, 1437])
@pytest.mark.parametrize("measure", [1, 2, 3, 16])
def test_the_last_mark_is_the_largest_that_lies_behind(n, measure):
    listed = marks(n, measure, 3 * n)
    for samples in range(2 * n + 1):
        assert last_evaluation(samples, n, measure) == max(mark for mark in listed if mark <= samples)


def test_an_arm_is_measured_after_its_first_update_at_or_past_a_mark():
    """N = 10 in batches of 4, 4, 2: updates end at 4, 8, 10, 14, …; the record keeps the mark and the arm's
    own samples.
    """
    records = compare(small_workload(), "mini:4", seeds=1, epochs=2).records
    assert records["samples"].tolist() == [0, 4, 8, 10, 20]
    assert records["mark"].tolist() == [0, 4, 8, 10, 20]
    odd = compare(small_workload(), "mini:3", seeds=1, epochs=1).records
    assert odd["samples"].tolist() == [0, 3, 6, 9, 10]
    assert odd["mark"].tolist() == [0, 2, 4, 8, 10]
    assert odd["batch_size"].tolist() == [0, 3, 3, 3, 1]
    assert odd["epoch"].tolist() == pytest.approx([0, 0.3, 0.6, 0.9, 1.0])


def test_the_end_is_measured_even_between_marks():
    records = compare(small_workload(), "single", seeds=1, samples=13).records
    assert records["samples"].tolist() == [0, 1, 2, 4, 8, 10, 13]
