"""The bundled strategies against closed forms and published numbers, through the real trainer."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import ComparisonError, SpecError, Workload, compare
from optcompare.core.comparison import Budget, Trial
from optcompare.registry.manager import Registry
from optcompare.report.plots.comparison import comparison_figure
from tests.helpers.trials import make_trainer, train
from tests.helpers.workloads import small_workload

STRATEGIES = list(Registry.load().entries("strategies"))
ADAPTING = ["norm-test", "inner-product", "noise-scale", "cabs"]
N, D, MEAN_NORM, THETA = 20_000, 100, 0.5, 0.9


class Weights(nn.Module):
    """Weights of a shape, all at ``start``; what is done with them is the loss's affair."""

    def __init__(self, *shape, start=0.0):
        super().__init__()
        self.w = nn.Parameter(torch.full(shape, start))

    def forward(self, x):
        return self.w.expand_as(x)


def steady(w, x):
    """Losses of 2 whose gradients are the rows of x, wherever w is."""
    return 2 + ((w - w.detach()) * x).sum(1).mean()


def gaussian(n=N, mean_norm=MEAN_NORM, lr=0.1):
    """Per-sample gradients with mean μ, |μ| given, and the covariance I_100 (with n-1), exactly."""
    z = torch.randn(n, D, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z = z - z.mean(0)
    z = torch.linalg.solve_triangular(torch.linalg.cholesky(z.T.cov()), z.T, upper=False).T
    x = z + mean_norm / math.sqrt(D)
    return Workload(model=lambda: Weights(D), train=(x, x.clone()), loss=steady, lr=lr)


def state_after(registry, workload, strategy, seed=0, cut=None, **budget):
    """The strategy's state at a trial's end."""
    ((unit, amount),) = budget.items()
    trainer = make_trainer(
        registry,
        workload,
        [strategy],
        dtype="float64",
        budget=Budget(unit, amount),
        seeds=(seed,),
        measure=0,
        lr=None,
    )
    _, state = train(trainer, Trial(trainer.setup.comparison.arms[0], seed), cut or (lambda: False))
    assert state["progress"]["status"] == "finished", state["progress"]["reason"]
    return state["strategy"]


def test_the_batch_tests_propose_their_closed_forms_on_all_gradients(registry):
    """g ~ N(μ, I_100), |μ| = .5, θ = .9 (SCIENCE.md: 493.8 and 4.94; noise scale 400; CABS 5 at lr .1, L =
    2).

    On the N samples themselves |ḡ|² is |μ|² and no noise is in it, so that |G|²̂ = |μ|² - trΣ/N.
    """
    workload, square = gaussian(), MEAN_NORM**2
    unbiased = square - D / N
    expected = {
        "norm-test": D / (THETA**2 * unbiased),
        "noise-scale": D / unbiased,
        "inner-product": square / (THETA**2 * square**2),
        "cabs": 0.1 * D / 2,
    }
    assert D / (THETA**2 * square) == pytest.approx(493.8, abs=0.05)
    assert expected["norm-test"] == pytest.approx(493.8, rel=0.021)
    assert expected["inner-product"] == pytest.approx(4.94, abs=0.005)
    assert expected["cabs"] == 5
    for strategy, value in expected.items():
        state = state_after(registry, workload, f"{strategy}:{N}", epochs=1)
        assert state["proposed"] == pytest.approx(value, rel=1e-9), strategy


@pytest.mark.slow
def test_the_norm_test_is_not_biased_by_its_own_batch(registry):
    """From batches of 32, where noise is 12 times the signal: with |ḡ|² in its denominator the test would ask
    for trΣ/(θ²(|μ|² + trΣ/B)), and stop at B = (1/θ² - 1)trΣ/|μ|² = 93.8. Here it proposes 504: |G|²̂ of a
    batch of 500 has a standard deviation of 21%, the average of about 20 of them 5%, the mean of five seeds
    2%.
    """
    workload, truth = gaussian(), D / (THETA**2 * (MEAN_NORM**2 - D / N))
    ends = [state_after(registry, workload, "norm-test:32", seed, epochs=3) for seed in range(5)]
    assert np.mean([end["proposed"] for end in ends]) == pytest.approx(truth, rel=0.05)
    sizes = [end["size"] for end in ends]  # of all it proposed, it keeps the largest
    assert min(sizes) >= 0.95 * truth
    assert np.median(sizes) == pytest.approx(truth, rel=0.2)


def test_the_norm_test_asks_for_all_samples_where_there_is_no_signal(registry):
    """Doubling at most: 8, 16, …, N."""
    assert state_after(registry, gaussian(1000, mean_norm=0.0), "norm-test:8", epochs=4)["size"] == 1000


@pytest.mark.slow
def test_the_noise_scale_is_a_ratio_of_means(registry):
    """trΣ/(|μ|² - trΣ/N) = 408.2 over seeds, from batches where a single ratio may have any sign."""
    found = [
        state_after(registry, gaussian(), "noise-scale:64:decay=0.98", seed, epochs=6)["proposed"]
        for seed in range(4)
    ]
    assert np.mean(found) == pytest.approx(D / (MEAN_NORM**2 - D / N), rel=0.08)


@pytest.mark.slow
def test_cabs_follows_the_loss_down_to_small_batches(registry):
    """lr .1, trΣ = 100, L = 2: 5, from 2 on. trΣ̂ of a batch of 5 has a standard deviation of 7%, of 20 of
    them 1.6%.
    """
    state = state_after(registry, gaussian(2000), "cabs:2", epochs=1)
    assert state["proposed"] == pytest.approx(5, rel=0.08)
    assert state["size"] == 5


@pytest.mark.parametrize("strategy", ADAPTING)
def test_short_last_batches_are_trained_on_and_prove_nothing(registry, strategy):
    """33 samples in batches of 32: the last gradient alone would have no variance; another size would change
    nothing.
    """
    once = state_after(registry, gaussian(101), f"{strategy}:100", updates=1)
    both = state_after(registry, gaussian(101), f"{strategy}:100", epochs=1)
    if once["size"] == 100:
        assert both == once
    assert both["proposed"] == once["proposed"]


@pytest.mark.parametrize("strategy", ADAPTING)
def test_a_loss_that_is_not_finite_ends_the_trial_as_diverged(strategy):
    trials = compare(small_workload(40), f"{strategy}:4", lr=1e30, seeds=1, epochs=5).trials
    assert trials["status"].tolist() == ["diverged"], trials["reason"].tolist()


@pytest.mark.slow
def test_grab_shortens_prefixes_epoch_by_epoch(registry):
    """Lu et al. 2022: the largest |Σ_{i≤k} (g_i - mean)|, over n = 10⁴ points of U[0,1]^128: 179, 92, 49, 28
    over epochs 0 to 3 (another seed 171, 89, 47, 28). Gradients of a linear loss are the points, at any
    weights.
    """
    x = torch.rand(10_000, 128, generator=torch.Generator().manual_seed(0))
    workload = Workload(
        model=lambda: Weights(128), train=(x, x.clone()), loss=lambda w, x: (w * x).sum(1).mean(), lr=1e-3
    )
    trainer = make_trainer(registry, workload, ["grab:100"], budget=Budget("epochs", 3), measure=0)
    trial = Trial(trainer.setup.comparison.arms[0], 0)
    orders, state = [trainer.start(0).order(0).indices], None
    for _ in range(3):
        _, state = trainer.advance([trial], state, lambda: True)
        orders.append(state["strategy"]["order"])
    centred = x.double() - x.double().mean(0)
    norms = [centred[order].cumsum(0).norm(dim=1).max().item() for order in orders]
    assert norms == pytest.approx([175, 91, 48, 28], rel=0.05)
    assert state["strategy"]["mean"].shape == (128,)
    torch.testing.assert_close(state["strategy"]["mean"], x.mean(0))
    assert all(torch.equal(order.sort().values, torch.arange(10_000)) for order in orders)


H = torch.tensor([1.0, 0.1, 0.01], dtype=torch.float64)
LR, SAMPLES, REPLICAS = 0.5, 8000, 300


def noisy_quadratic():
    """½Σh w² from w = 1 with gradients h w + ξ, ξ of mean 0 and variance h exactly: REPLICAS of it, side by
    side.
    """
    noise = torch.randn(SAMPLES, REPLICAS, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    noise = (noise - noise.mean(0)) / noise.std(0, correction=0) * H.sqrt()
    return Workload(
        model=lambda: Weights(REPLICAS, 3, start=1.0),
        train=(noise, noise.clone()),
        loss=lambda w, x: (0.5 * H * w**2 + w * x).sum((1, 2)).mean(),
        lr=LR,
    )


def risk(stages, *, replaced):
    """The exact expected ½Σh w² after stages of (lr, B) with SAMPLES each; not ``replaced``: each a
    reshuffled epoch.
    """
    mean, variance = np.ones(3), np.zeros(3)
    h = H.numpy()
    for lr, size in stages:
        updates = SAMPLES // size
        powers = (1 - lr * h)[:, None] ** np.arange(updates)
        squares, square = (powers**2).sum(1), powers.sum(1) ** 2
        if replaced:
            added = h / size * squares
        else:
            pair = -h / (SAMPLES - 1)
            added = h * (SAMPLES - size) / (size * (SAMPLES - 1)) * squares + pair * (square - squares)
        decay = (1 - lr * h) ** updates
        mean, variance = mean * decay, variance * decay**2 + lr**2 * added
    return 0.5 * float((h * (mean**2 + variance)).sum())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("strategy", "stages", "updates", "published"),
    [
        ('replacement:8@sgd:schedule="step:gamma=0.2"', [(LR, 8), (LR / 5, 8), (LR / 25, 8)], 3000, 7.33e-4),
        ("replacement:8", [(LR, 8)] * 3, 3000, 2.26e-2),
        ("growth:8:at=(1,2)", [(LR, 8), (LR, 40), (LR, 200)], 1240, 9.36e-4),
    ],
)
def test_growth_does_what_decay_does_in_fewer_updates(strategy, stages, updates, published):
    """Smith et al. 2018 on a noisy quadratic, h = (1, .1, .01), c = h, lr .5, B = 8, 3×8000 samples.

    The published number is for fresh noise, as with replacement; growth here reshuffles the same samples,
    whose noise cancels in part.
    """
    assert risk(stages, replaced=True) == pytest.approx(published, rel=0.02)
    result = compare(
        noisy_quadratic(), strategy, seeds=1, epochs=3, measure=0, dtype="float64", trainer="loop"
    )
    assert result.trials["updates"].tolist() == [updates]
    w = result.model(result.trials["arm"][0], 0).w.detach()
    found = 0.5 * (H * w**2).sum(1)
    expected = risk(stages, replaced="growth" not in strategy)
    assert found.mean().item() == pytest.approx(expected, abs=4 * found.std().item() / math.sqrt(REPLICAS))
    assert expected == pytest.approx(published, rel=0.5)


@pytest.mark.slow
def test_replacement_has_the_variance_of_independent_draws():
    """Mean estimation from 6 points, η = .3, one epoch of batches of one: η²s²Σa² = .866514, with a_k =
    (1-η)^k; reshuffling has .264518. 720 replicas hold the points in each of their orders, so that a seed
    leaves nothing to chance but which of its draws coincide.
    """
    points = torch.tensor([0.0, 1.0, 3.0, -2.0, 5.0, 0.5], dtype=torch.float64)
    x = torch.stack([points[list(order)] for order in itertools.permutations(range(6))], 1)  # [6, 720]
    workload = Workload(
        model=lambda: Weights(720),
        train=(x, x.clone()),
        loss=lambda w, x: 0.5 * ((w - x) ** 2).sum(1).mean(),
        lr=0.3,
    )
    powers = 0.7 ** np.arange(6)
    expected = 0.09 * np.var(points.numpy()) * (powers**2).sum()
    assert expected == pytest.approx(0.866514, abs=1e-6)
    seeds = 300
    result = compare(
        workload, ["replacement:1"], seeds=seeds, epochs=1, measure=0, dtype="float64", trainer="loop"
    )
    weights = torch.stack([result.model("replacement:1", seed).w.detach() for seed in range(seeds)])
    variances = weights.var(1, correction=0)
    assert variances.mean().item() == pytest.approx(
        expected, abs=4 * variances.std().item() / math.sqrt(seeds)
    )
    assert weights.mean().item() == pytest.approx(points.mean().item() * 0.3 * powers.sum(), rel=1e-12)


def plans(registry, strategy, epochs, n=10):
    trainer = make_trainer(registry, small_workload(n), [strategy])
    run = trainer.run(Trial(trainer.setup.comparison.arms[0], 0), None)
    return trainer.start(0), [run.planner.draw(epoch) for epoch in range(epochs)]


def test_once_keeps_the_first_order(registry):
    start, made = plans(registry, "once:3", 3)
    assert all(torch.equal(plan.flat, start.order(0).indices) for plan in made)
    assert made[0].sizes == [3, 3, 3, 1]
    assert [plan.in_order for plan in made] == [True, False, False]


def test_sequential_takes_the_samples_as_they_lie(registry):
    _, made = plans(registry, "sequential:4", 2)
    assert [plan.flat.tolist() for plan in made] == [list(range(10))] * 2


def test_replacement_draws_n_samples_anew_each_epoch(registry):
    _, made = plans(registry, "replacement:4", 50, n=100)
    assert [plan.sizes for plan in made] == [[4] * 25] * 50
    missed = [100 - len(plan.flat.unique()) for plan in made]
    assert np.mean(missed) == pytest.approx(100 * 0.99**100, abs=2)  # 36.6
    assert not torch.equal(made[0].flat, made[1].flat)


def test_growth_multiplies_at_its_epochs_up_to_all_samples(registry):
    start, made = plans(registry, "growth:2:factor=1.5:at=(1,1,3,4,5,6)", 8)
    assert [plan.sizes[0] for plan in made] == [2, 4, 4, 7, 10, 10, 10, 10]  # 2, 4.5, 6.75, then more than 10
    assert all(torch.equal(plan.flat, start.order(epoch).indices) for epoch, plan in enumerate(made))


# what every registered strategy is held to, whatever joins the table


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("n", [3, 17])
def test_every_strategy_ends_in_the_same_bits_wherever_it_is_cut(registry, strategy, n):
    """Batches of 4: short last ones, and fewer samples than a batch.

    Cut after each update, or epoch where it adapts; the state goes through a copy, as to another process.
    """
    workload = small_workload(n, batch_size=4)
    trainer = make_trainer(registry, workload, [strategy], budget=Budget("epochs", 4), seeds=(0, 1))
    for seed in (0, 1):
        trial = Trial(trainer.setup.comparison.arms[0], seed)
        records, whole = train(trainer, trial)
        again, cut = train(trainer, trial, until=lambda: True)
        assert whole["progress"]["status"] == "finished", whole["progress"]["reason"]
        assert whole["progress"]["samples"] == 4 * n
        for name in ("final_sha256", "batches", "orders", "samples", "updates", "checked", "rearranged"):
            assert cut["progress"][name] == whole["progress"][name], name
        assert [row["train_loss"] for row in again] == [row["train_loss"] for row in records]
        assert str(cut["strategy"]) == str(whole["strategy"])


@pytest.mark.slow
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_every_strategy_says_whether_it_leaves_the_shared_order(strategy):
    result = compare(small_workload(17, batch_size=4), strategy, seeds=2, epochs=3)
    own = strategy in ("replacement", "once", "sequential", "grab")
    assert result.trials["rearranged"].tolist() == [own] * 2
    label = result.trials["arm"][0]
    detail = next(check.detail for check in result.certificate if check.name == "identical sample order")
    assert (f"offered to all, and rearranged by {label}" in detail) == own
    coverage = next(
        check.detail for check in result.certificate if check.name == "every sample once an epoch"
    )
    assert (f"but for {label}" in coverage) == (strategy == "replacement")
    texts = [text.get_text() for text in comparison_figure(result.records, result.trials).texts]
    assert (f"{label}*" if own else label) in texts
    assert any("* own order of samples" in text for text in texts) == own


@pytest.mark.parametrize(
    "text",
    [
        "norm-test:1",
        "cabs:0",
        "noise-scale:8:decay=1",
        "norm-test:8:theta=0",
        "growth:0",
        "inner-product:8:theta=-1",
        "growth:8:factor=0.5",
        "growth:8:at=(-1,2)",
        "once:0",
        "replacement:0",
        "sequential:-3",
        "grab:0",
    ],
)
def test_parameters_that_make_no_sense_are_one_clear_line(text):
    with pytest.raises(SpecError, match=f"strategy {text.partition(':')[0]}: .*(must|lists).*got") as caught:
        compare("line", text, seeds=1, epochs=1)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("optimizer", ["adam", "sgd:momentum=0.9", torch.optim.RMSprop])
def test_cabs_is_refused_with_anything_but_plain_sgd(optimizer):
    with pytest.raises(ComparisonError, match=r"cabs:2 is correct for plain sgd only, not for .*cabs:2@sgd"):
        compare("line", ["full", "cabs"], [optimizer], seeds=1, epochs=1)
    assert len(compare("line", ["full", "cabs@sgd:lr=0.001"], [optimizer], seeds=1, epochs=1).trials) == 2
