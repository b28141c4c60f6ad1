"""Full-batch descent on data that does not fit in one forward pass."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from optcompare.training.data import default_chunk

MILLION_ROWS = """
import torch
from torch import nn
import optcompare
x, y = torch.randn(1_000_000, 64), torch.randint(10, (1_000_000,))
workload = optcompare.Workload(
    model=lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
    train=(x, y), loss=nn.functional.cross_entropy, lr=0.1,
)
trials = optcompare.compare(workload, "full", seeds=1, epochs=1).trials
assert trials["samples"].tolist() == [1_000_000]
(peak,) = (line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(peak.split()[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="the peak of a process alone is in /proc; ru_maxrss has its parent's too"
)
def test_a_full_batch_of_a_million_rows_stays_under_one_and_a_half_gibibytes():
    """64 floats a row are 256 MB of data; one forward pass of all rows would need over 1.5 GiB beside it."""
    run = subprocess.run([sys.executable, "-c", MILLION_ROWS], capture_output=True, text=True, check=True)
    assert int(run.stdout) * 1024 < 1.5 * 2**30


@pytest.mark.parametrize(
    ("shape", "rows"), [((64,), 8192), ((1,), 16384), ((3, 224, 224), 32), ((4096,), 128)]
)
def test_the_default_chunk_is_a_power_of_two_of_at_most_four_mebibytes(shape, rows):
    """64 floats and an int64 class are 264 bytes a row: 2²² / 264 is 15887, so 8192."""
    assert default_chunk((torch.zeros(100, *shape), torch.zeros(100, dtype=torch.int64))) == rows
