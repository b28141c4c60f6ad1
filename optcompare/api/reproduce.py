"""The function ``reproduce()``, which trains a published result and says whether it holds here."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import (
    USER_CODE_ERRORS,
    ComparisonError,
    OptcompareError,
    PluginError,
    RunDirectoryError,
    explain,
)
from ..interfaces.reproduction import Expected, Found, Reproduction
from ..registry.manager import Registry
from ..storage.default_directory import default_directory
from ..storage.run_dir import read_json_file, refuse_occupied, write_atomically, writing
from .attempt import Attempt, by_out, interruption_named
from .observed import folder, texts
from .python_words import with_python_words
from .versions import versions

REPORT, FIGURE = "reproduction.json", "figure.png"


@dataclass(frozen=True)
class Reproduced:
    """Hold what an attempt at a reproduction found.

    Attributes:
        name: The name of the reproduction.
        about: The claim, its source and its setting.
        found: The values, the figure and the notes.
        full: Whether the whole setting was trained.
        seconds: How long it took, all attempts in this folder together.
        directory: The folder with the report, the figure and the run directories.
    """

    name: str
    about: Reproduction
    found: Found
    full: bool
    seconds: float
    directory: Path

    @property
    def expected(self) -> dict[str, Expected]:
        """The numbers that are expected at this size, by name."""
        return self.about.expected_at(self.full)

    @property
    def holds(self) -> bool:
        """Whether every expected number lies in its range."""
        return not self.missed

    @property
    def missed(self) -> list[str]:
        """The names of the expected numbers that lie outside their ranges."""
        return [key for key, each in self.expected.items() if not each.holds(self.found.values[key])]

    def rows(self) -> list[list[str]]:
        """Return a row for each expected number: what it is, its range, what was found, whether it holds."""
        return [
            [
                each.words,
                each.range,
                each.shown(self.found.values[key]),
                "no" if key in self.missed else "yes",
            ]
            for key, each in self.expected.items()
        ]

    def verdict(self) -> str:
        """Return whether the claim holds here, with the likely reason for each number that does not."""
        expected = self.expected
        size = " at the quick size" if self.about.quick and not self.full else ""
        if self.holds:
            return f"holds{size}: {'all ' if len(expected) > 1 else ''}{_numbers(len(expected))} as expected"
        lines = [f"does not hold{size}: {len(self.missed)} of {_numbers(len(expected))} not as expected"]
        for key in self.missed:
            reason = expected[key].if_not
            why = f"likely reason: {reason}" if reason else "no likely reason is known"
            lines.append(f"  {expected[key].words}: {why}")
        return "\n".join(lines)

    def as_json(self) -> dict[str, Any]:
        """Return the report as plain values; numbers that are not finite are null."""
        expected = [
            {
                "name": key,
                "words": each.words,
                "low": _finite(each.low),
                "high": _finite(each.high),
                "found": _finite(self.found.values[key]),
                "holds": key not in self.missed,
                "likely_reason": each.if_not if key in self.missed else "",
            }
            for key, each in self.expected.items()
        ]
        return {
            "name": self.name,
            "size": "full" if self.full else "quick",
            "claim": self.about.claim,
            "source": self.about.source,
            "setting": self.about.setting,
            "quick": self.about.quick,
            "expected": expected,
            "holds": self.holds,
            "notes": list(self.found.notes),
            "seconds": round(self.seconds, 1),
            **versions(),
        }


@with_python_words
def reproduce(
    name: str,
    *,
    full: bool = False,
    out: str | Path | None = None,
    force: bool = False,
    plugins: str | Sequence[str] = (),
    progress: bool | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Reproduced:
    """Train a published result, and compare what is found with what was expected.

    Args:
        name: The name of a reproduction, such as "noise-scale"; ``optcompare list reproductions`` shows them.
        full: Train the whole setting, in up to four hours on two cores; else a quick one, in minutes.
        out: The folder for the report, the figure and the run directories. If it holds an earlier attempt of
            the same reproduction and size, parts that were trained are not trained again. None: a new folder
            in ``runs``.
        force: Go on with an earlier attempt although versions, data or sources changed.
        plugins: Paths of Python files or names of modules to load.
        progress: Show the progress and the time left. None: in notebooks only.
        say: A function that receives a line before each part is trained.

    Returns:
        What was found, and whether it holds.

    Raises:
        OptcompareError: There is no such reproduction, its data are missing, or it fails.
        KeyboardInterrupt: It was interrupted; the message names the folder from which it goes on.

    Example:
        >>> print(reproduce("notebook").verdict())
    """
    plugins = texts("plugins", plugins)
    if not isinstance(name, str):
        raise ComparisonError(f"name must be the name of a reproduction, such as 'notebook', got {name!r}")
    registry = Registry.load(plugins)
    about = _made(registry, name)
    directory, before = _directory(name, full, folder("out", out))
    began = time.perf_counter()
    try:
        with interruption_named(name, by_out(directory)):
            found = _found(name, about, Attempt(directory, full, progress, say, force, plugins))
    except BaseException:
        _write_unfinished(directory, name, full, before + time.perf_counter() - began)
        raise
    reproduced = Reproduced(name, about, found, full, before + time.perf_counter() - began, directory)
    _write(reproduced)
    return reproduced


def _made(registry: Registry, name: str) -> Reproduction:
    entry = registry.find("reproductions", name)
    try:
        about = entry.factory()
    except OptcompareError:
        raise
    except USER_CODE_ERRORS as error:
        raise PluginError(f"reproduction {name} failed: {explain(error)}") from error
    if not isinstance(about, Reproduction):
        raise PluginError(f"reproduction {name} must return a Reproduction, got a {type(about).__name__}")
    if not about.expected_at(full=False):
        raise PluginError(f"reproduction {name} must expect a number at the quick size, too")
    return about


def _directory(name: str, full: bool, out: Path | None) -> tuple[Path, float]:
    """Return the folder of an attempt, with a report that says what it is for, and its seconds before."""
    size = "full" if full else "quick"
    if out is None:
        out = default_directory(f"{name}-{size}")
    if os.path.isfile(out / REPORT):
        return out, _seconds_before(out, name, size)
    refuse_occupied(out)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    _write_unfinished(out, name, full, 0.0)
    return out, 0.0


def _seconds_before(out: Path, name: str, size: str) -> float:
    """Return how long the earlier attempt in a folder took.

    Raises:
        RunDirectoryError: Its report cannot be read, or is that of another reproduction or size.
    """
    try:
        before = read_json_file(out / REPORT)
    except RunDirectoryError as error:
        raise RunDirectoryError(
            f"{out / REPORT} cannot be read as the report of an attempt; give another directory"
        ) from error
    there = before.get("size"), before.get("name")
    if there != (size, name):
        instead = f", but a {there[0]} one at {there[1]}" if all(there) else ""
        raise RunDirectoryError(f"{out} holds no {size} attempt at {name}{instead}; give another directory")
    seconds = before.get("seconds")
    return seconds if isinstance(seconds, int | float) and 0 <= seconds < math.inf else 0.0


def _found(name: str, about: Reproduction, attempt: Attempt) -> Found:
    try:
        found = about.find(attempt)
    except OptcompareError:
        raise
    except USER_CODE_ERRORS as error:
        raise PluginError(f"reproduction {name} failed: {explain(error)}") from error
    if not isinstance(found, Found):
        raise PluginError(f"find of reproduction {name} must return a Found, got a {type(found).__name__}")
    expected = about.expected_at(attempt.full)
    if set(found.values) != set(expected):
        wanted, there = (", ".join(map(str, names)) or "none" for names in (expected, found.values))
        raise PluginError(
            f"reproduction {name} must find exactly the numbers that it expects: {wanted}; it found {there}"
        )
    return found


def _write(reproduced: Reproduced) -> None:
    if reproduced.found.figure is not None:
        write_atomically(reproduced.directory / FIGURE, lambda path: _draw(reproduced, path))
    _write_json(reproduced.directory, reproduced.as_json())


def _draw(reproduced: Reproduced, path: Path) -> None:
    try:
        reproduced.found.figure.savefig(path, format="png", dpi=150)  # type: ignore[union-attr]
    except OSError:
        raise
    except USER_CODE_ERRORS as error:
        raise PluginError(
            f"the figure of reproduction {reproduced.name} cannot be drawn: {explain(error)}"
        ) from error


def _write_unfinished(directory: Path, name: str, full: bool, seconds: float) -> None:
    """Write how long an attempt took that has not ended, unless an earlier one ended with a report."""
    if os.path.isfile(directory / REPORT) and read_json_file(directory / REPORT).get("holds") is not None:
        return
    size = "full" if full else "quick"
    _write_json(directory, {"name": name, "size": size, "holds": None, "seconds": round(seconds, 1)})


def _write_json(directory: Path, values: Mapping[str, Any]) -> None:
    text = json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    write_atomically(directory / REPORT, lambda path: path.write_text(text, encoding="utf-8"))


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def _numbers(count: int) -> str:
    return f"{count} number{'s' if count > 1 else ''}"
