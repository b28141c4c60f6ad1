"""One attempt at a reproduction: runs in folders of their own, which go on after an interruption."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from ..errors import ComparisonError
from ..report.result import Result
from ..storage.run_dir import COMPARISON, safe_name
from .batch_size_study import batch_size_study
from .compare import compare
from .observed import texts

Value = TypeVar("Value")


@contextmanager
def interruption_named(what: str, go_on: str) -> Iterator[None]:
    """Say in an interruption of the block how it goes on.

    Args:
        what: What is interrupted.
        go_on: How it goes on.
    """
    try:
        yield
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(f"{what} was interrupted; {go_on}") from error


def by_out(directory: Path) -> str:
    """Return how an attempt in a folder goes on."""
    return f"give its folder {directory} as --out to go on from there"


class Attempt:
    """Train the parts of a reproduction, each in a run directory of its own.

    A part that was trained before, wholly or up to an interruption, is not trained again.

    Args:
        directory: The folder of the attempt.
        full: Whether the whole setting is trained, rather than the quick one.
        progress: Whether progress is shown; None: in notebooks only.
        say: A function that receives a line before each part.
        force: Go on with a part although versions, data or sources changed since it began.
        plugins: Plugins that each part loads, so that it can name what they register.

    Attributes:
        directory: See above.
        full: See above.
    """

    def __init__(
        self,
        directory: Path,
        full: bool,
        progress: bool | None = None,
        say: Callable[[str], None] = lambda line: None,
        force: bool = False,
        plugins: Sequence[str] = (),
    ) -> None:
        self.directory, self.full = directory, full
        self._progress, self._say, self._force = progress, say, force
        self._plugins = tuple(plugins)
        self._begun: set[str] = set()

    def choose(self, *, quick: Value, full: Value) -> Value:
        """Return the value for the size of this attempt.

        Args:
            quick: The value of the quick setting.
            full: The value of the whole setting.
        """
        return full if self.full else quick

    def compare(self, part: str, *args: Any, **question: Any) -> Result:
        """Run one comparison; see :func:`optcompare.compare`.

        Args:
            part: The name of its folder, another one for each part.
            *args: Workload and strategies.
            **question: The other arguments of ``compare()``.

        Raises:
            ComparisonError: This attempt has trained a part of this name already.
            KeyboardInterrupt: It was interrupted.
        """
        return self._trained(part, compare, args, question)

    def study(self, part: str, *args: Any, **question: Any) -> Result:
        """Run one study of the batch size; see :func:`optcompare.batch_size_study`.

        Args:
            part: The name of its folder, another one for each part.
            *args: Workload and goal.
            **question: The other arguments of ``batch_size_study()``.

        Raises:
            ComparisonError: This attempt has trained a part of this name already.
            KeyboardInterrupt: It was interrupted.
        """
        return self._trained(part, batch_size_study, args, question)

    def _trained(self, part: str, train: Callable[..., Result], args: Any, question: Any) -> Result:
        folder = self.directory / safe_name(part)
        if folder.name in self._begun:
            raise ComparisonError(f"this attempt has a part {part} already; give each part another name")
        self._begun.add(folder.name)
        again = (folder / COMPARISON).exists()
        self._say(f"{part}: " + ("goes on" if again else "trains"))
        where = {"resume": folder, "force": self._force} if again else {"out": folder}
        train = inspect.unwrap(train)  # errors keep the words of options; reproduce() says them in its own
        plugins = (*self._plugins, *texts("plugins", question.pop("plugins", ())))
        result = train(*args, **question, **where, plugins=plugins, progress=self._progress)
        if result.status == "interrupted":
            raise KeyboardInterrupt
        return result
