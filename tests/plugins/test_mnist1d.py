"""MNIST-1D: the published numbers, samples of its own for validation, and the four networks."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from optcompare_plugins.workloads.mnist1d import mnist1d
from optcompare_plugins.workloads.mnist1d_data import generate, published

from optcompare import WorkloadError, compare
from optcompare.planning.factories import make_workload

SIGNALS = "84d961d5accf2cc30aa504b797bbe1ee38911771bd3dd6f6ada4fa8be524ad68"
DIGITS = "6feec4a017698c7fe237c8854cbd2e338c6dd5c16240f6fa79daefaaa129e169"
"""SHA-256 of all 5,000 signals in millionths, and of their digits, as the package mnist1d 0.0.2.post1 makes
them with seed 42; tests/extras/test_mnist1d_package.py compares every bit where it is installed.
"""
WEIGHTS = {"linear": 410, "mlp": 15_210, "cnn": 5_210, "gru": 5_134}
"""As the notebook of the data set's authors prints them."""


def sha256(values: np.ndarray) -> str:
    return hashlib.sha256(values.astype("<i8").tobytes()).hexdigest()


def test_signals_and_digits_are_the_published_ones():
    data = published()
    assert sha256(np.rint(data.x * 1e6)) == SIGNALS
    assert sha256(data.y) == DIGITS
    assert data.x[0, :3] == pytest.approx([-0.33200567, -0.47191037, -0.77869708], abs=1e-8)
    assert np.bincount(data.y).tolist() == [500] * 10


def test_of_the_published_samples_the_first_are_trained_on_and_the_last_are_the_test_set():
    workload, data = mnist1d(), published()
    assert torch.equal(workload.train[0], torch.from_numpy(data.x[:4000]).float())
    assert torch.equal(workload.test[0], torch.from_numpy(data.x[4000:]).float())
    assert torch.equal(torch.cat([workload.train[1], workload.test[1]]), torch.from_numpy(data.y))


def test_validation_samples_are_others_in_the_same_units():
    workload = mnist1d()
    x, y = workload.valid
    assert y.bincount().tolist() == [100] * 10
    known = torch.cat([workload.train[0], workload.test[0]])
    assert torch.cdist(x, known).min() > 0.01
    drawn, _ = generate(np.random.RandomState([42, 1]), 1000)
    data = published()
    assert torch.equal(x, torch.from_numpy((drawn - data.mean) / data.deviation).float())
    assert float(x.std()) == pytest.approx(1, abs=0.02)


def test_noise_is_all_that_a_signal_without_a_digit_holds(monkeypatch):
    """A slope of at most 3/8 from end to end, smooth noise of deviation 1/4 before smoothing, and 1/50."""
    from optcompare_plugins.workloads import mnist1d_data

    monkeypatch.setattr(mnist1d_data, "_templates", lambda: np.full((10, 12), -mnist1d_data._NOT_ZERO))
    x, _ = generate(np.random.RandomState(0), 500)
    assert abs(x.mean()) < 0.01
    assert x.std() == pytest.approx(
        (0.75**2 / 12 / 12 + 0.25**2 / (4 * np.pi**0.5) + 0.02**2) ** 0.5, rel=0.1
    )


@pytest.mark.parametrize("model", WEIGHTS)
def test_networks_have_the_weights_of_the_published_ones(model):
    workload = mnist1d(model)
    network = workload.model()
    assert sum(weight.numel() for weight in network.parameters()) == WEIGHTS[model]
    assert network(workload.train[0][:3]).shape == (3, 10)


def test_another_split_is_generated_from_another_seed():
    one, other = mnist1d("linear").on_split(3), mnist1d("linear", seed=45)
    for name, (x, y) in one.sets.items():
        assert torch.equal(x, other.sets[name][0])
        assert torch.equal(y, other.sets[name][1])
    assert not torch.equal(one.train[0], mnist1d("linear").train[0])


@pytest.mark.slow
@pytest.mark.parametrize(("model", "least"), [("linear", 0.25), ("mlp", 0.5), ("cnn", 0.8), ("gru", 0.4)])
def test_networks_learn_as_far_as_their_kind_does_in_ten_epochs(model, least):
    result = compare(f"mnist1d:{model}", "mini:100", "adam", seeds=1, epochs=10)
    assert result.records["valid_accuracy"].iloc[-1] > least


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "rnn"}, "model is one of linear, mlp, cnn, gru; got rnn"),
        ({"seed": -1}, r"seed is a number from 0 to 2\*\*32 - 1; got -1"),
        ({"seed": 2**32}, r"seed is a number from 0 to 2\*\*32 - 1; got 4294967296"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(WorkloadError, match=f"^workload mnist1d: {message}$"):
        mnist1d(**options)


def test_a_network_is_chosen_by_place_or_by_name(registry):
    for text in ("mnist1d:cnn", "mnist1d:model=cnn:seed=42"):
        workload, _ = make_workload(registry, text)
        assert workload.batch_size == 100
        assert sum(weight.numel() for weight in workload.model().parameters()) == WEIGHTS["cnn"]
