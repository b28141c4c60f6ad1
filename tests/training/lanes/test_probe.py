"""A probe times lanes before the run, and leaves nothing behind that changes a result."""

from __future__ import annotations

import pytest
import torch

from optcompare.core.comparison import Budget
from optcompare.training.device import torch_settings
from optcompare.training.lanes import probe as probing
from optcompare.training.lanes import program_cache
from optcompare.training.lanes.probe import first_passes, probe
from optcompare.training.lanes.trainer import LanesTrainer
from optcompare.training.machine_speed import mean_seconds, operation_seconds
from optcompare.training.measurement.evaluation import regular_sources
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload, wandering


@pytest.fixture
def lanes(registry, monkeypatch):
    monkeypatch.setattr(probing, "_WINDOW", 0.0)
    workload = small_workload()
    return LanesTrainer(make_trainer(registry, workload, ["mini:5"], budget=Budget("updates", 500)), 2**30)


def group(lanes):
    trials = lanes.setup.comparison.trials()
    return [trials[0]] * 3


def test_a_probe_changes_no_generator_and_uses_no_program(lanes, monkeypatch):
    monkeypatch.setattr(probing, "is_compiled", lambda *_: pytest.fail("so few updates are not compiled"))
    before = torch.get_rng_state()
    with torch_settings(1):
        probed = probe(lanes, group(lanes), 500)
    assert torch.equal(before, torch.get_rng_state())
    assert (probed.operations > 5, probed.compiler, probed.cached) == (True, None, False)
    assert lanes.families.all_programs() == []


def test_a_group_takes_over_the_traced_update_of_its_probe(lanes, monkeypatch):
    with torch_settings(1):
        probe(lanes, group(lanes), 500)
        monkeypatch.setattr(program_cache, "trace", lambda *_: pytest.fail("it was traced again"))
        family = lanes.families.of(group(lanes)[0])
        carry = family.blueprint.stack([lanes.loop.run(group(lanes)[0], None).state()] * 3)
        assert lanes.families.programs(family, 3).at(5, 500, lambda: carry).engine == "traced"


def test_few_updates_are_neither_traced_nor_looked_for(lanes):
    with torch_settings(1):
        assert probe(lanes, group(lanes), 10).operations == 0


@pytest.mark.parametrize(
    ("found", "compiler", "cached"),
    [(None, None, False), (False, "inductor", False), (True, "inductor", True)],
)
def test_a_long_group_is_looked_for_in_the_cache(lanes, monkeypatch, found, compiler, cached):
    monkeypatch.setattr(probing, "is_compiled", lambda *_: found)
    with torch_settings(1):
        probed = probe(lanes, group(lanes), 1e9)
    assert (probed.compiler, probed.cached) == (compiler, cached)


def test_what_cannot_run_in_lanes_is_not_timed(registry):
    workload = small_workload(model=wandering)
    lanes = LanesTrainer(make_trainer(registry, workload, ["full"]), 2**30)
    with torch_settings(1):
        assert probe(lanes, group(lanes), 500) is None


def test_a_slow_call_is_timed_once_and_a_fast_one_without_its_first(monkeypatch):
    now, calls = [0.0], []

    def call():
        calls.append(now[0])
        now[0] += 5.0 if len(calls) == 1 else 0.25

    monkeypatch.setattr("optcompare.training.machine_speed.perf_counter", lambda: now[0])
    assert mean_seconds(call, window=1.0) == 5.0
    assert mean_seconds(call, window=1.0) == pytest.approx(0.25)
    assert len(calls) == 1 + 1 + 4


def test_the_speed_of_the_machine_draws_nothing():
    before = torch.get_rng_state()
    assert operation_seconds(window=1e-4) > 0
    assert torch.equal(before, torch.get_rng_state())


def test_a_measurement_is_timed_on_two_passes_of_each_set(registry, monkeypatch):
    """It takes a second for 1,200 and 700 rows, so three for all 5,700."""
    x, y = torch.ones(5000, 3), torch.ones(5000, 1)
    workload = small_workload(train=(x, y), valid=(x[:700], y[:700]))
    loop = make_trainer(registry, workload, ["mini:64"], eval_chunk=600)
    passes = first_passes(regular_sources(loop.sources), loop.setup)
    assert {name: [len(rows) for rows in each] for name, each in passes.items()} == {
        "train": [600, 600],
        "valid": [600, 100],
    }
    monkeypatch.setattr(probing, "mean_seconds", lambda *_: 1.0)
    lanes = LanesTrainer(loop, 2**30)
    with torch_settings(1):
        assert probe(lanes, group(lanes), 10).measurement == pytest.approx(3.0)
