"""Fixtures and options of all tests; what tests import from each other is in ``tests.helpers``."""

from __future__ import annotations

import pytest

from optcompare.registry.manager import Registry


@pytest.fixture(scope="session")
def registry() -> Registry:
    return Registry.load()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--kills", type=int, default=2, help="how often tests/end_to_end/test_soak.py kills each kind of run"
    )
