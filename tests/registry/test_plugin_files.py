"""A Python file named by its path finds what stands beside it, and nobody else does."""

from __future__ import annotations

import importlib
import sys

import cloudpickle
import pytest

from optcompare import compare, load
from optcompare.registry.manager import Registry
from optcompare.registry.plugin_files import load_file, load_module, shown_name
from tests.helpers.commands import run

HELPER = """
from __future__ import annotations
from dataclasses import dataclass
from optcompare import Strategy

{name} = {value}

@dataclass
class Cuts(Strategy):
    size: int = 2

    def batches(self, epoch):
        yield from epoch.order.split(self.size)
"""
WORKLOAD = """
import torch
from optcompare import Workload
from helper import width

x = torch.arange(12.0).reshape(6, 2) / 12

def make():
    from later import lr
    data = x, x.sum(1, keepdim=True)
    return Workload(model=model, train=data, loss=torch.nn.functional.mse_loss, lr=lr, epochs=2, batch_size=2)

def model():
    import later
    assert later.lr == 0.1
    return torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Linear(width, 1))
"""
PLUGIN = """
import helper
from optcompare import hookimpl

@hookimpl
def optcompare_strategies():
    return {"cuts": helper.Cuts}
"""


@pytest.fixture
def project(tmp_path):
    """Two folders, each with a helper.py of its own, and one of them with a package."""
    for folder, width in (("one", 3), ("two", 5)):
        place = tmp_path / folder
        (place / "parts").mkdir(parents=True)
        (place / "helper.py").write_text(HELPER.format(name="width", value=width))
        (place / "mine.py").write_text(WORKLOAD)
        (place / "later.py").write_text("lr = 0.1\n")
        (place / "plugin.py").write_text(PLUGIN)
        (place / "parts" / "__init__.py").write_text("from .inner import number\n")
        (place / "parts" / "inner.py").write_text(f"import helper\nnumber = helper.width + {width}\n")
        (place / "packaged.py").write_text(
            "import parts.inner\nfrom parts import number\nsame = parts.inner.number == number\n"
        )
    return tmp_path


@pytest.mark.parametrize(("name", "values"), [("mine", ("width", 3, 5)), ("packaged", ("number", 6, 10))])
def test_files_of_two_folders_have_each_their_own_helper(project, name, values):
    attribute, *expected = values
    before = list(sys.path)
    loaded = [load_module(str(project / folder / f"{name}.py")) for folder in ("one", "two")]
    assert [getattr(module, attribute) for module in loaded] == expected
    assert sys.path == before
    for other in ("helper", "parts", "parts.inner"):
        assert other not in sys.modules
        with pytest.raises(ModuleNotFoundError, match=other.partition(".")[0]):
            importlib.import_module(other)


def test_a_function_imports_the_very_module_that_its_file_did(tmp_path):
    (tmp_path / "counts.py").write_text("calls = []\n")
    (tmp_path / "mine.py").write_text(
        "import counts\ndef call():\n    import counts as again\n    return again is counts\n"
    )
    assert load_module(str(tmp_path / "mine.py")).call()
    sys.modules.pop("counts", None)


def test_a_standard_module_imported_meanwhile_keeps_its_name(tmp_path):
    (tmp_path / "mine.py").write_text("import this_is_beside, colorsys\n")
    (tmp_path / "this_is_beside.py").write_text("")
    sys.modules.pop("colorsys", None)
    assert load_module(str(tmp_path / "mine.py")).colorsys is sys.modules["colorsys"]


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [(), ("--jobs", 2)], ids=["here", "jobs"])
def test_a_run_and_its_resume_from_another_directory_find_what_stands_beside(project, monkeypatch, jobs):
    monkeypatch.chdir(project / "one")
    line = (
        "--plugin",
        "plugin.py",
        "--workload",
        "mine.py:make",
        "--strategies",
        "full,cuts:3",
        "--device",
        "cpu",
        *jobs,
    )
    assert run("run", *line, "--seeds", 2, "--out", project / "run", "--trainer", "loop") == 0
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    assert run("run", "--resume", project / "run", "--seeds", 3, *jobs) == 0
    assert run("verify", project / "run") == 0
    assert load(project / "run").trials["status"].tolist() == ["finished"] * 6


def test_what_a_helper_defines_travels_to_where_it_is_not_installed(project):
    module = load_module(str(project / "two" / "plugin.py"))
    registry = Registry.load([str(project / "two" / "plugin.py")])
    assert registry.find("strategies", "cuts").factory(size=4).size == 4
    assert cloudpickle.loads(cloudpickle.dumps(module.helper.Cuts)).__name__ == "Cuts"
    result = compare("line", "cuts:3", seeds=1, epochs=1, plugins=str(project / "two" / "plugin.py"))
    assert result.trials["updates"].tolist() == [2]


def test_messages_name_the_file_of_a_module_that_was_loaded_by_its_path(tmp_path):
    (tmp_path / "my_steps.py").write_text("import beside\n")
    (tmp_path / "beside.py").touch()
    module = load_file(tmp_path / "my_steps.py")
    assert shown_name(module.__name__) == "my_steps.py"
    assert shown_name("optcompare_plugins") == "optcompare_plugins"
