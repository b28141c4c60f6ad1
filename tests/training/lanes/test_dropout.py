"""Models with dropout in lanes: masks from a counter, which the loop draws too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import compare, load
from optcompare.cli.main import main
from optcompare.core.comparison import Budget
from optcompare.training.lanes.trainer import LanesTrainer
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.trials import make_trainer, same
from tests.helpers.workloads import Drops, dropping, small_workload
from tests.training.lanes.test_trainer import advanced

PLUGIN = """
import torch
from torch import nn

from optcompare import Workload, hookimpl


def masked():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(10, 3, generator=generator), torch.randn(10, 1, generator=generator)
    model = lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    return Workload(model=model, train=(x, y), loss=nn.functional.mse_loss, lr=0.05, name="masked")


@hookimpl
def optcompare_workloads():
    return {"masked": masked}
"""


def model_with(*layers):
    return lambda: nn.Sequential(
        nn.Linear(3, 8), nn.Unflatten(1, (4, 2)), *layers, nn.Flatten(), nn.Linear(8, 1)
    )


class Volume(nn.Module):
    """Dropout over the channels of a volume of two voxels."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout3d(0.4)

    def forward(self, values):
        return self.dropout(values[..., None, None]).flatten(2)


class Plane(nn.Module):
    """Dropout over the channels of an image of two pixels, twice in each pass."""

    def __init__(self):
        super().__init__()
        self.dropout = nn.Dropout2d(0.4)

    def forward(self, values):
        return self.dropout(self.dropout(values[..., None])).flatten(2)


MODELS = {
    "Dropout": model_with(nn.Dropout(0.4)),
    "Dropout in place": model_with(nn.Dropout(0.4, inplace=True)),
    "Dropout1d": model_with(nn.Dropout1d(0.4)),
    "Dropout2d": model_with(Plane()),
    "Dropout3d": model_with(Volume()),
    "AlphaDropout": model_with(nn.SELU(), nn.AlphaDropout(0.4)),
    "FeatureAlphaDropout": model_with(nn.SELU(), nn.FeatureAlphaDropout(0.4)),
    "several": model_with(nn.Dropout(0.2), nn.Tanh(), nn.Dropout1d(0.2), nn.AlphaDropout(0.1)),
}


@pytest.fixture
def counted(monkeypatch):
    """Let the loop alone draw masks from a counter too, as it does where it checks lanes."""
    monkeypatch.setattr("optcompare.planning.prepare.choose_masks", lambda trainer: "counter")


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_layer_trains_in_lanes_as_in_the_loop(counted, name):
    lanes, loop = both(small_workload(model=MODELS[name]), ["mini:4"], "adam", seeds=2, updates=10)
    agree(lanes, loop, rtol=1e-10)
    assert (trainers(lanes), trainers(loop)) == ({"lanes"}, {"loop"})
    assert lanes.notes == []


@pytest.mark.slow
def test_batches_in_chunks_have_masks_of_their_own_in_each_pass(counted):
    lanes, loop = both(small_workload(model=MODELS["several"]), ["full", "mini:7"], chunk=3)
    agree(lanes, loop, rtol=1e-10)
    assert trainers(lanes) == {"lanes"}


def test_a_traced_program_draws_the_masks_of_each_update(counted, monkeypatch):
    monkeypatch.setattr("optcompare.training.lanes.engines.choice.worth_tracing", lambda updates: True)
    lanes, loop = both(small_workload(model=MODELS["several"]), "mini:4")
    agree(lanes, loop, rtol=1e-10)
    assert trainers(lanes) == {"lanes"}


def test_a_trial_on_the_loop_has_the_masks_of_lanes():
    """The optimizer evaluates its batch several times, which lanes refuse."""
    result = compare(
        small_workload(model=MODELS["Dropout"]), "full", "lbfgs", seeds=1, epochs=40, trainer="lanes"
    )
    assert trainers(result) == {"loop"}
    assert result.comparison.masks == "counter"
    assert result.trials["masks"].tolist() == ["counter"]
    assert result.trials["status"].tolist() == ["finished"]


@pytest.mark.parametrize("fresh", [False, True], ids=["live", "from a file"])
def test_where_lanes_are_cut_changes_no_mask(registry, fresh):
    loop = make_trainer(
        registry,
        small_workload(model=MODELS["several"]),
        ["single"],
        optimizers=["adam"],
        seeds=(0, 1),
        budget=Budget("epochs", 2),
        trainer="lanes",
        masks="counter",
    )
    _, records, whole = advanced(loop)
    _, cut_records, cut = advanced(loop, lambda: True, fresh=fresh)
    assert cut_records == records
    assert [lane["progress"]["final_sha256"] for lane in cut["lanes"]] == [
        lane["progress"]["final_sha256"] for lane in whole["lanes"]
    ]


def test_the_loop_goes_on_with_the_masks_of_lanes(registry):
    loop = make_trainer(
        registry,
        small_workload(model=MODELS["several"]),
        ["single"],
        optimizers=["adam"],
        seeds=(0, 1),
        budget=Budget("epochs", 2),
        dtype="float64",
        trainer="lanes",
        masks="counter",
    )
    trainer = LanesTrainer(loop, 2**30)
    (group,) = trainer.admit(loop.setup.comparison.trials()).groups
    _, state = trainer.advance(group, None, lambda: True)
    assert state["lanes"][1]["progress"]["position"] == 1
    _, mixed = loop.advance([group[1]], state["lanes"][1], lambda: False)
    _, alone = loop.advance([group[1]], None, lambda: False)
    for name, value in alone["model"].items():
        torch.testing.assert_close(mixed["model"][name], value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("trainer", ["auto", "loop"])
def test_other_trainers_keep_the_generator(monkeypatch, trainer):
    def refuse(*arguments):
        raise AssertionError("masks come from the generator")

    monkeypatch.setattr("optcompare.training.loop.gradient.CounterMasks", refuse)
    monkeypatch.setattr("optcompare.training.lanes.program.CounterMasks", refuse)
    result = compare(small_workload(model=MODELS["Dropout"]), "mini:4", seeds=2, epochs=2, trainer=trainer)
    assert result.comparison.masks == "generator"
    assert trainers(result) == {"loop"}
    assert "masks" not in result.trials
    names = [check.name for check in result.certificate]
    assert ("dropout masks" in names, "shared random numbers" in names) == (False, True)


def test_a_model_without_dropout_keeps_the_generator_in_lanes():
    result = compare(small_workload(), "mini:4", seeds=2, epochs=2, trainer="lanes")
    assert result.comparison.masks == "generator"


def test_the_certificate_says_where_masks_come_from():
    result = compare(small_workload(model=MODELS["several"]), "mini:4", seeds=2, epochs=2, trainer="lanes")
    detail = {check.name: check.detail for check in result.certificate}
    assert detail["dropout masks"].startswith(
        "masks of AlphaDropout, Dropout, Dropout1d come from a counter (Threefry), by seed, update and layer"
    )
    assert "shared random numbers" not in detail


class Again(nn.Dropout):
    def forward(self, x):
        return super().forward(x)


OTHERS = {
    "a function": (
        dropping,
        "the model or the loss draws random numbers in its own code (such as F.dropout); "
        "lanes can draw only the masks of layers such as nn.Dropout",
    ),
    "a layer and a function": (
        lambda: nn.Sequential(nn.Dropout(0.5), Drops(3, 1)),
        "the model or the loss draws random numbers in its own code (such as F.dropout); "
        "lanes can draw only the masks of layers such as nn.Dropout",
    ),
    "a subclass": (
        model_with(Again(0.5)),
        "Again draws its masks from the generator of the trial, as lanes cannot",
    ),
}


@pytest.mark.parametrize("case", OTHERS)
def test_other_random_numbers_go_to_the_loop_with_a_plain_reason(case):
    model, why = OTHERS[case]
    lanes = compare(small_workload(model=model), "mini:4", seeds=3, epochs=2, trainer="lanes")
    assert trainers(lanes) == {"loop"}
    assert lanes.notes == [f"mini:4: 3 trials in the loop instead of lanes: {why}"]


def test_the_certificate_says_which_random_numbers_come_from_the_generator():
    model, _ = OTHERS["a layer and a function"]
    lanes, loop = both(small_workload(model=model), seeds=2, epochs=1)
    details = [{check.name: check.detail for check in result.certificate} for result in (lanes, loop)]
    seed = "from one generator a trial, seeded alike"
    drawn = details[0]["other shared random numbers"]
    assert drawn.startswith(f"updates of mini:4 draw other random numbers {seed}")
    assert "dropout masks" in details[0]
    drawn = details[1]["shared random numbers"]
    assert drawn.startswith(f"updates of mini:4 draw random numbers, such as dropout masks, {seed}")


def test_a_run_is_verified_and_resumed_with_its_masks(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plugin.py").write_text(PLUGIN)
    start = [
        "run",
        "--plugin",
        "plugin.py",
        "--workload",
        "masked",
        "--strategies",
        "mini:4",
        "--trainer",
        "lanes",
    ]
    for out, epochs in (("short", "2"), ("whole", "4")):
        with pytest.raises(SystemExit, match="0"):
            main([*start, "--seeds", "3", "--epochs", epochs, "--out", out, "--quiet"])
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--resume", "short", "--epochs", "4", "--quiet"])
    with pytest.raises(SystemExit, match="0"):
        main(["verify", "short"])
    assert "trained again" in capsys.readouterr().out
    resumed, whole = load("short"), load("whole")
    assert trainers(resumed) == {"lanes"}
    same(resumed, whole)


def test_a_run_of_an_earlier_version_keeps_the_generator(tmp_path, monkeypatch):
    """Its comparison does not say where masks come from, and its trials ran in the loop."""
    model = MODELS["Dropout"]
    monkeypatch.setattr("optcompare.planning.prepare.choose_masks", lambda trainer: "generator")
    compare(small_workload(model=model), "mini:4", seeds=2, epochs=2, trainer="lanes", out=tmp_path / "run")
    monkeypatch.undo()
    longer = compare(
        small_workload(model=model), "mini:4", seeds=2, epochs=3, trainer="lanes", resume=tmp_path / "run"
    )
    whole = compare(small_workload(model=model), "mini:4", seeds=2, epochs=3, trainer="loop")
    assert longer.comparison.masks == "generator"
    assert longer.trials["final_sha256"].tolist() == whole.trials["final_sha256"].tolist()
