"""The state of trials: its types name exactly the keys that trainers return and that files hold."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from torch import nn

from optcompare.core.comparison import Arm, Budget, Part, Trial
from optcompare.core.trial_key import TrialKey
from optcompare.storage.state_files import CHECKPOINT, SavedStates, load_states
from optcompare.training.device import torch_settings
from optcompare.training.lanes.trainer import LanesTrainer
from optcompare.training.measurement.counters import Progress
from optcompare.training.measurement.record import outcome_of
from optcompare.training.state import (
    FlagsState,
    LanesState,
    ProgressState,
    TrialState,
    can_continue,
    lanes_state,
    trial_state,
    trial_states,
)
from tests.helpers.trials import make_trainer, train
from tests.helpers.workloads import small_workload
from tests.interfaces.test_optimizer import Averaged

EARLIER_FILES = sorted((Path(__file__).parents[1] / "storage" / "earlier_runs").glob("*/*/states/*.pt"))
EPOCHS = Budget("epochs", 2)


def keys(state: type) -> set[str]:
    return set(state.__annotations__)


def test_the_state_of_a_loop_trial_has_the_keys_of_its_type(registry):
    trainer = make_trainer(registry, small_workload(), ["mini:4"], budget=EPOCHS)
    _, state = train(trainer, trainer.setup.comparison.trials()[0])
    assert set(state) == keys(TrialState) - {"trained"}
    assert set(state["progress"]) == keys(ProgressState)


def test_weights_that_are_trained_and_not_measured_have_a_key_of_their_own(registry):
    trainer = make_trainer(
        registry, small_workload(), ["mini:4"], optimizers=[Averaged], lr=0.01, budget=EPOCHS
    )
    _, state = train(trainer, trainer.setup.comparison.trials()[0])
    assert set(state) == keys(TrialState)


def test_the_state_of_a_group_in_lanes_has_the_keys_of_its_type(registry):
    loop = make_trainer(
        registry, small_workload(), ["mini:4"], seeds=(0, 1), budget=EPOCHS, dtype="float64", trainer="lanes"
    )
    lanes, trials = LanesTrainer(loop, 2**30), loop.setup.comparison.trials()
    with torch_settings(1):
        assert lanes.admit(trials).groups == [trials]
        _, state = lanes.advance(trials, None, lambda: False)
    assert set(state) == keys(LanesState)
    assert [set(lane) for lane in state["lanes"]] == [keys(TrialState) - {"trained"}] * 2
    assert [set(lane["progress"]) for lane in state["lanes"]] == [keys(ProgressState)] * 2


def test_counters_have_the_fields_that_their_state_names():
    fields = {field.name: field.type for field in dataclasses.fields(Progress)}
    assert fields == {name: hint.__forward_arg__ for name, hint in ProgressState.__annotations__.items()}


def test_flags_are_saved_under_the_keys_of_their_type(registry):
    class Freezes(nn.Linear):
        def forward(self, x):
            self.bias.requires_grad_(False)
            self.eval()
            self.act = torch.relu
            return super().forward(x)

    def model():
        made = Freezes(3, 1)
        made.act = torch.tanh
        return made

    trainer = make_trainer(registry, small_workload(model=model), ["full"], budget=EPOCHS)
    run = trainer.run(trainer.setup.comparison.trials()[0], None)
    run.model(torch.ones(2, 3))
    assert set(run.state()["flags"]) == keys(FlagsState)


@pytest.mark.parametrize("path", EARLIER_FILES, ids=lambda path: path.parts[-3])
def test_states_of_earlier_versions_have_no_key_without_a_type(path):
    states = load_states(path)
    assert states
    for key, state in states.items():
        assert str(TrialKey.parse(str(key))) == str(key)
        assert set(state) <= keys(TrialState)
        assert set(state["progress"]) <= keys(ProgressState)
        assert Progress(**state["progress"]).status == "finished"


@pytest.mark.parametrize("path", EARLIER_FILES, ids=lambda path: path.parts[-3])
def test_checkpoints_in_the_form_of_earlier_versions_load(path, tmp_path):
    states = torch.load(path, weights_only=True)
    (name, state), *_ = states.items()
    group = {"lanes": [state], "strayed": {}, "again": False}
    tasks = [[{name: [{"update": 0}]}, state], [{name: [{"update": 0}]}, group]]
    torch.save({"tasks": tasks}, tmp_path / CHECKPOINT)
    alone, together = SavedStates(tmp_path).checkpoint()
    assert [str(key) for key in alone.records] == [str(key) for key in together.records] == [name]
    assert set(together.state) == keys(LanesState)
    assert trial_states(alone.state)[0]["progress"] == trial_states(together.state)[0]["progress"]


def test_a_trainer_refuses_the_state_of_the_other():
    alone: TrialState = {"progress": Progress().to_state()}
    group: LanesState = {"lanes": [alone], "strayed": {}}
    assert trial_state(alone) is alone
    assert lanes_state(group) is group
    assert trial_state(None) is lanes_state(None) is None
    with pytest.raises(TypeError, match="the loop trainer cannot continue the state of a group of lanes"):
        trial_state(group)
    with pytest.raises(TypeError, match="the lanes trainer cannot continue the state of a single trial"):
        lanes_state(alone)


def test_only_states_that_can_be_continued_go_into_a_checkpoint():
    lost: TrialState = {"progress": Progress(status="failed").to_state()}
    whole: TrialState = {"progress": Progress().to_state(), "model": {}}
    cut: TrialState = {"progress": Progress(status="interrupted").to_state(), "model": {}}
    assert can_continue(whole)
    assert can_continue({"lanes": [whole, whole], "strayed": {}})
    assert not any(map(can_continue, [lost, cut]))
    assert not can_continue({"lanes": [whole, lost], "strayed": {}})


def test_the_row_of_a_trial_belongs_to_its_key(registry):
    trainer = make_trainer(registry, small_workload(), ["full"], budget=EPOCHS)
    (trial,) = trainer.setup.comparison.trials()
    row = outcome_of(trial, Progress(), trainer.setup.comparison, "loop")
    assert TrialKey.of_row(row) == TrialKey.of(trial) == TrialKey("report", "full", trial.arm.lr, 0)


def made(label: str, repeat: int = 0) -> Trial:
    part = Part(label, label)
    return Trial(Arm(label, part, part, {}, 1e-05, 8), 3, "tune", repeat)


@pytest.mark.parametrize(
    ("trial", "text"),
    [
        (made("mini:32"), "tune 3 1e-05 mini:32"),
        (made("two  spaces", 2), "tune/2 3 1e-05 two  spaces"),
    ],
    ids=["plain", "repeat"],
)
def test_a_key_is_read_from_the_text_that_it_is_written_as(trial, text):
    assert str(TrialKey.of(trial)) == text
    assert TrialKey.parse(text) == TrialKey.of(trial)


def test_what_is_no_key_is_not_read_as_one():
    with pytest.raises(ValueError, match="'report three' is not the key of a trial"):
        TrialKey.parse("report three")
