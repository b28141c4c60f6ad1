"""The global generators are the same after a context as before it, whatever was drawn within."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from optcompare.core.rng import preserved_rng


def draws() -> list[float]:
    """Draw from each global generator; the normal numbers of NumPy come in pairs, and the second is kept."""
    uniform = np.random.random_sample()
    return [torch.rand(1).item(), random.random(), np.random.standard_normal(), uniform]


@pytest.fixture(autouse=True)
def seeded():
    with preserved_rng():
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        yield


@pytest.mark.parametrize("drawn_before", [0, 1, 2])
@pytest.mark.parametrize(
    "draw",
    [
        pytest.param(lambda: None, id="nothing"),
        pytest.param(draws, id="each generator"),
        pytest.param(np.random.standard_normal, id="a normal number"),
        pytest.param(lambda: np.random.standard_normal(2), id="two normal numbers"),
        pytest.param(lambda: np.random.seed(1), id="a seed"),
        pytest.param(random.random, id="Python's"),
        pytest.param(lambda: torch.rand(1), id="torch's"),
    ],
)
def test_every_generator_goes_on_as_if_nothing_had_been_drawn(draw, drawn_before):
    np.random.standard_normal(drawn_before)
    state = np.random.get_state(legacy=False)
    with preserved_rng():
        expected = draws()
        expected += draws()
    with preserved_rng():
        draw()
    now = np.random.get_state(legacy=False)
    assert now["has_gauss"] == state["has_gauss"]
    assert draws() + draws() == expected


def test_another_bit_generator_is_restored_too():
    usual = np.random.get_bit_generator()
    np.random.set_bit_generator(np.random.PCG64(3))
    try:
        with preserved_rng():
            first = np.random.random_sample(3).tolist()
        assert np.random.random_sample(3).tolist() == first
    finally:
        np.random.set_bit_generator(usual)
