"""Every error that a user can cause.

Each message is one line: what was given, what was expected, what to do.
"""

import sysconfig
import traceback
from pathlib import Path

USER_CODE_ERRORS = (Exception, SystemExit)
"""What code of the user's may raise: its sys.exit() is to end no run, only what called it."""
_MAX_LENGTH = 300
_FOREIGN = (
    f"{Path(__file__).parent}/",
    *(f"{sysconfig.get_path(kind)}/" for kind in ("stdlib", "platstdlib")),
)
_INSTALLED = {"site-packages", "dist-packages"}


class OptcompareError(Exception):
    """The root: the command line turns it into one line and exit code 2."""


class SpecError(OptcompareError):
    """A text such as ``mini:64@adam:lr=0.001`` that cannot be read, or whose values do not fit."""


class PluginError(OptcompareError):
    """A plugin that cannot be loaded, breaks the rules of a hook, or claims a name that is taken."""


class ComparisonError(OptcompareError):
    """A comparison that cannot be run: its arms, seeds, budget, device, or their combination."""


class StrategyError(OptcompareError):
    """A strategy that yields something other than the batches it promised."""


class WorkloadError(OptcompareError):
    """A workload whose data, model, loss or metrics do not fit together."""


class DiagnosticError(OptcompareError):
    """A diagnostic that this model cannot have, or that breaks its promise."""


class RunDirectoryError(OptcompareError):
    """A run directory that cannot be written, or does not hold what is asked of it."""


def printable(text: str) -> str:
    """A text without characters that would steer a terminal, break a line or turn the direction of
    writing.
    """
    return "".join(
        character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text
    )


def shorten(text: str) -> str:
    """A text in one line; of a long one, such as torch's lists of all that it knows, the first sentences or
    words.
    """
    text = " ".join(text.split())
    if len(text) <= _MAX_LENGTH:
        return text
    end = text.rfind(". ", _MAX_LENGTH // 4, _MAX_LENGTH)
    return text[: end + 1] if end > 0 else f"{text[:_MAX_LENGTH].rpartition(' ')[0] or text[:_MAX_LENGTH]} …"


def explain(error: BaseException) -> str:
    """An exception as one line: its type, its message, and the line of the user's code that led to it.

    Where no line of the user's did, it is the one that raised it.
    """
    text = " ".join(str(error).split())
    if isinstance(error, OptcompareError):
        return text
    text = shorten(text)
    if isinstance(error, SyntaxError):
        return f"SyntaxError: {error.msg} ({Path(error.filename or '?').name}:{error.lineno})"
    frames = [
        frame for frame in traceback.extract_tb(error.__traceback__) if not frame.filename.startswith("<")
    ]
    frames = [frame for frame in frames if is_user_file(frame.filename)] or frames
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {text}{where}" if text else f"{type(error).__name__}{where}"


def is_user_file(file: str) -> bool:
    """Whether a source file is neither Python's, nor an installed package's, nor of this package."""
    return not file.startswith(_FOREIGN) and _INSTALLED.isdisjoint(Path(file).parts)
