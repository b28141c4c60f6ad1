"""The commands ``verify`` and ``check``: a line for each check, and an exit code."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .option_values import trial_sample
from .runs import remember_plugins
from .shared_options import TRUST
from .startup import collect_as_usual

if TYPE_CHECKING:
    from .findings import Checks

VERIFY_EXAMPLES = """\b
Examples:
  optcompare verify runs/20260101-120000-digits
  optcompare verify runs/20260101-120000-digits --trials all
  optcompare verify runs/20260101-120000-digits --trials 0 --json
"""


@click.command(short_help="Check that a run can be repeated.", epilog=VERIFY_EXAMPLES)
@click.argument("directory", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--trials",
    metavar="K|all",
    help="Trials to train again; 0: none; all: also plans the batches of all seeds again, of "
    "which else a sample is planned.  [default: up to 3 that take 30 s together]",
)
@click.option(
    "--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load, beside those of the run."
)
@TRUST
@click.option("--json", "as_json", is_flag=True, help="Prints the checks as JSON.")
@click.pass_context
def verify(
    ctx: click.Context,
    /,
    directory: Path,
    trials: str | None,
    plugin: tuple[str, ...],
    trust: bool,
    as_json: bool,
) -> None:
    """Check that a run directory holds what the run would give again.

    Computes every fingerprint, the certificate and the summary anew, and trains
    a sample of the trials again: in the loop to the last bit; trials of lanes up
    to rounding. Exit code 0: every check held, 1: one did
    not, 2: the call is wrong, 130: interrupted.

    What it executes: installed plugins, and of the files and packages that the run
    names those that you named on a command line before, unchanged since; others are
    listed, with exit code 2, unless --trust or --plugin says to execute them.
    """
    from ..verification.verify import verify as checks

    size, seconds = (3, 30.0) if trials is None else (trial_sample(trials, "--trials"), math.inf)
    _report_findings(ctx, lambda advanced: checks(directory, size, plugin, advanced, trust, seconds), as_json)


@click.command(
    short_help="Test a plugin.",
    epilog="\b\nExamples:\n  optcompare check mine.py\n  optcompare check optcompare_cyclic\n"
    "  optcompare check strategies.mini",
)
@click.argument("plugin", metavar="FILE.py|MODULE|NAME")
@click.option("--json", "as_json", is_flag=True, help="Prints the checks as JSON.")
@click.pass_context
def check(ctx: click.Context, /, plugin: str, as_json: bool) -> None:
    """Test whether the strategies, workloads and optimizers of a plugin keep their contracts.

    Index coverage, the same batches again, copies, checkpoints, short last
    batches, no global random numbers. Exit code 0: every check held, 1: one did not.
    NAME is an installed plugin's, as optcompare plugins lists it.

    It executes the plugin.
    """
    from ..verification.plugin_checks import check as checks

    remember_plugins([plugin])
    _report_findings(ctx, lambda advanced: checks(plugin), as_json)


def _report_findings(ctx: click.Context, checks: Checks, as_json: bool) -> None:
    """Print each check once it is made, or all as JSON, and exit with 1 if one does not hold."""
    from .findings import print_findings
    from .printer import Printer

    collect_as_usual()
    findings = print_findings(Printer(quiet=as_json), checks)
    held = not any(finding.held is False for finding in findings)
    if as_json:
        click.echo(json.dumps({"held": held, "checks": [vars(finding) for finding in findings]}, indent=2))
    ctx.exit(0 if held else 1)
