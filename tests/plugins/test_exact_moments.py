"""The expected risk of noisy quadratics against numbers that were computed otherwise."""

from __future__ import annotations

import numpy as np
import pytest
from optcompare_plugins.reproductions.exact_moments import (
    HeavyBall,
    Phase,
    Quadratic,
    least_updates,
    risk_of_phases,
)

from tests.helpers.exact_risk import exact_risk

H = np.array([1.0, 0.1, 0.01])


@pytest.mark.parametrize(
    ("phases", "risk"),
    [
        ([Phase(0.5, 8, 1000), Phase(0.1, 8, 1000), Phase(0.02, 8, 1000)], 7.33e-4),
        ([Phase(0.5, 8, 1000), Phase(0.5, 40, 200), Phase(0.5, 200, 40)], 9.36e-4),
        ([Phase(0.5, 8, 1000)] * 3, 2.26e-2),
    ],
)
def test_decay_growth_and_neither_end_where_the_note_computed(phases, risk):
    """SCIENCE, growth instead of decay."""
    assert risk_of_phases(H, H, phases) == pytest.approx(risk, rel=2e-3)


def test_an_epoch_without_replacement_has_the_risk_of_its_recursion():
    """Two epochs of 24 samples in batches of 4, against the recursion update by update."""
    risk = exact_risk(H, 2 * H, 0.3, 4, 24, 12)[-1]
    assert risk_of_phases(H, 2 * H, [Phase(0.3, 4, 6)] * 2, n=24) == pytest.approx(risk, rel=1e-12)


def test_the_steady_risk_is_that_of_the_paper():
    """SCIENCE, noisy quadratic model: h = c = 0.5, B = 4, rate 0.2, without momentum and with 0.9."""
    quadratic = Quadratic.of(np.array([0.5]))
    assert quadratic.steady_risk(0.2, 0.0, 4) == pytest.approx(0.00657895, abs=5e-9)
    assert quadratic.steady_risk(0.2, 0.9, 4) == pytest.approx(0.06418919, abs=5e-9)
    assert HeavyBall(quadratic, 0.2, 0.9, 4).risk(10_000) == pytest.approx(0.06418919, abs=5e-9)


def test_heavy_ball_diverges_from_twice_one_plus_beta_on():
    """SCIENCE, exact dynamics: stable for αh < 2(1+β), which is 3.8 for β = 0.9."""
    quadratic = Quadratic.of(np.array([1.0]))
    assert np.isfinite(quadratic.steady_risk(3.79, 0.9, 1))
    assert quadratic.steady_risk(3.81, 0.9, 1) == np.inf


@pytest.mark.parametrize("updates", [0, 1, 2, 7, 40])
def test_the_moments_of_heavy_ball_follow_update_by_update(updates):
    """M' = A M Aᵀ + (c/B) b bᵀ with A = [[1-αh, -αβ], [h, β]] and b = (-α, 1)."""
    rate, beta, batch, risk = 0.3, 0.9, 4, 0.0
    for h in H:
        moments = np.array([[1.0, 0.0], [0.0, 0.0]])
        step, noise = np.array([[1 - rate * h, -rate * beta], [h, beta]]), np.array([-rate, 1.0])
        for _ in range(updates):
            moments = step @ moments @ step.T + h / batch * np.outer(noise, noise)
        risk += 0.5 * h * moments[0, 0]
    assert HeavyBall(Quadratic.of(H), rate, beta, batch).risk(updates) == pytest.approx(risk, rel=1e-12)


def test_the_updates_to_a_goal_are_the_first_at_which_the_risk_is_reached():
    ball = HeavyBall(Quadratic.of(H), 0.2, 0.0, 64)
    risks = [ball.risk(updates) for updates in range(1000)]
    first = next(updates for updates, risk in enumerate(risks) if risk <= 0.01)
    assert ball.updates_to(0.01) == first
    assert ball.updates_to(1e-9) == np.inf


def test_a_wholly_preconditioned_quadratic_is_round():
    """h^-1 makes all curvatures 1, so that the rate 1 removes the start in one update; its noise is c/h²."""
    round_ = Quadratic(H, 0 * H, H).preconditioned(1.0)
    assert HeavyBall(round_, 1.0, 0.0, 1).risk(1) == pytest.approx(0.0, abs=1e-30)
    assert Quadratic.of(H).preconditioned(1.0).c == pytest.approx(1 / H)


def test_the_fewest_updates_are_those_of_the_best_of_many_rates():
    quadratic, rates = Quadratic.of(H), np.geomspace(0.01, 1.9, 400)
    best = min(HeavyBall(quadratic, float(rate), 0.0, 256).updates_to(0.01) for rate in rates)
    assert least_updates(quadratic, 0.0, 256, 0.01) == pytest.approx(best, rel=0.01)


def test_without_noise_the_best_rate_removes_a_round_quadratic_in_one_update():
    assert least_updates(Quadratic(np.ones(2), np.zeros(2), np.ones(2)), 0.0, 1, 0.01) == 1
