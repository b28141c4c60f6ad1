"""What torch's own cross entropies divide by, and which labels they leave out."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import Workload, accuracy, compare, workload_from
from optcompare.interfaces.label_weights import label_weight

GENERATOR = torch.Generator().manual_seed(0)
WEIGHTS = torch.tensor([0.5, 2.0, 8.0])


def labels(*shape, ignored=None):
    y = torch.randint(3, shape, generator=GENERATOR)
    if ignored is not None:
        y.view(-1)[::3] = ignored
    return y


@pytest.mark.parametrize("shape", [(12,), (12, 5), (12, 4, 4)], ids=["rows", "places", "pixels"])
@pytest.mark.parametrize("ignored", [-100, 0, 255])
@pytest.mark.parametrize("weight", [None, WEIGHTS], ids=["alike", "weighted"])
@pytest.mark.parametrize("kind", [nn.CrossEntropyLoss, nn.NLLLoss])
def test_parts_combine_to_the_whole_by_the_weights_of_their_labels(shape, ignored, weight, kind):
    loss = kind(weight=weight, ignore_index=ignored)
    scores = torch.randn(shape[0], 3, *shape[1:], generator=GENERATOR, dtype=torch.float64).log_softmax(1)
    loss, y = loss.double(), labels(*shape, ignored=ignored)
    of = label_weight(loss)
    parts = [(scores[rows], y[rows]) for rows in (slice(2), slice(2, 5), slice(5, None))]
    parts = [(out, part) for out, part in parts if of(part)]
    total = sum(of(part) for _, part in parts)
    assert sum(of(part) * loss(out, part) for out, part in parts) / total == pytest.approx(
        float(loss(scores, y)), rel=1e-12
    )


@pytest.mark.parametrize(
    "loss", [nn.MSELoss(), nn.CrossEntropyLoss(reduction="sum"), lambda output, y: output.sum()]
)
def test_of_other_losses_nothing_is_known(loss):
    assert label_weight(loss) is None


def test_smoothed_labels_divide_by_the_same():
    loss = nn.CrossEntropyLoss(weight=WEIGHTS, label_smoothing=0.1)
    scores, y = torch.randn(9, 3, generator=GENERATOR), labels(9)
    of = label_weight(loss)
    parts = [of(y[rows]) * loss(scores[rows], y[rows]) for rows in (slice(4), slice(4, None))]
    assert float(sum(parts) / of(y)) == pytest.approx(float(loss(scores, y)), rel=1e-5)


def segmentation(loss, y):
    x = torch.randn(len(y), 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return x, lambda: nn.Conv2d(1, 3, 1)


@pytest.mark.parametrize("make", ["workload", "workload_from"])
@pytest.mark.parametrize(
    "loss",
    [nn.CrossEntropyLoss(weight=WEIGHTS), nn.CrossEntropyLoss(ignore_index=255)],
    ids=["weights", "ignored"],
)
def test_a_workload_is_computed_in_chunks_as_in_one_pass_and_leaves_out_the_same_labels(make, loss):
    y = torch.sort(labels(24, 4, 4).view(24, -1), 0).values.view(24, 4, 4)  # sorted by class
    y[20:] = 255 if loss.weight is None else y[20:]
    x, model = segmentation(loss, y)
    given = {"model": model, "train": (x, y), "loss": loss}
    workload = (
        Workload(**given, metrics={"accuracy": accuracy}) if make == "workload" else workload_from(**given)
    )
    question = {"strategies": "full", "optimizers": "sgd:lr=0.5", "seeds": 1, "epochs": 2, "dtype": "float64"}
    whole = compare(workload, **question, chunk=24, eval_chunk=24)
    parts = compare(workload, **question, chunk=7, eval_chunk=5)
    for name in ("train_loss", "train_accuracy"):
        assert parts.records[name].tolist() == pytest.approx(whole.records[name].tolist(), rel=1e-10)
    with torch.no_grad():
        guessed = whole.model("full", 0)(x.double()).argmax(1)
    kept = y != 255
    assert whole.records["train_accuracy"].iloc[-1] == pytest.approx(
        float((guessed == y)[kept].double().mean())
    )


def test_an_accuracy_of_its_own_ignored_label():
    scores, y = torch.eye(3)[[0, 1, 2, 0]], torch.tensor([0, 1, 0, -100])
    assert [int(part) for part in accuracy(scores, y)] == [2, 3]
    assert [int(part) for part in accuracy(scores, y, ignored=0)] == [1, 2]
    planes = torch.eye(3)[torch.tensor([[0, 1], [2, 2]])].permute(0, 2, 1)  # [B, C, L]
    assert [int(part) for part in accuracy(planes, torch.tensor([[0, 1], [0, 2]]))] == [3, 4]


def own_flat(output, y):
    return nn.functional.cross_entropy(output.flatten(0, -2), y.flatten())


def own_rows(output, y):
    """A mean over rows, whatever is in them."""
    return (output.logsumexp(-1) - output[..., 0]).mean()


@pytest.mark.parametrize(("loss", "weight"), [(own_flat, [4, 6]), (own_rows, [2, 2])])
def test_what_a_loss_of_the_users_divides_by_is_measured(loss, weight):
    x, y = torch.randn(8, 3, 4, generator=GENERATOR), labels(8, 3)
    y[0, :2] = -100
    workload = workload_from(lambda: nn.Linear(4, 3), (x, y), loss=loss)
    assert [workload.weigh((x[rows], y[rows])) for rows in (slice(2), slice(2, 4))] == weight
