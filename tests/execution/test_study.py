"""What a study measures beside its trials, end to end: it is saved, it is read, and it changes no trial."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from optcompare import load
from optcompare.analysis.noise_scale import noise_scale
from optcompare.analysis.optimizer_memory import half_lives
from optcompare.analysis.update_seconds import clocks, timed_alike, update_seconds
from optcompare.core.comparison import Budget
from optcompare.execution import study
from optcompare.execution.run import execute
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.registry.manager import Registry
from tests.helpers.workloads import small_workload, wandering

ARMS = ["mini:2@sgd", "mini:2@adam", "mini:8@sgd", "mini:8@adam"]


def ask(workload="noisy-quadratic:n=32:dim=4:noise=0.3", **question):
    settings = {
        "strategies": ["mini:2", "mini:8"],
        "optimizers": ["sgd", "adam"],
        "lr": 0.1,
        "budget": Budget("epochs", 20),
        "seeds": (4, 5),
        "measure": 16,
        "goal": "train_loss=0.3",
        "stop_at_goal": True,
        "trainer": "loop",
    }
    return prepare(Registry.load(), Question(workload=workload, **settings | question))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("study") / "run"
    return directory, execute(ask(), directory)


def test_what_it_measured_survives_the_run_directory(run):
    directory, result = run
    read = load(directory)
    for name in ("noise", "update_times", "moving_averages"):
        assert result.environment[name]
        assert json.loads(json.dumps(result.environment[name])) == result.environment[name]
        assert read.environment[name] == result.environment[name]


def test_every_arm_is_timed_at_its_batch_size(run):
    table = update_seconds(load(run[0]).environment["update_times"])
    assert table.set_index("arm")["batch_size"].to_dict() == dict(zip(ARMS, (2, 2, 8, 8), strict=True))
    assert timed_alike(table, ARMS)
    assert (table["low"] > 0).all()
    assert set(clocks(run[1].records).values()) == {"measured"}
    assert set(clocks(run[1].records, table).values()) == {"timed"}


def test_the_noise_scale_names_its_trial_and_has_an_interval(run):
    noise = pd.DataFrame(load(run[0]).environment["noise"])
    found = {optimizer: noise_scale(points) for optimizer, points in noise.groupby("optimizer")}
    assert {each.arm for each in found.values()} <= set(ARMS)
    assert {each.seed for each in found.values()} == {4}
    assert {each.rows for each in found.values()} == {32}
    assert all(each.low < each.value < each.high for each in found.values())


def test_the_moving_averages_are_those_that_the_optimizers_have_by_default(run):
    averages = load(run[0]).environment["moving_averages"]
    adam = {"beta1": 0.9, "beta2": 0.999}
    assert averages == dict(zip(ARMS, ({}, adam, {}, adam), strict=True))
    assert half_lives(averages["mini:8@adam"], [2, 8])["largest_samples"].tolist() == pytest.approx(
        [52.6, 5542], rel=1e-3
    )


DROPOUT = {"workload": small_workload(16, model=wandering), "goal": "train_loss=0.8"}


@pytest.mark.slow
@pytest.mark.parametrize("question", [{}, DROPOUT], ids=["noisy quadratic", "dropout"])
def test_trials_end_in_the_same_bits_whether_or_not_updates_are_timed(question, monkeypatch):
    timed = execute(ask(**question))
    monkeypatch.setattr(study, "update_times", lambda trainer: ([], []))
    other = execute(ask(**question))
    assert timed.environment["update_times"]
    assert not other.environment["update_times"]
    assert timed.trials["final_sha256"].tolist() == other.trials["final_sha256"].tolist()
    assert timed.environment["noise"] == other.environment["noise"]


def test_arms_are_timed_at_the_rates_that_tuning_chose(monkeypatch):
    timed = {}

    def times(trainer):
        timed.update((arm.label, arm.lr) for arm in trainer.setup.comparison.arms)
        return [], []

    monkeypatch.setattr(study, "update_times", times)
    result = execute(ask(optimizers=["sgd"], tune=2, tune_seeds=1, tune_range=(0.2, 0.4), lr=None))
    assert timed == {arm.label: arm.lr for arm in result.comparison.arms}
    assert set(timed.values()) <= {0.2, 0.4}


@pytest.mark.slow
def test_what_cannot_be_had_is_a_note(monkeypatch):
    def fails(*arguments):
        raise RuntimeError("no way")

    monkeypatch.setattr(study, "moving_averages", fails)
    result = execute(ask())
    assert result.environment["moving_averages"] == {}
    said = [
        note
        for note in result.notes
        if note.startswith("adam: its moving averages are not known: RuntimeError: no way")
    ]
    assert len(said) == 1
    assert result.status == "finished"


@pytest.mark.slow
def test_a_comparison_that_is_no_study_measures_nothing_beside():
    result = execute(ask(stop_at_goal=False))
    assert not {"noise", "update_times", "moving_averages"} & result.environment.keys()
