"""The real trainer against dynamics that are known exactly."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import Workload, compare
from optcompare.training.device import torch_settings

ORDERS = list(itertools.permutations(range(6)))
POINTS = [0.0, 1.0, 3.0, -2.0, 5.0, 0.5]


def final_weights(optimizer: str, updates: int) -> np.ndarray:
    result = compare("quadratic:h=(1,0.1)", "full", optimizer, seeds=1, updates=updates, dtype="float64")
    return result.model(result.trials["arm"][0], 0).w.detach().numpy()


def test_gradient_descent_on_a_quadratic_is_a_power_of_one_minus_lr_times_curvature():
    """w_T = (1 - ηh)^T w_0 with h = (1, .1), η = 1.5, T = 20."""
    expected = [(1 - 1.5) ** 20, (1 - 0.15) ** 20]
    assert expected == pytest.approx([9.5367431640625e-07, 0.0387595310845])
    assert final_weights("sgd:lr=1.5", 20) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("optimizer", "expected"),
    [
        ("sgd:lr=0.5:momentum=0.9", (-0.30407951, -0.12113053)),
        ("sgd:lr=0.5:momentum=0.9:nesterov=true", (-3.488603e-4, -0.06907102)),
    ],
)
def test_momentum_follows_its_linear_recurrence(optimizer, expected):
    """Heavy ball and Nesterov's variant as torch.optim.SGD defines them: h = (1, .1), η = .5, β = .9, T
    = 20.
    """
    h, eta, beta = np.array([1.0, 0.1]), 0.5, 0.9
    w, v = np.ones(2), np.zeros(2)
    for _ in range(20):
        v = beta * v + h * w
        w = w - eta * (h * w + beta * v if "nesterov" in optimizer else v)
    found = final_weights(optimizer, 20)
    assert found == pytest.approx(w, rel=1e-9)
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_heavy_ball_is_stable_up_to_its_known_limit():
    """Stable for ηh < 2(1 + β) = 3.8 at β = .9: 3.79 shrinks, 3.81 grows."""
    assert abs(final_weights("sgd:lr=3.79:momentum=0.9", 400)[0]) < 1e-3
    assert abs(final_weights("sgd:lr=3.81:momentum=0.9", 400)[0]) > 1e3


def test_first_step_of_adam_is_the_sign_of_the_gradient():
    """-lr·sign(g) with eps = 0, whatever the size of g = h·w = (1, .1)."""
    assert final_weights("adam:lr=0.25:eps=0", 1) == pytest.approx([0.75, 0.75], abs=1e-15)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2, 3])
def test_random_reshuffling_has_its_exact_variance_over_all_orders(batch_size):
    """Mean estimation, one epoch, all 720 orders: η²[vΣa² + c((Σa)² - Σa²)], a_k = (1-η)^k, v =
    s²(N-B)/(B(N-1)), c = -s²/(N-1). Sampling with replacement would give a larger variance (.8665 at B = 1).
    """
    eta, n, batches = 0.3, 6, 6 // batch_size
    a = (1 - eta) ** np.arange(batches)
    s2 = np.var(POINTS)
    v, c = s2 * (n - batch_size) / (batch_size * (n - 1)), -s2 / (n - 1)
    expected = eta**2 * (v * (a**2).sum() + c * (a.sum() ** 2 - (a**2).sum()))
    if batch_size == 1:
        assert expected == pytest.approx(0.264517991805)
    x = torch.tensor(POINTS, dtype=torch.float64).reshape(6, 1)
    workload = Workload(
        model=Mean,
        train=(x, x),
        loss=lambda output, y: 0.5 * ((output - y) ** 2).mean(),
        lr=eta,
        batch_size=batch_size,
    )
    result = compare(
        workload,
        "mini",
        seeds=720,
        epochs=1,
        measure=0,
        dtype="float64",
        order=lambda seed, epoch, n: ORDERS[seed],
    )
    weights = [result.model(f"mini:{batch_size}", seed).w.item() for seed in range(720)]
    assert np.var(weights) == pytest.approx(expected, rel=1e-12)


class Mean(nn.Module):
    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return self.w.expand_as(x)


@pytest.mark.parametrize(("strategy", "size"), [("full", 10), ("mini:4", 4), ("single", 1)])
@pytest.mark.parametrize("optimizer", ["sgd:momentum=0.9:lr=0.05", "adam:lr=0.01"])
def test_the_trainer_equals_a_loop_written_by_hand_bit_for_bit(strategy, size, optimizer):
    """Same seed, the result's own order: the plain PyTorch loop ends in the same bits."""
    generator = torch.Generator().manual_seed(5)
    x, y = torch.randn(10, 7, generator=generator), torch.randint(3, (10,), generator=generator)

    def model():
        return nn.Sequential(nn.Linear(7, 33), nn.Tanh(), nn.Linear(33, 3))

    orders = [np.random.default_rng(epoch).permutation(10) for epoch in range(4)]
    workload = Workload(model=model, train=(x, y), loss=nn.functional.cross_entropy)
    result = compare(
        workload, strategy, optimizer, seeds=[3], epochs=4, order=lambda seed, epoch, n: orders[epoch]
    )
    torch.manual_seed(3)
    by_hand = model()
    make = (
        torch.optim.Adam
        if "adam" in optimizer
        else lambda weights, lr: torch.optim.SGD(weights, lr, momentum=0.9)
    )
    steps = make(by_hand.parameters(), lr=0.01 if "adam" in optimizer else 0.05)
    with torch_settings(threads=1):  # another thread count gives other bits
        for batch in [batch for order in orders for batch in torch.from_numpy(order).split(size)]:
            steps.zero_grad()
            nn.functional.cross_entropy(by_hand(x[batch]), y[batch]).backward()
            steps.step()
    for ours, theirs in zip(result.model(strategy, 3).parameters(), by_hand.parameters(), strict=True):
        assert torch.equal(ours, theirs)
