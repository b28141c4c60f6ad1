"""The bundled workloads: what they hold, and what is decided about a user's own table."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable, Iterable

import pytest
import torch
from optcompare_plugins.workloads.tables import csv as table

from optcompare import Workload, WorkloadError, compare
from optcompare.core.grammar import quoted

BUNDLED = {
    # training rows, validation rows, one x, one y, one output, weights
    "digits": (1437, 360, (64,), (), (10,), 64 * 32 + 32 + 32 * 10 + 10),
    "digits-cnn": (1437, 360, (1, 8, 8), (), (10,), 9 * 16 + 16 + 9 * 16 * 32 + 32 + 512 * 10 + 10),
    "mnist1d": (4000, 1000, (40,), (), (10,), 41 * 100 + 101 * 100 + 101 * 10),
    "breast-cancer": (455, 114, (30,), (1,), (1,), 31),
    "diabetes": (353, 89, (10,), (1,), (1,), 11),
}


@pytest.fixture
def make(registry) -> Callable[[str], Workload]:
    return lambda name: registry.find("workloads", name).factory()


@pytest.fixture
def write(tmp_path) -> Callable[[str | bytes], str]:
    def write(content: str | bytes) -> str:
        path = tmp_path / "table.csv"
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return str(path)

    return write


def column(values: Iterable[object], name: str = "y") -> str:
    """A table of the numbers 0, 1, … as x and the values as y."""
    return f"x,{name}\n" + "".join(f"{x},{value}\n" for x, value in enumerate(values))


def said(workload: Workload, about: str) -> str:
    (note,) = [note for note in workload.notes if about in note]
    return note


@pytest.mark.parametrize("name", BUNDLED)
def test_rows_shapes_and_weights(make, name):
    workload = make(name)
    rows, held_out, x, y, output, weights = BUNDLED[name]
    assert [tuple(part.shape) for part in workload.train] == [(rows, *x), (rows, *y)]
    assert [tuple(part.shape) for part in workload.valid] == [(held_out, *x), (held_out, *y)]
    model = workload.model()
    assert model(workload.train[0][:5]).shape == (5, *output)
    assert sum(parameter.numel() for parameter in model.parameters()) == weights
    assert workload.train[0].dtype == torch.float32


@pytest.mark.parametrize("name", BUNDLED)
def test_the_split_is_the_same_at_every_call_whatever_the_seed(make, name):
    torch.manual_seed(1)
    first = make(name)
    torch.manual_seed(2)
    second = make(name)
    for one, other in zip((*first.train, *first.valid), (*second.train, *second.valid), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("name", BUNDLED)
def test_it_can_be_split_again_into_other_sets_of_the_same_sizes(make, name):
    workload = make(name)
    own, other, again = (workload.on_split(number) for number in (0, 1, 1))
    assert all(map(torch.equal, own.valid, workload.valid))
    assert all(map(torch.equal, other.train, again.train))
    assert other.valid[0].shape == workload.valid[0].shape
    assert not torch.equal(other.valid[0], workload.valid[0])


def test_each_digit_is_held_out_in_proportion_on_every_split(make):
    counts = [make("digits").on_split(number).valid[1].bincount().tolist() for number in range(3)]
    assert counts[1:] == counts[:1] * 2


def test_the_digits_are_all_there_and_each_is_held_out_in_proportion(make):
    workload = make("digits")
    trained, held_out = workload.train[1].bincount(), workload.valid[1].bincount()
    assert (trained + held_out).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    assert (held_out.min(), held_out.max()) == (35, 37)
    assert (workload.train[0] * 16).unique().tolist() == list(range(17))


def test_the_convolutions_see_the_rows_that_the_perceptron_sees(make):
    flat, images = make("digits"), make("digits-cnn")
    assert torch.equal(flat.train[0], images.train[0].flatten(1))
    assert torch.equal(flat.valid[1], images.valid[1])


def test_of_569_tumours_357_are_benign(make):
    workload = make("breast-cancer")
    assert workload.train[1].sum() + workload.valid[1].sum() == 357
    assert workload.valid[1].mean() == pytest.approx(357 / 569, abs=0.005)


@pytest.mark.parametrize(("name", "scaled"), [("breast-cancer", [0]), ("diabetes", [0, 1])])
def test_means_and_scales_come_from_the_training_rows_alone(make, name, scaled):
    workload = make(name)
    for part in scaled:
        values, held_out = workload.train[part], workload.valid[part]
        assert torch.allclose(values.mean(0), torch.zeros(()), atol=1e-5)
        assert torch.allclose(values.std(0, correction=0), torch.ones(()), atol=1e-5)
        assert (held_out.mean(0).abs() > 1e-3).all()


def test_the_error_of_diabetes_is_in_points_of_the_score(make):
    workload = make("diabetes")
    y = workload.train[1]
    total, weight = workload.metrics["mae"](y + 1, y)
    assert float(total) / weight == pytest.approx(78.3, abs=0.05)


@pytest.mark.slow
def test_looking_workloads_up_loads_neither_pandas_nor_scikit_learn():
    code = (
        "import sys; from optcompare.registry.manager import Registry; Registry.load().entries('workloads'); "
        "print([name for name in ('pandas', 'sklearn') if name in sys.modules])"
    )
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        == "[]\n"
    )


MIXED = """size,city,y
1,Rome,1.5
3,Oslo,2.5
,Rome,3.5
5,,4.5
3,Rome,5.5
3,Oslo,6.5
"""


def test_a_missing_number_is_the_median_and_a_missing_text_a_category(write):
    """Sizes 1, 3, median 3, 5, 3, 3 have mean 3 and variance 8/6; then Oslo, Rome, missing."""
    workload = table(write(MIXED), "y")
    edge = 2 / math.sqrt(8 / 6)
    expected = [[-edge, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [edge, 0, 0, 1], [0, 0, 1, 0], [0, 1, 0, 0]]
    assert torch.allclose(workload.train[0], torch.tensor(expected), atol=1e-6)


def test_numbers_to_predict_are_standardised_and_their_error_is_in_their_own_units(write):
    """1.5, …, 6.5 have mean 4 and variance 35/12."""
    workload = table(write(MIXED), "y")
    y, scale = workload.train[1], math.sqrt(35 / 12)
    assert y.flatten().tolist() == pytest.approx([step / scale for step in (-2.5, -1.5, -0.5, 0.5, 1.5, 2.5)])
    total, weight = workload.metrics["mae"](torch.zeros(6, 1), y)
    assert float(total) / weight == pytest.approx(1.5)
    assert "training rows: 4 ± 1.708" in said(workload, "mae")


def test_too_few_rows_to_split_are_all_trained_on_and_that_is_said(write):
    workload = table(write(MIXED), "y")
    assert (workload.size, workload.valid) == (6, None)
    assert said(workload, "few") == "csv: 6 rows are too few to hold some out for validation"


def test_what_the_held_out_rows_hold_changes_nothing_in_training(write):
    """Nor does a category that only they hold: it is none of the known ones."""
    rows = [[k, "" if k % 5 == 0 else k * k, "ab"[k % 2], k + 0.5] for k in range(30)]

    def made() -> Workload:
        return table(
            write("k,square,kind,y\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)), "y"
        )

    before = made()
    ranks = torch.cat([before.train[1], before.valid[1]]).flatten().argsort().argsort()
    held_out = ranks[before.size :].tolist()
    assert len(held_out) == 6
    for k in held_out:
        rows[k] = [10**6, -1, "new", 10**6 + 0.5]
    after = made()
    assert torch.equal(before.train[0], after.train[0])
    assert torch.equal(before.train[1], after.train[1])
    assert after.valid[0][:, 2:].tolist() == [[0, 0]] * 6
    assert before.valid[0][:, 2:].sum(1).tolist() == [1] * 6


@pytest.mark.parametrize(
    ("values", "note"),
    [
        (
            [k + 0.5 for k in range(12)],
            "numeric with 12 distinct values: regression (task=classification to change)",
        ),
        (range(12), "numeric with 12 distinct values: regression (task=classification to change)"),
        ([0, 1, 2] * 4, "numeric with 3 distinct values: regression (task=classification to change)"),
        ([0, 1, 2] * 5, "numeric with the classes 0, 1, 2: classification (task=regression to change)"),
        ([0, 1] * 6, "numeric with the classes 0, 1: classification (task=regression to change)"),
        ([0.5, 1.5] * 6, "numeric with the classes 0.5, 1.5: classification (task=regression to change)"),
        (
            [True, False] * 6,
            "true or false with the classes False, True: classification (task=regression to change)",
        ),
        (["no", "yes"] * 6, "text with the classes no, yes: classification"),
    ],
)
def test_regression_or_classification_follows_from_y_and_is_said_aloud(write, values, note):
    workload = table(write(column(values)), "y")
    assert f"csv: y = 'y' is {note}" in workload.notes
    classes = len(set(values)) if "classes" in note else 1
    assert workload.model()(workload.train[0]).shape == (workload.size, classes)
    assert list(workload.metrics) == (["accuracy"] if "classes" in note else ["mae"])


def test_the_task_can_be_chosen(write):
    counts = write(column([0, 1, 2] * 4))
    classes = table(counts, "y", task="classification")
    assert classes.train[1].dtype == torch.int64
    assert "(task=regression to change)" in said(classes, "y = 'y'")
    truths = table(write(column([True, False, False, False] * 4)), "y", task="regression")
    assert truths.train[1].dtype == torch.float32
    assert "true or false with 2 distinct values: regression" in said(truths, "y = 'y'")


def test_classes_are_numbered_in_order_and_held_out_in_proportion(write):
    workload = table(write(column(["b", "a", "a"] * 10)), "y")
    assert workload.train[1].bincount().tolist() == [16, 8]
    assert workload.valid[1].bincount().tolist() == [4, 2]


def test_a_class_of_one_row_is_no_obstacle_and_is_said(write):
    workload = table(write(column(["a", "b"] * 10 + ["c"])), "y")
    assert workload.size == 16
    assert "validation rows are drawn at random" in said(workload, "too rare")


def test_rows_without_y_are_left_out_and_counted(write):
    workload = table(write(column([0.5, "", 1.5, "", 2.5])), "y")
    assert workload.size == 3
    assert said(workload, "no y") == "csv: 2 of 5 rows have no y and are left out"


def test_true_and_false_with_gaps_are_classes(write):
    workload = table(write(column(["True", "", "False", "False"] * 4)), "y")
    assert "true or false with the classes False, True" in said(workload, "y = 'y'")
    assert workload.size + len(workload.valid[1]) == 12


@pytest.mark.parametrize(
    ("cells", "note"),
    [
        (
            [f"person {k}" for k in range(8)],
            "csv: 'c' is left out: text with 8 distinct values in 8 training rows",
        ),
        (["7"] * 8, "csv: 'c' is left out: it has a single value in the training rows"),
        (["same"] * 8, "csv: 'c' is left out: it has a single value in the training rows"),
        ([""] * 8, "csv: 'c' is left out: it has a single value in the training rows"),
    ],
)
def test_a_column_that_tells_nothing_is_left_out_and_named(write, cells, note):
    workload = table(write("x,c,y\n" + "".join(f"{k},{cell},{k}.5\n" for k, cell in enumerate(cells))), "y")
    assert note in workload.notes
    assert workload.train[0].shape == (8, 1)


def test_a_column_without_a_name_is_left_out_and_named(write):
    workload = table(write(",x,y\n0,3,1.5\n1,1,2.5\n2,4,3.5\n"), "y")
    assert "'Unnamed: 0' is left out" in said(workload, "without a name")
    assert workload.train[0].shape == (3, 1)


@pytest.mark.parametrize(
    ("cells", "steps"),
    [
        (["2024-02-28", "2024-02-29", "2024-03-01"], [-1, 0, 1]),
        (["2024-01-01 12:00", "2024-01-02 00:00", "2024-01-02 12:00"], [-1, 0, 1]),
        (["True", "", "False"], [1, 0, -1]),
        (["1e3", "2e3", "3e3"], [-1, 0, 1]),
    ],
)
def test_dates_and_booleans_are_numbers(write, cells, steps):
    """Of True, missing and False the median is one half; -1, 0 and 1 have the variance 2/3."""
    workload = table(write("c,y\n" + "".join(f"{cell},{k}.5\n" for k, cell in enumerate(cells))), "y")
    assert workload.train[0].flatten().tolist() == pytest.approx([step / math.sqrt(2 / 3) for step in steps])
    assert ("csv: 'c' holds dates, taken as a number of days" in workload.notes) == cells[0].startswith(
        "2024"
    )


@pytest.mark.parametrize("odd", ["?", "unknown", "inf"])
def test_a_stray_word_among_numbers_counts_as_missing(write, odd):
    """The median is 5, so that what was odd becomes one of the many fives."""
    cells = [5, 5, odd, 5, 6, 5, 5, 6, 5, 5]
    workload = table(write("x,y\n" + "".join(f"{cell},{k}.5\n" for k, cell in enumerate(cells))), "y")
    assert torch.cat([workload.train[0], workload.valid[0]]).unique(return_counts=True)[1].tolist() == [8, 2]
    assert f"csv: 'x' is numeric, and {odd} there is taken as missing" in workload.notes


def test_categories_beyond_a_hundred_share_an_input(write):
    text = "c,y\n" + "".join(f"c{k % 150},{k}.5\n" for k in range(900))
    workload = table(write(text), "y")
    assert workload.train[0].shape == (720, 100)
    assert (workload.train[0].sum(1) == 1).all()
    assert "has 150 categories; the rarest share one input" in said(workload, "'c'")


@pytest.mark.parametrize(
    "content",
    [
        "x;y\n1,5;10,5\n2,5;20,5\n4,5;30,5\n",
        "x;y\n1.5;10.5\n2.5;20.5\n4.5;30.5\n",
        "x\ty\n1.5\t10.5\n2.5\t20.5\n4.5\t30.5\n",
        "\ufeffx, y\r\n1.5, 10.5\r\n2.5, 20.5\r\n4.5, 30.5\r\n",
        '"x","y"\n"1.5","10.5"\n"2.5","20.5"\n"4.5","30.5"\n',
        "x,y\n1.5,10.5,\n2.5,20.5,\n4.5,30.5,\n",
    ],
    ids=["decimal commas", "semicolons", "tabs", "byte order mark and spaces", "quotes", "trailing commas"],
)
def test_what_spreadsheets_write_reads_alike(write, content):
    workload = table(write(content), "y")
    assert workload.train[0].flatten().tolist() == pytest.approx([-1.0690450, -0.2672612, 1.3363062])
    assert "20.5 ± 8.165" in said(workload, "mae")


def test_the_hidden_layer_is_as_wide_as_asked(write):
    path = write(MIXED)
    linear, wide = table(path, "y", hidden=0).model(), table(path, "y", hidden=5).model()
    assert sum(parameter.numel() for parameter in linear.parameters()) == 4 + 1
    assert sum(parameter.numel() for parameter in wide.parameters()) == (4 + 1) * 5 + 5 + 1


def test_the_share_held_out_is_as_asked_and_rounded_up(write):
    path = write(column(k + 0.5 for k in range(11)))
    assert [table(path, "y", valid=share).size for share in (0.01, 0.2, 0.5)] == [10, 8, 5]


def test_a_share_of_a_table_is_its_test_set_if_that_is_asked_for(write):
    path = write(column(range(40)))
    workload = table(path, "y", valid=0.25, test=0.1)
    sets = [x for x, _ in workload.sets.values()]
    assert list(map(len, sets)) == [26, 10, 4]
    assert "26 training, 10 validation and 4 test rows" in workload.notes[0]
    scores = torch.cat(sets).flatten()
    assert len(scores.unique()) == 40, "no row is in two sets"
    assert table(path, "y", valid=0.25).test is None


def test_without_a_test_set_a_table_is_split_as_with_a_share_of_none(write):
    path = write(column(["a", "b"] * 20))
    for one, other in zip(
        table(path, "y").sets.values(), table(path, "y", test=0.0).sets.values(), strict=True
    ):
        assert all(map(torch.equal, one, other))


def test_classes_are_held_out_in_proportion_in_the_test_set_too(write):
    workload = table(write(column((["a"] * 3 + ["b"]) * 20)), "y", test=0.2)
    assert [y.bincount().tolist() for _, y in workload.sets.values()] == [[36, 12], [12, 4], [12, 4]]


@pytest.mark.parametrize("test", [0.0, 0.2])
def test_a_table_can_be_split_again(write, test):
    workload = table(write(column(range(50))), "y", test=test)
    other = workload.on_split(1)
    assert all(map(torch.equal, workload.on_split(0).train, workload.train))
    assert len(other.train[0]) == len(workload.train[0])
    assert not torch.equal(other.valid[0], workload.valid[0])


def test_a_table_too_small_to_hold_rows_out_cannot_be_split_again(write):
    assert table(write(column(range(9))), "y", test=0.2).resplit is None


def test_the_learning_rate_bears_a_single_outlying_sample(write):
    """An update on one sample changes its error by the factor 1 - 2·lr·(‖x‖² + 1), which must not be below
    -1.
    """
    rows = "".join(f"{1000 if k % 50 == 7 else k % 3},{k % 7}.5\n" for k in range(200))
    workload = table(write("x,y\n" + rows), "y", hidden=0)
    largest = float(workload.train[0].square().sum(1).max()) + 1
    assert largest > 40
    assert 2 * workload.lr_for("sgd") * largest <= 2


def test_a_table_is_compared_by_its_path(tmp_path):
    path = tmp_path / "my, data.csv"
    path.write_text(column(k + 0.5 for k in range(40)))
    workload = f"csv:{quoted(str(path))}:y=y:hidden=0"
    assert (compare(workload, ["full", "mini"], seeds=1, epochs=2).trials["status"] == "finished").all()


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("", {}, "is no CSV table: it has no header line, nor anything else"),
        ("x,y\n", {}, "has a header line and no rows below it"),
        (
            b"x,y\ncaf\xe9,1\n",
            {},
            "is no CSV table: it is not in UTF-8: byte 0xe9 in line 2; give encoding=cp1252 (Windows",
        ),
        (b"PK\x03\x04\0\0,\0\n\0,\1", {}, "it is a damaged zip archive"),
        (b"MZ\0\0,\0\n\0\0\0\0", {}, "it holds zero bytes, as binary files do"),
        ("x,y\n1,2\n1,2,3\n", {}, "line 3 has 3 fields, those above it 2"),
        ("x,y\n1,2,3\n1,2,3\n", {}, "its rows have more values than its header has names"),
        (
            "price,z\n1,2\n",
            {"y": "prize"},
            "has no column 'prize' (did you mean 'price'?); its header line holds price, z",
        ),
        (
            "a,b,c,d,e,f,g,h\n",
            {"y": "zz"},
            "has no column 'zz'; its header line holds a, b, c, d, e, f and 2 more",
        ),
        ("x,y,y\n1,2,3\n", {}, "has 2 columns 'y'; rename all but one of them"),
        (column([3] * 12), {}, "y = 'y' is 3 in every row; choose a column that varies"),
        (column([""] * 12), {}, "y = 'y' is missing in every row; choose a column that varies"),
        (
            column(f"id{k}" for k in range(12)),
            {},
            "y = 'y' has 12 distinct values in 12 rows, too many to be classes",
        ),
        (
            column(range(12)),
            {"task": "classification"},
            "in 12 rows, too many to be classes; choose another column or task=reg",
        ),
        (column("ab" * 6), {"task": "regression"}, "task=regression needs numbers; y = 'y' holds a, b"),
        ("y\n1.5\n2.5\n3.5\n", {}, "no column is left to predict y from: the table has none besides 'y'"),
        (
            "id,y\n" + "".join(f"id{k},{k}.5\n" for k in range(12)),
            {},
            "predict y from: 'id' is left out: text with 9 distinct values",
        ),
        (column(range(12)), {"hidden": -1}, "hidden is a number of units, 0 for a linear model; got -1"),
        (column(range(12)), {"valid": 1.0}, "valid is the share of rows held out, between 0 and 1; got 1.0"),
        (
            column(range(12)),
            {"valid": math.nan},
            "valid is the share of rows held out, between 0 and 1; got nan",
        ),
        (
            column(range(12)),
            {"valid": 0.99},
            "valid=0.99 of 12 rows leaves none to train on; make it smaller",
        ),
        (column(range(12)), {"task": "guess"}, "task is one of auto, regression, classification; got guess"),
    ],
)
def test_a_table_that_cannot_be_used_is_refused_in_one_line(write, content, options, message):
    with pytest.raises(WorkloadError, match=re.escape(message)) as refusal:
        table(write(content), **{"y": "y", **options})
    assert str(refusal.value).startswith("workload csv: ")
    assert "\n" not in str(refusal.value)


def test_missing_cells_and_repeated_names_are_told(write):
    rows = "".join(
        f"{'' if k == 3 else k},{'' if k % 2 else 'ab'[k % 4 // 2]},{k % 5},{k * k}.5\n" for k in range(9)
    )
    notes = table(write("size,kind,size,y\n" + rows), "y").notes
    assert "csv: 'size' is missing in 1 of 9 training rows, taken as its median there" in notes
    assert "csv: 'kind' is missing in 4 of 9 training rows, taken as a category" in notes
    assert "csv: 2 columns are called 'size', and all are used; the second as 'size.1'" in notes


def test_a_path_without_a_file_is_refused(tmp_path):
    with pytest.raises(WorkloadError, match=r"nothing\.csv does not exist; give the path of a CSV file"):
        table(str(tmp_path / "nothing.csv"), "y")
    with pytest.raises(
        WorkloadError, match=f"{re.escape(str(tmp_path))} is a directory; give the path of a CSV file"
    ):
        table(str(tmp_path), "y")
