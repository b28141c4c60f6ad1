"""What a loss is a mean over is measured on rows from all over the data; and what else it depends on is
named.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import DiagnosticError, Workload, WorkloadError, compare
from optcompare.planning.loss_checks import _spread
from tests.helpers.workloads import small_workload

QUESTION = {"strategies": "full", "optimizers": "sgd:lr=0.01", "seeds": 1, "epochs": 1}
SHARES = torch.tensor([1.0, 5.0])


def sorted_classes(n=40, **changes):
    """Two classes, one after the other, as a folder of folders is read."""
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(0))
    y = torch.arange(n) * 2 // n
    return small_workload(**{"train": (x, y), "model": lambda: nn.Linear(3, 2), **changes})


def own_weights(output, y):
    return nn.functional.cross_entropy(output, y, SHARES)


def pairwise(output, y):
    """[B, 1] against [B] is [B, B]."""
    return ((output[:, :1] - y.float()) ** 2).mean()


def hardest(output, y):
    """The hardest tenth, and at least one: another share of each part."""
    losses = nn.functional.cross_entropy(output, y, reduction="none")
    return losses.topk(max(1, len(losses) // 10)).values.mean()


@pytest.mark.parametrize("loss", [own_weights, pairwise, hardest])
def test_a_loss_that_is_no_mean_over_rows_is_refused_however_the_rows_are_sorted(loss):
    with pytest.raises(
        WorkloadError,
        match=r"the loss of \d+ rows .* as the weighted mean of its parts; it must be a mean over",
    ):
        compare(sorted_classes(loss=loss), **QUESTION)


def test_the_validation_data_are_looked_at_too():
    train, valid = sorted_classes().train, sorted_classes(20).train
    train = train[0], torch.zeros_like(train[1])
    with pytest.raises(WorkloadError, match=r"as the weighted mean of its parts"):
        compare(sorted_classes(train=train, valid=valid, loss=own_weights), **QUESTION)


def test_parts_as_large_as_the_chunks_are_tried():
    def of_large_batches(output, y):
        """A mean over rows, but for batches of more than 100."""
        return nn.functional.cross_entropy(output, y) * (1 + (len(y) > 100))

    assert compare(sorted_classes(120, loss=of_large_batches), **QUESTION).status == "finished"
    with pytest.raises(WorkloadError, match="the loss of 120 rows"):
        compare(sorted_classes(120, loss=of_large_batches), **QUESTION, eval_chunk=80)


def test_rows_are_spread_over_the_data_and_over_y():
    y = torch.zeros(1000, dtype=torch.int64)
    y[500:510] = torch.arange(1, 11)
    rows = _spread(1000, [y]).tolist()
    assert {0, 1, 2, 997, 998, 999} <= set(rows)
    assert len({int(y[row]) for row in rows}) >= 8
    assert rows != sorted(rows)
    assert sorted(_spread(1, []).tolist()) == [0]


def contrastive(model, batch):
    u, v = (nn.functional.normalize(model(part), dim=1) for part in batch)
    return nn.functional.cross_entropy(u @ v.T, torch.arange(len(u)))


def ranked(model, batch):
    """Cox's partial likelihood: each row is compared with those that rank below it."""
    order = batch[1][:, 0].argsort(descending=True)
    scores = model(batch[0])[order, 0]
    return -(scores - scores.logcumsumexp(0)).mean()


@pytest.mark.parametrize("objective", [contrastive, ranked])
def test_an_objective_is_never_computed_in_parts(objective):
    x, y = small_workload(30).train
    pairs = (x, x + 0.1) if objective is contrastive else (x, y)
    workload = Workload(model=lambda: nn.Linear(3, 2), train=pairs, valid=pairs, objective=objective)
    whole = compare(workload, **QUESTION)
    cut = compare(workload, **QUESTION, chunk=7, eval_chunk=4)
    assert cut.records["valid_loss"].tolist() == whole.records["valid_loss"].tolist()
    assert cut.trials["final_sha256"].tolist() == whole.trials["final_sha256"].tolist()
    (note,) = cut.notes
    assert note.startswith(
        "--chunk 7 and --eval-chunk 4 do not apply: an objective is computed on a whole batch in one pass"
    )
    assert whole.notes == []


def test_an_objective_of_pairs_has_no_gradients_of_single_samples():
    x, _ = small_workload(30).train
    workload = Workload(model=lambda: nn.Linear(3, 2), train=(x, x + 0.1), objective=contrastive, lr=0.1)
    with pytest.raises(
        DiagnosticError, match=r"the objective of 3 rows is .* depends on the others of its batch"
    ):
        compare(workload, "mini:10", seeds=1, epochs=1, diagnostics="noise_scale")


def test_a_part_in_which_nothing_counts_is_left_out():
    x, y = torch.randn(20, 3), torch.randint(2, (20,))
    y[5:10] = -100
    workload = small_workload(train=(x, y), model=lambda: nn.Linear(3, 2), loss=nn.functional.cross_entropy)
    whole, parts = compare(workload, **QUESTION), compare(workload, **QUESTION, chunk=5, eval_chunk=5)
    assert parts.records["train_loss"].tolist() == pytest.approx(
        whole.records["train_loss"].tolist(), rel=1e-5
    )


def test_targets_that_the_users_loss_and_weight_leave_out_may_be_anything():
    x, y = small_workload(20).train
    y = y.clone()
    y[::3] = float("nan")

    def loss(output, y):
        return (output - y)[~y.isnan()].square().mean()

    with pytest.raises(WorkloadError, match="the targets of train hold 7 NaN"):
        compare(small_workload(train=(x, y), loss=loss), **QUESTION)
    workload = small_workload(train=(x, y), loss=loss, weight=lambda batch: float((~batch[-1].isnan()).sum()))
    result = compare(workload, **QUESTION, chunk=4, eval_chunk=6)
    assert result.records["train_loss"].notna().all()


class Temperature(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, output, y):
        return (self.scale * output - y).square().mean()


def test_trainable_weights_that_are_not_the_models_are_refused_with_the_way_out():
    with pytest.raises(
        WorkloadError, match=r"the loss has trainable weights \(scale\), .* give objective\(model, batch\)"
    ):
        compare(small_workload(loss=Temperature()), **QUESTION)
    shift = torch.zeros(1, requires_grad=True)
    with pytest.raises(
        WorkloadError, match=r"depends on 1 trainable tensors that are not the model's \(of shape \[1\]\)"
    ):
        compare(small_workload(loss=lambda output, y: (output + shift - y).square().mean()), **QUESTION)


def test_inputs_that_a_loss_differentiates_by_are_no_weights():
    def penalized(model, batch):
        x = batch[0].detach().requires_grad_()
        output = model(x)
        (slope,) = torch.autograd.grad(output.sum(), x, create_graph=True)
        return (output - batch[1]).square().mean() + slope.square().mean()

    with torch.enable_grad():
        workload = small_workload(loss=None, objective=penalized, weight=lambda batch: float(len(batch[0])))
    result = compare(workload, **QUESTION)
    assert result.records["train_loss"].notna().all(), "measuring differentiates too"


class OwnGenerator(torch.utils.data.Dataset):
    def __init__(self, scale):
        self.scale, self.generator = scale, torch.Generator().manual_seed(0)

    def __len__(self):
        return 20

    def __getitem__(self, index):
        noise = torch.randn(3, generator=self.generator)
        return torch.ones(3) * index + self.scale * noise, torch.ones(1)


@pytest.mark.parametrize("scale", [1.0, 1e-6])
def test_a_dataset_that_draws_from_a_generator_of_its_own_is_refused(scale):
    with pytest.raises(WorkloadError, match="the Dataset of train draws from a random generator of its own"):
        compare(small_workload(train=OwnGenerator(scale)), **QUESTION)


class KeepsItsNoise(OwnGenerator):
    """Draws once for each sample, in the order in which samples are first read."""

    def __init__(self):
        super().__init__(1.0)
        self.kept = {}

    def __getitem__(self, index):
        if index not in self.kept:
            self.kept[index] = super().__getitem__(index)
        return self.kept[index]


def test_a_dataset_that_keeps_what_its_generator_drew_is_refused():
    with pytest.raises(WorkloadError, match="draws from a random generator of its own"):
        compare(small_workload(train=KeepsItsNoise()), **QUESTION)


class Visited(torch.utils.data.Dataset):
    def __init__(self):
        self.visits, self.kept = 0, {}

    def __len__(self):
        return 20

    def __getitem__(self, index):
        self.visits += 1
        return self.kept.setdefault(index, torch.ones(3) * index), torch.ones(1)


def test_a_dataset_that_counts_its_visits_is_noted_and_one_that_keeps_samples_is_not():
    details = [compare(small_workload(train=Visited()), **QUESTION).certificate[0].detail]
    assert "the Dataset of train changes visits when a sample is read" in details[0]


def test_a_loss_that_draws_a_little_is_held_to_its_parts_too():
    def noisy_sum(output, y):
        return (output - y).square().sum() / 8 + 1e-9 * torch.rand(())

    with pytest.raises(WorkloadError, match="as the weighted mean of its parts"):
        compare(small_workload(24, loss=noisy_sum), **QUESTION)


def test_rare_weights_in_another_tensor_are_found():
    x, y = small_workload(90).train
    weights = torch.ones(90, 1)
    weights[41] = 50.0

    class Weighted(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(3, 1)

        def forward(self, x, weights):
            return torch.cat([self.out(x), weights], 1)

    def loss(output, y):
        return (output[:, 1:] * (output[:, :1] - y).square()).sum() / output[:, 1].sum()

    with pytest.raises(WorkloadError, match="as the weighted mean of its parts"):
        compare(small_workload(model=Weighted, train=(x, weights, y), loss=loss), **QUESTION)
