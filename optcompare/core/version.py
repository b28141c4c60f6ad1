"""The version of optcompare that is installed."""

from __future__ import annotations

from importlib.metadata import version


def installed_version() -> str:
    """Return the version of the installed package.

    Returns:
        Such as ``0.2.0``, from the package's metadata.
    """
    return version("optcompare")
