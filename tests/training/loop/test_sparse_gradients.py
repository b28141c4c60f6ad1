"""Sparse gradients, such as those of embeddings, and sparse buffers: trained as their dense form would be."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, WorkloadError, compare, workload_from
from optcompare.storage.state_files import bytes_of
from optcompare.training.loop.gradient import clip

TOKENS = torch.randint(0, 20, (60, 4), generator=torch.Generator().manual_seed(0))
KINDS = TOKENS.sum(1) % 3


def words(sparse):
    class Words(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.out = nn.EmbeddingBag(20, 8, sparse=sparse, mode="sum"), nn.Linear(8, 3)

        def forward(self, tokens):
            return self.out(self.embed(tokens))

    return workload_from(Words, (TOKENS, KINDS), lr=0.1)


@pytest.mark.parametrize("most", [0.01, 100.0])
def test_a_sparse_gradient_is_clipped_as_its_dense_form(most):
    def gradients(sparse):
        torch.manual_seed(0)
        model = words(sparse).model()
        nn.functional.cross_entropy(model(TOKENS), KINDS).backward()
        clip(list(model.parameters()), most)
        return [
            weight.grad.to_dense() if weight.grad.is_sparse else weight.grad for weight in model.parameters()
        ]

    for one, other in zip(gradients(True), gradients(False), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd", "sgd:momentum=0.9", "sgd:clip=0.1", "adagrad"])
def test_training_and_diagnostics_are_those_of_the_dense_form(optimizer):
    question = {
        "seeds": 1,
        "epochs": 2,
        "diagnostics": "grad_norm,noise_scale,grad_variance",
        "trainer": "loop",
    }
    sparse, dense = (compare(words(kind), "mini:20", optimizer, **question).records for kind in (True, False))
    for column in ("train_loss", "grad_norm", "noise_scale", "grad_variance"):
        assert sparse[column].tolist() == pytest.approx(dense[column].tolist(), rel=1e-4)


class Sums(nn.Module):
    """A model of which torch cannot compute the gradients of single samples at once, and warns of it."""

    def __init__(self):
        super().__init__()
        self.values = nn.EmbeddingBag(20, 1, mode="sum")

    def forward(self, tokens):
        return self.values(tokens)


def test_torch_does_not_warn_of_its_own_speed_where_a_user_can_do_nothing():
    workload = workload_from(Sums, (TOKENS, KINDS.float()[:, None]), lr=0.1)
    with warnings.catch_warnings(record=True) as said:  # as an error, torch would drop it
        warnings.simplefilter("always")
        compare(workload, "mini:20", seeds=1, epochs=1, diagnostics="noise_scale", trainer="loop")
    assert not [str(each.message) for each in said]


@pytest.mark.parametrize("strategy", ["norm-test:8", "noise-scale:8", "grab:8"])
def test_strategies_that_ask_for_gradients_get_them(strategy):
    assert compare(words(True), strategy, seeds=1, epochs=1).trials["status"].tolist() == ["finished"]


class Factors(nn.Module):
    """A stranger's model whose weights are embeddings alone."""

    def __init__(self, sparse=True):
        super().__init__()
        self.words, self.values = nn.Embedding(20, 4, sparse=sparse), nn.Embedding(20, 1, sparse=sparse)

    def forward(self, tokens):
        one, other = self.words(tokens[:, :2]).unbind(1)
        return (one * other).sum(1) + self.values(tokens[:, 2]).squeeze(1)


def factors(sparse=True):
    return workload_from(lambda: Factors(sparse), (TOKENS, KINDS.float()), valid=0.2, lr=0.1)


@pytest.mark.parametrize("strategy", ["full", "mini:20"])
@pytest.mark.parametrize("chunk", [7, 60])
def test_plain_sgd_ends_in_the_weights_of_the_dense_form(strategy, chunk):
    question = {"seeds": 1, "epochs": 3, "chunk": chunk, "dtype": "float64", "trainer": "loop"}
    sparse, dense = (compare(factors(kind), strategy, **question) for kind in (True, False))
    for one, other in zip(
        sparse.model(strategy, 0).parameters(), dense.model(strategy, 0).parameters(), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["sgd", "sgd:momentum=0.9", "sgd:clip=0.1", "adagrad", "sparseadam"])
def test_optimizers_of_sparse_gradients_train_and_continue_from_saved_states(optimizer, tmp_path):
    """The state of an optimizer may be sparse too, as momentum is: it is written and read again."""
    compare(factors(), "mini:20", optimizer, seeds=1, epochs=2, out=tmp_path / "run")
    continued = compare(factors(), "mini:20", optimizer, resume=tmp_path / "run", seeds=1, epochs=4)
    at_once = compare(factors(), "mini:20", optimizer, seeds=1, epochs=4)
    before, *_, after = at_once.records["train_loss"]
    assert after < before
    assert continued.trials["final_sha256"].tolist() == at_once.trials["final_sha256"].tolist()


@pytest.mark.parametrize("optimizer", ["adam", "sgd:weight_decay=0.1", "rmsprop"])
def test_an_optimizer_that_refuses_sparse_gradients_is_one_line_with_advice(optimizer):
    message = (
        rf"optimizer {optimizer}: its step\(\) fails.*the gradient of words\.weight is sparse, which sgd "
        r"without weight decay, adagrad, sparseadam and few others accept: use one of them, or embeddings "
        r"with sparse=False$"
    )
    with pytest.raises(ComparisonError, match=message) as refusal:
        compare(factors(), "mini:20", optimizer, seeds=1, epochs=1)
    assert "\n" not in str(refusal.value)


def test_lanes_refuse_sparse_gradients_by_name():
    result = compare(factors(), "mini:20", seeds=2, epochs=1, trainer="lanes")
    assert set(result.trials["trainer"]) == {"loop"}
    assert set(result.trials["fallback"]) == {
        "the gradient of words.weight is sparse, and gradients of lanes are dense"
    }


def test_a_sparse_state_is_counted_by_what_it_holds():
    """Two rows of four float32, and two indices of eight bytes."""
    rows = torch.sparse_coo_tensor(torch.tensor([[1, 3]]), torch.ones(2, 4), (1000, 4), check_invariants=True)
    assert bytes_of({"momentum_buffer": rows}) == 2 * 4 * 4 + 2 * 8


class Spread(nn.Module):
    """A stranger's graph convolution, with its adjacency as a buffer or an attribute in some layout."""

    def __init__(self, adjacency, kept="buffer"):
        super().__init__()
        self.linear = nn.Linear(3, 3)
        self.register_buffer("x", FEATURES)
        if kept == "buffer":
            self.register_buffer("adjacency", adjacency)
        else:
            self.adjacency = adjacency

    def forward(self, nodes):
        return (self.adjacency @ self.linear(self.x))[nodes]


FEATURES = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
RING = torch.eye(12) / 2 + torch.eye(12).roll(1, 0) / 4 + torch.eye(12).roll(-1, 0) / 4
NODES = torch.arange(8)


def ring(adjacency, kept="buffer"):
    kinds = NODES % 3
    return workload_from(lambda: Spread(adjacency, kept), (NODES, kinds), valid=(NODES + 4, kinds), lr=0.3)


@pytest.fixture
def sparse_ring():
    places = RING.nonzero().T
    return torch.sparse_coo_tensor(places, RING[tuple(places)], (12, 12), check_invariants=True).coalesce()


@pytest.mark.parametrize("kept", ["buffer", "attribute"])
def test_a_sparse_adjacency_trains_as_its_dense_form(kept, sparse_ring, tmp_path):
    sparse = compare(ring(sparse_ring, kept), "mini:4", seeds=1, epochs=2, out=tmp_path / "run")
    dense = compare(ring(RING), "mini:4", seeds=1, epochs=2)
    assert sparse.records["valid_loss"].tolist() == pytest.approx(
        dense.records["valid_loss"].tolist(), rel=1e-5
    )
    continued = compare(ring(sparse_ring, kept), "mini:4", resume=tmp_path / "run", seeds=1, epochs=4)
    at_once = compare(ring(sparse_ring, kept), "mini:4", seeds=1, epochs=4)
    assert continued.trials["final_sha256"].tolist() == at_once.trials["final_sha256"].tolist()


def test_lanes_refuse_a_sparse_adjacency_by_name(sparse_ring):
    result = compare(ring(sparse_ring), "mini:4", seeds=2, epochs=1, trainer="lanes")
    assert set(result.trials["fallback"]) == {
        "the model's adjacency is a sparse tensor, and tensors of lanes are dense"
    }


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support")
def test_a_layout_that_cannot_be_copied_is_one_line(sparse_ring):
    message = r"the model's adjacency has the layout torch\.sparse_csr, .* make it with \.to_sparse_coo\(\)"
    with pytest.raises(WorkloadError, match=message):
        compare(ring(sparse_ring.to_sparse_csr()), "mini:4", seeds=1, epochs=1)
