"""The documentation builds without a warning and without the network; needs the extra [docs]."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import optcompare
from tests.helpers.pages import ROOT

pytestmark = pytest.mark.docs


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as HTML, without running the examples."""
    pytest.importorskip("sphinx")
    pytest.importorskip("furo")
    root = tmp_path_factory.mktemp("documentation")  # a copy: the gallery is written among the sources
    built_before = shutil.ignore_patterns("_build", "gallery", "__pycache__")
    for folder in ("docs", "examples"):
        shutil.copytree(ROOT / folder, root / folder, ignore=built_before)
    out = root / "html"
    command = ["-m", "sphinx", "-W", "-q", "-b", "html", "-D", "plot_gallery=0", str(root / "docs"), str(out)]
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def test_every_public_name_is_rendered_with_its_docstring(built):
    page = (built / "reference" / "python.html").read_text(encoding="utf-8")
    missing = [name for name in optcompare.__all__ if f'id="optcompare.{name}"' not in page]
    assert missing == ["hookimpl"], "a marker, which is described in words"


def test_every_command_is_rendered_with_its_options(built):
    page = (built / "reference" / "command-line.html").read_text(encoding="utf-8")
    for command in ("run", "report", "scaling", "verify", "list", "plugins", "check", "new-plugin"):
        assert f'id="optcompare-{command}"' in page, command
    assert "--tune-repeats" in page
    assert "option::" not in page, "text that was to be read as a directive"


def test_every_example_has_its_page(built):
    for example in (ROOT / "examples").glob("*.py"):
        assert (built / "gallery" / f"{example.stem}.html").exists(), example


def test_pages_load_nothing_from_elsewhere(built):
    for page in built.rglob("*.html"):
        loaded = re.findall(
            r'<(?:script|img|link)[^>]+(?:src|href)="(https?:[^"]+)"', page.read_text(encoding="utf-8")
        )
        assert loaded == [], page


def test_settings_of_tools_are_yaml(built):
    yaml = pytest.importorskip("yaml")
    files = [ROOT / "CITATION.cff", ROOT / ".pre-commit-config.yaml", *(ROOT / ".github").rglob("*.yml")]
    citation, hooks, *others = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in files]
    assert citation["cff-version"] == "1.2.0"
    assert {"message", "title", "authors", "type"} <= set(citation)
    assert str(citation["version"]) == optcompare.__version__
    assert {hook["language"] for repo in hooks["repos"] for hook in repo["hooks"]} == {"system"}
    (workflow,) = [each for each in others if "jobs" in each]
    assert set(workflow["jobs"]) == {"tests", "lowest", "lint", "docs"}
    assert workflow["jobs"]["tests"]["strategy"]["matrix"]["os"] == [
        "ubuntu-latest",
        "macos-latest",
        "windows-latest",
    ]
