"""Sizes that do not fit into memory are refused at once, before anything of that size is made."""

from __future__ import annotations

import pytest
from optcompare_plugins.workloads import memory

from optcompare import WorkloadError
from optcompare.planning.factories import make_workload
from tests.helpers.ratings import made_up, write_100k

TOO_LARGE = {
    "text width": "text:text.txt:width=1000000",
    "text layers": "text:text.txt:layers=1000:width=40000",
    "stdlib-text": "stdlib-text:width=1000000",
    "csv": "csv:table.csv:y:hidden=10000000000000",
    "mackey-glass": "mackey-glass:hidden=1000000",
    "movielens": "movielens:u.data:factors=10000000000000",
    "graph features": "graph:features=1000000000",
    "graph hidden": "graph:hidden=10000000000",
    "images": "images:images:size=100000",
}


@pytest.mark.parametrize("case", TOO_LARGE)
def test_a_size_beyond_memory_is_refused(registry, tmp_path, monkeypatch, case):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.txt").write_text("to be or not to be, " * 200)
    (tmp_path / "table.csv").write_text("x,y\n" + "".join(f"{i},{2 * i}\n" for i in range(40)))
    write_100k(tmp_path / "u.data", made_up())
    with pytest.raises(WorkloadError, match=r"takes about [\d,]+ GiB of memory, .* give smaller sizes"):
        make_workload(registry, TOO_LARGE[case])


def test_layers_without_end_are_refused(registry):
    with pytest.raises(WorkloadError, match="layers must be at most 1,000, got 100,000,000"):
        make_workload(registry, "stdlib-text:layers=100000000")


def test_what_just_fits_is_accepted(monkeypatch):
    monkeypatch.setattr(memory, "machine_memory", lambda: 160)
    memory.check_model("x", 10, "hidden=10")
    with pytest.raises(WorkloadError, match=r"x: a model of 11 weights \(hidden=11\) takes"):
        memory.check_model("x", 11, "hidden=11")
