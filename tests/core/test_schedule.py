"""Learning rates along the budget: those of torch's schedulers where all updates are alike."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from optcompare import ComparisonError, SpecError, compare, load
from optcompare.cli.main import main
from optcompare.core.comparison import Budget, Comparison, Trial
from optcompare.core.schedule import canonical_schedule, depends_on_budget, schedule_of
from optcompare.storage.resume import goes_on
from optcompare.training.device import torch_settings
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.strategies import Listener
from tests.helpers.trials import make_trainer, train
from tests.helpers.workloads import small_workload

T = 30
SCHEDULERS = {
    "step": lambda o: lr_scheduler.StepLR(o, 10, gamma=0.1),
    "step:gamma=0.2:parts=5": lambda o: lr_scheduler.StepLR(o, 6, gamma=0.2),
    "cosine": lambda o: lr_scheduler.CosineAnnealingLR(o, T),
    "cosine:floor=0.1": lambda o: lr_scheduler.CosineAnnealingLR(o, T, eta_min=0.1 * 0.05),
    "warmup-cosine": lambda o: lr_scheduler.SequentialLR(
        o, [lr_scheduler.LinearLR(o, 0.01, total_iters=3), lr_scheduler.CosineAnnealingLR(o, T - 3)], [3]
    ),
}
BUDGETS = [{"epochs": 10}, {"updates": T}, {"samples": 10 * 12}]


@pytest.mark.parametrize("budget", BUDGETS, ids=lambda budget: next(iter(budget)))
@pytest.mark.parametrize("schedule", SCHEDULERS)
def test_the_rates_are_those_of_torch(registry, schedule, budget):
    """12 samples in batches of 4, 30 updates: a loop by hand with the scheduler ends at the same weights."""
    workload = small_workload(12)
    result = compare(
        workload, "mini:4", "sgd:momentum=0.9", seeds=1, schedule=schedule, dtype="float64", **budget
    )
    assert result.trials["updates"].tolist() == [T]
    assert set(result.records["lr"]) == {0.05}, "the base rate"
    trainer = make_trainer(registry, workload, ["mini:4"], dtype="float64")
    start = trainer.start(0)
    model = start.model().double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scheduler = SCHEDULERS[schedule](optimizer)
        x, y = (part.double() for part in workload.train)
        with torch_settings(1):
            for batch in [batch for epoch in range(10) for batch in start.order(epoch).indices.split(4)]:
                optimizer.zero_grad()
                nn.functional.mse_loss(model(x[batch]), y[batch]).backward()
                optimizer.step()
                scheduler.step()
    for ours, theirs in zip(result.model("mini:4", 0).parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("strategy", ["mini:4", "norm-test:4", "growth:2:at=(1,2)"])
@pytest.mark.parametrize("schedule", ["cosine", "warmup-cosine", "step"])
def test_a_scheduled_trial_ends_in_the_same_bits_wherever_it_is_cut(registry, strategy, schedule):
    trainer = make_trainer(
        registry,
        small_workload(17),
        [strategy],
        optimizers=["adam"],
        schedule=schedule,
        budget=Budget("epochs", 4),
    )
    trial = Trial(trainer.setup.comparison.arms[0], 0)
    _, whole = train(trainer, trial)
    _, cut = train(trainer, trial, until=lambda: True)
    assert whole["progress"]["final_sha256"] == cut["progress"]["final_sha256"]
    plain = make_trainer(
        registry, small_workload(17), [strategy], optimizers=["adam"], budget=Budget("epochs", 4)
    )
    _, unscheduled = train(plain, Trial(plain.setup.comparison.arms[0], 0))
    assert whole["progress"]["final_sha256"] != unscheduled["progress"]["final_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", ["sgd:momentum=0.9", "adamw:weight_decay=0.1", "rmsprop", "adagrad"])
@pytest.mark.parametrize("schedule", ["warmup-cosine", "step:parts=4"])
def test_lanes_keep_the_schedule(schedule, optimizer):
    lanes, loop = both(
        small_workload(10), ["mini:4"], [optimizer], schedule=schedule, lr=[0.01, 0.05], epochs=6
    )
    assert trainers(lanes) == {"lanes"}
    agree(lanes, loop)


@pytest.mark.slow
def test_lanes_keep_arms_of_different_schedules_apart():
    optimizers = ["sgd", "sgd:schedule=cosine", "sgd:schedule=step"]
    lanes, loop = both(small_workload(10), ["mini:4"], optimizers, updates=23)
    assert trainers(lanes) == {"lanes"}
    agree(lanes, loop)


def test_an_adaptive_strategy_hears_the_scheduled_rate(registry):
    """By samples: batches of 4 from 16 samples, 2 epochs, cosine at 0, 1/8, …, 7/8 of the budget."""
    trainer = make_trainer(
        registry, small_workload(16), [Listener(4)], schedule="cosine", budget=Budget("epochs", 2), lr=0.1
    )
    _, state = train(trainer, Trial(trainer.setup.comparison.arms[0], 0))
    cosine = schedule_of("cosine")
    assert [stats["lr"] for stats in state["strategy"]["told"]] == [0.1 * cosine(k / 8) for k in range(8)]


def test_every_parameter_group_keeps_its_own_rate(registry):
    """Three updates on all samples, at factors 1, .1 and .01; the bias's own rate is a tenth."""

    def two_groups(model, *, lr: float = 0.1):
        return torch.optim.SGD([{"params": [model.weight]}, {"params": [model.bias], "lr": lr / 10}], lr=lr)

    workload = small_workload(8)
    result = compare(
        workload, "full", [two_groups], seeds=1, updates=3, schedule="step", dtype="float64", lr=0.1
    )
    model = make_trainer(registry, workload, ["full"]).start(0).model().double()
    x, y = (part.double() for part in workload.train)
    for rate in (0.1, 0.01, 0.001):
        model.zero_grad()
        nn.functional.mse_loss(model(x), y).backward()
        with torch.no_grad():
            model.weight -= rate * model.weight.grad
            model.bias -= rate / 10 * model.bias.grad
    for ours, theirs in zip(result.model("full", 0).parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_schedule_needs_to_know_how_much_there_is():
    with pytest.raises(
        ComparisonError, match=r"a schedule needs to know ahead .*samples in place of seconds"
    ):
        compare(small_workload(), "full", seeds=1, seconds=1.0, schedule="cosine")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cosin", r"there is no schedule 'cosin' \(did you mean 'cosine'\?\)"),
        ("up", "there is no schedule 'up'; there are none, step, cosine, warmup-cosine"),
        ("step:gamma=0", "schedule step: gamma must be positive"),
        ("step:parts=0", "schedule step: parts must be at least 1"),
        ("cosine:floor=2", "schedule cosine: floor must lie between 0 and 1"),
        ("warmup-cosine:warmup=1", "schedule warmup-cosine: warmup is a share"),
        ("warmup-cosine:start=0", "schedule warmup-cosine: start must be above 0"),
        ("step:gamma=x", "schedule step: gamma must be a float, got 'x'"),
    ],
)
def test_a_schedule_that_makes_no_sense_is_one_clear_line(text, message):
    with pytest.raises(SpecError, match=message):
        compare("line", "full", seeds=1, epochs=1, schedule=text)


def test_labels_tell_arms_apart_by_schedule_only_where_they_differ():
    def labels(*optimizers, **question):
        result = compare(small_workload(), ["mini:4"], list(optimizers), seeds=1, epochs=1, **question)
        return [arm.label for arm in result.comparison.arms], [arm.schedule for arm in result.comparison.arms]

    assert labels("sgd", schedule="cosine:floor=0.0") == (["mini:4"], ["cosine"])
    found = labels("sgd:schedule=none", 'sgd:schedule="step:gamma=0.2"', "sgd", schedule="cosine")
    assert found == (
        ["mini:4@sgd", 'mini:4@sgd:schedule="step:gamma=0.2"', "mini:4@sgd:schedule=cosine"],
        ["none", "step:gamma=0.2", "cosine"],
    )
    with pytest.raises(ComparisonError, match="are the same"):
        labels("sgd", "sgd:schedule=cosine", schedule="cosine")


@pytest.mark.slow
def test_a_schedule_is_saved_and_run_again(tmp_path, capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as exit_:
            main(["run", *arguments])
        assert exit_.value.code == 0, capsys.readouterr()

    one, two = tmp_path / "one", tmp_path / "two"
    run(
        "--schedule",
        "step",
        "--strategies",
        "mini:2,norm-test:2",
        "--seeds",
        "2",
        "--epochs",
        "6",
        "--out",
        str(one),
    )
    assert "sgd lr 0.01, step" in capsys.readouterr().out
    run("--config", str(one / "comparison.json"), "--out", str(two))
    first, second = load(one), load(two)
    assert [arm.schedule for arm in first.comparison.arms] == ["step", "step"]
    assert first.trials["final_sha256"].equals(second.trials["final_sha256"])
    assert Comparison.from_json(first.comparison.to_json()) == first.comparison
    run("--resume", str(one), "--seeds", "3", "--quiet")
    run("--resume", str(one), "--strategies", "mini:2,norm-test:2,full", "--quiet")
    assert [arm.schedule for arm in load(one).comparison.arms] == ["step"] * 3


def test_a_schedule_ties_what_was_trained_to_its_budget(registry):
    short, long = Budget("epochs", 2), Budget("epochs", 4)
    for schedule, expected in {"none": True, "cosine": False, "step:parts=1": False}.items():
        trainer = make_trainer(registry, small_workload(), ["full"], schedule=schedule)
        (arm,) = trainer.setup.comparison.arms
        assert depends_on_budget(schedule) is (schedule != "none")
        assert goes_on(arm, short, long) is expected
        assert goes_on(arm, short, short) is True
    assert canonical_schedule("step:gamma=0.1:parts=3") == "step"


@pytest.mark.slow
def test_more_epochs_train_a_scheduled_trial_again(tmp_path):
    settings = {"strategies": ["mini:4"], "seeds": 2, "schedule": "cosine", "trainer": "loop"}
    workload = small_workload()
    compare(workload, **settings, epochs=2, out=tmp_path / "run")
    resumed = compare(workload, **settings, epochs=4, resume=tmp_path / "run")
    whole = compare(workload, **settings, epochs=4)
    assert resumed.trials["final_sha256"].equals(whole.trials["final_sha256"])
    assert any("schedule" in note for note in resumed.notes)
