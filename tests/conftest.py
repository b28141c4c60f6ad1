"""Fixtures and options of all tests; what tests import from each other is in ``tests.helpers``."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest

from optcompare.execution import choose_jobs, progress
from optcompare.planning import reference_check
from optcompare.registry.manager import Registry
from optcompare.training.lanes.engines.xla import availability
from tests.helpers.image_sets import write_image_sets
from tests.helpers.ratings import made_up, write_100k


@pytest.fixture(scope="session", autouse=True)
def time_for_the_reference_check() -> None:
    """How many updates are checked may depend on how fast the machine is; what tests expect of them may
    not.
    """
    reference_check._SECONDS = 60.0


@pytest.fixture(scope="session", autouse=True)
def one_process() -> None:
    """Whether a run repays other processes depends on how fast the machine is; tests that want some say how
    many.
    """
    choose_jobs.START_SECONDS = 1e6


@pytest.fixture(scope="session", autouse=True)
def state_directories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Iterator[str]]:
    """Looks at merged runs are recorded for the user; those of tests are not."""
    root = tmp_path_factory.mktemp("state")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(root / "fixtures"))
        yield (str(root / str(number)) for number in count())


@pytest.fixture(autouse=True)
def state_directory_of_its_own(state_directories: Iterator[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", next(state_directories))


@pytest.fixture(autouse=True)
def no_progress_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Print no line of progress after some seconds, which only a slow machine would reach."""
    monkeypatch.setattr(progress, "_LINE_EVERY_SECONDS", math.inf)
    monkeypatch.setattr(progress, "_LONG_END_SECONDS", 3600.0)
    monkeypatch.setattr(progress, "_LONG_PREPARATION_SECONDS", 3600.0)


@pytest.fixture(autouse=True)
def no_xla(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Choose the same engine whether jax is installed or not; tests of XLA have its mark."""
    if request.node.get_closest_marker("xla") is None:
        monkeypatch.setattr(availability, "obstacle", lambda: "jax is not installed")


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load()


@pytest.fixture(scope="session")
def folder_of_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Small generated files of all well-known sets of images, and of ratings, in one folder."""
    root = tmp_path_factory.mktemp("images")
    write_image_sets(root)
    write_100k(root / "ml-100k" / "u.data", made_up())
    return root


@pytest.fixture
def generated_images(folder_of_images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let workloads whose files come with no package read generated ones."""
    monkeypatch.setenv("OPTCOMPARE_DATA", str(folder_of_images))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=2, help="how often tests/end_to_end/test_soak.py kills each kind of run"
    )
    parser.addoption("--slow", action="store_true", help="run tests that are marked slow, too")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out slow tests, unless ``--slow`` is given."""
    if not config.getoption("--slow"):
        slow = [item for item in items if item.get_closest_marker("slow")]
        items[:] = [item for item in items if not item.get_closest_marker("slow")]
        config.hook.pytest_deselected(items=slow)
