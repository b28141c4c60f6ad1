"""Every code block and command of README and the documentation runs as it stands there.

The blocks of a page are run in their order, in a directory that holds what the pages speak of: the table
``houses.csv``, the text ``corpus.txt``, small generated images and ratings in ``data``, and the run
directories ``runs/DIR``, ``runs/A``, ``runs/B`` and ``runs/MORE_SEEDS``.
"""

from __future__ import annotations

import re
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

from tests.helpers.commands import run
from tests.helpers.image_sets import write_image_sets
from tests.helpers.pages import ROOT, Block, blocks, pages
from tests.helpers.ratings import made_up, write_100k

PAGES = [str(page.relative_to(ROOT)) for page in pages()]
TRAIN = ("run", "scaling")
OTHERS = ("pip ", "python ", "pytest", "ruff ", "mypy", "sphinx-build ", "pre-commit ", "git ", "source ")
"""How commands begin that are no commands of optcompare; .ci/run runs them, or a reader once."""
SHOWN = ("text", "ini", "toml", "toctree", "eval-rst", "figure", "image", "click", "glossary")
"""Blocks that show something, or are read by Sphinx."""


RUNS = {
    "DIR": ["--epochs", "20", "--seeds", "3"],
    "MORE_SEEDS": ["--epochs", "20", "--seeds", "2", "--first-seed", "3"],
    "A": ["--epochs", "2", "--seeds", "3", "--workload", "breast-cancer", "--goal", "train_loss=0.9"],
    "B": ["--epochs", "2", "--seeds", "3", "--workload", "diabetes", "--goal", "train_loss=0.9"],
}
"""The run directories of the pages, with the options that make them."""


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that trains a run of the pages once, and returns its directory."""
    root = tmp_path_factory.mktemp("finished")

    def finished(name: str) -> Path:
        directory = root / name
        if not directory.exists():
            options = ["--quiet", "--strategies", "full,mini", *RUNS[name]]
            assert run("run", *options, "--out", directory) == 0
        return directory

    return finished


@pytest.fixture
def reader(
    finished_runs: Callable[[str], Path], page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The directory in which a reader follows a page, with the table and the runs that the page names."""
    text = (ROOT / page).read_text(encoding="utf-8")
    rows = "\n".join(f"{40 + 3 * i},{'north' if i % 2 else 'south'},{100 + 7 * i}" for i in range(30))
    (tmp_path / "houses.csv").write_text("area,side,price\n" + rows + "\n", encoding="utf-8")
    if "fashion-mnist" in text:
        write_image_sets(tmp_path / "data", train=6000)
    if "movielens" in text:
        write_100k(tmp_path / "data" / "ml-100k" / "u.data", made_up())
    (tmp_path / "corpus.txt").write_text("the cat sat on the mat; " * 40, encoding="utf-8")
    for name in RUNS:
        if re.search(rf"runs/{name}\b", text):
            shutil.copytree(finished_runs(name), tmp_path / "runs" / name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def save_or_execute(block: Block, names: dict[str, object]) -> None:
    """Save a block as the file that the page names, or execute it if it is Python.

    Args:
        block: The block.
        names: What previous blocks of Python on the page defined.
    """
    if block.file:
        Path(block.file).parent.mkdir(parents=True, exist_ok=True)
        Path(block.file).write_text(block.text + "\n", encoding="utf-8")
    elif block.language == "python":
        exec(compile(block.text, "a block of Python", "exec"), names)


def commands_of(block: Block) -> list[list[str]]:
    """Return the words of each command of optcompare in a block."""
    lines = block.commands if block.language == "sh" else []
    return [shlex.split(line)[1:] for line in lines if line.startswith("optcompare ")]


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_run(page, reader, capsys):
    """Commands that train do so as a dry run, unless the page goes on with what they write."""
    names: dict[str, object] = {"__name__": "__main__"}
    for block in (each for each in blocks(ROOT / page) if not (each.not_run or each.slow)):
        save_or_execute(block, names)
        for words in commands_of(block):
            trains = words[0] in TRAIN and not {"--dry-run", "--out"} & set(words)
            assert run(*words, *(["--dry-run"] if trains else [])) in (0, None), words
    plt.close("all")


@pytest.fixture(scope="session")
def trained() -> set[tuple[str, ...]]:
    """Commands that some page has trained: others that show the same one do not repeat it."""
    return set()


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_blocks_of_a_page_train(page, reader, trained, capsys):
    names: dict[str, object] = {"__name__": "__main__"}
    for block in (each for each in blocks(ROOT / page) if not each.not_run):
        save_or_execute(block, names)
        for words in commands_of(block):
            of_this_page = any(".py" in word or word.startswith("runs/") for word in words)
            if of_this_page or tuple(words) not in trained:
                assert run(*words) in (0, None), words
                trained.add(tuple(words))
    plt.close("all")


@pytest.mark.parametrize("page", PAGES)
def test_every_block_is_run_or_says_why_not(page):
    for block in blocks(ROOT / page):
        assert block.language in ("python", "sh", *SHOWN), block
        if block.language == "sh" and not block.not_run:
            for command in block.commands:
                assert command.startswith(("optcompare ", *OTHERS)), command


def test_blocks_that_cannot_be_run_are_few():
    left_out = [block for page in pages() for block in blocks(page) if block.not_run]
    assert len(left_out) <= 4
