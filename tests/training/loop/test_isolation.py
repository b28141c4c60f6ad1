"""Strategies, models and losses that reach for more than they were given."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import ComparisonError, OptcompareError, Strategy, StrategyError, WorkloadError, compare
from optcompare.core.comparison import Budget, Trial
from tests.helpers.trials import make_trainer, train
from tests.helpers.workloads import Counts, small_workload


def shuffle_with_torch(n):
    return torch.randperm(n)


def shuffle_with_numpy(n):
    return torch.from_numpy(np.random.permutation(n))


def shuffle_with_python(n):
    return torch.tensor(random.sample(range(n), n))


@pytest.mark.parametrize("shuffle", [shuffle_with_torch, shuffle_with_numpy, shuffle_with_python])
def test_a_strategy_that_draws_from_a_global_generator_is_refused(shuffle):
    class Own(Strategy):
        def batches(self, epoch):
            yield from shuffle(len(epoch.order)).split(4)

    with pytest.raises(
        StrategyError,
        match=r"strategy own.*(drew from torch's global generator|planned different).*epoch.rng",
    ):
        compare(small_workload(), [Own()], seeds=1, epochs=2)


@pytest.mark.parametrize("adaptive", [False, True])
def test_a_strategy_that_seeds_torch_is_refused(adaptive):
    class Seeds(Strategy):
        def batches(self, epoch):
            torch.manual_seed(epoch.index)
            for batch in epoch.order.split(4):  # noqa: UP028 - a tuple cannot be told how an update went
                yield batch

    Seeds.adaptive = adaptive
    with pytest.raises(
        OptcompareError,
        match=r"strategy seeds drew from torch's global generator; draw from epoch.rng instead",
    ):
        compare(small_workload(), [Seeds()], seeds=1, epochs=1)


def test_state_that_was_not_declared_is_named():
    class Grows(Strategy):
        def batches(self, epoch):
            self.size = getattr(self, "size", 1)
            yield from epoch.order.split(self.size)
            self.size *= 2

    with pytest.raises(
        Exception, match=r"strategy grows changed size, which no checkpoint would carry; declare it as state"
    ):
        compare(small_workload(), [Grows()], seeds=1, epochs=2)


def test_a_parameter_that_a_strategy_changes_is_named():
    @dataclass
    class Doubles(Strategy):
        batch_size: int = 2

        def batches(self, epoch):
            yield from epoch.order.split(self.batch_size)
            self.batch_size *= 2

    with pytest.raises(
        OptcompareError, match="strategy doubles:2 changed batch_size, which no checkpoint would carry"
    ):
        compare(small_workload(), [Doubles()], seeds=1, epochs=2)


@dataclass
class Sly(Strategy):
    """Behaves in its first epoch, then plans from a counter that is nobody's state."""

    calls: list = field(init=False, default_factory=list)
    counter = itertools.count()

    def batches(self, epoch):
        size = 4 if epoch.index == 0 else 1 + next(Sly.counter) % 3
        yield from epoch.order.split(size)


def test_an_epoch_that_is_planned_otherwise_after_a_cut_fails_the_trial(registry):
    trainer = make_trainer(registry, small_workload(), [Sly()], budget=Budget("epochs", 3))
    _, state = train(trainer, Trial(trainer.setup.comparison.arms[0], 0), until=lambda: True)
    assert state["progress"]["status"] == "failed"
    assert "epoch 1: it planned other batches when it was called again" in state["progress"]["reason"]


def test_a_model_may_hide_state_where_no_checkpoint_finds_it(registry):
    """In one process the live module goes on, so that where its tasks were cut changes nothing."""

    trainer = make_trainer(registry, small_workload(model=Counts), ["mini:4"], budget=Budget("epochs", 3))
    trial = Trial(trainer.setup.comparison.arms[0], 0)
    _, whole = train(trainer, trial)
    state = None
    while state is None or state["progress"]["status"] == "running":
        _, state = trainer.advance([trial], state, lambda: True)
    assert state["progress"]["final_sha256"] == whole["progress"]["final_sha256"]


def test_buffers_outside_the_state_dict_survive_a_cut(registry):
    class Averages(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(3, 1)
            self.register_buffer("mean", torch.zeros(3), persistent=False)

        def forward(self, x):
            if self.training:
                self.mean.lerp_(x.mean(0), 0.1)
            return self.out(x - self.mean)

    trainer = make_trainer(registry, small_workload(model=Averages), ["mini:4"], budget=Budget("epochs", 3))
    trial = Trial(trainer.setup.comparison.arms[0], 0)
    _, whole = train(trainer, trial)
    _, cut = train(trainer, trial, until=lambda: True)
    assert cut["progress"]["final_sha256"] == whole["progress"]["final_sha256"]


def test_a_loss_that_counts_its_calls_does_not_carry_them_into_other_trials():
    class Fading(nn.Module):
        def __init__(self):
            super().__init__()
            self.calls = 0

        def forward(self, output, y):
            self.calls += torch.is_grad_enabled()
            return nn.functional.mse_loss(output, y) / (1 + 0.1 * self.calls)

    def finals(arms):
        workload = small_workload(loss=Fading(), objective=None)
        return compare(workload, arms, seeds=1, epochs=2).trials.set_index("arm")["final_sha256"].to_dict()

    assert finals(["full", "mini:4"]) == finals(["mini:4", "full"])


def test_a_model_that_works_in_place_leaves_the_callers_data_alone():
    class InPlace(nn.Linear):
        def forward(self, x):
            return super().forward(x.mul_(0.5))

    workload = small_workload(model=lambda: InPlace(3, 1))
    before = workload.train[0].clone()
    compare(workload, ["full", "mini:4"], seeds=1, epochs=2)
    assert torch.equal(workload.train[0], before)


def test_a_buffer_that_an_adaptive_strategy_uses_again_is_copied():
    class Reuses(Strategy):
        adaptive = True

        def batches(self, epoch):
            buffer = torch.empty(5, dtype=torch.int64)
            for batch in epoch.order.split(5):
                buffer.copy_(batch)
                yield buffer

    trials = compare(small_workload(), [Reuses(), "mini:5"], seeds=1, epochs=2).trials
    assert trials["final_sha256"].nunique() == 1
    assert trials["batches_sha256"].nunique() == 1


def test_an_adaptive_strategy_of_free_coverage_cannot_end_its_epoch_early():
    class Lazy(Strategy):
        adaptive, coverage = True, "free"

        def batches(self, epoch):
            yield epoch.order[:2]

    with pytest.raises(
        ComparisonError, match="strategy lazy, epoch 0: it yielded 2 of the 10 samples that an epoch has"
    ):
        compare(small_workload(), [Lazy(), "full"], seeds=1, epochs=2)


def test_tied_weights_have_gradients_of_single_samples(registry):
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(3, 3, bias=False)
            self.b = nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x):
            return self.b(self.a(x)).sum(1, keepdim=True)

    class Listens(Strategy):
        adaptive, needs = True, ("sample_grads", "grad")

        def batches(self, epoch):
            for batch in epoch.order.split(5):
                stats = yield batch
                torch.testing.assert_close(stats.sample_grads.mean(0), stats.grad)

    trials = compare(small_workload(model=Tied), [Listens()], seeds=1, epochs=1, dtype="float64").trials
    assert trials["status"].tolist() == ["finished"], trials["reason"].tolist()


def test_layers_that_a_lazy_model_froze_stay_frozen():
    def model():
        return nn.Sequential(nn.LazyLinear(4), nn.BatchNorm1d(4).eval(), nn.Linear(4, 1))

    result = compare(small_workload(model=model), "mini:4", seeds=1, epochs=2)
    assert result.model("mini:4", 0)[1].num_batches_tracked == 0


def test_updates_before_a_failure_are_counted():
    calls = itertools.count()

    def fails_late(output, y):
        if next(calls) > 200:
            raise RuntimeError("enough")
        return nn.functional.mse_loss(output, y)

    trials = compare(small_workload(loss=fails_late), "single", seeds=1, epochs=50, measure=0).trials
    assert trials["status"].tolist() == ["failed"]
    assert trials["updates"][0] > 5


SHARES = torch.tensor([1.0, 3.0])
NOT_MEANS = {
    "a sum": {"loss": lambda output, y: nn.functional.mse_loss(output, y, reduction="sum")},
    "a mean over weights that nobody knows": {
        "model": lambda: nn.Linear(3, 2),
        "train": (torch.eye(3).repeat(3, 1), torch.tensor([0, 1, 0, 0, 0, 0, 0, 1, 1])),
        "loss": lambda output, y: nn.functional.cross_entropy(output, y, SHARES),
    },
}


@pytest.mark.parametrize("case", NOT_MEANS)
def test_a_loss_that_is_not_the_mean_it_should_be_is_refused(case):
    with pytest.raises(
        WorkloadError,
        match=r"as the weighted mean of its parts; it must be a mean over rows, or say .*weight",
    ):
        compare(small_workload(**NOT_MEANS[case]), "full", seeds=1, epochs=1)


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan")])
def test_a_weight_that_cannot_divide_is_refused(weight):
    with pytest.raises(WorkloadError, match=r"weight\(batch\) must be positive and finite, got"):
        compare(small_workload(weight=lambda batch: weight), "full", seeds=1, epochs=1)


@pytest.mark.parametrize("name", ["loss", "seconds", "top-1", "a b", ""])
def test_a_metric_whose_name_would_hide_a_column_is_refused(name):
    with pytest.raises(
        WorkloadError, match="give it a name of letters, digits and '_', other than loss, rows and seconds"
    ):
        small_workload(metrics={name: lambda output, y: (0.0, 1)})


def test_data_that_is_not_finite_is_found_before_training():
    """An objective is told by its loss: what its data may hold is its own affair."""
    x, y = small_workload().train
    data = torch.cat([x[:-1], x[-1:] * float("nan")]), y
    with pytest.raises(
        WorkloadError, match="the inputs of train hold 3 NaN in 1 of 10 rows, the first in row 9"
    ):
        compare(small_workload(train=data), "full", seeds=1, epochs=1)
    workload = small_workload(
        train=data, loss=None, objective=lambda model, batch: model(batch[0]).square().mean()
    )
    with pytest.raises(
        WorkloadError,
        match="before the first update is nan; there are values in the data that are not finite as float32, "
        "the first in row 9",
    ):
        compare(workload, "full", seeds=1, epochs=1)


@pytest.mark.parametrize(
    "model", [lambda: {}["weights"], nn.Linear, lambda: nn.Sequential(nn.LazyLinear(2), nn.Linear(3, 1))]
)
def test_a_factory_that_raises_is_one_line(model):
    with pytest.raises(
        WorkloadError, match=r"workload custom: (model\(\) failed: |its lazy modules cannot take a batch: )"
    ):
        compare(small_workload(model=model), "full", seeds=1, epochs=1)


def test_a_workload_function_that_seeds_leaves_the_callers_generators_alone(tmp_path):
    (tmp_path / "seeding.py").write_text(
        "import torch, optcompare\nfrom torch import nn\n"
        "def make():\n    torch.manual_seed(9)\n    x = torch.randn(8, 1)\n"
        "    return optcompare.Workload(model=lambda: nn.Linear(1, 1), train=(x, x.clone()), "
        "loss=nn.MSELoss(), lr=.1)\n"
    )
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    compare(f'"{tmp_path / "seeding.py"}":make', "full", seeds=1, epochs=1)
    assert torch.equal(torch.rand(2), expected)


def test_an_adaptive_epoch_can_be_stopped_half_way(registry):
    class Endless(Strategy):
        adaptive, coverage = True, "free"

        def batches(self, epoch):
            for index in epoch.order:
                yield index[None]

    trainer = make_trainer(registry, small_workload(), [Endless()], budget=Budget("epochs", 1000))
    trial, asked = Trial(trainer.setup.comparison.arms[0], 0), itertools.count()
    records, state = trainer.advance([trial], None, lambda: False, stop=lambda: next(asked) > 5)
    assert (state["progress"]["status"], state["progress"]["updates"]) == ("interrupted", 7)
    assert len(records) > 1
