"""Imports every module of the installed optcompare and its plugins, and compares what is installed with the
source tree.

``python -P tests/end_to_end/installed_modules.py REPOSITORY``, from outside the repository, with whatever
Python has it installed: from a wheel, not in development mode. Ends with 1, and a line for each file, where
something is missing, is not in the source tree, or does not import.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path

PACKAGES = {"optcompare": "optcompare", "optcompare_plugins": "plugins"}
"""The installed packages, and where their sources lie in the repository."""

NEEDS_JAX = "optcompare.training.lanes.engines.xla."
"""The modules that import the library of an extra, where it is used."""


def files(directory: Path) -> dict[Path, bytes]:
    """All files of a package with their contents, but for what Python compiled."""
    paths = [path for path in directory.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {path.relative_to(directory): path.read_bytes() for path in paths}


def problems(repository: Path) -> tuple[int, list[str]]:
    """How many modules were imported, and what is wrong."""
    imported, wrong = 0, []
    for package, folder in PACKAGES.items():
        source = repository / folder
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            wrong.append(f"{package} is not installed")
            continue
        installed = Path(spec.origin).parent
        if installed.samefile(source):
            wrong.append(
                f"{package} is imported from the source tree; install a wheel, and call this from elsewhere"
            )
            continue
        ours, theirs = files(source), files(installed)
        wrong += [f"{folder}/{path} is not installed" for path in sorted(ours.keys() - theirs.keys())]
        wrong += [
            f"{package}/{path} is installed and not in the source tree"
            for path in sorted(theirs.keys() - ours.keys())
        ]
        wrong += [
            f"{package}/{path} is another file"
            for path in ours.keys() & theirs.keys()
            if ours[path] != theirs[path]
        ]
        for path in sorted(path for path in theirs if path.suffix == ".py"):
            name = ".".join([package, *path.with_suffix("").parts]).removesuffix(".__init__")
            try:
                importlib.import_module(name)
                imported += 1
            except (Exception, SystemExit) as error:
                if name.startswith(NEEDS_JAX) and getattr(error, "name", "") == "jax":
                    continue
                wrong.append(f"{name} does not import: {type(error).__name__}: {error}")
    return imported, wrong


if __name__ == "__main__":
    count, found = problems(Path(sys.argv[1]).resolve())
    print(*found, f"{count} modules imported", sep="\n")
    sys.exit(1 if found else 0)
