"""The command line: the only place that prints, chooses exit codes, and turns expected errors into one line."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from .errors import ComparisonError, OptcompareError

if TYPE_CHECKING:
    from .api import Prepared
    from .result import Result

KINDS = ("strategies", "workloads", "optimizers")
UNITS = ("epochs", "updates", "samples", "seconds")
_AS_GIVEN = (
    "workload", "tune", "tune_seeds", "lr_scaling", "goal", "baseline", "control", "measure", "device", "dtype", "threads",
    "chunk", "eval_chunk",
)  # fmt: skip
_FREE_WITH_CONFIG = {"config", "out", "formats", "plugin", "dry_run", "quiet", "as_json"}

RUN_EXAMPLES = """\b
Examples:
  optcompare run --strategies full,mini
  optcompare run --workload digits --strategies full,mini:32,mini:256,single --epochs 20
  optcompare run --workload digits --strategies mini --optimizers sgd:momentum=0.9,adam --seeds 5
  optcompare run --workload csv:houses.csv:y=price --strategies full@sgd:lr=0.5,mini:64
  optcompare run --workload my_model.py:make_workload --device cuda --seconds 30
  optcompare run --config runs/20260101-120000-line/comparison.json
"""


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="\b\nStart with:\n  optcompare run --strategies full,mini\n  optcompare list strategies",
)
@click.version_option(package_name="optcompare", message="optcompare %(version)s")
def cli() -> None:
    """Compares ways of feeding data to the optimizer: same initial weights, same order of samples, one plot."""


@cli.command(epilog=RUN_EXAMPLES)
@click.option(
    "--strategies",
    default="full,mini,single",
    show_default=True,
    metavar="LIST",
    help="How an epoch's samples become batches: full, mini:64, single, …; each may carry its @optimizer.",
)
@click.option(
    "--optimizers",
    default="sgd",
    show_default=True,
    metavar="LIST",
    help="Crossed with every strategy that has no @optimizer: sgd:momentum=0.9, adam, …",
)
@click.option(
    "--workload",
    default="line",
    show_default=True,
    metavar="SPEC",
    help="What is trained: a name, csv:PATH:y=COLUMN, or FILE.py:NAME.",
)
@click.option(
    "--lr",
    metavar="LR[,LR…]",
    help="Learning rate of arms that give none; each of several makes an arm.  [default: the workload's]",
)
@click.option(
    "--lr-scaling",
    type=click.Choice(["none", "linear", "sqrt"]),
    default="none",
    show_default=True,
    help="Scales that rate from the workload's batch size to the arm's.",
)
@click.option("--tune", type=int, metavar="N", help="Learning rates that every arm tries first; the best is reported.")
@click.option(
    "--tune-range", metavar="LO,HI", help="Range of the rates.  [default: a thirtieth to thirty times the rate]"
)
@click.option("--tune-seeds", type=int, default=3, show_default=True, metavar="N", help="Seeds kept for tuning alone.")
@click.option("--goal", metavar="METRIC=VALUE", help="Counts samples, updates and seconds until it is reached.")
@click.option("--baseline", metavar="ARM", help="The arm that the others are compared with.  [default: the first]")
@click.option("--control", is_flag=True, help="Adds the baseline in other chunks: how much is only rounding?")
@click.option("--seeds", type=int, default=10, show_default=True, metavar="N", help="Independent repetitions.")
@click.option("--first-seed", type=int, default=0, show_default=True, metavar="S", help="The first of the seeds.")
@click.option("--epochs", type=int, help="Budget of each trial: passes over the data.  [default: the workload's]")
@click.option("--updates", type=int, help="Budget of each trial: optimizer steps.")
@click.option("--samples", type=int, help="Budget of each trial: training samples.")
@click.option("--seconds", type=float, help="Budget of each trial: seconds of its own training.")
@click.option(
    "--measure",
    type=int,
    default=1,
    show_default=True,
    metavar="K",
    help="Marks an epoch at which every arm is measured; 0: only before and after.",
)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda, cuda:1 or mps.")
@click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True)
@click.option("--threads", type=int, default=1, show_default=True, metavar="T", help="CPU threads of a trial.")
@click.option(
    "--chunk",
    type=int,
    metavar="ROWS",
    help="Rows in one forward pass; larger batches accumulate gradients.  [default: 4 MiB of input]",
)
@click.option("--eval-chunk", type=int, metavar="ROWS", help="The same for evaluation.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Run directory, new or empty.  [default: runs/<time>-<workload>]",
)
@click.option("--format", "formats", default="png", show_default=True, metavar="LIST", help="Of the plot: png,svg,pdf.")
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load; may be given several times.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Runs a saved comparison.json again.")
@click.option(
    "--dry-run", is_flag=True, help="Shows arms, trials, updates and an estimate of the time; trains nothing."
)
@click.option("--quiet", is_flag=True, help="Prints the path of the plot alone.")
@click.option("--json", "as_json", is_flag=True, help="Prints summary, certificate and paths as JSON.")
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Trains every strategy from the same weights in the same order, and draws one comparison plot.

    LIST is separated by commas: name[:value][:key=value]…[@optimizer]. Give at
    most one budget. Exit code 0: done (diverged trials are results), 1: some
    trial failed, 2: the call is wrong, 130: interrupted (what was measured is saved).
    """  # fmt: skip
    from .api import execute
    from .report.terminal import Reporter

    formats = _formats(options["formats"])
    prepared = _prepare(ctx, options)
    out = options["out"] or _default_directory(prepared.setup.comparison.workload.label)
    say = Reporter(quiet=options["quiet"] or options["as_json"])
    for warning in prepared.registry.warnings:
        click.echo(f"warning: {warning}", err=True)
    say.question(prepared.setup.comparison, prepared.notes)
    if options["dry_run"]:
        say.plan(prepared.estimates, len(prepared.setup.comparison.seeds))
        if options["as_json"]:
            plan = [{"arm": e.arm.label, "updates": e.updates, "seconds": e.seconds} for e in prepared.estimates]
            click.echo(json.dumps({"comparison": prepared.setup.comparison.to_json(), "trials": plan}, indent=2))
        return
    known = len(prepared.registry.warnings)
    with say.progress() as observer:
        result = execute(prepared, out, observer, formats)
    for warning in prepared.registry.warnings[known:]:
        click.echo(f"warning: {warning}", err=True)
    plot = out / f"comparison.{formats[0]}"
    if options["as_json"]:
        click.echo(json.dumps(_as_json(result, plot), indent=2, allow_nan=False))
    elif options["quiet"]:
        click.echo(str(plot))
    else:
        say.result(result, plot)
    ctx.exit(_exit_code(result))


@cli.command(
    "list",
    epilog="\b\nExamples:\n  optcompare list\n  optcompare list strategies\n  optcompare list optimizers --plugin mine.py",
)
@click.argument("kind", required=False, type=click.Choice(KINDS))
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load.")
def list_(kind: str | None, plugin: tuple[str, ...]) -> None:
    """Lists what can be compared: strategies, workloads, optimizers, with their parameters."""
    from .report.terminal import print_entries

    registry = _registry(plugin)
    for each in [kind] if kind else KINDS:
        print_entries(each, registry.entries(each), title=kind is None)


@cli.command(epilog="\b\nExample:\n  optcompare plugins --plugin mine.py")
@click.option("--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load.")
def plugins(plugin: tuple[str, ...]) -> None:
    """Lists the plugins that were found, and what each adds."""
    from .report.terminal import print_plugins

    registry = _registry(plugin)
    print_plugins(registry.plugins(), {kind: registry.entries(kind) for kind in KINDS})


def main(arguments: list[str] | None = None) -> None:
    """The entry point: expected errors are one line and exit code 2, anything else keeps its traceback."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        code = cli.main(arguments, prog_name="optcompare", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        code = 2
    except click.ClickException as error:
        code = _complain(error.format_message())
    except OptcompareError as error:
        code = _complain(str(error))
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        code = 130
    except BrokenPipeError:  # whoever read us has read enough; Python would complain once more when it flushes
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code if isinstance(code, int) else 0)


def _complain(message: str) -> int:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    return 2


def _registry(plugins: tuple[str, ...]) -> Any:
    from .registry import Registry

    registry = Registry.load(plugins)
    for warning in registry.warnings:
        click.echo(f"warning: {warning}", err=True)
    return registry


def _prepare(ctx: click.Context, options: dict[str, Any]) -> Prepared:
    from .api import one_budget, prepare, prepare_again, seed_list
    from .comparison import Comparison
    from .registry import Registry
    from .rundir import read_json_file

    if options["config"] is not None:
        given = click.core.ParameterSource.COMMANDLINE
        fixed = [name for name in options if name not in _FREE_WITH_CONFIG and ctx.get_parameter_source(name) == given]
        if fixed:
            names = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
            raise ComparisonError(f"--config fixes the whole comparison; leave out {names}, or leave out --config")
        values = read_json_file(options["config"])
        comparison = Comparison.from_json(values.get("comparison", values))
        return prepare_again(Registry.load((*comparison.plugins, *options["plugin"])), comparison)
    return prepare(
        Registry.load(options["plugin"]),
        budget=one_budget({unit: options[unit] for unit in UNITS}),
        seeds=seed_list(options["seeds"], options["first_seed"]),
        order=None,
        plugins=tuple(str(Path(name).resolve()) if name.endswith(".py") else name for name in options["plugin"]),
        strategies=[options["strategies"]],
        optimizers=[options["optimizers"]],
        lr=_rates(options["lr"]),
        tune_range=_range(options["tune_range"]),
        **{name: options[name] for name in _AS_GIVEN},
    )


def _rates(text: str | None) -> float | list[float] | None:
    if text is None:
        return None
    rates = [_float(part, "--lr") for part in text.split(",")]
    return rates[0] if len(rates) == 1 else rates


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    ends = [_float(part, "--tune-range") for part in text.split(",")]
    if len(ends) != 2:
        raise ComparisonError(f"--tune-range takes LO,HI, such as 0.001,1; got {text}")
    return ends[0], ends[1]


def _float(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ComparisonError(f"{option} takes numbers separated by commas, got '{text}'") from None


def _formats(text: str) -> list[str]:
    from .result import FORMATS

    formats = [part.strip().lower() for part in text.split(",")]
    for name in formats:
        if name not in FORMATS:
            raise ComparisonError(f"unknown plot format '{name}'; give {', '.join(FORMATS)}, separated by commas")
    return formats


def _default_directory(workload: str) -> Path:
    import re
    import time

    name = re.sub(r"[^\w.-]+", "_", workload)[:40].strip("._") or "workload"
    path = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{name}"
    number = 2
    while path.exists():
        path = path.with_name(f"{path.name.partition('~')[0]}~{number}")
        number += 1
    return path


def _exit_code(result: Result) -> int:
    if result.status == "interrupted":
        return 130
    return 1 if (result.trials["status"] == "failed").any() else 0


def _as_json(result: Result, plot: Path) -> dict[str, Any]:
    import dataclasses

    summary = json.loads(result.summary().to_json(orient="records", double_precision=15))
    return {
        "status": result.status,
        "summary": summary,
        "certificate": [dataclasses.asdict(check) for check in result.certificate],
        "directory": str(plot.parent),
        "plot": str(plot),
    }
