"""What a list says of torch's optimizers is read from their sources, or left to the import."""

from __future__ import annotations

import inspect
import json
import subprocess
import sys

import pytest
import torch
from optcompare_plugins.optimizers.torch_optim import TRAINABLE

from optcompare.cli.torch_sources import described
from optcompare.interfaces.optimizer import hyperparameters

READ = """
import inspect, json, sys
from optcompare.cli.torch_sources import described
read = {}
for name in sys.argv[1:]:
    found = described(f"torch.optim.{name}")
    paragraph = inspect.cleandoc(found.paragraph).partition("\\n\\n")[0]
    read[name] = [paragraph, [str(each) for each in found.hyperparameters]]
assert "torch" not in sys.modules
print(json.dumps(read))
"""

LITERAL = '''
class Mine(Optimizer):
    """Descend."""

    def __init__(self, params: ParamsT, lr: float = 0.1, *, betas=(None, -1.5), name="a b") -> None: ...
'''


@pytest.fixture
def torch_of(tmp_path, monkeypatch):
    """Return a function that puts sources of torch.optim in the place of the installed ones."""

    def put(source: str, names: str = "from torch.optim.mine import Mine as Mine") -> None:
        package = tmp_path / "torch" / "optim"
        package.mkdir(parents=True)
        (tmp_path / "torch" / "__init__.py").write_text("raise AssertionError('imported')", "utf-8")
        (package / "__init__.py").write_text(names, "utf-8")
        (package / "mine.py").write_text(source, "utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        for name in [each for each in sys.modules if each.partition(".")[0] == "torch"]:
            monkeypatch.delitem(sys.modules, name)

    return put


def test_what_is_read_is_what_an_import_says_for_every_optimizer():
    done = subprocess.run(
        [sys.executable, "-c", READ, *TRAINABLE], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    imported = {
        name: [inspect.getdoc(each).partition("\n\n")[0], [str(known) for known in hyperparameters(each)]]
        for name, each in ((name, getattr(torch.optim, name)) for name in TRAINABLE)
    }
    assert json.loads(done.stdout) == imported


def test_nothing_is_read_after_an_import_of_torch_which_may_have_changed_a_class():
    assert described("torch.optim.SGD") is None


def test_literal_sources_are_read_without_an_import(torch_of):
    torch_of(LITERAL)
    found = described("torch.optim.Mine")
    assert found.paragraph == "Descend."
    assert list(map(str, found.hyperparameters)) == ["lr=0.1", "betas=(none,-1.5)", "name=a b"]


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(LITERAL.replace("0.1", "RATE"), id="a default by name"),
        pytest.param(LITERAL.replace("class", "@changed\nclass"), id="a decorated class"),
        pytest.param(LITERAL.replace("    def", "    @changed\n    def"), id="a decorated __init__"),
        pytest.param(LITERAL.replace("Optimizer", "Optimizer, metaclass=Meta"), id="a metaclass"),
        pytest.param(LITERAL.replace("__init__", "step"), id="an inherited __init__"),
        pytest.param(LITERAL.replace("params: ParamsT", "params, /"), id="positional-only"),
        pytest.param(
            LITERAL + 'Mine.__doc__ = f"{_doc}\\n\\nMore."', id="a docstring that begins with a name"
        ),
        pytest.param(LITERAL + "Mine.__doc__ = _doc", id="a docstring by name"),
        pytest.param(LITERAL + LITERAL, id="two classes"),
        pytest.param("Mine = make()", id="no class"),
        pytest.param("class Mine(:", id="no Python"),
    ],
)
def test_sources_that_are_not_literal_are_left_to_the_import(source, torch_of):
    torch_of(source)
    assert described("torch.optim.Mine") is None


@pytest.mark.parametrize(
    ("names", "path"),
    [
        ("from torch.optim.mine import Other as Mine", "torch.optim.Mine"),
        ("from torch.optim.mine import Mine", "torch.optim.Other"),
        ("from torch.optim.missing import Mine", "torch.optim.Mine"),
        ("from torch.optim.mine import Mine", "mine.Mine"),
        ("from torch.optim.mine import Mine", "torch.optim.mine.Mine"),
    ],
)
def test_names_that_the_package_does_not_plainly_import_are_left_to_the_import(names, path, torch_of):
    torch_of(LITERAL, names)
    assert described(path) is None
