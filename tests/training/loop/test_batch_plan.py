"""What strategies may yield, and what the engine says to the rest."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
import torch

from optcompare import OptcompareError, Strategy, StrategyError, compare
from optcompare.core.comparison import Budget, Trial
from tests.helpers.strategies import Listener
from tests.helpers.trials import make_trainer, train
from tests.helpers.workloads import small_workload


def strategy(batches, **flags):
    return type("Odd", (Strategy,), {"batches": lambda self, epoch: batches(epoch), **flags})()


LONG = torch.int64
BAD = {
    "an empty batch": (lambda e: [e.order[:5], e.order[:0], e.order[5:]], "batch 1: the batch is empty"),
    "an index out of range": (
        lambda e: [e.order[:5], e.order[5:] + 10],
        r"batch 1: index 1\d is out of range; there are 10",
    ),
    "a negative index": (lambda e: [e.order - 1], "batch 0: index -1 is out of range"),
    "a float index": (lambda e: [e.order.float()], "batch 0: got torch.float32 of shape"),
    "a mask": (lambda e: [e.order[:9], e.order < 5], "batch 1: got torch.bool of shape"),
    "an array of fractions": (
        lambda e: [e.order.numpy() / 2],
        r"batch 0: got a NumPy array of float64 and shape \[10\]",
    ),
    "an array of two dimensions": (
        lambda e: [e.order.reshape(2, 5).numpy()],
        r"got torch.int64 of shape \[2, 5\]",
    ),
    "an empty list": (lambda e: [e.order[:5], []], "batch 1: the batch is empty"),
    "empty lists for ever": (lambda e: iter(list, None), "batch 0: the batch is empty"),
    "a matrix": (lambda e: [e.order.reshape(2, 5)], r"batch 0: got torch.int64 of shape \[2, 5\]"),
    "a list of lists": (lambda e: [[e.order.tolist()]], "batch 0: got a list with a list in it"),
    "a list of fractions": (lambda e: [(0, 1.5)], "batch 0: got a tuple with a float in it"),
    "a single number": (lambda e: [e.order[0]], r"batch 0: got torch.int64 of shape \[\]"),
    "a repeated index": (lambda e: [e.order[:9], e.order[:1]], r"batch 1: index \d is repeated"),
    "a missing index": (
        lambda e: [e.order.sort().values[:7]],
        "3 of 10 samples were left out, index 7 first",
    ),
    "no batch at all": (lambda e: [], "it yielded no batch"),
    "no end": (lambda e: iter(lambda: e.order[:9], None), r"batch 1: index \d is repeated"),
}


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("case", BAD)
def test_a_batch_that_breaks_the_rules_is_named_with_epoch_and_batch(case, adaptive):
    batches, message = BAD[case]

    def generate(epoch):
        for batch in batches(epoch):  # noqa: UP028 - a list cannot be told how an update went
            yield batch

    with pytest.raises(OptcompareError, match=f"strategy odd, epoch 0.*{message}"):
        compare(small_workload(), [strategy(generate, adaptive=adaptive)], seeds=1, epochs=2)


@pytest.mark.slow
@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize(
    "form",
    [
        torch.Tensor.tolist,
        torch.Tensor.numpy,
        torch.Tensor.int,
        lambda batch: [*batch.numpy()],
        lambda batch: tuple(batch),
        lambda batch: batch.numpy().astype("uint16"),
    ],
    ids=["list", "array", "int32", "list of NumPy integers", "tuple of tensors", "uint16"],
)
def test_indices_may_come_in_any_form_of_whole_numbers(form, adaptive):
    def formed(epoch):
        for batch in epoch.order.split(3):
            yield form(batch)

    settings = {"seeds": 2, "epochs": 2, "trainer": "loop"}
    result = compare(small_workload(), [strategy(formed, adaptive=adaptive)], **settings)
    as_mini = compare(small_workload(), "mini:3", **settings)
    names = ["final_sha256", "batches_sha256"]
    assert result.trials[names].to_numpy().tolist() == as_mini.trials[names].to_numpy().tolist()


def test_a_list_that_is_filled_again_after_each_yield_is_taken_as_it_was():
    def reuses(epoch):
        batch = []
        for index in epoch.order:
            batch.append(index)
            if len(batch) == 5:
                yield batch
                batch.clear()

    result = compare(small_workload(), [strategy(reuses)], seeds=1, epochs=1)
    assert result.trials["updates"].tolist() == [2]


@pytest.mark.parametrize(("returned", "kind"), [(None, "None"), (3, "a int")])
def test_batches_that_returns_no_batches_is_told_to_yield(returned, kind):
    with pytest.raises(
        StrategyError, match=f"must yield batches, or return a list of them; it returned {kind}$"
    ):
        compare(small_workload(), [strategy(lambda epoch: returned)], seeds=1, epochs=1)


@pytest.mark.parametrize("adaptive", [False, True])
def test_free_coverage_may_repeat_and_its_epoch_ends_after_n_samples(adaptive):
    """N = 10 in batches of 4 drawn for ever: 4, 4, 2."""

    def draw(epoch):
        while True:
            yield torch.randint(10, (4,), generator=epoch.rng)

    result = compare(
        small_workload(), [strategy(draw, coverage="free", adaptive=adaptive)], seeds=2, epochs=3
    )
    assert result.trials["updates"].tolist() == [9, 9]
    assert result.trials["samples"].tolist() == [30, 30]
    assert result.trials["batches_sha256"].nunique() == 2
    assert "but for odd" in next(
        c.detail for c in result.certificate if c.name == "every sample once an epoch"
    )


def test_free_coverage_that_ends_early_is_an_error():
    with pytest.raises(StrategyError, match="it yielded 4 of the 10 samples"):
        compare(small_workload(), [strategy(lambda e: [e.order[:4]], coverage="free")], seeds=1, epochs=1)


def test_an_epochs_rng_depends_on_seed_epoch_and_strategy_alone():
    draws = []

    def draw(epoch):
        draws.append((epoch.index, torch.rand((), generator=epoch.rng).item()))
        yield epoch.order

    compare(small_workload(), [strategy(draw), "single"], seeds=2, epochs=3)
    of_seeds = {}
    for index, value in draws:
        of_seeds.setdefault(index, set()).add(value)
    assert [len(of_seeds[index]) for index in range(3)] == [2, 2, 2], "one draw a seed, rehearsed or not"
    assert len(set().union(*of_seeds.values())) == 6


@dataclass
class Growing(Strategy):
    """Doubles its batch each epoch: state that every trial has for itself."""

    batch_size: int = 1
    grown: int = field(init=False, default=1)
    history: list = field(init=False, default_factory=list)

    def batches(self, epoch):
        self.history.append(epoch.index)
        yield from epoch.order.split(self.batch_size * self.grown)
        self.grown *= 2


def test_state_is_each_trials_own_and_survives_a_cut_anywhere(registry):
    result = compare(small_workload(8), [Growing(1)], seeds=3, epochs=4)
    assert result.trials["updates"].tolist() == [8 + 4 + 2 + 1] * 3
    trainer = make_trainer(registry, small_workload(8), [Growing(1)], budget=Budget("epochs", 4))
    trial = Trial(trainer.setup.comparison.arms[0], 0)
    _, whole = train(trainer, trial)
    _, cut = train(trainer, trial, until=lambda: True)
    assert cut["strategy"] == whole["strategy"] == {"grown": 16, "history": [0, 1, 2, 3]}
    assert cut["progress"]["batches"] == whole["progress"]["batches"]


@pytest.mark.parametrize("chunk", [3, 16])
def test_an_adaptive_strategy_is_told_the_gradients_of_linear_regression(registry, chunk):
    """l_i = (w·x_i + b - y_i)², so g_i = 2r_i(x_i, 1) at the weights before the update; the mean over the
    batch is ḡ.
    """
    workload = small_workload(10)
    trainer = make_trainer(
        registry, workload, [Listener()], dtype="float64", chunk=chunk, budget=Budget("epochs", 2)
    )
    trial = Trial(trainer.setup.comparison.arms[0], 0)
    start = trainer.start(0)
    _, state = train(trainer, trial)
    told = state["strategy"]["told"]
    assert [stats["batch_size"] for stats in told] == [4, 4, 2] * 2
    x, y = (part.double() for part in workload.train)
    model = start.model().double()
    w = torch.cat([model.weight.detach().reshape(-1), model.bias.detach()])
    ones = torch.cat([x, torch.ones(10, 1)], dim=1)
    batches = [batch for epoch in range(2) for batch in start.order(epoch).indices.split(4)]
    for stats, batch in zip(told, batches, strict=True):
        residual = ones[batch] @ w - y[batch].reshape(-1)
        gradients = 2 * residual[:, None] * ones[batch]
        mean = gradients.mean(0)
        assert stats["loss"] == pytest.approx(residual.square().mean().item())
        assert stats["lr"] == 0.05
        assert stats["grad_norm"] == pytest.approx(mean.norm().item())
        torch.testing.assert_close(stats["grad"], mean)
        torch.testing.assert_close(stats["sample_grads"], gradients)
        torch.testing.assert_close(stats["sample_grad_norms"], gradients.norm(dim=1))
        torch.testing.assert_close(stats["sample_grad_dots"], gradients @ mean)
        w = w - 0.05 * mean


def test_an_adaptive_strategy_with_fixed_batches_trains_like_mini_bit_for_bit():
    quiet = type("Quiet", (Listener,), {"needs": ()})
    trials = compare(small_workload(), [quiet(4), "mini:4"], seeds=2, epochs=3).trials
    assert (trials.groupby("seed")["final_sha256"].nunique() == 1).all()
    assert (trials.groupby("seed")["batches_sha256"].nunique() == 1).all()


def test_what_nobody_asked_for_is_not_computed(registry):
    silent = type("Silent", (Listener,), {"needs": ("loss",)})
    trainer = make_trainer(registry, small_workload(), [silent()], budget=Budget("epochs", 1))
    _, state = train(trainer, Trial(trainer.setup.comparison.arms[0], 0))
    first = state["strategy"]["told"][0]
    assert first.pop("loss") > 0
    assert first.pop("batch_size") == 4
    assert "grad" not in first


def test_an_adaptive_strategy_must_be_a_generator():
    with pytest.raises(
        StrategyError, match=r"strategy odd is adaptive, so batches\(\) must be a generator.*got a tuple"
    ):
        compare(
            small_workload(), [strategy(lambda epoch: epoch.order.split(4), adaptive=True)], seeds=1, epochs=1
        )


def test_a_need_that_does_not_exist_is_named():
    greedy = type("Greedy", (Listener,), {"needs": ("hessian",)})
    with pytest.raises(
        StrategyError, match="needs 'hessian'; the statistics of an update are loss, lr, grad_norm"
    ):
        compare(small_workload(), [greedy()], seeds=1, epochs=1)


@pytest.mark.parametrize("budget", [{"updates": 4}, {"samples": 13}])
def test_a_budget_that_ends_an_adaptive_epoch_closes_its_generator(budget):
    closed = []

    def generate(epoch):
        try:
            for batch in epoch.order.split(4):  # noqa: UP028 - a tuple cannot be told how an update went
                yield batch
        finally:
            closed.append(epoch.index)

    trials = compare(small_workload(), [strategy(generate, adaptive=True)], seeds=1, **budget).trials
    assert trials["status"].tolist() == ["finished"]
    assert trials["updates"].tolist() == [budget.get("updates", 3)]
    assert closed[-1] == 1
