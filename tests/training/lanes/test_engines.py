"""When lanes repay, how far they are compiled, and what they may take of memory."""

from __future__ import annotations

import gc
import warnings
from contextlib import contextmanager
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from optcompare import ComparisonError, Strategy, StrategyError, compare
from optcompare.core.comparison import Budget
from optcompare.execution.run import execute
from optcompare.execution.run_options import RunOptions
from optcompare.execution.scheduler import Tasks
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.training.device import torch_settings
from optcompare.training.lanes.admission import Admission
from optcompare.training.lanes.cost_model import Work, worth_compiling, worth_lanes, worth_tracing
from optcompare.training.lanes.engines import compiler_process, inductor
from optcompare.training.lanes.engines.choice import Engines, engine_of, windows_bytes
from optcompare.training.lanes.engines.libraries import CacheEntry
from optcompare.training.lanes.engines.xla import availability
from optcompare.training.lanes.memory import lanes_that_fit, memory_limit
from optcompare.training.lanes.program import Blueprint
from optcompare.training.lanes.run import LanesRun
from optcompare.training.lanes.trainer import LanesTrainer
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload


class TestWorth:
    """An update costs 200 µs in the loop, a measurement 600 µs; a group 0.4 s, the first import 1.5 s."""

    def test_lanes_gain_what_all_but_two_of_them_cost_in_the_loop(self):
        """8·(1000·.0002 + 100·.0006) = 8·.26."""
        assert Work(lanes=10, updates=1000, measurements=100).gain == pytest.approx(2.08)
        assert Work(lanes=2, updates=1000, measurements=100).gain == 0
        assert Work(lanes=1, updates=1000, measurements=100).gain == 0

    @pytest.mark.parametrize(
        ("groups", "worth"),
        [
            ([Work(10, 1000, 100)], [True]),  # 2.08 - .4 = 1.68 of 1.5
            ([Work(10, 100, 100)], [False]),  # 8·.08 = .64 repays the group, .24 no import
            ([Work(10, 100, 100)] * 6, [False] * 6),  # 6·.24 = 1.44
            ([Work(10, 100, 100)] * 7, [True] * 7),  # 7·.24 = 1.68
            ([Work(10, 1000, 100), Work(10, 10, 10)], [True, False]),  # 8·.008 = .064 of .4
            ([Work(1, 100_000, 10)], [True]),  # a program compiled: 20 s of 12
            ([Work(1, 50_000, 10)], [False]),  # 10 s
            ([], []),
        ],
    )
    def test_a_group_must_repay_its_check_and_all_of_them_the_import(self, groups, worth):
        assert worth_lanes(groups) == worth

    def test_two_hundred_updates_repay_tracing(self):
        assert (worth_tracing(199), worth_tracing(200)) == (False, True)

    def test_compiling_is_repaid_half_by_this_run(self):
        """100 operations of 3 µs: 20 000 updates take 6 s less, half of the compiler's 12 s."""
        assert [worth_compiling("inductor", updates, 100) for updates in (19_999, 20_001)] == [False, True]
        assert worth_compiling("inductor", 20_001, 99) is False


def asked(registry, **question):
    return prepare(registry, Question(device="cpu", **question))


class TestAuto:
    @pytest.mark.slow
    def test_a_short_run_stays_in_the_loop(self, registry):
        said = []
        result = execute(
            asked(registry, budget=Budget("epochs", 10)),
            options=RunOptions(report_trainer=said.append, jobs=1),
        )
        assert trainers(result) == {"loop"}
        assert said == [
            f"{arm}: 10 trials in the loop instead of lanes: so few updates do not repay lanes"
            for arm in ("full", "mini:2", "single")
        ]
        assert result.environment["trainers"] == said

    def dealt(self, registry, monkeypatch, lane_seconds):
        """How a long run is dealt out where an update of all lanes takes so long, without training it."""
        monkeypatch.setattr("optcompare.training.lanes.admission._seconds", lambda *arguments: lane_seconds)
        monkeypatch.setattr(
            "optcompare.training.lanes.engines.choice.worth_compiling", lambda *arguments: False
        )
        prepared, said = asked(registry, budget=Budget("epochs", 2000)), []
        trials = prepared.setup.comparison.trials()
        with torch_settings(1):
            tasks = Tasks(LanesTrainer(prepared.trainer, 2**30), prepared.estimates, [trials], said.append)
            return [(task.trainer, len(task.trials)) for task in tasks.of(trials)], said, tasks.notes

    @pytest.mark.slow
    def test_a_long_run_takes_lanes(self, registry, monkeypatch):
        dealt, said, notes = self.dealt(registry, monkeypatch, lane_seconds=0.0)
        assert dealt == [("lanes", 10)] * 3
        assert said == [f"{arm}: 10 trials in lanes" for arm in ("full", "mini:2", "single")], (
            "the shorter ones first"
        )
        assert notes == []

    def test_lanes_that_are_slower_than_the_loop_are_refused(self, registry, monkeypatch):
        dealt, said, _ = self.dealt(registry, monkeypatch, lane_seconds=100.0)
        assert dealt == [("loop", 1)] * 30
        assert said[0].startswith(
            "full: 10 trials in the loop instead of lanes: an update takes 10,000,000 µs a lane, and "
        )


@pytest.fixture
def eager(monkeypatch, tmp_path):
    """Everything is traced and compiled, into a cache of this test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("optcompare.training.lanes.engines.choice.worth_tracing", lambda updates: True)
    monkeypatch.setattr("optcompare.training.lanes.engines.choice.worth_compiling", lambda *arguments: True)


def told(result, part):
    return [line for line in result.environment["trainers"] if part in line]


COMPILER_FAILS = "raise SystemExit('out of luck')"
COMPILER_LEAVES_NOTHING = "import sys; sys.stdin.read()"
COMPILER_DIES = "import os; os.kill(os.getpid(), 9)"
COMPILER_WRITES_GARBAGE = """
import sys
from pathlib import Path
directory, key, *sys.path[:] = sys.argv[1:]
from optcompare.training.lanes.engines.libraries import CacheEntry
entry = CacheEntry(Path(directory), key)
with entry.locked(), entry.work() as work:
    (work / "scan.pt2").write_bytes(b"garbage")
    entry.publish(work / "scan.pt2")
"""


def wait_for_compilers(monkeypatch):
    """What compilers leave is looked at when they have ended, however long that takes."""
    admit = Admission._apart

    def waiting(self, family, programs, seen):
        programs.wait()
        return admit(self, family, programs, seen)

    monkeypatch.setattr(Admission, "_apart", waiting)


class Fake:
    """In place of a compiler: ``scan`` is what it would have made, once it is ``done``."""

    cached, kept, done = False, True, True
    change: ClassVar = staticmethod(lambda index: index)
    factor = 1.0

    def __init__(self, step, example, follow, libraries):
        self.step = step

    def ready(self):
        return Fake.done

    @contextmanager
    def scan(self):
        def scanned(carry, rates, data, index):
            for number, batch in enumerate(self.change(index)):
                carry = self.step(carry, [rate[number] for rate in rates], data, batch)
            return [carry[0] * self.factor, *carry[1:]], None

        yield scanned, 1.0


@pytest.fixture(params=["before the check", "while training"])
def fake(request, monkeypatch, eager):
    """A compiler that is done at that moment."""
    train = LanesRun.train
    monkeypatch.setattr("optcompare.training.lanes.program_cache.Compiling", Fake)
    monkeypatch.setattr(Fake, "done", request.param == "before the check")

    def training(self, until, stop=None):
        Fake.done = True
        train(self, until, stop)

    monkeypatch.setattr(LanesRun, "train", training)
    return request.param


class TestCompiled:
    def test_without_a_compiler_programs_are_traced(self, eager, monkeypatch):
        monkeypatch.setattr(inductor, "obstacle", lambda: "there is no C++ compiler (g++ or clang++)")
        lanes, loop = both(small_workload(), "full")
        agree(lanes, loop)
        assert trainers(lanes) == {"lanes"}
        assert lanes.environment["trainers"] == [
            "batch size 10, 3 lanes, about 20 updates: traced, not compiled: there is no C++ compiler (g++ "
            "or clang++)",
            "full: 3 trials in lanes",
        ]

    def test_a_machine_without_a_compiler_says_so(self, monkeypatch):
        def none():
            raise RuntimeError

        monkeypatch.setattr("torch._inductor.cpp_builder.get_cpp_compiler", none)
        assert inductor.obstacle.__wrapped__() == "there is no C++ compiler (g++ or clang++)"

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("compiler", "why"),
        [
            (COMPILER_FAILS, "torch's compiler failed: out of luck"),
            (COMPILER_LEAVES_NOTHING, "torch's compiler failed: it left no library"),
            (COMPILER_DIES, "torch's compiler failed: its process ended with exit code -9"),
            (
                COMPILER_WRITES_GARBAGE,
                "the compiled program cannot be loaded: Failed to initialize zip archive",
            ),
        ],
    )
    def test_a_compiler_that_fails_leaves_programs_traced(self, eager, monkeypatch, compiler, why):
        monkeypatch.setattr(inductor, "obstacle", lambda: None)
        monkeypatch.setattr(compiler_process, "_BEGIN", compiler)
        wait_for_compilers(monkeypatch)
        lanes, loop = both(small_workload(), "full")
        agree(lanes, loop)
        assert trainers(lanes) == {"lanes"}
        (line,) = told(lanes, "traced, not compiled")
        assert line.startswith(f"batch size 10, 3 lanes: traced, not compiled: {why}")

    def test_a_library_that_another_process_never_finishes_is_not_waited_for(self, eager, monkeypatch):
        monkeypatch.setattr(inductor, "obstacle", lambda: None)
        monkeypatch.setattr(CacheEntry, "is_busy", lambda self, seconds=0: True)
        lanes, loop = both(small_workload(), "full")
        agree(lanes, loop)
        assert trainers(lanes) == {"lanes"}

    @pytest.mark.slow
    def test_training_goes_on_in_the_compiled_program_once_it_is_there(self, fake):
        lanes, loop = both(small_workload(), "single", measure=1)
        agree(lanes, loop)
        assert told(lanes, "compiled by inductor in 1 s")
        assert trainers(lanes) == {"lanes"}

    @pytest.mark.slow
    def test_a_compiled_program_that_computes_something_else_is_not_used(self, fake, monkeypatch):
        monkeypatch.setattr(Fake, "factor", 1.01)
        lanes, loop = both(small_workload(), "single")
        agree(lanes, loop)
        assert told(
            lanes,
            "batch size 1, 3 lanes: traced, not compiled: its program computes something else than the graph",
        )

    @pytest.mark.parametrize(
        "wrong",
        [{"factor": 1 + 1e-6}, {"change": staticmethod(torch.zeros_like)}],
        ids=["a little", "in its samples"],
    )
    def test_a_compiled_program_is_held_to_what_the_check_allows(self, fake, monkeypatch, wrong):
        for name, value in wrong.items():
            monkeypatch.setattr(Fake, name, value)
        lanes, loop = both(small_workload(), "single")
        agree(lanes, loop)
        assert trainers(lanes) == {"lanes"}

    @pytest.mark.slow
    def test_a_compiler_that_outlives_the_run_warns_nobody(self, eager, monkeypatch):
        monkeypatch.setattr(inductor, "obstacle", lambda: None)
        monkeypatch.setattr(compiler_process, "_BEGIN", "import time; time.sleep(2)")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            both(small_workload(), "full", updates=2)
            gc.collect()
        assert [str(warning.message) for warning in caught] == []

    @pytest.mark.slow
    def test_the_compiler_makes_what_was_traced_and_keeps_it(self, eager, monkeypatch, registry):
        if inductor.obstacle() is not None:
            pytest.skip(f"nothing can be compiled here: {inductor.obstacle()}")
        loop = make_trainer(
            registry,
            "line",
            ["mini:2"],
            seeds=(0, 1),
            budget=Budget("epochs", 30),
            dtype="float64",
            trainer="lanes",
        )

        def trained():
            said = []
            with torch_settings(1):
                trainer = LanesTrainer(loop, 2**30, said.append)
                (group,) = trainer.admit(loop.setup.comparison.trials()).groups
                trainer.wait()
                records, state = trainer.advance(group, None, lambda: False)
            return (
                said[-1],
                [record["train_loss"] for record in records],
                state["lanes"][0]["progress"]["path"],
            )

        with monkeypatch.context() as patch:
            patch.setattr(inductor, "obstacle", lambda: "not now")
            said, losses, path = trained()
        assert said == "batch size 2, 2 lanes, about 90 updates: traced, not compiled: not now"
        assert len(path) == 91, "30 epochs of 3 updates, and the start"
        for expected in ("compiled by inductor in ", "compiled by inductor before"):
            said, now, there = trained()
            assert said.startswith(f"batch size 2, 2 lanes: {expected}")
            assert now == pytest.approx(losses, rel=1e-12)
            np.testing.assert_allclose(there, path, rtol=1e-12)


class TestMemory:
    @pytest.mark.parametrize(
        ("text", "limit"),
        [
            ("4GB", 4 * 2**30),
            ("500MB", 500 * 2**20),
            ("1.5 KiB", 1536),
            ("2t", 2 * 2**40),
            ("12", 12),
            ("25%", 250),
            ("100 %", 1000),
            (None, 500),
        ],
    )
    def test_a_limit_is_a_size_or_a_share_of_what_is_free(self, monkeypatch, text, limit):
        monkeypatch.setattr("optcompare.training.lanes.memory.free_memory", lambda device: 1000)
        assert memory_limit(text, torch.device("cpu")) == limit

    @pytest.mark.parametrize("text", ["lots", "-1GB", "0GB", "0%", "101%", "4 G B", "GB", "1e9"])
    def test_anything_else_is_refused(self, text):
        with pytest.raises(
            ComparisonError, match=f"a share of what is free, such as 4GB or 25%, got '{text}'"
        ):
            compare(small_workload(), "full", seeds=1, epochs=1, memory=text)

    def test_lanes_fit_by_their_weights_and_by_what_autograd_keeps(self, registry):
        """Linear(3, 1) in float64 has 32 bytes of weights and as many of gradients, held twice: 128.

        A row keeps x, output and y, 40 bytes, three times: 480 for batches of 4, and 1200 for all 10 rows.
        """
        loop = make_trainer(registry, small_workload(), ["mini:4"], dtype="float64", trainer="lanes")
        (trial,) = loop.setup.comparison.trials()
        run = loop.run(trial, None)
        blueprint = Blueprint(
            run.workload,
            run.another_model,
            LanesTrainer(loop, 2**30).families.settings_of(trial),
            trial.arm.chunk,
        )
        assert lanes_that_fit(blueprint, run, 4, 10, 10 * 608) == (10, 5)
        assert lanes_that_fit(blueprint, run, 4, 10, 1) == (1, 1)


@dataclass
class Backwards(Strategy):
    positional: ClassVar[bool] = True
    batch_size: int = 4

    def batches(self, epoch):
        yield from epoch.order.flip(0).split(self.batch_size)


class TestPositional:
    @pytest.mark.parametrize("trainer", ["loop", "lanes"])
    def test_the_promise_changes_nothing_but_the_time_that_planning_takes(self, trainer):
        unpromised = type("Backwards", (Backwards,), {"positional": False})
        question = {"seeds": 2, "epochs": 3, "trainer": trainer}
        one, other = (
            compare(small_workload(), kind(), **question).trials for kind in (Backwards, unpromised)
        )
        for name in ("batches_sha256", "final_sha256", "order_sha256"):
            assert one[name].tolist() == other[name].tolist()
        assert one["batches_sha256"].nunique() == 2

    @pytest.mark.parametrize("by", ["values", "epochs"])
    def test_a_promise_that_does_not_hold_is_refused_before_training(self, by):
        class Lies(Strategy):
            positional = True

            def batches(self, epoch):
                order = epoch.order.sort().values if by == "values" else epoch.order
                yield from order.split(4 + epoch.index if by == "epochs" else 4)

        with pytest.raises(
            StrategyError,
            match="strategy lies promises positional batches, but took other positions of the order in "
            "another epoch; "
            "leave out positional = True",
        ):
            compare(small_workload(), [Lies()], seeds=1, epochs=1)


class TestChoice:
    def test_xla_is_tried_first_where_it_is_installed_and_the_device_is_the_cpu(self, monkeypatch):
        assert engine_of("auto", "cpu") == "inductor"
        monkeypatch.setattr(availability, "obstacle", lambda: None)
        assert [engine_of("auto", device) for device in ("cpu", "cuda:0")] == ["xla", "inductor"]
        assert engine_of("auto", "cpu", previous="inductor") == "inductor", (
            "a run that goes on keeps its engine"
        )
        assert engine_of("traced", "cpu", previous="xla") == "traced"
        with pytest.raises(
            ComparisonError, match="xla cannot be used: its programs run on the CPU, and the device is cuda:0"
        ):
            engine_of("xla", "cuda:0")
        monkeypatch.setattr(inductor, "obstacle", lambda: "there is no C++ compiler (g++ or clang++)")
        with pytest.raises(ComparisonError, match=r"inductor cannot be used: there is no C\+\+ compiler"):
            engine_of("inductor", "cpu")

    def test_the_windows_of_a_convolution_decide_which_compiler_is_tried_first(self):
        """[2 lanes · 4, 3, 10, 10] and 3 × 3 filters have 8 · 3 · 9 · 64 windows of 4 bytes."""

        def convolve(x, weight):
            return torch.conv2d(x, weight)

        graph = make_fx(convolve)(torch.ones(8, 3, 10, 10), torch.ones(5, 3, 3, 3))
        assert windows_bytes(graph) == 8 * 3 * 9 * 64 * 4
        engines = Engines(("xla", "inductor"))
        assert engines.to_try(graph, 2, 1e9) == ("xla", "inductor")
        large = make_fx(convolve)(torch.ones(8, 3, 100, 100), torch.ones(5, 3, 3, 3))
        assert engines.to_try(large, 2, 1e9) == ("inductor", "xla")
        named = Engines(("xla", "inductor"), always=True)
        assert named.to_try(large, 2, 1) == ("xla", "inductor")

    def test_xla_repays_sooner_than_inductor(self):
        """100 operations: XLA takes 1.05 s, which 3500 updates save; inductor half of 12 s."""
        updates = (3_499, 3_501, 19_999, 20_001)
        worth = [Engines(("xla", "inductor")).worth_compiling(count, 100) for count in updates]
        assert worth == [(), ("xla",), ("xla",), ("xla", "inductor")]

    def test_a_single_long_trial_repays_lanes_where_xla_compiles_them(self):
        """10 000 updates of 200 µs, without 1.05 s of compiling: .95 of .4 s; three times .55 of 1.5 s."""
        work = Work(1, 10_000, 0)
        assert worth_lanes([work] * 3, ["xla", "inductor"]) == [True] * 3
        assert worth_lanes([work] * 3) == [False] * 3

    @pytest.mark.parametrize(("engine", "levels"), [("vmapped", {"vmapped"}), ("traced", {"traced"})])
    def test_a_named_engine_runs_every_program(self, engine, levels):
        lanes, loop = both(small_workload(), "mini:4", engine=engine)
        agree(lanes, loop)
        assert set(lanes.trials["engine"]) == levels
        assert set(loop.trials["engine"]) == {""}
        assert f"3 run by {engine}" in str(lanes.certificate)

    def test_another_engine_is_refused(self):
        with pytest.raises(
            ComparisonError, match="engine must be auto, vmapped, traced, inductor or xla, got 'fast'"
        ):
            both(small_workload(), engine="fast")
