"""Fixtures and options of all tests; what tests import from each other is in ``tests.helpers``."""

from __future__ import annotations

import pytest

from optcompare.planning import reference_check
from optcompare.registry.manager import Registry


@pytest.fixture(scope="session", autouse=True)
def time_for_the_reference_check() -> None:
    """How many updates are checked may depend on how fast the machine is; what tests expect of them may not."""
    reference_check._SECONDS = 60.0


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=2, help="how often tests/end_to_end/test_soak.py kills each kind of run"
    )
