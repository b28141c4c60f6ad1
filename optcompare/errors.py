"""Every error that a user can cause, and how errors are put into one line.

Each message is one line: what was given, what is wrong with it, what to do.
"""

import sysconfig
import traceback
from pathlib import Path

USER_CODE_ERRORS = (Exception, SystemExit)
"""What a user's code may raise; its ``sys.exit()`` must not end a run."""
_MAX_LENGTH = 300
_FOREIGN = (
    f"{Path(__file__).parent}/",
    *(f"{sysconfig.get_path(kind)}/" for kind in ("stdlib", "platstdlib")),
)
_INSTALLED = {"site-packages", "dist-packages"}


class OptcompareError(Exception):
    """The root of all expected errors: the command line prints one line and exits with code 2."""


class SpecError(OptcompareError):
    """A text such as ``mini:64@adam:lr=0.001`` that cannot be read, or whose values do not fit."""


class PluginError(OptcompareError):
    """A plugin that cannot be loaded, breaks the rules of a hook, or registers a name that is taken."""


class ComparisonError(OptcompareError):
    """A comparison that cannot be run: its arms, seeds, budget, device, or their combination."""


class StrategyError(OptcompareError):
    """A strategy that yields something other than the batches that it declares."""


class WorkloadError(OptcompareError):
    """A workload whose data, model, loss or metrics do not fit together."""


class DiagnosticError(OptcompareError):
    """A diagnostic that cannot be computed for this model, or returns something else than it declares."""


class RunDirectoryError(OptcompareError):
    """A run directory that cannot be written, or does not hold what was requested."""


def printable(text: str) -> str:
    """Replace characters that control a terminal, break a line or change the writing direction.

    Args:
        text: Any text.

    Returns:
        The text with U+FFFD in place of each such character.
    """
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def shorten(text: str) -> str:
    """Put a text on one line, and shorten one of more than 300 characters.

    Args:
        text: Any text, such as an error message of torch that lists everything that it knows.

    Returns:
        The text with single spaces; of a long one, its first sentences or words.
    """
    text = " ".join(text.split())
    if len(text) <= _MAX_LENGTH:
        return text
    end = text.rfind(". ", _MAX_LENGTH // 4, _MAX_LENGTH)
    return text[: end + 1] if end > 0 else f"{text[:_MAX_LENGTH].rpartition(' ')[0] or text[:_MAX_LENGTH]} …"


def fault(error: BaseException) -> str:
    """Describe what is wrong with a file in one line, by the exception that reading it raised.

    Args:
        error: The exception.

    Returns:
        Such as ``it lacks 'seeds'``; the text of other exceptions, or their type if they have none.
    """
    if isinstance(error, KeyError) and error.args:
        return f"it lacks '{error.args[0]}'"
    return " ".join(str(error).split()) or type(error).__name__


def explain(error: BaseException) -> str:
    """Describe an exception in one line: its type, its message, and the user's line that led to it.

    Args:
        error: The exception. Of an :class:`OptcompareError`, only the message is used.

    Returns:
        Such as ``ValueError: negative (model.py:12)``; where no line of the user's code led to the error, the
        line that raised it.
    """
    text = " ".join(str(error).split())
    if isinstance(error, OptcompareError):
        return text
    text = shorten(text)
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({Path(error.filename or '?').name}:{error.lineno})"
    where = location(error)
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def location(error: BaseException) -> str:
    """Return the user's line that led to an exception, or the line that raised it if there is none.

    Args:
        error: The exception.

    Returns:
        Such as `` (model.py:12)``; empty if the exception was not raised by a file.
    """
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")
    ]
    frames = [frame for frame in frames if is_user_file(frame.filename)] or frames
    return f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""


def is_user_file(file: str) -> bool:
    """Return whether a source file belongs neither to Python nor to an installed package.

    Args:
        file: The path of the source file.
    """
    return not file.startswith(_FOREIGN) and _INSTALLED.isdisjoint(Path(file).parts)
