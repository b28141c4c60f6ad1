"""Run the whole command: choose exit codes, and print expected errors in one line."""

from __future__ import annotations

import errno
import logging
import os
import signal
import sys
import time
import warnings

import click

from ..core.signals import HANGUP, discard_output_of_closed_terminal, ending_signals
from ..errors import OptcompareError, explain
from .checks import check, verify
from .plugins import list_, new_plugin, plugins
from .report import report
from .reproduce import reproduce
from .run import run
from .scaling import scaling
from .set_goals import set_goals
from .startup import collect_no_more, collect_rarely

_OF_THE_MACHINE = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOSPC,
    errno.EFBIG,
    errno.EIO,
    errno.EMFILE,
    errno.ENOMEM,
    getattr(errno, "EDQUOT", errno.ENOSPC),
}
"""Errors of the machine rather than of this program: they are one line."""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nStart with:\n  optcompare run --strategies full,mini\n  optcompare list strategies",
)
@click.version_option(package_name="optcompare", message="optcompare %(version)s")
def cli() -> None:
    """Compare ways of feeding data to the optimizer: same weights, same order of samples, one plot."""


for _command in (run, scaling, reproduce, set_goals, report, verify, check, new_plugin, list_, plugins):
    cli.add_command(_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command and exit; expected errors are one line and code 2, others keep their traceback.

    Args:
        arguments: The arguments of the command line; None: those of this process.
    """
    warnings.filterwarnings("ignore", "Glyph .* missing from font")  # name_missing_glyphs reports them once
    warnings.filterwarnings("ignore", "Sparse invariant checks")  # of torch, when a job sends a sparse state
    logging.getLogger("matplotlib").setLevel(
        logging.ERROR
    )  # such as a read-only home directory, or no bold font
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        code = _code(arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader closed the pipe
        _discard_output()
        code = 1
    except OSError as error:
        if error.errno not in _OF_THE_MACHINE:
            raise
        code = _complain(f"{error.filename or 'standard output'}: {error.strerror or error}")
        if error.filename is None:
            _discard_output()
    sys.exit(code)


def _code(arguments: list[str] | None) -> int:
    """Run the command and return its exit code."""
    if any("\0" in argument for argument in arguments or ()):  # shells cannot pass one, but programs can
        return _complain("an argument holds a NUL character; leave it out")
    try:
        began = time.perf_counter()
        code = cli.main(arguments, prog_name="optcompare", standalone_mode=False, obj=began)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return 2
    except click.ClickException as error:
        return _complain(error.format_message())
    except OptcompareError as error:
        return _complain(str(error))
    except MemoryError as error:
        return _complain(
            f"out of memory: {explain(error)}; give fewer --jobs, a smaller --chunk or less data"
        )
    except SystemExit as error:
        if isinstance(error.__context__, BrokenPipeError):
            raise
        return _complain(f"code of a plugin or a workload ends the process: {explain(error)}")
    except (KeyboardInterrupt, click.Abort) as error:
        how_to_go_on = (error.__cause__ or error).args  # click raises Abort from what interrupted it
        click.echo(": ".join(["interrupted", *map(str, how_to_go_on)]), err=True)
        return 130
    return code if isinstance(code, int) else 0


def process() -> None:
    """Run as the installed command: SIGTERM and SIGHUP interrupt it as Ctrl-C does.

    Once the exit code is known, none of them changes it.
    """
    collect_rarely()
    for number in ending_signals()[1:]:
        signal.signal(number, _interrupted)
    try:
        main()
    finally:
        for number in ending_signals():
            signal.signal(number, signal.SIG_IGN)
        collect_no_more()


def _interrupted(number: int, frame: object) -> None:
    if number == HANGUP:
        discard_output_of_closed_terminal()
    raise KeyboardInterrupt


def _discard_output() -> None:
    """Send further output to the null device, since Python would complain again when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str) -> int:
    """Print an error and return exit code 2."""
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return 2
