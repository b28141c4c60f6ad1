"""The wheel, unpacked and used from outside the repository: it holds what the source tree holds, and all of
it imports.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SCRIPT = Path(__file__).with_name("installed_modules.py")
SOURCES = ["optcompare", "plugins", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a wheel of this source tree is unpacked."""
    place = tmp_path_factory.mktemp("wheel")
    (place / "source").mkdir()
    for (
        name
    ) in SOURCES:  # a copy: setuptools builds in the tree, and takes along what an earlier build left there
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
        copy(ROOT / name, place / "source" / name)
    build = ["-m", "pip", "--quiet", "--disable-pip-version-check", "wheel", "--no-deps", "--no-index"]
    build += ["--no-build-isolation", "--wheel-dir", str(place), str(place / "source")]
    done = subprocess.run([sys.executable, *build], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = place.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place / "site")
    return place / "site"


def imported(site: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-P", "-W", "error", str(SCRIPT), str(ROOT)]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.mark.slow
def test_every_module_of_the_source_tree_is_in_the_wheel_and_imports(unpacked, tmp_path):
    done = imported(unpacked, tmp_path)
    modules = [path for top in ("optcompare", "plugins") for path in (ROOT / top).rglob("*.py")]
    if importlib.util.find_spec("jax") is None:
        xla = ROOT / "optcompare/training/lanes/engines/xla"
        needing = re.compile("^(import|from) jax", re.MULTILINE)
        modules = [
            path for path in modules if path.parent != xla or not needing.search(path.read_text("utf-8"))
        ]
    assert (done.stdout, done.stderr) == (f"{len(modules)} modules imported\n", "")
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda site: (site / "optcompare/report/html/page.css").unlink(),
            "optcompare/report/html/page.css is not installed",
        ),
        (lambda site: shutil.rmtree(site / "optcompare/core"), "optcompare/core/goal.py is not installed"),
        (
            lambda site: (site / "optcompare/stale.py").touch(),
            "optcompare/stale.py is installed and not in the source tree",
        ),
        (
            lambda site: (site / "optcompare/report/html/page.js").write_text("other"),
            "optcompare/report/html/page.js is another file",
        ),
        (
            lambda site: (site / "optcompare/core/goal.py").write_text("raise SystemExit(0)"),
            "optcompare.core.goal does not import: SystemExit: 0",
        ),
    ],
    ids=[
        "a style sheet",
        "a package",
        "a file of an earlier build",
        "a file that was changed",
        "a module that ends",
    ],
)
def test_what_a_wheel_lacks_is_found(unpacked, tmp_path, change, said):
    site = Path(shutil.copytree(unpacked, tmp_path / "site"))
    change(site)
    done = imported(site, tmp_path)
    assert done.returncode == 1
    assert said in done.stdout.splitlines()


def test_the_wheel_installs_no_module_besides_its_packages(unpacked):
    assert {path.name for path in unpacked.iterdir() if path.suffix != ".dist-info"} == {
        "optcompare",
        "optcompare_plugins",
    }
