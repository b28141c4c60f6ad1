"""Which indices of a traced graph are known to be in range, whatever the weights are."""

from __future__ import annotations

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from optcompare.training.lanes.engines.xla.integer_bounds import (
    ANY,
    Integers,
    bounded_integers,
    constants_of,
    integers_of,
)
from optcompare.training.lanes.update_rules import Unsupported

functional = torch.nn.functional
SCORES = torch.randn(6, 3)
KNOWN = {
    f"aten.{name}"
    for name in (
        "add.Tensor",
        "sub.Tensor",
        "mul.Tensor",
        "remainder.Scalar",
        "clamp.default",
        "argmax.default",
        "where.self",
        "ne.Scalar",
        "eq.Scalar",
        "bitwise_xor.Scalar",
        "_to_copy.default",
        "cat.default",
        "stack.default",
        "scalar_tensor.default",
        "zeros_like.default",
        "unsqueeze.default",
        "squeeze.dim",
        "neg.default",
        "abs.default",
        "arange.default",
        "view.default",
        "max.dim",
        "gt.Scalar",
        "where.ScalarOther",
        "_log_softmax.default",
        "floor.default",
        "ne.Tensor",
        "eq.Tensor",
        "gt.Tensor",
    )
}


def check(function, *inputs):
    graph = make_fx(function, tracing_mode="fake")(*inputs)
    known = [ANY if value.is_floating_point() else integers_of(value) for value in inputs]
    return bounded_integers(graph, known, KNOWN)


def gathered(scores, classes):
    return scores.gather(1, classes[:, None])


@pytest.mark.parametrize("classes", [[0, 1, 2, 0, 1, 2], [2] * 6])
def test_classes_that_exist_are_in_range(classes):
    check(gathered, SCORES, torch.tensor(classes))


@pytest.mark.parametrize(
    ("classes", "known"), [([0, 1, 2, 0, 1, 3], "from 0 to 3"), ([0, 1, 2, 0, 1, -1], "from -1 to 2")]
)
def test_classes_that_do_not_exist_are_refused(classes, known):
    with pytest.raises(Unsupported, match=f"an index of gather may be {known}, where it must be from 0 to 2"):
        check(gathered, SCORES, torch.tensor(classes))


def test_a_loss_without_the_ignored_class_is_in_range():
    classes = torch.tensor([0, 1, 2, -100, 1, 2])
    check(lambda scores, classes: functional.cross_entropy(scores, classes), SCORES, classes)
    with pytest.raises(Unsupported, match="may be from -100 to 2"):
        check(
            lambda scores, classes: functional.cross_entropy(scores, classes, ignore_index=-1),
            SCORES,
            classes,
        )


PLACES = torch.tensor([0, 2, 4, 5, 5, 1])
IN_RANGE = {
    "a row": lambda x, i: x[i],
    "from the end": lambda x, i: x[i - 6],
    "shifted": lambda x, i: x[(i + 3).clamp(0, 5)],
    "a remainder": lambda x, i: x[(i * 7 + 3) % 6],
    "the largest": lambda x, i: x[x.argmax(0)],
    "chosen": lambda x, i: x[torch.where(i > 2, i, 0)],
    "joined": lambda x, i: x[torch.cat([i, i - 1])],
    "a range": lambda x, i: x[torch.arange(6)],
    "a test": lambda x, i: x[(x[:, 0] > 0).long()],
    "an embedding": lambda x, i: functional.embedding(i, x),
    "selected": lambda x, i: x.index_select(0, i),
    "added": lambda x, i: torch.zeros(6, 3).index_put((i,), x, accumulate=True),
}
OUT_OF_RANGE = {
    "shifted": lambda x, i: x[i + 1],
    "too far from the end": lambda x, i: x[i - 7],
    "scaled": lambda x, i: x[i * 2],
    "bits": lambda x, i: x[i ^ 3],
    "of weights": lambda x, i: x[x[:, 0].floor().long()],
    "bytes that wrap": lambda x, i: x[(i.to(torch.uint8) - torch.tensor(1, dtype=torch.uint8)).long()],
    "an embedding": lambda x, i: functional.embedding(i + 1, x),
    "from the end of an embedding": lambda x, i: functional.embedding(i - 1, x),
    "added": lambda x, i: torch.zeros(5, 3).index_put((i,), x, accumulate=True),
}


@pytest.mark.parametrize("name", IN_RANGE)
def test_an_index_that_is_in_range_for_all_weights(name):
    check(IN_RANGE[name], SCORES, PLACES)


@pytest.mark.parametrize("name", OUT_OF_RANGE)
def test_an_index_that_may_be_out_of_range(name):
    with pytest.raises(Unsupported, match=r"an index of .* may be "):
        check(OUT_OF_RANGE[name], SCORES, PLACES)


def test_an_unknown_operation_on_integers_is_refused():
    with pytest.raises(Unsupported, match="XLA would not check the indices of take"):
        check(lambda x, i: x.take(i), SCORES, PLACES)


def test_of_many_values_only_the_ends_are_kept():
    few, many = (Integers.of(torch.arange(count).numpy()) for count in (10, 5000))
    assert (few.without(0).low, few.without(9).high, few.without(5).high) == (1, 8, 9)
    assert (many.low, many.high, many.values) == (0, 4999, None)
    assert many.without(0) is many


SETTLED = {
    "an absent value": (lambda x, i: i != 3, 1),
    "equal to an absent value": (lambda x, i: i == -100, 0),
    "a value beyond the range": (lambda x, i: (i + 1) == 7, 0),
    "two sets without a common value": (lambda x, i: (i * 2).ne(i + 11), 1),
    "the same value everywhere": (lambda x, i: (i * 0 + 4) == 4, 1),
}
OPEN = {
    "a value that is there": lambda x, i: i != 4,
    "integers that may be equal": lambda x, i: i.eq(i + 1),
    "numbers": lambda x, i: x[:, 0] != 3,
    "numbers and an integer too large for one": lambda x, i: x[:, 0] == 2.0**80,
    "an order": lambda x, i: i > 100,
}


@pytest.mark.parametrize("name", SETTLED)
def test_a_comparison_that_no_value_changes_is_a_constant(name):
    function, value = SETTLED[name]
    constants = constants_of(check(function, SCORES, PLACES))
    assert [constants[node] for node in constants if node.meta["val"].dtype == torch.bool] == [value]
    assert function(SCORES, PLACES).unique().tolist() == [bool(value)]


@pytest.mark.parametrize("name", OPEN)
def test_a_comparison_that_depends_on_values_is_none(name):
    constants = constants_of(check(OPEN[name], SCORES, PLACES))
    assert not [node for node in constants if node.meta["val"].dtype == torch.bool]
