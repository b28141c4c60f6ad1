"""Declare options that several commands share, with the defaults of the Python arguments."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from ..core.choices import DTYPES, ENGINE_CHOICES, TRAINERS
from ..execution.run_options import RunOptions
from ..planning.question import Question
from .option_values import job_count, measured_rows, memory, plot_formats, read_by

QUESTION, OPTIONS = Question(), RunOptions()
"""Where the defaults of options are taken from."""

Decorator = Callable[[Any], Any]


def setting(*names: str, of: Question | RunOptions = QUESTION, **attributes: Any) -> Decorator:
    """Declare an option for the field of the same name, with the field's default.

    Args:
        names: The names of the option, the long one first, as in ``--tune-seeds``.
        of: The object with the default.
        attributes: Further arguments of :func:`click.option`. The default is shown in the help, but for None
            and flags.

    Returns:
        The decorator of a command.
    """
    default = getattr(of, names[0].partition("/")[0].removeprefix("--").replace("-", "_"))
    if isinstance(default, tuple):
        default = ",".join(default) or None
    if default is not None and not isinstance(default, bool):
        attributes.setdefault("show_default", True)
    return click.option(*names, default=default, **attributes)


def with_options(*options: Decorator) -> Decorator:
    """Join the decorators of options.

    Args:
        options: The decorators, in the order in which the help lists the options.

    Returns:
        The decorator of a command.
    """

    def decorated(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


PLUGIN = click.option(
    "--plugin",
    multiple=True,
    metavar="FILE.py|MODULE",
    help="A plugin to load; may be given several times.",
)
SEEDS = (
    setting("--seeds", type=int, metavar="N", help="Independent repetitions."),
    setting("--first-seed", type=int, metavar="S", help="The first of the seeds."),
)
TUNE_SEEDS = setting("--tune-seeds", type=int, metavar="N", help="Seeds for tuning only.")
MEASURING = (
    setting(
        "--measure-rows",
        callback=read_by(measured_rows),
        metavar="all|K",
        help="Rows of each set that measurements between the first and the last are over, the same for all "
        "arms.  [default: at least 1024, so that measuring costs at most a quarter of training]",
    ),
    setting(
        "--recalibrate/--no-recalibrate",
        help="Computes BatchNorm's running averages anew before each measurement, on a copy, for all arms.  "
        "[default: where more than 5% of their initial values would be left]",
    ),
)
MACHINE = (
    setting("--device", help="auto, cpu, mps, cuda:1, or cuda: with --jobs, all CUDA devices in turn."),
    setting("--dtype", type=click.Choice(DTYPES), help="Of weights and data."),
    setting(
        "--autocast",
        metavar="DTYPE",
        help="bfloat16: for forward passes; weights stay in float32.  [default: none]",
    ),
    setting(
        "--deterministic/--no-deterministic",
        show_default=True,
        help="Uses deterministic algorithms where torch has some, and notes where it has none.",
    ),
    setting("--threads", type=int, metavar="T", help="CPU threads of a trial."),
    setting(
        "--trainer",
        type=click.Choice(TRAINERS),
        help="loop: one trial after another; lanes: many trials in one vectorized program; auto: lanes "
        "where faster.",
    ),
    setting(
        "--engine",
        type=click.Choice(ENGINE_CHOICES),
        help="What runs lanes: xla (needs optcompare[xla]), inductor (needs a C++ compiler), traced or "
        "vmapped; auto: xla where jax is installed, else inductor, where compiling repays.",
    ),
    setting(
        "--memory",
        of=OPTIONS,
        callback=read_by(memory),
        metavar="SIZE",
        help="Memory limit for vectorized trials (lanes): 4GB, or 25% of what is free.  [default: 50%]",
    ),
    setting(
        "--jobs",
        of=OPTIONS,
        callback=read_by(job_count),
        metavar="N|auto",
        help="Trials at once, each in a process of its own; auto: on all cores where no result depends on it "
        "and the run is long enough; 1: for undisturbed seconds.",
    ),
    setting(
        "--executor",
        of=OPTIONS,
        metavar="NAME[:ADDRESS]",
        help="Where trials are trained: processes (with --jobs), ray, or a plugin's.  [default: this "
        "process]",
    ),
)
OUTPUT = (
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Run directory, new or empty.  [default: runs/<time>-<workload>]",
    ),
    click.option(
        "--format",
        "formats",
        callback=read_by(plot_formats),
        default=",".join(OPTIONS.formats),
        show_default=True,
        metavar="LIST",
        help="Of the plot: png,svg,pdf; html: a page.",
    ),
    PLUGIN,
    click.option(
        "--dry-run",
        is_flag=True,
        help="Shows arms, trials, updates and an estimate of the time; trains nothing.",
    ),
    setting(
        "--track",
        of=OPTIONS,
        multiple=True,
        metavar="NAME[:ADDRESS]",
        help="Sends measurements to a tracker: tensorboard, mlflow:sqlite:///runs/mlflow.db, jsonl, …; may "
        "be given several times.",
    ),
    click.option("--verbose", "-v", is_flag=True, help="Shows which trainer runs which trials, and why."),
    click.option("--quiet", is_flag=True, help="Prints only the path of the plot."),
    click.option("--json", "as_json", is_flag=True, help="Prints summary, certificate and paths as JSON."),
)
TRUST = click.option(
    "--trust",
    is_flag=True,
    help="Executes the files and packages that the saved comparison names, also those that you have not "
    "named before.",
)
