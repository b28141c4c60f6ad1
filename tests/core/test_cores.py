"""The cores that a process may use: its affinity, and the quotas of its control groups."""

from __future__ import annotations

import pytest

from optcompare.core import cores
from optcompare.core.cores import usable_cores


@pytest.fixture
def eight_cores(monkeypatch):
    monkeypatch.setattr(cores, "_allowed_cores", lambda: 8)


def files(root, **texts):
    for name, text in texts.items():
        path = root / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


CPU_MAX = "sys__fs__cgroup__{}cpu_dot_max"


@pytest.mark.parametrize(
    ("texts", "count"),
    [
        ({}, 8),
        ({"proc__self__cgroup": "0::/\n", CPU_MAX.format(""): "max 100000\n"}, 8),
        ({"proc__self__cgroup": "0::/\n", CPU_MAX.format(""): "250000 100000\n"}, 2),
        ({"proc__self__cgroup": "0::/\n", CPU_MAX.format(""): "50000 100000\n"}, 1),
        (
            {
                "proc__self__cgroup": "0::/user/job\n",
                CPU_MAX.format("user__"): "300000 100000\n",
                CPU_MAX.format("user__job__"): "max 100000\n",
            },
            3,
        ),
        (
            {
                "proc__self__cgroup": "4:memory:/job\n3:cpu,cpuacct:/job\n",
                "sys__fs__cgroup__cpu,cpuacct__job__cpu_dot_cfs_quota_us": "400000\n",
                "sys__fs__cgroup__cpu,cpuacct__job__cpu_dot_cfs_period_us": "100000\n",
            },
            4,
        ),
        (
            {
                "proc__self__cgroup": "3:cpu:/\n",
                "sys__fs__cgroup__cpu__cpu_dot_cfs_quota_us": "-1\n",
                "sys__fs__cgroup__cpu__cpu_dot_cfs_period_us": "100000\n",
            },
            8,
        ),
    ],
    ids=["no groups", "no limit", "a part of a core", "less than a core", "parent", "version 1", "unlimited"],
)
def test_the_smallest_quota_of_a_group_and_its_parents_counts(tmp_path, eight_cores, texts, count):
    files(tmp_path, **texts)
    assert usable_cores(tmp_path) == count


def test_a_quota_above_the_affinity_changes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(cores, "_allowed_cores", lambda: 1)
    files(tmp_path, **{"proc__self__cgroup": "0::/\n", CPU_MAX.format(""): "400000 100000\n"})
    assert usable_cores(tmp_path) == 1
