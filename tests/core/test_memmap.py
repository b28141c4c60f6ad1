"""Data in a file: trained on as if they were in memory, and never copied whole."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from torch import nn

from optcompare import WorkloadError, compare
from optcompare.core.comparison import Trial
from optcompare.core.memmap import file_slice_of, is_memory_mapped, open_file_slice
from optcompare.execution.packing import pack
from optcompare.storage.provenance import data_sha256
from tests.helpers.trials import make_trainer, train
from tests.helpers.workloads import small_workload


def in_file(tensor, path):
    """Return the same numbers in a file."""
    path.write_bytes(tensor.contiguous().numpy().tobytes())
    return torch.from_file(str(path), shared=True, size=tensor.numel(), dtype=tensor.dtype).reshape(
        tensor.shape
    )


@pytest.fixture
def both(tmp_path):
    """Return a small workload in memory, and in files; its last rows are held out, from the same files."""
    memory = small_workload(60)
    x, y = (in_file(part, tmp_path / name) for part, name in zip(memory.train, "xy", strict=True))
    return (
        small_workload(
            train=tuple(part[:50] for part in memory.train), valid=tuple(part[50:] for part in memory.train)
        ),
        small_workload(train=(x[:50], y[:50]), valid=(x[50:], y[50:])),
    )


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_training_is_the_same_to_the_last_bit_in_memory_and_in_a_file(registry, both, dtype):
    """In float64 each batch is cast by itself."""
    ends = []
    for workload in both:
        trainer = make_trainer(registry, workload, ["mini:8"], dtype=dtype)
        records, state = train(trainer, Trial(trainer.setup.comparison.arms[0], 0))
        ends.append((state["progress"]["final_sha256"], [record["valid_loss"] for record in records]))
    assert ends[0] == ends[1]
    assert is_memory_mapped(both[1].train[0])
    assert not is_memory_mapped(both[0].train[0])


def test_lanes_read_a_file_and_leave_what_must_be_cast_to_the_loop(both):
    for dtype, trainer in (("float32", "lanes"), ("float64", "loop")):
        result = compare(both[1], "mini:8", seeds=2, epochs=1, dtype=dtype, trainer="lanes")
        assert set(result.trials["trainer"]) == {trainer}
    assert any("memory-mapped data are cast or moved batch by batch" in note for note in result.notes)


def test_fingerprints_do_not_tell_a_file_from_memory(both):
    assert data_sha256(both[0]) == data_sha256(both[1])


def test_a_file_goes_to_other_processes_by_its_name(registry, tmp_path):
    x = in_file(torch.arange(4_000_000.0).reshape(-1, 4), tmp_path / "x")
    setup = make_trainer(
        registry, small_workload(model=lambda: nn.Linear(4, 1), train=(x[10:], x[10:, :1])), ["full"]
    ).setup
    assert len(pack(setup)) < 100_000


@pytest.mark.slow
def test_jobs_train_from_a_file_as_one_process_does(both):
    apart = [
        compare(both[1], "mini:8", seeds=2, epochs=1, trainer="loop", jobs=jobs).trials for jobs in (None, 2)
    ]
    assert apart[0]["final_sha256"].tolist() == apart[1]["final_sha256"].tolist()


def test_a_view_is_found_again_where_it_lay(tmp_path):
    whole = in_file(torch.arange(24, dtype=torch.int64).reshape(6, 4), tmp_path / "x")
    view = whole[1:5:2, 1:3]
    assert open_file_slice(file_slice_of(view)).tolist() == [[5, 6], [13, 14]]
    assert file_slice_of(torch.zeros(3)) is None


def test_a_file_that_is_gone_or_cut_is_refused(tmp_path):
    place = file_slice_of(in_file(torch.arange(8.0), tmp_path / "x"))
    (tmp_path / "x").write_bytes(bytes(12))
    with pytest.raises(WorkloadError, match=r"is in .*x, which has 12 bytes instead of 32; make the file"):
        open_file_slice(place)
    (tmp_path / "x").unlink()
    with pytest.raises(WorkloadError, match=r"is in .*x, which is missing"):
        open_file_slice(place)
    assert list(tmp_path.iterdir()) == []


BEYOND_MEMORY = """
import resource, sys, torch
from torch import nn
import optcompare
rows, width = 4_000_000, 128
x = torch.from_file(sys.argv[1], shared=True, size=rows * width, dtype=torch.float32).reshape(rows, width)
workload = optcompare.Workload(
    model=lambda: nn.Linear(width, 1), train=(x, x[:, :1]), loss=nn.functional.mse_loss, lr=0.01
)
resource.setrlimit(resource.RLIMIT_DATA, (2**30, 2**30))
trials = optcompare.compare(workload, ["mini:65536", "full"], seeds=1, epochs=1).trials
assert trials["status"].tolist() == ["finished"] * 2, trials["reason"].tolist()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA counts private memory on Linux alone")
def test_two_gigabytes_are_trained_on_within_one(tmp_path):
    """A sparse file, all zeros: an array of its size could not be had, and each epoch reads all of it."""
    with (tmp_path / "x").open("wb") as file:
        file.truncate(4_000_000 * 128 * 4)
    command = [sys.executable, "-c", BEYOND_MEMORY, str(tmp_path / "x")]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert run.returncode == 0, run.stderr
