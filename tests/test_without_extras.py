"""What says so where an extra is not installed."""

from __future__ import annotations

import sys

import pytest
from conftest import small_workload

from optcompare import OptcompareError, compare


def test_ray_without_its_extra_names_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(OptcompareError, match=r'executor ray needs the extra: pip install "optcompare\[ray\]"'):
        compare(small_workload(), "full", seeds=1, epochs=1, executor="ray")
