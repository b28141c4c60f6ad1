"""The series of Mackey and Glass: its numbers, its windows, its split in time, and the networks."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from optcompare_plugins.workloads.mackey_glass import mackey_glass, mackey_glass_series, windows

from optcompare import WorkloadError, compare
from optcompare.planning.factories import make_workload

SMALL = {"length": 400, "context": 8, "hidden": 4}


class Constant:
    """In place of a generator: a history of ones, and no noise."""

    def uniform(self, low, high, size):
        return np.ones(size)


def test_one_is_a_fixed_point():
    """0.2 / (1 + 1) - 0.1 = 0."""
    assert mackey_glass_series(50, 17, Constant()).tolist() == [1.0] * 50


def test_the_series_obeys_its_equation():
    """Over a unit of time, the change is the integral of the right-hand side, here by Simpson's rule."""
    fine = mackey_glass_series(60, 17, np.random.RandomState(0))
    drive = 0.2 * fine[:43] / (1 + fine[:43] ** 10) - 0.1 * fine[17:]
    change = (drive[:-2] + 4 * drive[1:-1] + drive[2:]) / 3  # over two units of time
    assert np.abs(fine[19:] - fine[17:-2] - change).max() < 2e-3


def test_the_series_has_the_range_of_the_attractor():
    series = mackey_glass_series(2000, 17, np.random.RandomState(1))
    assert len(series) == 2000
    assert 0.3 < series.min() < 0.5
    assert 1.2 < series.max() < 1.4
    assert series.std() == pytest.approx(0.23, abs=0.02)


def test_windows_end_horizon_steps_before_their_target():
    x, y = windows(np.arange(7.0), 3, 2)
    assert x.tolist() == [[0, 1, 2], [1, 2, 3], [2, 3, 4]]
    assert y.tolist() == [[4], [5], [6]]
    assert [len(part) for part in windows(np.arange(3.0), 3, 2)] == [0, 0]


def test_sets_follow_each_other_in_time_and_no_window_crosses_a_border():
    workload = mackey_glass(**SMALL, horizon=3, valid=0.25, test=0.25)
    series = torch.from_numpy(mackey_glass_series(400, 17, np.random.RandomState([0, 0]))).float()
    mean, deviation = series[:200].mean(), series[:200].std(correction=0)
    for (x, y), (begin, end) in zip(workload.sets.values(), ((0, 200), (200, 300), (300, 400)), strict=True):
        assert len(x) == end - begin - 8 - 3 + 1
        torch.testing.assert_close(x[0] * deviation + mean, series[begin : begin + 8], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(y[-1] * deviation + mean, series[end - 1 : end], rtol=1e-4, atol=1e-5)


def test_a_note_states_the_loss_of_the_naive_forecast():
    workload = mackey_glass(**SMALL)
    x, y = workload.valid
    assert f"a valid_loss of {float((x[:, -1:] - y).square().mean()):.3g}" in workload.notes[0]


@pytest.mark.parametrize(("cell", "gates"), [("gru", 3), ("lstm", 4), ("rnn", 1)])
def test_networks_begin_near_the_naive_forecast(registry, cell, gates):
    workload, _ = make_workload(registry, f"mackey-glass:{cell}:length=400:context=8:hidden=4")
    network = workload.model()
    assert sum(weight.numel() for weight in network.parameters()) == gates * (4 + 16 + 8) + 5
    with torch.no_grad():
        network.change.weight.zero_(), network.change.bias.zero_()
        assert torch.equal(network(workload.train[0]), workload.train[0][:, -1:])


def test_another_split_is_another_series():
    workload = mackey_glass(**SMALL)
    other = workload.on_split(1)
    assert not torch.allclose(other.train[0][0], workload.train[0][0], atol=0.01)


@pytest.mark.slow
def test_it_forecasts_better_than_the_naive_forecast():
    workload = mackey_glass(length=600, context=16, hidden=8)
    x, y = workload.test
    result = compare(workload, "mini:16", "adam:lr=0.01", seeds=1, epochs=10)
    assert result.records["test_loss"].iloc[-1] < 0.3 * float((x[:, -1:] - y).square().mean())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cell": "cnn"}, "cell is one of gru, lstm, rnn; got cnn"),
        ({"context": 0}, "context must be at least 1, got 0"),
        ({"horizon": 0}, "horizon must be at least 1, got 0"),
        ({"tau": 0}, "tau must be at least 1, got 0"),
        ({"length": 0}, "length must be at least 1, got 0"),
        ({"length": 10**12}, "length must be at most 1,000,000, got 1,000,000,000,000"),
        ({"noise": -0.1}, "noise is a deviation, 0 or more (the series has 0.2); got -0.1"),
        ({"noise": float("nan")}, "noise is a deviation"),
        ({"valid": 0.0}, "valid and test are shares of the series, from 0 to 1, and valid is not 0"),
        ({"seed": 2**32}, "seed is a number from 0 to 2**32 - 1; got 4294967296"),
        ({"length": 100}, "20 values for valid are shorter than a window of context=20 and horizon=6; give"),
        ({"length": 100, "valid": 0.9, "test": 0.1}, "0 values for train are shorter than a window"),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(WorkloadError, match=f"^workload mackey-glass: {re.escape(message)}"):
        mackey_glass(**options)
