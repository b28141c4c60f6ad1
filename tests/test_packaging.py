"""What is installed, and what is declared of it: packages, entry points, versions, requirements."""

from __future__ import annotations

import ast
import configparser
import re
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path

from packaging.requirements import Requirement

import optcompare

ROOT = Path(__file__).parents[1]
CORE, PLUGINS, TESTS = ROOT / "optcompare", ROOT / "plugins", ROOT / "tests"
NAMED_OTHERWISE = {
    "sklearn": "scikit-learn",
    "PIL": "pillow",
    "mlflow": "mlflow-skinny",
    "IPython": "ipython",
    "importlinter": "import-linter",
}
"""Modules whose distribution has another name."""


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def requirements(*groups: str) -> list[Requirement]:
    return [Requirement(line) for group in groups for line in group.split("\n") if line]


def test_every_package_is_listed():
    tops = {"optcompare": CORE, "optcompare_plugins": PLUGINS}
    found = {
        name: [path.parent.relative_to(top).parts for path in top.rglob("__init__.py")]
        for name, top in tops.items()
    }
    packages = {".".join([name, *parts]) for name, folders in found.items() for parts in folders}
    assert set(setup()["options"]["packages"].split()) == packages


def test_every_bundled_plugin_is_an_entry_point():
    entry_points = setup()["options.entry_points"]["optcompare"].split("\n")
    listed = {line.partition("=")[2].strip() for line in entry_points if line}
    hooked = [path for path in PLUGINS.rglob("*.py") if "@hookimpl" in path.read_text(encoding="utf-8")]
    names = {
        ".".join(["optcompare_plugins", *path.relative_to(PLUGINS).with_suffix("").parts]) for path in hooked
    }
    assert listed == names


def test_version_stands_in_one_place():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "project" not in pyproject
    assert pyproject["build-system"]["build-backend"] == "setuptools.build_meta"
    assert setup()["metadata"]["version"] == optcompare.__version__


def test_versions_that_are_tested_are_versions_that_are_allowed():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {
        pin.name: pin for line in lines if line and not line.startswith("#") for pin in [Requirement(line)]
    }
    options = setup()
    for wanted in requirements(
        options["options"]["install_requires"], *options["options.extras_require"].values()
    ):
        (pin,) = pins[wanted.name].specifier
        assert pin.operator == "==", pin
        assert wanted.specifier.contains(pin.version), wanted
    assert str(pins["torch"].specifier) == "==2.13.0"


def third_party(files: Iterable[Path]) -> set[str]:
    """The distributions of the modules that files import, in functions and for types too."""
    nodes = [node for path in files for node in ast.walk(ast.parse(path.read_text("utf-8")))]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level]
    scripts = {path.stem for path in (TESTS / "benchmarks").glob("*.py")}  # they import from their folder
    own = {"optcompare", "optcompare_plugins", "tests", *scripts}
    tops = {name.partition(".")[0] for name in names} - own - sys.stdlib_module_names
    return {NAMED_OTHERWISE.get(top, top) for top in tops}


def test_every_import_is_declared():
    options = setup()
    extras = options["options.extras_require"]
    always = {wanted.name for wanted in requirements(options["options"]["install_requires"])}
    of_plugins = {
        wanted.name for wanted in requirements(*(extras[name] for name in ("ray", "tensorboard", "mlflow")))
    }
    everything = {wanted.name for wanted in requirements(*extras.values())}
    of_engines = {wanted.name for wanted in requirements(extras["xla"])}
    xla = [*CORE.glob("training/lanes/engines/xla/*.py")]
    assert third_party(xla) <= always | of_engines
    others = {*CORE.rglob("*.py")} - {*xla}
    assert third_party(others) <= always | {"ipython"}, "IPython only in a notebook, which has it"
    assert third_party(PLUGINS.rglob("*.py")) <= always | of_plugins
    assert third_party(TESTS.rglob("*.py")) <= always | everything


def test_tests_of_extras_stand_in_the_folders_that_continuous_integration_runs_for_them():
    """Collecting all tests once for each extra would take minutes."""
    (line,) = re.findall(r'^extra_tests="(.*)"$', (ROOT / ".ci/common.sh").read_text("utf-8"), re.MULTILINE)
    folders = [ROOT / folder for folder in line.split()]
    extras = set(setup()["options.extras_require"]) - {"test"}
    texts = {path: path.read_text("utf-8") for path in TESTS.rglob("test_*.py")}
    for extra in extras:
        marker = re.compile(rf"mark\.{extra}\b|\(pytest\.mark, \"{extra}\"\)")
        files = [path for path, text in texts.items() if marker.search(text)]
        assert files, f"no test carries the marker {extra}"
        assert all(any(path.is_relative_to(folder) for folder in folders) for path in files)
