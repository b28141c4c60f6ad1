"""What fairness means, rule by rule; bit for bit where the rule says so."""

from __future__ import annotations

import itertools
import random
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import ComparisonError, Strategy, Workload, compare
from optcompare.core.comparison import Budget, Trial
from optcompare.core.rng import permutation
from optcompare.training.shared_init import fingerprint
from tests.helpers.trials import make_trainer, train
from tests.helpers.workloads import small_workload

ARMS = ["full", "mini:4", "single"]


def finals(result):
    return {(row.arm, row.seed): row.final_sha256 for row in result.trials.itertuples()}


def certified(result):
    return {check.name: check.held for check in result.certificate}


class TestSharedStart:
    def test_all_arms_of_a_seed_start_from_the_weights_of_that_seed(self):
        result = compare(small_workload(), ARMS, seeds=3, epochs=1)
        for seed, trials in result.trials.groupby("seed"):
            torch.manual_seed(seed)
            assert set(trials["weights_sha256"]) == {fingerprint(nn.Linear(3, 1).state_dict())}
        assert result.trials["weights_sha256"].nunique() == 3

    def test_the_first_record_of_each_arm_is_the_same_number(self):
        result = compare(small_workload(), ARMS, ["sgd", "adam"], seeds=2, epochs=1)
        first = result.records[result.records["update"] == 0]
        assert (first.groupby("seed")["train_loss"].nunique() == 1).all()
        assert certified(result)["identical first measurement"]

    def test_a_factory_may_draw_from_numpy_and_python(self):
        def model():
            layer = nn.Linear(3, 1)
            nn.init.constant_(layer.weight, np.random.rand() + random.random())
            return layer

        first, second = (compare(small_workload(model=model), "full", seeds=2, epochs=1) for _ in range(2))
        assert finals(first) == finals(second)
        assert first.trials["weights_sha256"].nunique() == 2

    def test_lazy_modules_see_one_batch_and_are_shared(self):
        result = compare(small_workload(model=lambda: nn.LazyLinear(1)), ARMS, seeds=2, epochs=2)
        assert (result.trials["status"] == "finished").all()
        assert (result.trials.groupby("seed")["weights_sha256"].nunique() == 1).all()


class TestSharedOrder:
    def test_the_order_is_a_permutation_of_seed_epoch_and_size_alone(self):
        orders = {
            (seed, epoch): tuple(permutation(seed, epoch, 8).tolist())
            for seed in range(5)
            for epoch in range(5)
        }
        assert all(sorted(order) == list(range(8)) for order in orders.values())
        assert len(set(orders.values())) == 25, "sums of seeds would collide: (0, 1) with (1, 0)"
        assert tuple(permutation(3, 2, 8).tolist()) == orders[3, 2]

    def test_every_arm_sees_the_same_order_in_every_epoch_whatever_its_batches(self):
        seen: dict[str, list] = {}

        class Spy(Strategy):
            def __init__(self, name, size):
                self.name, self.size = name, size

            def __str__(self):
                return self.name

            def batches(self, epoch):
                seen.setdefault(self.name, []).append(epoch.order.tolist())
                yield from epoch.order.split(self.size)

            def __deepcopy__(self, memo):
                return Spy(self.name, self.size)

        class Other(Spy):
            pass

        compare(small_workload(), [Spy("a", 3), Other("b", 10)], seeds=1, epochs=3)
        planned = {name: orders[-3:] for name, orders in seen.items()}
        assert planned["a"] == planned["b"] == [permutation(0, epoch, 10).tolist() for epoch in range(3)]

    def test_a_strategy_that_writes_into_its_order_harms_nobody(self):
        class Vandal(Strategy):
            def batches(self, epoch):
                batch = epoch.order.clone()
                epoch.order.zero_()
                yield batch

        alone = compare(small_workload(), "full", seeds=1, epochs=3)
        beside = compare(small_workload(), [Vandal(), "full"], seeds=1, epochs=3)
        assert finals(beside)["full", 0] == finals(beside)["vandal", 0] == finals(alone)["full", 0]

    def test_the_fingerprints_of_order_and_batches_tell_what_was_shared(self):
        trials = compare(small_workload(), ARMS, seeds=2, epochs=3).trials
        assert (trials.groupby("seed")["order_sha256"].nunique() == 1).all()
        assert trials["order_sha256"].nunique() == 2
        assert trials["batches_sha256"].nunique() == 6

    @pytest.mark.parametrize("order", [lambda s, e, n: [0] * n, lambda s, e, n: range(n - 1)])
    def test_an_order_of_the_callers_own_must_be_a_permutation(self, order):
        with pytest.raises(ComparisonError, match="each index from 0 to 9 exactly once") as caught:
            compare(small_workload(), "full", seeds=1, epochs=1, order=order)
        assert "order(seed=0, epoch=0, n=10)" in str(caught.value)


class Noisy(torch.utils.data.Dataset):
    """Augments each sample from all three global generators."""

    def __init__(self, tensors, noise=1.0):
        self.tensors, self.noise = tensors, noise

    def __len__(self):
        return len(self.tensors[0])

    def __getitem__(self, index):
        x, y = (tensor[index] for tensor in self.tensors)
        return x + self.noise * (torch.rand(()) + np.random.rand() + random.random()), y


class TestDatasets:
    @pytest.mark.slow
    def test_a_dataset_trains_like_its_tensors_bit_for_bit(self):
        tensors = small_workload()
        dataset = small_workload(train=torch.utils.data.TensorDataset(*tensors.train))
        assert finals(compare(dataset, ARMS, seeds=2, epochs=3)) == finals(
            compare(tensors, ARMS, seeds=2, epochs=3)
        )

    @pytest.mark.slow
    def test_a_samples_randomness_depends_on_seed_epoch_and_index_alone(self):
        noisy = small_workload(train=Noisy(small_workload().train))
        plain = compare(noisy, ARMS, seeds=1, epochs=2)
        by_workers = compare(
            small_workload(train=Noisy(small_workload().train), workers=2), ARMS[:1], seeds=1, epochs=2
        )
        assert finals(plain)["full", 0] == finals(by_workers)["full", 0]
        one_batch = compare(noisy, ["full", "mini:10"], seeds=1, epochs=2)
        assert len(set(finals(one_batch).values())) == 1

    @pytest.mark.slow
    def test_loading_leaves_dropout_alone(self):
        def model():
            return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))

        tensors = small_workload(model=model)
        dataset = small_workload(model=model, train=Noisy(tensors.train, noise=0.0))
        assert finals(compare(dataset, ARMS, seeds=1, epochs=3)) == finals(
            compare(tensors, ARMS, seeds=1, epochs=3)
        )


class TestIndependence:
    def test_a_trial_does_not_depend_on_which_others_ran_nor_in_which_order(self):
        together = finals(compare(small_workload(), ARMS, ["sgd:momentum=0.9", "adam"], seeds=3, epochs=3))
        reverse = finals(
            compare(small_workload(), ARMS[::-1], ["adam", "sgd:momentum=0.9"], seeds=[2, 0, 1], epochs=3)
        )
        alone = finals(compare(small_workload(), ["mini:4@adam", "full@sgd"], seeds=[1], epochs=3))
        assert reverse == together
        assert alone["mini:4@adam", 1] == together["mini:4@adam", 1]

    def test_a_trial_does_not_depend_on_the_process(self):
        code = (
            "import optcompare; r = optcompare.compare('digits', 'mini', seeds=[4], updates=30);"
            "print(r.trials['final_sha256'][0])"
        )
        elsewhere = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        here = compare("digits", ["single", "mini"], seeds=[3, 4], updates=30)
        assert finals(here)["mini:32", 4] == elsewhere

    @pytest.mark.parametrize("strategy", ["full", "mini:4", "single"])
    @pytest.mark.parametrize("optimizer", ["sgd:momentum=0.9", "adam", "asgd", "rprop"])
    def test_where_a_task_is_cut_changes_nothing(self, registry, strategy, optimizer):
        def model():
            return nn.Sequential(
                nn.Linear(3, 8), nn.BatchNorm1d(8, affine=False), nn.Dropout(0.5), nn.Linear(8, 1)
            )

        if strategy == "single":
            workload = small_workload(
                model=lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
            )
        else:
            workload = small_workload(model=model)
        trainer = make_trainer(
            registry, workload, [strategy], optimizers=[optimizer], lr=0.01, budget=Budget("epochs", 3)
        )
        trial = Trial(trainer.setup.comparison.arms[0], 0)
        records, whole = train(trainer, trial)
        cut_records, cut = train(trainer, trial, until=lambda: True)
        assert cut["progress"]["final_sha256"] == whole["progress"]["final_sha256"]
        assert cut["progress"]["batches"] == whole["progress"]["batches"]
        assert cut["progress"]["orders"] == whole["progress"]["orders"]
        timeless = [{key: value for key, value in record.items() if key != "seconds"} for record in records]
        assert [{k: v for k, v in record.items() if k != "seconds"} for record in cut_records] == timeless

    def test_the_state_survives_safe_serialisation(self, registry, tmp_path):
        workload = small_workload(
            model=lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
        )
        trainer = make_trainer(
            registry, workload, ["mini:4"], optimizers=["adam"], budget=Budget("epochs", 3)
        )
        trial = Trial(trainer.setup.comparison.arms[0], 0)
        _, whole = train(trainer, trial)
        state = None
        while state is None or state["progress"]["status"] == "running":
            if state is not None:
                torch.save(state, tmp_path / "state.pt")
                state = torch.load(tmp_path / "state.pt", weights_only=True)
            _, state = trainer.advance([trial], state, lambda: True)
        assert state["progress"]["final_sha256"] == whole["progress"]["final_sha256"]

    def test_advancing_leaves_the_state_it_was_given_untouched(self, registry):
        trainer = make_trainer(
            registry, small_workload(), ["mini:4"], optimizers=["adam"], budget=Budget("epochs", 3)
        )
        trial = Trial(trainer.setup.comparison.arms[0], 0)
        _, state = trainer.advance([trial], None, lambda: True)
        first = trainer.advance([trial], state, lambda: False)[1]["progress"]["final_sha256"]
        second = trainer.advance([trial], state, lambda: False)[1]["progress"]["final_sha256"]
        assert first == second


class TestShortBatchesAndChunks:
    def test_losses_are_sums_over_weights_not_means_of_batch_means(self):
        """y = 0..9 against 0, in evaluation chunks of 4, 4, 2: the mean is 4.5, the mean of chunk means
        5.1667.
        """
        y = torch.arange(10.0).reshape(10, 1)
        workload = Workload(
            model=lambda: nn.Linear(1, 1),
            train=(torch.zeros(10, 1), y),
            loss=lambda output, y: (y + 0 * output).mean(),
            lr=0.1,
        )
        result = compare(workload, "mini:4", seeds=1, epochs=1, eval_chunk=4)
        assert result.records["train_loss"].tolist() == pytest.approx([4.5] * len(result.records))

    def test_a_weighted_loss_is_averaged_by_its_weights(self):
        """Class weights 1 and 3 over y = 0, 0, 1: Σ w·l / Σ w, in chunks as in one pass."""
        shares = torch.tensor([1.0, 3.0])
        workload = Workload(
            model=lambda: nn.Linear(2, 2),
            train=(
                torch.randn(7, 2, generator=torch.Generator().manual_seed(0)),
                torch.tensor([0, 0, 1, 0, 1, 0, 0]),
            ),
            loss=lambda output, y: nn.functional.cross_entropy(output, y, shares.to(output)),
            weight=lambda batch: float(shares[batch[-1]].sum()),
            lr=0.1,
        )
        whole = compare(workload, "full", seeds=1, updates=1, dtype="float64")
        pieces = compare(workload, "full", seeds=1, updates=1, dtype="float64", chunk=2, eval_chunk=3)
        assert pieces.records["train_loss"].tolist() == pytest.approx(
            whole.records["train_loss"].tolist(), rel=1e-14
        )

    @pytest.mark.parametrize("chunk", [1, 3, 4, 9])
    def test_accumulated_chunks_give_the_gradient_of_the_full_batch(self, chunk):
        whole = compare(small_workload(), "full", seeds=1, updates=1, dtype="float64", lr=1.0)
        pieces = compare(small_workload(), "full", seeds=1, updates=1, dtype="float64", lr=1.0, chunk=chunk)
        for a, b in zip(
            whole.model("full", 0).parameters(), pieces.model("full", 0).parameters(), strict=True
        ):
            assert ((a - b).norm() / a.norm()).item() < 1e-14

    def test_batchnorm_in_chunks_is_refused(self):
        workload = small_workload(
            model=lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        )
        with pytest.raises(
            ComparisonError, match=r"arm full: a batch of 10 rows .* chunks of 4.*give chunk=10 or more"
        ):
            compare(workload, ["mini:4", "full"], seeds=1, epochs=1, chunk=4)

    def test_batchnorm_on_a_tail_of_one_names_the_arm_and_the_way_out(self):
        workload = small_workload(
            9, model=lambda: nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))
        )
        with pytest.raises(
            ComparisonError, match=r"arm mini:4: BatchNorm1d cannot train on a batch of one.*tail=merge"
        ):
            compare(workload, "mini:4", seeds=1, epochs=1)
        result = compare(workload, "mini:4:tail=merge", seeds=1, epochs=1)
        assert result.trials["updates"].tolist() == [2]
        with pytest.raises(
            ComparisonError, match=r"arm single: BatchNorm1d cannot .* one sample; use larger batches"
        ):
            compare(workload, "single", seeds=1, epochs=1)


class TestEvaluation:
    @pytest.mark.slow
    def test_measuring_changes_nothing(self):
        def model():
            return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))

        rare, often = (
            compare(small_workload(model=model), ARMS[:2], seeds=2, epochs=3, measure=k) for k in (0, 7)
        )
        assert finals(rare) == finals(often)
        assert len(rare.records) == 2 * len(rare.trials) < len(often.records)

    @pytest.mark.slow
    def test_a_metric_that_draws_random_numbers_changes_nothing(self):
        def model():
            return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))

        def draws(output, y):
            return torch.rand(()) + np.random.rand() + random.random(), 1

        with_draws = compare(small_workload(model=model, metrics={"draws": draws}), ARMS, seeds=1, epochs=2)
        assert finals(with_draws) == finals(compare(small_workload(model=model), ARMS, seeds=1, epochs=2))

    def test_layers_that_were_frozen_in_eval_mode_stay_so(self):
        class Frozen(nn.Module):
            def __init__(self):
                super().__init__()
                self.drop, self.out = nn.Dropout(0.9).eval(), nn.Linear(3, 1)

            def forward(self, x):
                return self.out(self.drop(x))

        frozen = compare(small_workload(model=Frozen), "mini:4", seeds=1, epochs=2, dtype="float64")
        plain = compare(small_workload(), "mini:4", seeds=1, epochs=2, dtype="float64")
        assert torch.equal(frozen.model("mini:4", 0).out.weight, plain.model("mini:4", 0).weight)

    def test_the_training_clock_stands_still_while_measuring(self, monkeypatch):
        """A clock that only metrics advance: all of it is measuring, none of it training."""
        now = [0.0]
        monkeypatch.setattr("optcompare.training.device.perf_counter", lambda: now[0])

        def slow(output, y):
            now[0] += 5.0
            return 0.0, 1

        trials = compare(
            small_workload(metrics={"slow": slow}), "mini:4", seeds=1, epochs=2, measure=2
        ).trials
        assert trials["train_seconds"].tolist() == [0.0]
        assert trials["measure_seconds"][0] > 5.0


class TestFailures:
    def test_a_diverging_trial_is_truncated_and_the_others_go_on(self):
        result = compare("line", ["full@sgd:lr=0.01", "single@sgd:lr=10"], seeds=2, epochs=60)
        status = result.trials.set_index("arm")["status"]
        assert set(status["single@sgd:lr=10"]) == {"diverged"}
        assert set(status["full@sgd:lr=0.01"]) == {"finished"}
        lost = result.records[result.records["arm"] == "single@sgd:lr=10"].groupby("seed")["train_loss"]
        assert not np.isfinite(lost.last()).any()
        assert (lost.apply(lambda losses: (~np.isfinite(losses)).sum()) == 1).all()
        assert result.trials["reason"].str.contains("train_loss was (?:inf|nan) at update").sum() == 2

    def test_a_failing_trial_keeps_its_reason_and_the_others_go_on(self):
        class Breaks(Strategy):
            def batches(self, epoch):
                if epoch.index == 2:
                    raise RuntimeError("no more")
                yield epoch.order

        result = compare(small_workload(), [Breaks(), "full"], seeds=2, epochs=4)
        failed = result.trials[result.trials["arm"] == "breaks"]
        assert failed["status"].tolist() == ["failed"] * 2
        assert failed["updates"].tolist() == [2, 2]
        assert failed["reason"].str.contains(r"RuntimeError: no more \(test_fairness.py:\d+\)").all()
        assert (result.trials.loc[result.trials["arm"] == "full", "status"] == "finished").all()

    def test_a_bad_batch_in_a_later_epoch_fails_the_trial_naming_epoch_and_batch(self):
        class Later(Strategy):
            def batches(self, epoch):
                yield epoch.order + (epoch.index == 3)

        result = compare(small_workload(), [Later()], seeds=1, epochs=4)
        assert (
            result.trials["reason"][0]
            == "strategy later, epoch 3, batch 0: index 10 is out of range; there are 10 samples"
        )


class TestBudgets:
    @pytest.mark.parametrize(
        ("budget", "updates", "samples"),
        [
            ({"epochs": 3}, [3, 9, 30], [30, 30, 30]),
            ({"updates": 7}, [7, 7, 7], [70, 24, 7]),
            ({"samples": 25}, [2, 7, 25], [20, 24, 25]),
        ],
    )
    def test_no_arm_gets_more_than_the_budget(self, budget, updates, samples):
        """N = 10 in batches of 10, of 4, 4, 2, and of 1: an update that would exceed the budget is not
        made.
        """
        trials = compare(small_workload(), ARMS, seeds=1, **budget).trials
        assert trials["updates"].tolist() == updates
        assert trials["samples"].tolist() == samples

    def test_seconds_are_those_of_each_trials_own_training_clock(self, monkeypatch):
        """Every look at the clock costs one second, and each update looks twice."""
        ticks = itertools.count()
        monkeypatch.setattr("optcompare.training.device.perf_counter", lambda: float(next(ticks)))
        trials = compare(small_workload(), ["single"], seeds=1, seconds=50, measure=0).trials
        assert 0 < trials["updates"][0] <= 50
        assert trials["train_seconds"][0] >= 50

    def test_a_budget_without_a_single_update_is_refused(self):
        with pytest.raises(
            ComparisonError,
            match="arm full: its first update takes 10 samples, more than the budget of 9 samples",
        ):
            compare(small_workload(), ARMS, seeds=1, samples=9)

    def test_the_certificate_holds_and_names_the_conditions(self):
        result = compare(small_workload(), ARMS, seeds=3, epochs=2)
        assert all(certified(result).values())
        assert [check.detail for check in result.certificate] == [
            "3 updates of full, mini:4, single",
            "all 3 arms start identically in each of 3 seeds (SHA-256 match)",
            "the same for all arms in 6 epochs of 3 seeds (SHA-256 match)",
            "the loss before training, to the last bit",
            "the batches of 18 epochs were checked",
            "2 epochs for each of 9 finished trials",
            "9 trials in the loop; all by the reference trainer",
        ]

    def test_a_budget_in_samples_says_what_each_arm_used_of_it(self):
        result = compare(small_workload(), ARMS, seeds=1, samples=25)
        assert (
            result.certificate[-2].detail
            == "25 samples for each of 3 finished trials, of which it used 20 to 25"
        )


def test_the_certificate_finds_unequal_weights_orders_and_first_records(registry):
    """Fed with evidence that was tampered with, each check says so and names the seed."""
    from optcompare.analysis.certificate import Agreement, Evidence
    from optcompare.training.measurement.counters import Progress
    from optcompare.training.measurement.record import outcome_of

    comparison = make_trainer(registry, small_workload(), ["full", "single"], seeds=(7,)).setup.comparison
    evidence = Evidence(comparison, free=[])
    for arm, weights, order, loss in zip(comparison.arms, "ab", "cd", (1.0, 1.5), strict=True):
        evidence.first_record(Trial(arm, 7), {"train_loss": loss})
        progress = Progress(
            status="finished", epoch=20 + (arm.label == "full"), weights_sha256=weights, checked=1
        )
        progress.orders = ["x", order]
        evidence.trial_ended(
            Trial(arm, 7), outcome_of(Trial(arm, 7), progress, comparison, "loop"), progress.orders
        )
    held = {check.name: check for check in evidence.certificate(Agreement(0, 0.0, 1e-5))}
    for name in (
        "identical initial weights",
        "identical sample order",
        "identical first measurement",
        "every sample once an epoch",
    ):
        assert not held[name].held
        assert held[name].detail == "differs for seed 7"
    assert not held["equal budgets"].held
    assert held["equal budgets"].detail == "20 epochs for each of 2 finished trials; spent: 20 to 21"
