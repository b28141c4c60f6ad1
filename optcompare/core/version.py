"""The version of optcompare that is installed."""

from __future__ import annotations

from importlib.metadata import version


def installed_version() -> str:
    """The version in the metadata of the installed package, such as ``0.2.0``."""
    return version("optcompare")
