"""compare() as a practitioner calls it."""

from __future__ import annotations

import functools
import random
import threading

import numpy as np
import pytest
import torch
from torch import nn

import optcompare
from optcompare import ComparisonError, RunDirectoryError, Strategy, Workload, WorkloadError, compare
from tests.helpers.workloads import small_workload


def test_every_public_name_can_be_imported():
    for name in optcompare.__all__:
        assert getattr(optcompare, name) is not None
    assert optcompare.__version__
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = optcompare.nonsense


def test_the_callers_generators_threads_and_flags_are_left_as_they_were():
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    expected = torch.rand(3), np.random.rand(3), [random.random() for _ in range(3)]
    torch.manual_seed(11)
    np.random.seed(11)
    random.seed(11)
    threads = torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            compare(small_workload(), "full", seeds=1, epochs=1, threads=1)
            assert not torch.is_grad_enabled()
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])
    assert [random.random() for _ in range(3)] == expected[2]


def test_the_callers_flags_do_not_change_the_result():
    workload = small_workload()
    plain = compare(workload, "mini:4", seeds=1, epochs=2).trials["final_sha256"][0]
    torch.set_default_dtype(torch.float64)
    try:
        with torch.no_grad():
            assert compare(workload, "mini:4", seeds=1, epochs=2).trials["final_sha256"][0] == plain
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.slow
def test_objects_and_names_may_be_mixed():
    class Halves(Strategy):
        def batches(self, epoch):
            yield from epoch.order.chunk(2)

    result = compare(
        small_workload(),
        [Halves(), "mini:4", "full,single"],
        [torch.optim.Adam, "sgd:momentum=0.9"],
        seeds=1,
        epochs=1,
    )
    assert result.trials["arm"].tolist() == [
        f"{strategy}@{optimizer}"
        for strategy in ("halves", "mini:4", "full", "single")
        for optimizer in ("adam", "sgd:momentum=0.9")
    ]
    assert result.comparison.arms[0].strategy.reference is None
    assert result.comparison.arms[2].strategy.reference == "mini:batch_size=4:tail=keep"


def test_an_optimizer_may_be_a_partial_class_or_a_build_function():
    def only_the_bias(model, *, lr: float = 0.1):
        return torch.optim.SGD([model.bias], lr)

    heavy = functools.partial(torch.optim.SGD, momentum=0.9)
    result = compare(small_workload(), "full", [heavy, only_the_bias], seeds=1, epochs=3)
    models = {arm.optimizer.label: result.model(arm.label, 0) for arm in result.comparison.arms}
    by_name = compare(small_workload(), "full", "sgd:momentum=0.9", seeds=1, epochs=3)
    assert torch.equal(models["sgd:momentum=0.9"].weight, by_name.model("full", 0).weight)
    torch.manual_seed(0)
    assert torch.equal(models["only_the_bias"].weight, nn.Linear(3, 1).weight)
    assert not torch.equal(models["only_the_bias"].bias, models["sgd:momentum=0.9"].bias)


def test_the_trained_module_of_every_trial_can_be_had():
    workload = small_workload()
    result = compare(workload, ["full", "mini:4"], seeds=2, epochs=3)
    x, y = workload.train
    for arm in ("full", "mini:4"):
        for seed in (0, 1):
            final = result.records.query("arm == @arm and seed == @seed")["train_loss"].iloc[-1]
            assert nn.functional.mse_loss(result.model(arm, seed)(x), y).item() == pytest.approx(final)
    with pytest.raises(ComparisonError, match="there is no arm 'mini'; there are full, mini:4"):
        result.model("mini", 0)
    with pytest.raises(ComparisonError, match="there is no seed 9; there are 0, 1"):
        result.model("full", 9)


def test_a_result_is_saved_in_known_formats_or_not_at_all(tmp_path):
    result = compare(small_workload(), "full", seeds=1, epochs=1)
    for formats in ("bmp", ["png", "bmp"]):
        with pytest.raises(ComparisonError, match="unknown plot format 'bmp'; give png, svg, pdf, html"):
            result.save(tmp_path / "run", formats)
    assert not (tmp_path / "run").exists()
    result.save(tmp_path / "run", "svg")
    assert (tmp_path / "run" / "comparison.svg").exists()
    with pytest.raises(RunDirectoryError, match="is not empty; give another directory, or move it away"):
        result.save(tmp_path / "run")


def test_a_loaded_result_says_what_was_saved_and_that_it_has_no_weights(tmp_path):
    result = compare("line", seeds=2, epochs=3, out=tmp_path / "run")
    loaded = optcompare.load(tmp_path / "run")
    assert loaded.comparison == result.comparison
    assert loaded.records.equals(result.records)
    assert loaded.paths.equals(result.paths)
    assert loaded.certificate == result.certificate
    assert loaded.plot().get_axes()
    with pytest.raises(RunDirectoryError, match="the final weights of full, seed 0, were not kept"):
        loaded.model("full", 0)


def test_validation_data_and_metrics_become_columns():
    workload = small_workload(
        valid=small_workload(4).train,
        metrics={"mae": lambda output, y: ((output - y).abs().sum(), y.numel())},
    )
    records = compare(workload, "full", seeds=1, epochs=1).records
    assert list(records.columns[-4:]) == ["train_loss", "train_mae", "valid_loss", "valid_mae"]


def test_compare_works_in_a_thread_that_cannot_handle_signals():
    found = []
    thread = threading.Thread(
        target=lambda: found.append(compare(small_workload(), "full", seeds=1, epochs=1))
    )
    thread.start()
    thread.join()
    assert found[0].status == "finished"


X, Y = torch.randn(8, 3), torch.randn(8)
WRONG = {
    "an output that would be broadcast": (
        {"train": (X, Y)},
        r"returns shape \[5, 1\] for y of shape \[5\], which a loss would silently broadcast to \[5, 5\]; "
        r".*y.reshape\(5, 1\)",
    ),
    "a loss of one value a row": (
        {"loss": lambda output, y: (output - y) ** 2},
        r"the loss must be one number.*got a tensor of shape \[5, 1\]",
    ),
    "a loss without a gradient": (
        {"loss": lambda output, y: torch.tensor(1.0)},
        "which depends on no parameter",
    ),
    "a model that does not fit the data": (
        {"model": lambda: nn.Linear(4, 1)},
        "the first 5 rows of train do not pass: RuntimeError",
    ),
    "a model that is no module": ({"model": lambda: 3}, r"model\(\) must return an nn.Module, got a int"),
    "a metric that is no number": (
        {"metrics": {"mae": lambda output, y: "1.0 m"}},
        "metric mae gives a str; it must return one number, of all rows at once, or a sum and its weight",
    ),
    "metrics without names": ({"metrics": [nn.functional.mse_loss]}, "metrics must map names to functions"),
    "a weight that is no function": ({"weight": 3}, "weight must be a function, got 3"),
    "a goal that is no text": ({"goal": 3}, "goal must be a text, got 3"),
    "a model without weights": (
        {"model": nn.Identity, "train": (Y[:, None], Y[:, None])},
        "depends on no parameter",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_workload_that_does_not_fit_together_is_refused_before_training(case):
    changes, message = WRONG[case]
    with pytest.raises(WorkloadError, match=message):
        compare(small_workload(**changes), "full", seeds=1, epochs=1)


IMPOSSIBLE = {
    "a module instead of a factory": ({"model": nn.Linear(3, 1)}, "model is a Linear; give a factory"),
    "neither loss nor objective": ({"loss": None}, "give one of loss"),
    "tensors of different lengths": (
        {"train": (X, Y[:5])},
        r"needs tensors of one length of at least 1, got \[8, 5\]",
    ),
    "no samples": ({"train": (X[:0], Y[:0])}, "of at least 1"),
    "a lone tensor": ({"train": X}, "train is a Tensor|train must be"),
    "an iterable": ({"train": iter([1])}, "give a tuple of tensors or a map-style Dataset"),
    "a negative learning rate": ({"lr": -1.0}, "recommended lr must be positive and finite, got -1.0"),
    "no epochs": ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
}


@pytest.mark.parametrize("case", IMPOSSIBLE)
def test_a_workload_that_cannot_be_is_refused_when_made(case):
    changes, message = IMPOSSIBLE[case]
    with pytest.raises(WorkloadError, match=message):
        small_workload(**changes)


def test_running_out_of_memory_names_the_chunk():
    def hungry(output, y):
        if len(y) > 5:
            raise MemoryError
        return nn.functional.mse_loss(output, y)

    with pytest.raises(ComparisonError, match=r"arm full: out of memory .* give a smaller chunk, such as 2"):
        compare(small_workload(loss=hungry), "full", seeds=1, epochs=1, chunk=8, eval_chunk=4)
    assert (
        compare(small_workload(loss=hungry), "full", seeds=1, epochs=1, chunk=4, eval_chunk=4).status
        == "finished"
    )


@pytest.mark.slow
def test_an_objective_takes_batches_of_any_form():
    class Pairs(torch.utils.data.Dataset):
        def __len__(self):
            return 9

        def __getitem__(self, index):
            return {"x": torch.full((3,), float(index)), "y": torch.tensor([float(index)])}

    workload = Workload(
        model=lambda: nn.Linear(3, 1),
        train=Pairs(),
        objective=lambda model, batch: nn.functional.mse_loss(model(batch["x"]), batch["y"]),
        lr=0.001,
    )
    whole = compare(workload, ["full", "mini:4"], seeds=1, epochs=3, dtype="float64")
    assert (whole.trials["status"] == "finished").all()
    pieces = compare(workload, ["full", "mini:4"], seeds=1, epochs=3, dtype="float64", chunk=2, eval_chunk=2)
    assert pieces.records["train_loss"].tolist() == pytest.approx(whole.records["train_loss"].tolist())


MISTYPED = {
    "seeds as a flag": ({"seeds": True}, "seeds must be how many, or a list of them, got True"),
    "a control as a number": ({"control": 1}, "control must be true or false, got 1"),
    "force alone": ({"force": True}, "force resumes a run although something changed; give resume too"),
    "seeds as text": ({"seeds": "12"}, "seeds must be how many, or a list of them, got '12'"),
    "a fraction of seeds": ({"seeds": 2.5}, "seeds must be how many, or a list of them, got 2.5"),
    "epochs as text": ({"epochs": "3"}, "epochs must be a number, got '3'"),
    "threads as text": ({"threads": "1"}, "threads must be a whole number, got '1'"),
    "a fraction of a mark": ({"measure": 0.5}, "measure must be a whole number, got 0.5"),
    "an answer as text": ({"deterministic": "no"}, "deterministic must be true or false, got 'no'"),
    "a plane as text": ({"plane": "yes"}, "plane must be true or false, got 'yes'"),
    "no optimizer": (
        {"optimizers": []},
        "at least one arm; give strategies, such as full,mini, and optimizers, such as sgd$",
    ),
    "a plugin that is none": ({"plugins": 3}, "plugins must be a text or a list of texts, got 3"),
    "a tracker that is none": ({"track": [3]}, r"track must be a text or a list of texts, got \[3\]"),
    "lr as text": ({"lr": "0.1"}, "the learning rate must be a number, got '0.1'"),
    "a strategy that is none": (
        {"strategies": [3]},
        "a strategy is a name or a Strategy object, got a int: 3",
    ),
    "an optimizer that is none": (
        {"optimizers": [3]},
        "an optimizer is a name, an Optimizer class or a build function",
    ),
    "an optimizer that is made": (
        {"optimizers": torch.optim.SGD([torch.zeros(1)])},
        "or a build function, got a SGD of one model's weights; give SGD itself$",
    ),
    "a workload that is none": ({"workload": 3}, "workload must be a name or a Workload, got a int"),
}


@pytest.mark.parametrize("case", MISTYPED)
def test_arguments_of_the_wrong_type_are_named(case):
    arguments, message = MISTYPED[case]
    with pytest.raises(ComparisonError, match=message):
        compare(**{"workload": small_workload(), "strategies": "full", "seeds": 1, "epochs": 1, **arguments})


def test_two_functions_of_one_name_are_told_apart_in_words():
    def make(momentum):
        def build(model, *, lr: float = 0.1):
            return torch.optim.SGD(model.parameters(), lr, momentum=momentum)

        return build

    with pytest.raises(
        ComparisonError, match="two arms are called full; give their classes or functions different names"
    ):
        compare(small_workload(), "full", [make(0.0), make(0.9)], seeds=1, epochs=1)
