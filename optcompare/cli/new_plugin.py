"""A plugin to start with: an installable package with a strategy, a test of it and a README."""

from __future__ import annotations

import keyword
import re
from pathlib import Path

from ..errors import PluginError
from ..storage.run_dir import refuse_occupied

_PROJECT = """[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "optcompare-{name}"
version = "0.1.0"
description = "The strategy {name} for optcompare."
readme = "README.md"
requires-python = ">=3.11"
dependencies = ["optcompare"]

[project.optional-dependencies]
test = ["pytest"]

[project.entry-points.optcompare]
{name} = "{module}"

[tool.setuptools]
py-modules = ["{module}"]
"""

_MODULE = '''"""The strategy {name}."""

from dataclasses import dataclass

from optcompare import Epoch, Strategy, hookimpl


@dataclass
class {cls}(Strategy):
    """Batches of `batch_size` samples, from the end of the shared order to its beginning."""

    batch_size: int = 32

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {{self.batch_size}}")

    def batches(self, epoch: Epoch):
        yield from epoch.order.flip(0).split(self.batch_size)


@hookimpl
def optcompare_strategies():
    return {{"{name}": {cls}}}
'''

_TEST = '''"""The plugin keeps optcompare's contracts, and does what it is for."""

import torch
from {module} import {cls}

import optcompare


def test_it_keeps_the_contracts():
    broken = [finding for finding in optcompare.check("{module}") if finding.held is False]
    assert broken == []


def test_the_last_samples_of_the_order_come_first():
    strategy = {cls}(batch_size=2)
    epoch = optcompare.Epoch(0, torch.tensor([3, 1, 0, 2, 4]), seed=0, strategy=strategy)
    assert [batch.tolist() for batch in strategy.batches(epoch)] == [[4, 2], [0, 1], [3]]


def test_it_trains_beside_the_others():
    result = optcompare.compare("line", ["full", "{name}:2"], plugins="{module}", seeds=2, epochs=2)
    assert set(result.trials["status"]) == {{"finished"}}
'''

_README = """# optcompare-{name}

The strategy `{name}:BATCH_SIZE` for optcompare.

    pip install -e '.[test]' && pytest
    optcompare check {module}
    optcompare run --strategies full,mini,{name}:2

Once it is installed, `optcompare list strategies` shows it; without installing it, add
`--plugin {module}.py`.
"""


def new_plugin(name: str, directory: Path) -> list[Path]:
    """Write ``directory/optcompare-NAME``.

    Args:
        name: The name of the strategy: lower-case words that are joined by hyphens.
        directory: The directory in which the package's folder is made.

    Returns:
        The files.

    Raises:
        PluginError: The name is none, or the files cannot be written.
    """
    module = f"optcompare_{name.replace('-', '_')}"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name) or keyword.iskeyword(name):
        raise PluginError(
            f"a plugin's name is lower-case words joined by '-', such as large-first; got '{name}'"
        )
    root = directory / f"optcompare-{name}"
    refuse_occupied(root)
    words = {"name": name, "module": module, "cls": "".join(part.capitalize() for part in name.split("-"))}
    files = {
        "pyproject.toml": _PROJECT,
        f"{module}.py": _MODULE,
        f"test_{module}.py": _TEST,
        "README.md": _README,
    }
    try:
        root.mkdir(parents=True, exist_ok=True)
        for file, text in files.items():
            (root / file).write_text(text.format(**words), encoding="utf-8")
    except OSError as error:
        raise PluginError(f"cannot write to {root}: {error.strerror or error}") from error
    return [root / file for file in files]
