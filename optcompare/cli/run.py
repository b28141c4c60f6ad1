"""The command ``run``: one comparison, or one for each workload."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from .runs import (
    MACHINE,
    MEASURING,
    OUTPUT,
    TRUST,
    exit_code,
    result_as_json,
    run_one,
    show_plans,
    with_options,
)

EXAMPLES = """\b
Examples:
  optcompare run --strategies full,mini
  optcompare run --workload digits --strategies full,mini:32,mini:256,single --epochs 20
  optcompare run --workload digits --strategies mini --optimizers sgd:momentum=0.9,adam --seeds 5
  optcompare run --workload csv:houses.csv:y=price --strategies full@sgd:lr=0.5,mini:64
  optcompare run --workload my_model.py:make_workload --device cuda --seconds 30
  optcompare run --config runs/20260101-120000-line/comparison.json
  optcompare run --resume runs/20260101-120000-digits --seeds 20
  optcompare run --workload digits --track tensorboard --track mlflow:sqlite:///runs/mlflow.db
  optcompare run --track jsonl | jq 'select(.event == "trial_finished")'
"""


@click.command(short_help="Trains every contender and draws one plot.", epilog=EXAMPLES)
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
    help="Crossed with every strategy that has no @optimizer: sgd:momentum=0.9, adam, any installed "
    "package's by its path, as "
    "in pytorch_optimizer.Lion:lr=0.0001, or FILE.py:NAME.",
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
@click.option(
    "--schedule",
    default="none",
    show_default=True,
    metavar="SPEC",
    help="Changes the rate along the budget: step, step:gamma=0.2, cosine, warmup-cosine; or "
    "sgd:schedule=cosine.",
)
@click.option(
    "--clip",
    type=float,
    metavar="NORM",
    help="Scales gradients of a larger norm down to it; or sgd:clip=1 for one.  [default: none]",
)
@click.option(
    "--tune",
    type=int,
    metavar="N",
    help="Learning rates that every arm tries first, from 5 on about half of them around the best of the "
    "others; the best is "
    "reported.",
)
@click.option(
    "--tune-range",
    metavar="LO,HI",
    help="Range of the first.  [default: a thirtieth to thirty times the rate]",
)
@click.option(
    "--tune-seeds", type=int, default=3, show_default=True, metavar="N", help="Seeds kept for tuning alone."
)
@click.option(
    "--tune-repeats",
    type=int,
    default=1,
    show_default=True,
    metavar="K",
    help="Tunes K times, on shifted grids and other seeds; every seed is trained at the rate of each. From "
    "K = 5 on, intervals "
    "include what tuning leaves to chance.",
)
@click.option(
    "--metric",
    metavar="COLUMN",
    help="What the plot shows: valid_accuracy, any measured column.  [default: validation and training loss]",
)
@click.option(
    "--goal", metavar="METRIC=VALUE", help="Counts samples, updates and seconds until it is reached."
)
@click.option(
    "--baseline", metavar="ARM", help="The arm that the others are compared with.  [default: the first]"
)
@click.option(
    "--control",
    is_flag=True,
    help="Adds a rounding control: the same baseline, gradients accumulated in other pieces.",
)
@click.option(
    "--margin",
    type=float,
    metavar="DIFFERENCE",
    help="Final values that differ by less count as equal, which is tested.  [default: equality is not "
    "claimed]",
)
@click.option(
    "--seeds", type=int, default=10, show_default=True, metavar="N", help="Independent repetitions."
)
@click.option(
    "--first-seed", type=int, default=0, show_default=True, metavar="S", help="The first of the seeds."
)
@click.option(
    "--split-seeds",
    type=int,
    default=1,
    show_default=True,
    metavar="K",
    help="Splits the workload's data K times into sets of the same sizes; the i-th seed takes split i mod K.",
)
@click.option(
    "--epochs", type=int, help="Budget of each trial: passes over the data.  [default: the workload's]"
)
@click.option("--updates", type=int, help="Budget of each trial: optimizer steps.")
@click.option("--samples", type=int, help="Budget of each trial: training samples.")
@click.option("--seconds", type=float, help="Budget of each trial: seconds of its own training.")
@click.option(
    "--measure",
    type=int,
    default=1,
    show_default=True,
    metavar="K",
    help="Measurements of every arm per epoch; 0: only before and after.",
)
@click.option(
    "--plane",
    is_flag=True,
    help="Keeps the first seed's weights at every measurement, and draws each arm's path.",
)
@click.option(
    "--diagnostics",
    metavar="LIST",
    help="Further columns of the records: grad_norm, noise_scale:rows=512, sharpness, …; see optcompare "
    "list diagnostics.",
)
@click.option(
    "--diagnose-every",
    type=int,
    default=1,
    show_default=True,
    metavar="K",
    help="Computes them at every K-th measurement, outside the training clock.",
)
@click.option(
    "--chunk",
    type=int,
    metavar="ROWS",
    help="Rows in one forward pass; larger batches accumulate gradients.  [default: 4 MiB of input]",
)
@click.option("--eval-chunk", type=int, metavar="ROWS", help="The same for evaluation.")
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="Runs a saved comparison.json again."
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Goes on with a run that was stopped, or extends one by --seeds, --epochs or more --strategies.",
)
@click.option(
    "--force", is_flag=True, help="Resumes even if versions, data or sources changed; the run records it."
)
@TRUST
@click.option(
    "--checkpoint",
    type=float,
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="Between checkpoints of what is under way.",
)
@click.option(
    "--keep-states",
    default="1GB",
    show_default=True,
    metavar="SIZE",
    help="Final states to keep, from which --resume --epochs trains on; 0: none.",
)
@with_options(*MEASURING, *MACHINE, *OUTPUT)
@click.option(
    "--wide", is_flag=True, help="Prints all columns of the summary, and how final values spread over seeds."
)
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Trains every strategy from the same weights in the same order, and draws one comparison plot.

    LIST is separated by commas: name[:value][:key=value]…[@optimizer]. Give at
    most one budget. Exit code 0: done (diverged trials are results), 1: some
    trial failed, 2: the call is wrong, 130: interrupted (what was measured is saved).

    What it executes: installed plugins, and the files and packages that the command
    line names. Of those that a saved comparison names (--config, --resume, also with
    --dry-run) only what you named on a command line before, and is unchanged; else it
    lists them and exits with 2, unless --trust or --plugin says to execute them.
    """
    from ..report.figures import save_across
    from .options import (
        check_known_metric,
        check_memory,
        directories,
        plot_formats,
        prepare_all,
        prepare_resumed,
        tells_programs,
    )
    from .terminal import Reporter

    formats = plot_formats(options["formats"])
    given = [
        name for name in options if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE
    ]
    say = Reporter(
        quiet=options["quiet"] or options["as_json"], aside=tells_programs(options), wide=options["wide"]
    )
    earlier = None
    if options["memory"] is not None:
        check_memory(options["memory"])
    if options["force"] and options["resume"] is None:
        raise click.UsageError("--force goes with --resume")
    if options["trust"] and options["resume"] is None and options["config"] is None:
        raise click.UsageError("--trust goes with --config or --resume")
    if options["resume"] is not None:
        one, earlier = prepare_resumed(options, given)
        prepared, outs = [one], [options["resume"]]
    else:
        prepared = prepare_all(options, given)
        outs = directories(options["out"], prepared)
    if options["metric"] is not None:
        for one in prepared:
            check_known_metric(options["metric"], one)
    if options["dry_run"]:
        show_plans(prepared, say, options["as_json"], options["memory"], options["jobs"])
        return
    results = []
    for one, out in zip(prepared, outs, strict=True):
        results.append(run_one(one, out, say, formats, options, earlier))
        if results[-1].status == "interrupted":
            break
    plots = [out / f"comparison.{formats[0]}" for out in outs]
    several = len(outs) > 1 and len(results) == len(outs)
    drawn = save_across(results, outs[0].parent, formats) if several else []
    if options["as_json"]:
        found = [result_as_json(result, plot) for result, plot in zip(results, plots, strict=False)]
        click.echo(json.dumps(found[0] if len(outs) == 1 else found, indent=2, allow_nan=False))
    elif options["quiet"]:
        shown = [str(plot) for plot, _ in zip(plots, results, strict=False)]
        click.echo("\n".join(shown), err=say.aside)
    elif several:
        say.across(results, drawn)
    ctx.exit(max(map(exit_code, results)))
