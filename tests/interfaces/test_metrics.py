"""Metrics as people have them: sums over rows, numbers of all rows at once, objects that are updated batch by
batch.
"""

from __future__ import annotations

import pytest
import torch
from sklearn.metrics import f1_score
from torch import nn

from optcompare import OptcompareError, accuracy, compare, workload_from
from optcompare.interfaces.metrics import upper_bound
from tests.helpers.workloads import small_workload

X = torch.randn(30, 3, generator=torch.Generator().manual_seed(0))
KINDS = (X[:, 0] > 0.3).long() + (X[:, 1] > 0.5).long()


def of_classes(**changes):
    return small_workload(
        model=lambda: nn.Linear(3, 3),
        train=(X, KINDS),
        loss=nn.functional.cross_entropy,
        batch_size=10,
        **changes,
    )


def macro(output, y):
    return f1_score(y, output.argmax(1), average="macro", zero_division=0.0)


class Largest:
    """The largest error, as an object that is updated; counts how often it was begun again."""

    def __init__(self):
        self.reset()

    def reset(self):
        self.largest = torch.tensor(0.0)

    def update(self, output, y):
        self.largest = torch.maximum(self.largest, (output - y).abs().max())

    def compute(self):
        return self.largest


def last(result, name):
    return result.records[name].iloc[-1]


QUESTION = {"strategies": "mini:10", "seeds": 1, "epochs": 2}


def test_a_number_is_computed_of_all_rows_at_once_whatever_the_passes():
    whole, cut = (compare(of_classes(metrics={"f1": macro}), **QUESTION, eval_chunk=rows) for rows in (30, 7))
    model = whole.model(whole.trials["arm"][0], 0)
    with torch.no_grad():
        expected = macro(model(X), KINDS)
    assert last(whole, "train_f1") == pytest.approx(expected)
    assert last(cut, "train_f1") == pytest.approx(expected)


def test_a_pair_is_summed_over_the_passes_as_before():
    workload = of_classes(metrics={"accuracy": accuracy})
    whole, cut = (compare(workload, **QUESTION, eval_chunk=rows) for rows in (30, 7))
    assert last(whole, "train_accuracy") == last(cut, "train_accuracy")


def test_an_object_is_updated_pass_by_pass_and_begun_anew_at_each_measurement():
    result = compare(small_workload(n=24, metrics={"largest": Largest()}), **QUESTION, eval_chunk=7)
    model = result.model(result.trials["arm"][0], 0)
    x, y = result.workload.train
    with torch.no_grad():
        assert last(result, "train_largest") == pytest.approx(float((model(x) - y).abs().max()))
    assert result.workload.metrics["largest"].largest == 0, "the object itself is never updated"


def test_lanes_leave_metrics_of_all_rows_to_the_loop():
    result = compare(of_classes(metrics={"f1": macro}), "mini:10", seeds=8, epochs=2, trainer="lanes")
    assert set(result.trials["trainer"]) == {"loop"}
    assert any("f1 is computed on all rows at once" in note for note in result.notes)


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda output, y: output, r"metric odd gives a Tensor of shape \[5, 3\]; it must return one number"),
        (lambda output, y: None, "metric odd gives a NoneType; it must return one number"),
        (lambda output, y: output.missing, "metric odd fails: .*missing"),
        (lambda output, y: [1.0, 2.0], "metric odd gives a list; it must return one number"),
    ],
)
def test_what_is_no_number_is_one_line(metric, message):
    with pytest.raises(OptcompareError, match=message):
        compare(of_classes(metrics={"odd": metric}), **QUESTION)


def needs_every_class(output, y):
    if len(y.unique()) < 3:
        raise ValueError("only one class")
    return f1_score(y.numpy(), output.argmax(1).numpy(), average="macro", zero_division=0.0)


@pytest.mark.parametrize("rows", [30, 4])
def test_a_metric_that_needs_all_rows_is_given_them_in_sorted_data_too(rows):
    order = KINDS.argsort()
    workload = small_workload(
        model=lambda: nn.Linear(3, 3),
        train=(X[order], KINDS[order]),
        loss=nn.functional.cross_entropy,
        batch_size=10,
        metrics={"f1": needs_every_class},
    )
    result = compare(workload, **QUESTION, eval_chunk=rows)
    with torch.no_grad():
        expected = macro(result.model(result.trials["arm"][0], 0)(X), KINDS)
    assert last(result, "train_f1") == pytest.approx(expected)


class Scores:
    """A metric in the manner of torchmetrics that says what it can be."""

    plot_upper_bound = 0.5


def in_percent(output, y):
    return 100.0 * accuracy(output, y)[0], len(y)


@pytest.mark.parametrize(
    "workload",
    [
        of_classes(metrics={"accuracy": accuracy}),
        workload_from(lambda: nn.Linear(3, 3), (X, KINDS), valid=0.3),
        "stdlib-text",
        "breast-cancer",
    ],
    ids=["accuracy", "classes", "text", "two classes"],
)
def test_a_goal_for_an_accuracy_in_percent_is_refused(workload):
    with pytest.raises(OptcompareError, match=r"accuracy is at most 1; .*, such as train_accuracy=0.9$"):
        compare(workload, "full", seeds=1, epochs=1, goal="train_accuracy=90")


def test_a_goal_may_be_what_a_metric_can_be():
    assert upper_bound(Scores()) == 0.5
    assert upper_bound(in_percent) == upper_bound(None) == float("inf")
    workload = of_classes(metrics={"accuracy": accuracy, "percent": in_percent})
    for goal in ("train_accuracy=1", "train_percent=90"):
        assert compare(workload, "full", seeds=1, epochs=1, goal=goal).comparison.goal == goal
