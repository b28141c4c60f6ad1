"""Deterministic algorithms, autocast, and trials on several devices."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from typing import ClassVar

import pytest
import torch
from optcompare_plugins.executors.processes import processes
from optcompare_plugins.executors.ray import cluster
from torch import nn

import optcompare
from optcompare import ComparisonError, Demand, compare
from tests.helpers.workloads import small_workload

BRIEF = {"strategies": ["full"], "seeds": 1, "epochs": 2, "trainer": "loop"}


class Looks(nn.Linear):
    """Notes, at each forward pass, what torch is set to."""

    seen: ClassVar[set[tuple[bool, str]]] = set()

    def __init__(self):
        super().__init__(3, 1)

    def forward(self, x):
        self.seen.add((torch.are_deterministic_algorithms_enabled(), torch.get_float32_matmul_precision()))
        return super().forward(x)


class Puts(nn.Linear):
    """``put_`` without accumulation has no deterministic algorithm on any device."""

    def __init__(self):
        super().__init__(3, 1)

    def forward(self, x):
        shift = torch.zeros(1).put_(torch.tensor([0]), torch.tensor([0.5]))
        return super().forward(x) + shift


class Grumbles(nn.Linear):
    def __init__(self):
        super().__init__(3, 1)

    def forward(self, x):
        warnings.warn("the model has something to say", stacklevel=1)
        return super().forward(x)


@pytest.mark.parametrize("deterministic", [True, False])
def test_trials_are_trained_deterministically_in_full_precision_and_the_callers_settings_come_back(
    deterministic,
):
    Looks.seen.clear()
    torch.set_float32_matmul_precision("medium")
    try:
        result = compare(small_workload(model=Looks), **BRIEF, deterministic=deterministic)
        after = torch.get_float32_matmul_precision()
    finally:
        torch.set_float32_matmul_precision("highest")
    assert Looks.seen == {(deterministic, "highest")}
    assert after == "medium"
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert result.comparison.deterministic is deterministic
    assert result.comparison.from_json(result.comparison.to_json()).deterministic is deterministic


@pytest.mark.slow
def test_an_operation_without_a_deterministic_algorithm_is_said_once_and_does_not_stop_the_run(tmp_path):
    result = compare(small_workload(model=Puts), **BRIEF, out=tmp_path / "run")
    said = [note for note in result.notes if "deterministic" in note]
    assert said == [
        "cpu has no deterministic algorithm for put_: run again, trials may end in other last bits"
    ]
    assert list(result.trials["status"]) == ["finished"]
    assert optcompare.load(tmp_path / "run").notes == result.notes


def test_nothing_is_said_of_operations_where_determinism_was_not_asked_for():
    assert not any(
        "deterministic" in note
        for note in compare(small_workload(model=Puts), **BRIEF, deterministic=False).notes
    )


def test_a_models_own_warnings_still_reach_the_user():
    with pytest.warns(UserWarning, match="the model has something to say"):
        compare(small_workload(model=Grumbles), **BRIEF)


def by_hand(workload, updates):
    """Gradient descent as torch's documentation writes it: autocast around the forward pass alone."""
    torch.manual_seed(0)
    model, (x, y) = workload.model(), workload.train
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(updates):
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            output = model(x)
        nn.functional.mse_loss(output.float(), y).backward()
        optimizer.step()
    return model.state_dict()


def perceptron():
    return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 1))


def in_one_order(seed, epoch, n):
    return range(n)


@pytest.mark.parametrize("strategy", ["full", "mini:10"])
def test_autocast_computes_forward_passes_in_bfloat16_and_keeps_weights_in_float32(strategy):
    workload = small_workload(model=perceptron)
    settings = {"strategies": [strategy], "seeds": 1, "epochs": 3, "order": in_one_order}
    result = compare(workload, **settings, autocast="bfloat16")
    weights, expected = result.model(strategy, 0).state_dict(), by_hand(workload, 3)
    assert all(torch.equal(weights[name], expected[name]) for name in expected)
    assert set(result.trials["trainer"]) == {"loop"}
    assert any(
        "bfloat16 rounds too coarsely to compare lanes" in line for line in result.environment["trainers"]
    )
    exact = compare(workload, **settings, trainer="loop").model(strategy, 0).state_dict()
    assert not torch.equal(weights["0.weight"], exact["0.weight"])
    torch.testing.assert_close(weights["0.weight"], exact["0.weight"], rtol=0.05, atol=0.01)


def test_an_objective_is_computed_in_bfloat16_too():
    def objective(model, batch):
        x, y = batch
        return (model(x) - y).square().mean()

    settings = {"strategies": ["full"], "seeds": 1, "epochs": 2, "trainer": "loop"}
    coarse, exact = (
        compare(small_workload(loss=None, objective=objective), **settings, autocast=dtype)
        for dtype in ("bfloat16", None)
    )
    assert list(coarse.records["train_loss"]) != list(exact.records["train_loss"])
    assert list(coarse.records["train_loss"]) == pytest.approx(list(exact.records["train_loss"]), rel=0.02)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"autocast": "float16"},
            "autocast must be bfloat16, got float16; float16 would need its losses scaled",
        ),
        (
            {"autocast": "bfloat16", "dtype": "float64"},
            "autocast bfloat16 goes with dtype float32, got float64",
        ),
    ],
)
def test_what_autocast_takes(settings, message):
    with pytest.raises(ComparisonError, match=message):
        compare(small_workload(), **BRIEF, **settings)


def seen_device() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("device", "visible", "expected"),
    [
        ("cuda", None, ["0", "1", "0"]),
        ("cuda", "5,7", ["5", "7", "5"]),
        ("cuda:1", None, [None, None, None]),
        ("cpu", None, [None, None, None]),
    ],
)
def test_each_job_sees_a_cuda_device_of_its_own_in_turn(monkeypatch, device, visible, expected):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    executor = processes(Demand(3, 1, device), "")
    try:
        assert [future.result(60) for future in [executor.submit(seen_device) for _ in range(3)]] == expected
    finally:
        executor.shutdown()


def test_ray_is_not_told_which_device():
    with pytest.raises(
        ComparisonError, match="chooses each task's GPU itself; give --device cuda, not cuda:1"
    ):
        cluster(Demand(2, 1, "cuda:1"), "")


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_cuda_device_trials_end_in_the_same_bits_again():
    once, again = (
        compare("digits-cnn", ["mini:64"], seeds=2, epochs=1, trainer="loop", device="cuda") for _ in range(2)
    )
    assert list(once.trials["final_sha256"]) == list(again.trials["final_sha256"])


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_trials_spread_over_cuda_devices_end_in_the_bits_of_one():
    settings = {"strategies": ["mini:64"], "seeds": 4, "epochs": 1, "trainer": "loop", "device": "cuda"}
    spread, alone = compare("digits", **settings, jobs=2), compare("digits", **settings)
    assert list(spread.trials["final_sha256"]) == list(alone.trials["final_sha256"])


@pytest.mark.slow
def test_torchs_compiler_is_imported_after_its_cache_is_this_users(tmp_path):
    """It fixes a path in its cache when it is imported, and fails where it cannot make the directory."""
    (tmp_path / "file").touch()
    code = (
        "import os; from optcompare.training.device import torch_settings\n"
        "with torch_settings(1):\n"
        "    from torch._inductor.runtime.cache_dir_utils import cache_dir\n"
        "    print(cache_dir())\n"
    )
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "file" / "torch"),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    assert done.stdout == f"{tmp_path / 'optcompare' / 'torch'}\n"
