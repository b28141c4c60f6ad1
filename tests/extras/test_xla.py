"""Lanes whose programs XLA compiles: they train as in the loop, and what cannot be compiled is named."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, compare
from optcompare.training.lanes.engines import choice, inductor
from optcompare.training.lanes.engines.xla import availability
from optcompare.verification.verify import verify
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.workloads import Anneals, small_workload

pytest.importorskip("jax")
pytestmark = [
    pytest.mark.xla,
    pytest.mark.filterwarnings("ignore:os.fork:RuntimeWarning"),  # jax warns of any fork of this process
]


@pytest.fixture(autouse=True)
def no_inductor(monkeypatch):
    """What XLA cannot compile stays traced, with or without a C++ compiler."""
    monkeypatch.setattr(inductor, "obstacle", lambda: "there is no C++ compiler (g++ or clang++)")


def engines(result):
    return set(result.trials["engine"])


def told(result, part):
    return [line for line in result.environment["trainers"] if part in line]


class TestAgreement:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "optimizer",
        [
            "sgd:momentum=0.9",
            "adam",
            "adamw:amsgrad=true",
            "adamax",
            "nadam",
            "radam",
            "rmsprop:centered=true",
            "rprop",
            "adagrad",
            "adadelta",
            "adafactor",
            "asgd",
        ],
    )
    def test_optimizers_train_as_in_the_loop(self, optimizer):
        lanes, loop = both(small_workload(), ["full", "mini:4"], optimizer, engine="xla")
        agree(lanes, loop, rtol=1e-10)
        assert (trainers(lanes), engines(lanes), engines(loop)) == ({"lanes"}, {"xla"}, {""})

    @pytest.mark.slow
    @pytest.mark.parametrize("workload", ["line", "breast-cancer", "digits", "digits-cnn", "stdlib-text"])
    def test_bundled_workloads_train_as_in_the_loop(self, workload):
        question = {"seeds": 2, "updates": 3, "measure": 0, "engine": "xla"}
        lanes, loop = both(workload, "mini:8", "sgd", **question)
        agree(lanes, loop, rtol=1e-8)
        assert engines(lanes) == {"xla"}

    @pytest.mark.slow
    def test_dropout_masks_are_those_of_the_loop(self):
        """The first updates are compared with the loop's, which draws the same masks."""

        def model():
            return nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))

        question = {"seeds": 2, "updates": 20, "trainer": "lanes", "dtype": "float64"}
        by_xla, vmapped = (
            compare(small_workload(model=model), "mini:4", engine=engine, **question)
            for engine in ("xla", "vmapped")
        )
        agree(by_xla, vmapped, rtol=1e-10)
        assert (engines(by_xla), engines(vmapped)) == ({"xla"}, {"vmapped"})

    def test_two_weights_take_the_path_of_the_loop(self):
        lanes, loop = both("line", "mini:2", engine="xla")
        torch.testing.assert_close(
            *(torch.tensor(result.paths[["x", "y"]].to_numpy()) for result in (lanes, loop)),
            rtol=1e-10,
            atol=1e-10,
        )

    @pytest.mark.slow
    def test_batch_norm_keeps_its_running_averages(self):
        def model():
            return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 1))

        lanes, loop = both(small_workload(model=model), "mini:5", engine="xla", recalibrate=False)
        agree(lanes, loop, rtol=1e-8)
        assert engines(lanes) == {"xla"}

    def test_more_updates_than_one_call_makes_are_made_in_several(self, monkeypatch):
        monkeypatch.setattr("optcompare.training.lanes.engines.xla.program._MOST_UPDATES", 2)
        agree(*both(small_workload(), "single", engine="xla"), rtol=1e-10)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("optimizer", "schedule"),
        [("sgd:momentum=0.9:dampening=0.5", "none"), ("sgd", "step"), ("adam", "cosine")],
    )
    def test_rates_that_change_with_updates_are_those_of_the_loop(self, optimizer, schedule):
        lanes, loop = both(small_workload(), "mini:4", optimizer, schedule=schedule, engine="xla")
        agree(lanes, loop, rtol=1e-10)
        assert engines(lanes) == {"xla"}

    @pytest.mark.slow
    def test_a_run_that_goes_on_keeps_its_engine(self, tmp_path, monkeypatch):
        question = {"seeds": 2, "dtype": "float64", "trainer": "lanes"}
        compare(small_workload(), "mini:4", epochs=4, engine="xla", out=tmp_path / "run", **question)
        for rule in ("worth_tracing", "worth_compiling"):
            monkeypatch.setattr(choice, rule, lambda *arguments: True)
        longer = compare(small_workload(), "mini:4", epochs=8, resume=tmp_path / "run", **question)
        whole = compare(small_workload(), "mini:4", epochs=8, **{**question, "trainer": "loop"})
        assert longer.comparison.engine == "xla"
        assert engines(longer) == {"xla"}
        agree(longer, whole, rtol=1e-10)

    @pytest.mark.slow
    def test_a_run_that_goes_on_without_xla_says_so_and_ends_alike(self, tmp_path, monkeypatch):
        question = {"seeds": 2, "dtype": "float64", "trainer": "lanes"}
        compare(small_workload(), "mini:4", epochs=4, engine="xla", out=tmp_path / "run", **question)
        monkeypatch.setattr(choice, "worth_tracing", lambda *arguments: True)
        monkeypatch.setattr(availability, "find_spec", lambda name: None)
        longer = compare(small_workload(), "mini:4", epochs=8, resume=tmp_path / "run", **question)
        assert engines(longer) == {"xla+traced"}
        assert any(
            note.startswith("the engine of lanes is xla, which cannot be used") for note in longer.notes
        )
        agree(longer, compare(small_workload(), "mini:4", epochs=8, **{**question, "trainer": "loop"}))

    @pytest.mark.slow
    def test_verify_names_the_engine_and_trains_in_the_loop(self, tmp_path):
        compare("line", "mini:2", seeds=2, updates=20, trainer="lanes", engine="xla", out=tmp_path / "run")
        (finding,) = [
            one for one in verify(tmp_path / "run", trials=1) if one.name.startswith("trained again")
        ]
        assert finding.held
        assert finding.detail.endswith(
            "(lanes by xla; trained again in the loop, the reference of every engine)"
        )


class Looks(nn.Module):
    """Looks up a row by a number that depends on its weights."""

    def __init__(self):
        super().__init__()
        self.table, self.out = nn.Parameter(torch.ones(4, 3)), nn.Linear(3, 1)

    def forward(self, x):
        place = (self.out(x).detach().abs() * 10).long().squeeze(-1) % 4
        return self.out(x * self.table[place])


class Jumps(Looks):
    """The same, without a bound on the number."""

    def forward(self, x):
        place = (self.out(x).detach().abs() * 1e-9).long().squeeze(-1)
        return self.out(x * self.table[place])


class Sorts(nn.Module):
    """Sorts, which the table of operations lacks."""

    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        return self.out(x.sort(-1).values)


class TestRefusals:
    def test_an_index_with_a_bound_is_compiled(self):
        lanes, loop = both(small_workload(model=Looks), "mini:5", engine="xla")
        agree(lanes, loop)
        assert engines(lanes) == {"xla"}

    def test_an_index_without_a_bound_stays_traced_and_is_named(self):
        lanes, loop = both(small_workload(model=Jumps), "mini:5", engine="xla")
        agree(lanes, loop)
        assert engines(lanes) == {"traced"}
        (line, *_) = told(lanes, "by XLA")
        why = "an index of index may be any, where it must be from -4 to 3, unchecked by XLA"
        assert line.endswith(f"traced, not compiled by XLA: {why}")

    def test_an_operation_that_is_missing_stays_traced_and_is_named(self):
        lanes, loop = both(small_workload(model=Sorts), "mini:5", engine="xla")
        agree(lanes, loop)
        assert engines(lanes) == {"traced"}
        assert "XLA lacks the operation aten.sort" in told(lanes, "by XLA")[0]

    def test_classes_that_are_ignored_are_no_indices(self):
        x = torch.randn(12, 3, generator=torch.Generator().manual_seed(0))
        y = torch.tensor([0, 1, 2, -100] * 3)
        workload = small_workload(
            train=(x, y), model=lambda: nn.Linear(3, 3), loss=nn.functional.cross_entropy
        )
        lanes, loop = both(workload, "mini:6", engine="xla")
        agree(lanes, loop)
        assert engines(lanes) == {"xla"}

    def test_xla_that_is_not_installed_is_refused_with_its_extra(self, monkeypatch):
        monkeypatch.setattr(availability, "find_spec", lambda name: None)
        with pytest.raises(
            ComparisonError,
            match=r'engine xla cannot be used: it needs the extra: pip install "optcompare\[xla\]"',
        ):
            compare("line", "mini:2", seeds=2, updates=5, engine="xla")


def test_a_buffer_that_is_assigned_anew_is_carried_on():
    lanes, loop = both(small_workload(model=Anneals), "mini:4", engine="xla")
    agree(lanes, loop)
    assert engines(lanes) == {"xla"}


class TestNeighbours:
    def test_the_settings_of_jax_are_left_alone(self):
        import jax

        before = (jax.config.jax_enable_x64, jax.config.jax_default_device, jax.config.jax_debug_nans)
        compare("line", "mini:2", seeds=2, updates=20, trainer="lanes", engine="xla")
        assert before == (jax.config.jax_enable_x64, jax.config.jax_default_device, jax.config.jax_debug_nans)
        assert jax.numpy.arange(3).dtype == jax.numpy.int32

    def test_settings_of_the_caller_change_nothing(self):
        import jax

        with (
            jax.disable_jit(),
            jax.transfer_guard("disallow_explicit"),
            jax.debug_nans(True),
            jax.enable_x64(False),
            jax.default_matmul_precision("bfloat16"),
        ):
            lanes, loop = both(small_workload(), "mini:4", engine="xla")
        agree(lanes, loop, rtol=1e-10)
        assert engines(lanes) == {"xla"}

    def test_a_trial_that_diverges_ends_where_it_does_in_the_loop(self):
        lanes, loop = both(small_workload(), "mini:4", lr=[1e30, 0.1], engine="xla", measure=1)
        assert set(lanes.trials["status"]) == {"diverged", "finished"}
        assert list(lanes.trials["status"]) == list(loop.trials["status"])

    @pytest.mark.slow
    def test_jax_is_imported_only_where_a_program_is_compiled(self, tmp_path):
        script = """
import sys
from optcompare import compare
for trainer, wanted in (("loop", False), ("lanes", False), ("lanes", True)):
    compare("line", "mini:2", seeds=2, updates=20, trainer=trainer, **({"engine": "xla"} if wanted else {}))
    assert ("jax" in sys.modules) == wanted, (trainer, wanted)
"""
        subprocess.run([sys.executable, "-c", script], check=True, cwd=tmp_path)
