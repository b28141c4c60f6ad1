"""Sparse gradients, such as those of embeddings: clipped, diagnosed and asked for as their dense form would
be.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import compare, workload_from
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
@pytest.mark.filterwarnings("ignore:There is a performance drop", "ignore:Sparse invariant checks")
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


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("strategy", ["norm-test:8", "noise-scale:8", "grab:8"])
def test_strategies_that_ask_for_gradients_get_them(strategy):
    assert compare(words(True), strategy, seeds=1, epochs=1).trials["status"].tolist() == ["finished"]
