"""Models and data in further forms: losses in the model, several ys, inputs alone, lists of objects."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, TensorDataset

from optcompare import Workload, WorkloadError, compare, workload_from

X = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))
Y = X[:, :1] * 2 + 1
KINDS = (X[:, 0] > 0).long() + (X[:, 1] > 0).long()
QUESTION = {"strategies": "mini:8", "optimizers": "sgd:lr=0.05", "seeds": 1, "epochs": 2}


def trained(workload, **changes):
    result = compare(workload, **{**QUESTION, **changes})
    assert result.trials["status"].tolist() == ["finished"]
    return result


class ScoresAndLoss(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 3)

    def forward(self, x, targets=None):
        scores = self.out(x)
        return scores, None if targets is None else nn.functional.cross_entropy(scores, targets)


class Reconstructs(nn.Module):
    """Its loss needs the inputs alone."""

    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 2), nn.Linear(2, 4)

    def forward(self, x):
        return (self.outer(self.inner(x)) - x).square().mean()


def test_a_model_that_returns_scores_and_loss_is_trained_on_its_loss():
    own = trained(workload_from(ScoresAndLoss, (X, KINDS)))
    plain = trained(workload_from(lambda: nn.Sequential(nn.Linear(4, 3)), (X, KINDS)))
    assert own.records["train_loss"].tolist() == pytest.approx(plain.records["train_loss"].tolist())
    assert own.workload.notes == (
        "the loss is that which ScoresAndLoss returns for the whole batch, y included, at place 1 of its "
        "output (loss= changes it)",
    )


@pytest.mark.parametrize("data", [(X,), (X, Y)])
def test_a_model_that_returns_its_loss_of_the_inputs_needs_no_y(data):
    workload = workload_from(Reconstructs, data)
    assert ("y is not used" in workload.notes[0]) == (len(data) == 2)
    losses = trained(workload).records["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0]


def test_a_loss_of_torch_on_a_tuple_says_how_to_choose_a_part():
    with pytest.raises(
        WorkloadError,
        match=r"returns a tuple of 2 .* choose it by its index, as in forward=lambda model, batch: \(mod",
    ):
        workload_from(ScoresAndLoss, (X, KINDS), loss=nn.CrossEntropyLoss())


class TwoHeads(nn.Module):
    def __init__(self):
        super().__init__()
        self.kinds, self.numbers = nn.Linear(4, 3), nn.Linear(4, 1)

    def forward(self, x):
        return self.kinds(x), self.numbers(x)


def of_tuple(output, y):
    return nn.functional.cross_entropy(output[0], y[0]) + nn.functional.mse_loss(output[1], y[1])


def of_mapping(output, y):
    return of_tuple(output, (y["kinds"], y["numbers"]))


def test_several_ys_stand_in_a_tuple_or_a_mapping():
    one = trained(workload_from(TwoHeads, (X, (KINDS, Y)), loss=of_tuple))
    other = trained(workload_from(TwoHeads, (X, {"kinds": KINDS, "numbers": Y}), loss=of_mapping))
    assert one.trials["final_sha256"].tolist() == other.trials["final_sha256"].tolist()


@pytest.mark.parametrize(
    ("y", "loss"), [((KINDS, Y), of_tuple), ({"kinds": KINDS, "numbers": Y}, of_mapping)]
)
def test_of_several_ys_a_share_is_held_out_too(y, loss):
    workload = workload_from(TwoHeads, (X, y), loss=loss, valid=0.25)
    assert (len(workload.train[0]), len(workload.valid[0])) == (30, 10)
    trained(workload)


class LossInAList(ScoresAndLoss):
    def forward(self, x, targets=None):
        return list(super().forward(x, targets))


class LossInAMapping(ScoresAndLoss):
    def forward(self, x, targets=None):
        scores, loss = super().forward(x, targets)
        return {"logits": scores, "loss": loss}


@pytest.mark.parametrize("model", [LossInAList, LossInAMapping])
def test_a_loss_in_a_list_or_a_mapping_is_found_too(model):
    found, plain = (
        trained(workload_from(model, (X, KINDS))),
        trained(workload_from(ScoresAndLoss, (X, KINDS))),
    )
    assert found.trials["final_sha256"].tolist() == plain.trials["final_sha256"].tolist()


def test_inputs_may_stand_in_a_tuple_too():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(4, 1)

        def forward(self, pair):
            return self.out(torch.cat(pair, 1))

    trained(workload_from(Pair, ((X[:, :2], X[:, 2:]), Y), loss=nn.functional.mse_loss))


@pytest.mark.parametrize(
    "settings",
    [
        {"forward": lambda model, batch: (model(batch[0]), batch[0]), "loss": nn.functional.mse_loss},
        {
            "objective": lambda model, batch: (model(batch[0]) - batch[0]).square().mean(),
            "weight": lambda batch: len(batch[0]),
        },
    ],
    ids=["forward", "objective"],
)
def test_inputs_alone_go_with_a_forward_or_an_objective(settings):
    found = [
        trained(make(model=lambda: nn.Linear(4, 4), train=(X,), **settings)).trials["final_sha256"].tolist()
        for make in (workload_from, Workload)
    ]
    assert found[0] == found[1]


class Graph:
    def __init__(self, number):
        self.x, self.y = X[number], Y[number]


def together(graphs):
    return torch.stack([graph.x for graph in graphs]), torch.stack([graph.y for graph in graphs])


def test_a_list_of_objects_goes_with_a_collate_function():
    graphs = [Graph(number) for number in range(40)]
    of_list = trained(workload_from(lambda: nn.Linear(4, 1), graphs, collate=together))
    of_tensors = trained(workload_from(lambda: nn.Linear(4, 1), (X, Y)))
    assert of_list.records["train_loss"].tolist() == pytest.approx(of_tensors.records["train_loss"].tolist())
    with pytest.raises(WorkloadError, match="train is a list of Graph objects; give collate="):
        workload_from(lambda: nn.Linear(4, 1), graphs)


class Odd(nn.Module):
    """``train`` and ``to`` as people override them."""

    def __init__(self):
        super().__init__()
        self.inner, self.norm, self.out = nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1)

    def forward(self, x):
        return self.out(self.norm(self.inner(x)))

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()

    def to(self, device):
        return super().to(device)


def test_overridden_train_and_to_that_return_nothing_or_take_less_are_fine():
    result = trained(workload_from(Odd, (X, Y)))
    assert result.model("mini:8", 0).norm.num_batches_tracked == 0


def force(model, batch):
    """Return the gradient of an energy with respect to its inputs, and the force that it should equal."""
    x = batch[0].clone().requires_grad_()
    (found,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return found, batch[1]


class Potential(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(4, 8), nn.Linear(8, 1)

    def forward(self, x):
        return self.outer(torch.tanh(self.inner(x)))


class ForceWithin(Potential):
    def forward(self, x):
        x = x.requires_grad_()
        return torch.autograd.grad(super().forward(x).sum(), x, create_graph=True)[0]


@pytest.mark.parametrize("settings", [{"model": Potential, "forward": force}, {"model": ForceWithin}])
def test_gradients_with_respect_to_inputs_work_in_training_and_in_measuring(settings):
    workload = workload_from(train=(X, X * 2), valid=(X, X * 2), loss=nn.functional.mse_loss, **settings)
    records = trained(workload).records
    assert records[["train_loss", "valid_loss"]].notna().all(axis=None)


def sampler_of(count):
    return DataLoader(
        TensorDataset(X, Y),
        batch_size=8,
        sampler=RandomSampler(range(40), replacement=True, num_samples=count),
    )


def test_a_sampler_that_draws_another_number_is_said():
    said = " ".join(workload_from(lambda: nn.Linear(4, 1), sampler_of(100)).notes)
    assert "draws 100 times from 40 samples in an epoch; a comparison uses every sample once" in said
    assert "draws" not in " ".join(workload_from(lambda: nn.Linear(4, 1), sampler_of(40)).notes)


@pytest.mark.parametrize(
    ("model", "y", "loss", "said"),
    [
        (
            lambda: nn.Sequential(nn.Linear(4, 3), nn.Softmax(1)),
            KINDS,
            None,
            "ends in a softmax, and cross entropy applies",
        ),
        (
            lambda: nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()),
            (Y > 0) * 1.0,
            nn.BCEWithLogitsLoss(),
            "ends in a sigmoid, and the loss",
        ),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)), KINDS, None, ""),
        (lambda: nn.Sequential(nn.Linear(4, 3), nn.LogSoftmax(1)), KINDS, nn.NLLLoss(), ""),
        (lambda: nn.Sequential(nn.Linear(4, 1), nn.Sigmoid()), (Y > 0) * 1.0, nn.BCELoss(), ""),
        (lambda: nn.Linear(4, 3), KINDS, None, ""),
    ],
    ids=[
        "softmax",
        "sigmoid",
        "log softmax",
        "log softmax under its loss",
        "sigmoid under its loss",
        "plain",
    ],
)
def test_a_softmax_or_sigmoid_that_the_loss_takes_again_is_said(model, y, loss, said):
    notes = [note for note in workload_from(model, (X, y), loss=loss).notes if "ends in" in note]
    assert (len(notes) == 1 and said in notes[0]) if said else notes == []


@pytest.mark.parametrize("loss", [nn.MultiLabelMarginLoss(), nn.functional.multilabel_margin_loss])
def test_whole_numbers_stay_so_for_a_loss_that_wants_them(loss):
    labels = torch.full((40, 3), -1)
    labels[:, 0] = KINDS
    assert workload_from(lambda: nn.Linear(4, 3), (X, labels), loss=loss).train[1].dtype == torch.int64
    trained(workload_from(lambda: nn.Linear(4, 3), (X, labels), loss=loss))


class Detector(nn.Module):
    """Gives its loss in train mode alone."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(4, 1)

    def forward(self, x, y=None):
        output = self.out(x)
        return {"loss": nn.functional.mse_loss(output, y)} if self.training else [output]


def test_a_loss_of_train_mode_alone_says_what_to_do_which_then_works():
    with pytest.raises(
        WorkloadError, match=r"can be computed in training mode only.* calls model\.train\(\) itself"
    ):
        compare(
            Workload(model=Detector, train=(X, Y), objective=lambda model, batch: model(*batch)["loss"]),
            **QUESTION,
        )

    def objective(model, batch):
        model.train()
        return model(*batch)["loss"]

    own = trained(
        Workload(model=Detector, train=(X, Y), objective=objective, weight=lambda batch: len(batch[0]))
    )
    assert own.records["train_loss"].notna().all()
