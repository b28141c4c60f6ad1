"""The workloads that ``workload_from`` builds from models and data of all forms, and its messages."""

from __future__ import annotations

import collections
import copy
import dataclasses
import inspect
import re

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, SubsetRandomSampler, TensorDataset

from optcompare import OptcompareError, Workload, WorkloadError, compare, workload_from
from optcompare.adapters.workload_from import WorkloadSettings
from optcompare.training.data import first_rows
from optcompare.training.measurement.per_sample_grads import sample_gradients
from tests.helpers.both_trainers import agree, both, trainers

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
SIGNS = (X[:, 0] > 0).long()
KINDS = np.array(["cat", "dog"])[SIGNS]
IDS = torch.randint(1, 9, (12, 6), generator=torch.Generator().manual_seed(1))


def two():
    return nn.Linear(3, 2)


def one():
    return nn.Linear(3, 1)


class Samples(Dataset):
    """Samples of a form that ``make`` gives them."""

    def __init__(self, make, n=40):
        self.make, self.n = make, n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        return self.make(X[index], SIGNS[index])


class Endless(Dataset):
    def __getitem__(self, index):
        return X[0], SIGNS[0]


class Streamed(IterableDataset):
    def __iter__(self):
        return iter([])


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.LazyLinear(2)

    def forward(self, x):
        return self.out(x)


class Language(nn.Module):
    """A model that predicts each place's label, or with ``shift`` the next one, and returns its mean loss."""

    Output = collections.namedtuple("Output", "loss logits")
    shift, reduced = 0, "mean"

    def __init__(self):
        super().__init__()
        self.embed, self.out = nn.Embedding(9, 4), nn.Linear(4, 9)

    def forward(self, input_ids, labels):
        logits = self.out(self.embed(input_ids))
        scores, wanted = logits[:, : logits.shape[1] - self.shift], labels[:, self.shift :]
        losses = nn.functional.cross_entropy(scores.mT, wanted, reduction="none")
        if self.reduced == "rows":
            loss = (losses.sum(1) / (wanted != -100).sum(1)).mean()
        else:
            loss = losses.sum() / (losses.numel() if self.reduced == "places" else (wanted != -100).sum())
        return self.Output(loss, logits)


def language(**changes):
    return type("Language", (Language,), changes)


def uneven_labels():
    """Row i has 6 - i % 4 labels."""
    places = torch.arange(6).expand(12, 6)
    return IDS.masked_fill(places >= 6 - (torch.arange(12) % 4)[:, None], -100)


FORMS = {
    "numpy": (X.numpy(), SIGNS.numpy()),
    "lists": (X.tolist(), SIGNS.tolist()),
    "frame and texts": (pd.DataFrame(X.numpy(), columns=list("abc")), pd.Series(KINDS)),
    "categories": (X, pd.Series(KINDS).astype("category")),
    "booleans": (X, SIGNS.bool()),
    "small integers": (X, SIGNS.to(torch.int8)),
    "doubles": (X.double(), SIGNS),
    "tensor dataset": TensorDataset(X, SIGNS),
    "loader": DataLoader(TensorDataset(X, SIGNS), batch_size=4, shuffle=True),
    "part of a dataset": Subset(TensorDataset(torch.cat([X, X]), torch.cat([SIGNS, SIGNS])), range(40)),
    "list of samples": list(zip(X, SIGNS, strict=True)),
    "named tuples": Samples(collections.namedtuple("Sample", "x y")),
    "dictionary of tensors": {"x": X, "y": SIGNS},
    "dictionary of booleans": {"x": X, "labels": SIGNS.bool()},
    "dictionaries": Samples(lambda x, y: {"x": x, "name": "a", "target": y}),
}


@pytest.mark.parametrize("form", FORMS)
def test_of_whatever_form_the_data_is_the_training_is_the_same_to_the_last_bit(form):
    def model():
        return Named() if "dictionar" in form else nn.LazyLinear(2)

    expected = compare(
        Workload(model=lambda: nn.LazyLinear(2), train=(X, SIGNS), loss=nn.functional.cross_entropy),
        "mini:8",
        seeds=2,
        epochs=2,
        trainer="loop",
    )
    found = compare(workload_from(model, FORMS[form]), "mini:8", seeds=2, epochs=2, trainer="loop")
    for trial, weights in expected.weights.items():
        assert all(map(torch.equal, weights.values(), found.weights[trial].values()))
    assert found.records["train_loss"].equals(expected.records["train_loss"])
    assert found.records["train_accuracy"].between(0, 1).all()


@pytest.mark.parametrize(
    ("model", "y", "loss", "shape", "note"),
    [
        (
            two,
            KINDS,
            nn.functional.cross_entropy,
            [40],
            "y holds the classes cat, dog: cross entropy and accuracy",
        ),
        (
            one,
            KINDS,
            nn.functional.binary_cross_entropy_with_logits,
            [40, 1],
            "two classes (cat, dog as 0, 1) and the model returns one number, a logit",
        ),
        (one, X[:, 0], nn.functional.mse_loss, [40, 1], "y of shape [N] is reshaped to the model's [N, 1]"),
        (
            two,
            X[:, :2],
            nn.functional.mse_loss,
            [40, 2],
            "y is numeric: regression by the mean squared error",
        ),
        (
            one,
            torch.arange(40),
            nn.functional.mse_loss,
            [40, 1],
            "whole numbers, 0, 1, 2, 3, 4, 5, 6, 7, … (40 in all)",
        ),
        (
            lambda: nn.Sequential(one(), nn.Flatten(0)),
            X[:, :1],
            nn.functional.mse_loss,
            [40],
            "the model's [N]",
        ),
    ],
)
def test_the_loss_follows_from_y_and_the_models_output_and_is_said(model, y, loss, shape, note):
    workload = workload_from(model, (X, y))
    assert workload.loss is loss
    assert list(workload.train[1].shape) == shape
    assert note in " ".join(workload.notes)
    compare(workload, "mini:8", seeds=1, epochs=1)


ARRAYS = {
    "of objects": X.numpy().astype(object),
    "of another byte order": X.numpy().astype(">f4"),
    "of extended precision": X.numpy().astype(np.longdouble),
    "backwards in memory": X.numpy()[::-1].copy()[::-1],
    "masked nowhere": np.ma.masked_array(X.numpy()),
    "sparse": X.to_sparse(),
    "a frame of objects": pd.DataFrame(X.numpy()).astype(object),
    "a frame of equal names": pd.DataFrame(X.numpy(), columns=["a", "a", "a"]),
}


@pytest.mark.parametrize("form", ARRAYS)
def test_arrays_of_numbers_are_taken_however_they_are_stored(form):
    for y in (SIGNS, SIGNS.numpy().astype(np.uint64)):
        inputs, targets = workload_from(two, (ARRAYS[form], y)).train
        torch.testing.assert_close(inputs.float(), X)
        torch.testing.assert_close(targets, SIGNS)


def test_columns_of_a_table_are_called_by_their_names():
    table = pd.DataFrame(X.numpy(), columns=["age", "height", "weight"])
    table.loc[4, "height"] = None
    with pytest.raises(
        WorkloadError, match=r"1 NaN in 1 of 40 rows, the first in row 4 \(column 'height': 1\)"
    ):
        compare(workload_from(two, (table, SIGNS)), "full", seeds=1, epochs=1)


def test_a_column_of_whole_numbers_is_the_notebooks_line():
    """From w, b = 0.2294, -0.2380 to 0.4798, -0.1793: the mean of ((w-1)x + b)² is 10.347, then 4.789."""
    workload = workload_from(lambda: nn.Linear(1, 1), ([1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6]), lr=0.01)
    assert workload.train[0].tolist() == workload.train[1].tolist() == [[1], [2], [3], [4], [5], [6]]
    assert workload.train[0].dtype == torch.float32
    records = compare(workload, "full", seeds=[2], epochs=1).records
    assert records["train_loss"].tolist() == pytest.approx([10.347, 4.789], rel=1e-3)


def test_a_loss_given_is_taken_as_function_module_or_class():
    for loss in (nn.functional.l1_loss, nn.L1Loss(), nn.L1Loss):
        workload = workload_from(one, (X, X[:, 0]), loss=loss)
        assert float(workload.loss(torch.zeros(2, 1), torch.ones(2, 1))) == 1.0
        assert not workload.metrics


def test_a_loss_of_ones_own_is_handed_y_as_it_is():
    """Such as a likelihood of mean and variance for each y, or a loss that flattens the output."""

    def likelihood(output, y):
        mean, variance = output[:, 0], output[:, 1].exp()
        return (variance.log() + (y - mean).square() / variance).mean()

    def flat(output, y):
        assert y.ndim == 1
        return nn.functional.mse_loss(output.squeeze(1), y)

    y = X[:, 0].numpy()
    for loss, outputs in ((likelihood, 2), (flat, 1)):
        workload = workload_from(lambda outputs=outputs: nn.Linear(3, outputs), (X, y), loss=loss, lr=0.05)
        losses = compare(workload, "full", seeds=1, epochs=5).records["train_loss"]
        assert losses.iloc[-1] < losses.iloc[0]


@pytest.mark.slow
@pytest.mark.parametrize("make", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_a_loss_with_weights_of_classes_counts_batches_by_them(make):
    """Four chunks of ten have the gradient of the whole batch, though their Σ of weights differ."""
    y = torch.arange(40) % 7 % 3
    last = [nn.LogSoftmax(1)] if make is nn.NLLLoss else []
    loss = make(weight=torch.tensor([1.0, 5.0, 0.2]))
    workload = workload_from(lambda: nn.Sequential(nn.Linear(3, 3), *last), (X, y), loss=loss, lr=0.5)
    ends = [
        compare(workload, "full", seeds=1, epochs=3, chunk=chunk, trainer="loop", dtype="float64").model(
            "full", 0
        )
        for chunk in (40, 10)
    ]
    torch.testing.assert_close(*[end.state_dict() for end in ends], rtol=1e-12, atol=1e-12)
    assert trainers(compare(workload, "mini:8", seeds=8, epochs=3, trainer="lanes")) == {"lanes"}


def test_a_share_is_held_out_each_class_in_proportion_whatever_the_seed():
    torch.manual_seed(1)
    first = workload_from(two, (X, KINDS), valid=0.25)
    torch.manual_seed(2)
    second = workload_from(two, (X, KINDS), valid=0.25)
    assert all(map(torch.equal, (*first.train, *first.valid), (*second.train, *second.valid)))
    assert (first.size, len(first.valid[0])) == (30, 10)
    assert abs(int(first.valid[1].sum()) - int(SIGNS.sum()) / 4) < 1
    together = torch.cat([first.train[0], first.valid[0]])
    assert sorted(together.tolist()) == sorted(X.tolist())
    assert "valid: 10 of the 40 samples are held out, each class in proportion" in " ".join(first.notes)
    held_out = workload_from(two, Samples(lambda x, y: (x, y)), valid=0.25).valid
    assert len(held_out) == 10


def test_a_share_is_the_test_set_and_the_rest_is_split_as_it_was_asked_for():
    workload = workload_from(two, (X, KINDS), valid=0.25, test=0.1)
    sets = [x for x, _ in workload.sets.values()]
    assert list(map(len, sets)) == [26, 10, 4]
    assert sorted(torch.cat(sets).tolist()) == sorted(X.tolist())
    said = " ".join(workload.notes)
    assert "test: 4 of the 40 samples are held out, each class in proportion" in said
    assert "valid: 10 of the 40 samples are held out" in said


def test_a_test_set_may_be_given_in_any_form():
    one = workload_from(two, (X, KINDS), valid=0.25, test=(X[:3], ["dog", "dog", "dog"]))
    assert one.test[1].tolist() == [1, 1, 1]
    loader = DataLoader(Samples(lambda x, y: (x, y)), batch_size=4)
    assert len(workload_from(two, loader, test=loader).test) == 40


def test_what_was_held_out_as_a_share_can_be_split_again():
    workload = workload_from(two, (X, KINDS), valid=0.25, test=0.1, notes=("mine",))
    own, other = workload.on_split(0), workload.on_split(1)
    assert all(map(torch.equal, own.test, workload.test))
    assert not torch.equal(other.test[0], workload.test[0])
    assert not torch.equal(other.valid[0], workload.valid[0])
    result = compare(workload, "full", seeds=2, epochs=1, lr=0.1, split_seeds=2)
    assert result.trials["split"].tolist() == [0, 1]


def test_what_was_given_apart_cannot_be_split_again():
    assert workload_from(two, (X, KINDS), valid=(X, KINDS)).resplit is None


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ({"test": 1.5}, r"test=1.5 of 40 samples leaves none on one side; give a share between 0 and 1"),
        ({"test": 0.5, "valid": 0.5}, r"valid=0.5 of 40 samples leaves none on one side"),
        ({"test": "later"}, "test is a str; give"),
    ],
)
def test_a_share_that_cannot_be_held_out_is_refused(shares, message):
    with pytest.raises(WorkloadError, match=message):
        workload_from(two, (X, KINDS), **shares)


def test_classes_of_valid_are_numbered_as_those_of_train():
    workload = workload_from(two, (X, KINDS), valid=(X[:3], ["dog", "dog", "dog"]))
    assert workload.valid[1].tolist() == [1, 1, 1]


def halved(samples):
    xs, ys = zip(*samples, strict=True)
    return torch.stack(xs) / 2, torch.stack(ys)


@pytest.mark.slow
def test_a_loader_gives_dataset_collate_batch_size_and_workers_and_not_its_sampler():
    loader = DataLoader(
        TensorDataset(X, SIGNS), batch_size=8, shuffle=True, drop_last=True, num_workers=1, collate_fn=halved
    )
    workload = workload_from(two, loader)
    assert (workload.batch_size, workload.workers, workload.collate) == (8, 1, halved)
    assert torch.equal(first_rows(workload.train, 2, workload.collate)[0], X[:2] / 2)
    assert "train: the DataLoader's RandomSampler is replaced by the shared order" in workload.notes[0]
    assert "drop_last is not used" in workload.notes[1]
    expected = compare(workload_from(two, (X / 2, SIGNS)), "mini:8", seeds=1, epochs=1, trainer="loop")
    found = compare(workload, "mini", seeds=1, epochs=1)
    assert found.trials["final_sha256"].tolist() == expected.trials["final_sha256"].tolist()


def test_a_loader_of_some_samples_gives_these():
    workload = workload_from(
        two, DataLoader(TensorDataset(X, SIGNS), sampler=SubsetRandomSampler([5, 1, 2, 8]))
    )
    assert torch.equal(workload.train[0], X[[5, 1, 2, 8]])
    assert "only the 4 of 40 samples that its SubsetRandomSampler selects are used" in " ".join(
        workload.notes
    )


@dataclasses.dataclass
class Parts:
    x: torch.Tensor
    y: torch.Tensor
    about: str = "a batch"


def test_batches_of_any_kind_take_a_forward_of_their_own():
    def collate(samples):
        return Parts(*halved(samples))

    def forward(model, batch):
        assert batch.about == "a batch"
        return model(batch.x), batch.y

    settings = {"collate": collate, "forward": forward, "loss": nn.functional.cross_entropy}
    workload = workload_from(two, Samples(lambda x, y: (x, y)), **settings)
    expected = workload_from(two, (X / 2, SIGNS))
    question = {
        "strategies": "mini:8",
        "seeds": 1,
        "epochs": 1,
        "dtype": "float64",
        "diagnostics": "noise_scale",
    }
    found, other = compare(workload, **question), compare(expected, **question)
    assert found.records["noise_scale"].tolist() == pytest.approx(other.records["noise_scale"].tolist())


class TestMappings:
    """Dictionaries of tensors are as good as tuples."""

    @pytest.mark.slow
    def test_they_train_in_lanes_as_in_the_loop(self):
        workload = workload_from(language(shift=1), {"input_ids": IDS, "labels": IDS}, valid=0.25)
        lanes, loop = both(workload, ["full", "mini:4"])
        assert trainers(lanes) == {"lanes"}
        agree(lanes, loop)

    def test_gradients_of_single_samples_are_those_of_the_samples_alone(self):
        workload = workload_from(language(shift=1), {"input_ids": IDS, "labels": uneven_labels()})
        model = workload.model()
        names = [name for name, _ in model.named_parameters()]
        found = sample_gradients(workload, model, first_rows(workload.train, 3), names)
        for row, gradient in enumerate(found):
            loss = workload.mean_loss(
                model, {name: part[row : row + 1] for name, part in workload.train.items()}
            )
            alone = torch.cat(
                [each.flatten() for each in torch.autograd.grad(loss, list(model.parameters()))]
            )
            torch.testing.assert_close(gradient, alone)


class Deciding(nn.Module):
    """A model that branches on its numbers and counts its calls, so that it cannot be vectorized."""

    def __init__(self):
        super().__init__()
        self.out, self.idle = nn.Linear(3, 2), nn.Linear(3, 2)
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x):
        self.calls += 1
        return self.out(x) if x.isfinite().all().item() else self.idle(x)


def test_gradients_of_single_samples_are_had_of_models_that_cannot_be_mapped_over_them():
    workload = workload_from(Deciding, (X, SIGNS))
    model = workload.model()
    names = [name for name, _ in model.named_parameters()]
    found = sample_gradients(workload, model, first_rows(workload.train, 5), names)
    assert not model.calls.any()
    for row, gradient in enumerate(found):
        loss = nn.functional.cross_entropy(model.out(X[row : row + 1]), SIGNS[row : row + 1])
        alone = torch.cat(
            [each.flatten() for each in torch.autograd.grad(loss, list(model.out.parameters()))]
        )
        torch.testing.assert_close(gradient, torch.cat([alone, torch.zeros(8)]))
    result = compare(workload, ["norm-test:8", "grab:8"], seeds=1, epochs=1, diagnostics="noise_scale")
    assert set(result.trials.status) == {"finished"}

    def test_what_a_model_does_not_take_is_left_out_and_said(self):
        workload = workload_from(language(), {"input_ids": IDS, "extra": IDS, "labels": IDS})
        assert "extra of the data is not used: Language accepts input_ids, labels" in " ".join(workload.notes)
        compare(workload, "full", seeds=1, epochs=1)

    def test_by_hand_the_mapping_itself_is_y(self):
        def loss(output, batch):
            return nn.functional.cross_entropy(output, batch["labels"][:, 0])

        class First(nn.Module):
            def __init__(self):
                super().__init__()
                self.embed = nn.Embedding(9, 9)

            def forward(self, input_ids, labels=None):
                return self.embed(input_ids[:, 0])

        workload = Workload(model=First, train={"input_ids": IDS, "labels": IDS}, loss=loss)
        result = compare(workload, ["full", "mini:4"], seeds=1, epochs=2)
        assert set(result.trials["status"]) == {"finished"}

    @pytest.mark.parametrize("jobs", [1, 2])
    def test_they_go_to_other_processes_and_are_resumed(self, jobs, tmp_path):
        workload = workload_from(language(shift=1), {"input_ids": IDS, "labels": IDS})
        arms, seeds = ["full", "mini:4"], 2
        whole = compare(workload, arms, seeds=seeds, epochs=4, trainer="loop")
        compare(workload, arms, seeds=seeds, epochs=2, trainer="loop", out=tmp_path / "run", jobs=jobs)
        longer = compare(
            workload, arms, seeds=seeds, epochs=4, trainer="loop", resume=tmp_path / "run", jobs=jobs
        )
        ends = [
            result.trials.sort_values(["arm", "seed"])["final_sha256"].tolist() for result in (whole, longer)
        ]
        assert ends[0] == ends[1]


class TestLossInTheOutput:
    """The denominator of the mean is measured, so that losses of unequal batches combine correctly."""

    @pytest.mark.parametrize(
        ("changes", "weight", "said"),
        [
            ({"shift": 0}, 18 * 3, "a mean over labels (loss= changes it)"),
            ({"shift": 1}, 18 * 3 - 12, "a mean over labels but each row's first"),
            ({"reduced": "rows"}, 12, "a mean over rows"),
        ],
    )
    def test_the_weight_is_what_the_mean_was_divided_by(self, changes, weight, said):
        """Three times rows of 6, 5, 4 and 3 labels: 54, without each row's first 42."""
        workload = workload_from(language(**changes), {"input_ids": IDS, "labels": uneven_labels()})
        assert workload.weigh(workload.train) == weight
        assert said in " ".join(workload.notes)

    @pytest.mark.parametrize("shift", [0, 1])
    def test_chunks_give_the_gradient_of_the_whole_batch(self, shift):
        workload = workload_from(language(shift=shift), {"input_ids": IDS, "labels": uneven_labels()})
        question = {"strategies": "full", "seeds": 1, "updates": 3, "dtype": "float64", "trainer": "loop"}
        whole, pieces = compare(workload, **question), compare(workload, **question, chunk=5, eval_chunk=7)
        for name in ("train_loss", "train_accuracy"):
            assert pieces.records[name].tolist() == pytest.approx(whole.records[name].tolist(), rel=1e-12)

    def test_accuracy_counts_the_labels_that_the_loss_counts(self):
        """A model that says "3" at every place."""
        workload = workload_from(language(shift=1), {"input_ids": IDS, "labels": uneven_labels()})
        model = workload.model()
        with torch.no_grad():
            model.out.weight.zero_()
            model.out.bias.copy_(nn.functional.one_hot(torch.tensor(3), 9))
        _, output, y = workload.loss_and_output(model, workload.train)
        right, counted = workload.metric_functions["accuracy"](output, y)
        assert (int(right), int(counted)) == (int((uneven_labels()[:, 1:] == 3).sum()), 42)

    def test_a_mean_over_something_else_must_be_said(self):
        data = {"input_ids": IDS, "labels": uneven_labels()}
        places = type("Places", (Language,), {"reduced": "places"})
        workload = workload_from(places, data)  # each row has as many places
        assert workload.weigh(workload.train) == 12

        class Squared(Language):
            def forward(self, input_ids, labels):
                output = super().forward(input_ids, labels)
                return output._replace(loss=output.loss**2)

        with pytest.raises(
            WorkloadError, match=r"Squared is a mean neither over rows nor over labels; give weight="
        ):
            workload_from(Squared, data)


@pytest.mark.slow
def test_scores_of_each_place_or_pixel_leave_out_what_is_ignored():
    class Places(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(9, 9)

        def forward(self, x):
            return self.embed(x)

    places = workload_from(Places, (IDS, uneven_labels()))
    pixels = workload_from(
        lambda: nn.Conv2d(1, 3, 1), (torch.randn(6, 1, 4, 4), torch.randint(0, 3, (6, 4, 4)))
    )
    assert (places.weigh(places.train), pixels.weigh(pixels.train)) == (54, 6), "labels that count, or rows"
    for workload in (places, pixels):
        question = {"strategies": "full", "seeds": 1, "updates": 2, "dtype": "float64", "trainer": "loop"}
        whole, pieces = compare(workload, **question), compare(workload, **question, chunk=5, eval_chunk=5)
        for name in ("train_loss", "train_accuracy"):
            assert pieces.records[name].tolist() == pytest.approx(whole.records[name].tolist(), rel=1e-12)


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.norm, self.out = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x):
        return self.out((torch.relu(self.norm(self.conv(x))) + x).mean((2, 3)))


class FrozenNorm(Residual):
    """Its statistics and weights are those that it begins with."""

    def __init__(self):
        super().__init__()
        self.norm.requires_grad_(False)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


@pytest.mark.slow
@pytest.mark.parametrize("model", [Residual, FrozenNorm])
def test_a_residual_network_with_batch_norm_trains_in_lanes_as_in_the_loop(model):
    images = torch.randn(40, 1, 4, 4, generator=torch.Generator().manual_seed(3))
    workload = workload_from(model, (images, SIGNS), valid=0.2)
    lanes, loop = both(workload, ["full", "mini:8"], "sgd:momentum=0.9")
    agree(lanes, loop, rtol=1e-7)
    moved = [
        not torch.equal(state["norm.running_mean"], torch.zeros(4).double())
        for state in loop.weights.values()
    ]
    assert all(moved) == (model is Residual)
    assert any(moved) == (model is Residual)


@pytest.mark.slow
def test_what_a_factory_leaves_in_eval_mode_trains_as_any_loop_would_train_it():
    """As modules with pretrained weights come; a part in eval mode beside others is meant so."""

    def dropping(eval_of):
        def model():
            module = nn.Sequential(nn.Linear(3, 2), nn.Dropout(0.5))
            eval_of(module).eval()
            return module

        return model

    def kept(module):
        return module[1]

    ends = [
        compare(workload_from(model, (X, SIGNS)), "full", seeds=1, updates=3, trainer="loop").trials[
            "final_sha256"
        ][0]
        for model in (dropping(lambda module: module), dropping(lambda module: nn.Identity()), dropping(kept))
    ]
    assert ends[0] == ends[1] != ends[2]


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
def test_a_compiled_module_trains_as_the_module(backend):
    torch.compiler.reset()
    question = {"strategies": ["full", "mini:8"], "seeds": 1, "epochs": 2, "trainer": "loop"}
    plain = compare(workload_from(two, (X, SIGNS)), **question)
    workload = workload_from(lambda: torch.compile(two(), backend=backend), (X, SIGNS))
    compiled = compare(workload, **question)
    assert "results are equal up to rounding" in " ".join(workload.notes)
    for trial, weights in plain.weights.items():
        for name, value in weights.items():
            torch.testing.assert_close(compiled.weights[trial][f"_orig_mod.{name}"], value)
    assert compiled.model("full", 0)(X).shape == (40, 2)


class TestSharedWeights:
    """A factory must make new weights at each call."""

    MODULE = nn.Linear(3, 2)
    WEIGHT = torch.ones(2, 3)

    @staticmethod
    def around_a_tensor():
        module = two()
        module.weight = nn.Parameter(TestSharedWeights.WEIGHT)
        return module

    @pytest.mark.parametrize(
        ("model", "message"),
        [
            (lambda: TestSharedWeights.MODULE, "model() returned the same module at two calls"),
            (
                lambda: nn.Sequential(TestSharedWeights.MODULE),
                "returned modules that share the weight 0.weight at two calls",
            ),
            (around_a_tensor.__func__, "returned modules that share the weight weight at two calls"),
        ],
    )
    def test_one_that_does_not_is_refused(self, model, message):
        with pytest.raises(WorkloadError, match=re.escape(message)):
            compare(workload_from(model, (X, SIGNS)), "full", seeds=1, epochs=1)

    def test_copies_and_frozen_weights_in_common_are_fine(self):
        body = nn.Linear(3, 3).requires_grad_(False)
        for model in (lambda: copy.deepcopy(self.MODULE), lambda: nn.Sequential(body, two())):
            compare(workload_from(model, (X, SIGNS)), "full", seeds=2, epochs=1)

    def test_a_module_in_place_of_a_factory_is_refused(self):
        with pytest.raises(
            WorkloadError, match=r"model is a Linear, .*lambda: copy\.deepcopy\(model\) to begin with"
        ):
            workload_from(self.MODULE, (X, SIGNS))


REFUSED = {
    "a text column": (
        two,
        (pd.DataFrame({"a": [1.0], "city": ["Rome"]}), [1]),
        {},
        "column 'city' holds str, such as 'Rome'",
    ),
    "texts as x": (two, (KINDS, SIGNS), {}, "train: x holds text, such as"),
    "no y": (
        two,
        X,
        {},
        "train is a Tensor, which does not say what is to be predicted; give inputs and y as (X, y)",
    ),
    "lengths": (two, (X, SIGNS[1:]), {}, "train has parts of 40, 39 rows; give the same number"),
    "no rows": (two, (X[:0], SIGNS[:0]), {}, "train holds no samples"),
    "a class more than scores": (
        two,
        (X, torch.arange(40) % 3),
        {},
        "2 scores, for the classes 0 to 1, and y holds 0, 1, 2",
    ),
    "a new class in valid": (
        two,
        (X, KINDS),
        {"valid": (X[:1], ["cow"])},
        "valid: y holds cow, which is none of the classes",
    ),
    "classes and one number": (
        one,
        (X, list("abcd") * 10),
        {},
        "y holds 4 classes, a, b, c, d, and the model returns one number; let it return 4",
    ),
    "shapes": (two, (X, X), {}, "the model returns shape [4, 2] for y of shape [4, 3]"),
    "a missing y": (
        two,
        (X, ["cat", None, *KINDS[2:]]),
        {},
        "train: y has no value in 1 of 40 rows, the first is row 1",
    ),
    "a share of all": (two, (X, SIGNS), {"valid": 1.0}, "valid=1.0 of 40 samples leaves none on one side"),
    "an unknown setting": (
        two,
        (X, SIGNS),
        {"epoch": 3},
        "there is no setting epoch; there are model, train",
    ),
    "a wrong width": (
        lambda: nn.Linear(4, 2),
        (X, SIGNS),
        {},
        "Linear cannot be called with the first rows of the data",
    ),
    "a stream": (two, Streamed(), {}, "train is an IterableDataset"),
    "a loader of a stream": (two, DataLoader(Streamed()), {}, "train is a DataLoader of an IterableDataset"),
    "a loader of batches": (
        two,
        DataLoader(TensorDataset(X, SIGNS), batch_size=None),
        {},
        "with batch_size=None, whose",
    ),
    "an iterator": (two, iter([1]), {}, "train is a list_iterator; give (X, y), a mapping of tensors"),
    "no model": (
        "resnet",
        (X, SIGNS),
        {},
        "model is a str; give a class of modules, or a function that makes one",
    ),
    "no module": (dict, (X, SIGNS), {}, "model() must return an nn.Module, got a dict"),
    "a loss that is none": (
        two,
        (X, SIGNS),
        {"loss": "mse"},
        "loss is a str; give a function loss(output, y)",
    ),
    "no loss in the output": (
        lambda: nn.Embedding(9, 2),
        {"input": IDS},
        {},
        "Embedding is called with input and returns no loss; give loss=",
    ),
    "a Dataset of whole numbers": (
        one,
        Samples(lambda x, y: (x, y)),
        {},
        "y holds whole numbers and the model returns one number for each; give loss=",
    ),
    "batches of its own": (
        two,
        Samples(lambda x, y: (x, y)),
        {"collate": lambda rows: 3},
        "a batch of the data is a int",
    ),
    "masked values": (
        two,
        (np.ma.masked_greater(X.numpy(), 2), SIGNS),
        {},
        f"x holds {int((X > 2).sum())} masked values, the first in row",
    ),
    "complex numbers": (two, (X.numpy() * 1j, SIGNS), {}, "values that are no numbers (dtype complex64)"),
    "a tensor of complex numbers": (
        two,
        (X * 1j, SIGNS),
        {},
        "x holds complex numbers; give real and imaginary parts",
    ),
    "rows of several lengths": (
        two,
        ([[1, 2, 3], [1]], [0, 1]),
        {},
        "x holds rows of several lengths, where numbers are",
    ),
    "one text among numbers": (
        two,
        (pd.DataFrame({"a": [1, "q"] * 20}), SIGNS),
        {},
        "column 'a' holds object, such as 'q', where numbers are expected",
    ),
    "an empty list": (two, [], {}, "train holds no samples"),
    "an empty mapping": (two, {}, {}, "train holds no samples"),
    "an empty Dataset": (
        two,
        Samples(lambda x, y: (x, y), 0),
        {},
        "train holds no samples; its Samples has length 0",
    ),
    "a loader of an empty Dataset": (
        two,
        DataLoader(Samples(lambda x, y: (x, y), 0)),
        {},
        "train holds no samples; its Samples has length 0",
    ),
    "a Dataset without length": (two, Endless(), {}, "train is a Endless without a length; define __len__"),
    "a path": (two, "houses.csv", {}, "train is a str; give (X, y), a mapping of tensors"),
    "classes that do not occur": (
        two,
        (X, pd.Categorical(KINDS, ["cat", "dog", "cow"])),
        {},
        "y has the classes cat, dog, cow; let the model return 3",
    ),
    "samples of strange things": (two, Samples(lambda x, y: object()), {}, "cannot be made into a batch"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_in_one_line(case):
    model, train, settings, message = REFUSED[case]
    with pytest.raises(WorkloadError, match=re.escape(message)) as refusal:
        workload_from(model, train, **settings)
    assert str(refusal.value).startswith("workload_from: ")
    assert "\n" not in str(refusal.value)


class Stray(nn.Module):
    def __init__(self):
        super().__init__()
        self.out, self.scale = nn.Linear(3, 3), torch.ones(3, 3)

    def forward(self, x):
        return self.out(x @ self.scale)


BROKEN = {
    "a tensor that is no buffer": (
        {"model": Stray},
        {"dtype": "float64"},
        r"the weights float64 on cpu; scale does not move with the model: make it a buffer",
    ),
    "integers": (
        {"train": (X.long(), X)},
        {},
        r"tensors are int64 on cpu, float32 on cpu, the weights float32 on cpu",
    ),
    "data not finite": (
        {"train": (X / 0, X)},
        {},
        r"the inputs of train hold 120 infinite values in 40 of 40 rows",
    ),
    "late samples not finite": (
        {"train": Samples(lambda x, y: (x, x / (x != X[30]).all()))},
        {},
        r"there are values in the data that are not finite as float32, the first in row 30",
    ),
    "data too large for the dtype": (
        {"train": (X, X.double() * 1e300)},
        {},
        r"in the data that are not finite as float32, the first in row 0",
    ),
    "a metric of each row": (
        {"metrics": {"mae": lambda output, y: ((output - y).abs(), len(y))}},
        {},
        r"metric mae must return two numbers, a sum and its weight; got one of shape \[5, 3\]: sum over the "
        r"batch",
    ),
    "output not finite": (
        {"model": lambda: nn.Sequential(nn.Linear(3, 3), nn.Softplus(), nn.Threshold(1e9, float("inf")))},
        {},
        r"the data is finite, and the model's output for rows 0 to 39 is not",
    ),
    "loss not finite": (
        {"loss": lambda output, y: output.mean() / 0},
        {},
        r"rows 0 to 39 are finite, and the loss is not",
    ),
    "rows that cannot be counted": (
        {"train": Samples(lambda x, y: (x, x)), "collate": lambda rows: (torch.ones(1, 3), torch.ones(1, 3))},
        {},
        r"a batch of 5 samples seems to have 1 rows, .* with weight\(batch\)",
    ),
    "a forward that returns no pair": (
        {"forward": lambda model, batch: model(batch[0])},
        {},
        r"must return output, y; got a Te",
    ),
    "a loss that broadcasts": (
        {"loss": lambda output, y: (output.flatten() - y[:, :1]).square().mean()},
        {},
        r"the loss of \d+ rows \(output \[\d+, 3\], y \[\d+, 3\]\) is .* it must be a mean over rows",
    ),
    "an objective whose weight is not its own": (
        {
            "loss": None,
            "objective": lambda model, batch: model(batch[0]).mean() + len(batch[0]),
            "weight": lambda batch: 1.0,
        },
        {},
        r"as the weighted mean of its parts; it must be a mean over rows, and weight\(batch\) what it was "
        r"divided by",
    ),
    "a mapping of texts": ({"train": {"x": ["a"]}}, {}, r"a mapping of tensors, got a mapping of list"),
    "a forward beside an objective": (
        {"loss": None, "objective": lambda m, b: m(b[0]).sum(), "forward": lambda m, b: b},
        {},
        r"forward\(model, batch\) needs",
    ),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_workload_that_cannot_train_says_where_it_breaks(case):
    changes, question, message = BROKEN[case]
    settings = {"model": lambda: nn.Linear(3, 3), "train": (X, X), "loss": nn.functional.mse_loss, **changes}
    with pytest.raises(OptcompareError, match=message):
        compare(Workload(**settings), "full", seeds=1, epochs=1, **question)


def test_its_typed_settings_are_the_other_fields_of_a_workload():
    own = set(inspect.signature(workload_from).parameters) - {"settings"}
    fields = {field.name for field in dataclasses.fields(Workload)}
    assert set(WorkloadSettings.__annotations__) == fields - own
