"""What says so where an extra is not installed."""

from __future__ import annotations

import sys

import pytest

from optcompare import OptcompareError, compare
from tests.helpers.workloads import small_workload


def test_ray_without_its_extra_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(
        OptcompareError, match=r'executor ray needs the extra: pip install "optcompare\[ray\]"'
    ):
        compare(small_workload(), "full", seeds=1, epochs=1, executor="ray")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("tracker", "library", "extra"),
    [("tensorboard:logs", "tensorboard", "tensorboard"), ("mlflow", "mlflow", "mlflow")],
)
def test_a_tracker_without_its_extra_names_it(tracker, library, extra, tmp_path, monkeypatch):
    """In the tracker's own process, where a module in the way of the library has none of its names."""
    (tmp_path / f"{library}.py").write_text("raise ImportError('not installed')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(OptcompareError, match=rf'needs the extra: pip install "optcompare\[{extra}\]"'):
        compare(small_workload(), "full", seeds=1, epochs=1, track=tracker)
