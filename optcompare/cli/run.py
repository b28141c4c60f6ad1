"""The command ``run``: one comparison, or one for each workload."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..core.choices import LR_SCALINGS
from .option_values import learning_rates, rate_range, read_by, state_bytes
from .requests import RunRequest
from .runs import exit_code, result_as_json, run_one, show_plans
from .shared_options import (
    MACHINE,
    MEASURING,
    OPTIONS,
    OUTPUT,
    SEEDS,
    TRUST,
    TUNE_SEEDS,
    setting,
    with_options,
)

if TYPE_CHECKING:
    from ..report.result import Result
    from .terminal import Reporter

EXAMPLES = """\b
Examples:
  optcompare run --strategies full,mini
  optcompare run --workload digits --strategies full,mini:32,mini:256,single --epochs 20
  optcompare run --workload digits --strategies mini --optimizers sgd:momentum=0.9,adam --seeds 5
  optcompare run --workload csv:houses.csv:y=price --strategies full@sgd:lr=0.5,mini:64
  optcompare run --workload suite:small --strategies mini:32 --optimizers adamw,my.py:Mine --tune 8
  optcompare run --workload my_model.py:make_workload --device cuda --seconds 30
  optcompare run --config runs/20260101-120000-line/comparison.json
  optcompare run --resume runs/20260101-120000-digits --seeds 20
  optcompare run --workload digits --track tensorboard --track mlflow:sqlite:///runs/mlflow.db
  optcompare run --track jsonl | jq 'select(.event == "trial_finished")'
"""


@click.command(short_help="Train every arm and draw one plot.", epilog=EXAMPLES)
@setting(
    "--strategies",
    metavar="LIST",
    help="How an epoch's samples become batches: full, mini:64, single, …; each may carry its @optimizer.",
)
@setting(
    "--optimizers",
    metavar="LIST",
    help="Crossed with every strategy that has no @optimizer: sgd:momentum=0.9, adam, any installed "
    "package's by its path, as in pytorch_optimizer.Lion:lr=0.0001, or FILE.py:NAME.",
)
@setting(
    "--workload",
    metavar="SPEC",
    help="What is trained: a name, csv:PATH:y=COLUMN, or FILE.py:NAME; several, separated by commas, make a "
    "run each. suite:small: fixed workloads with goals, and a score.",
)
@setting(
    "--lr",
    callback=read_by(learning_rates),
    metavar="LR[,LR…]",
    help="Learning rate of arms that give none; each of several makes an arm.  [default: the workload's]",
)
@setting(
    "--lr-scaling",
    type=click.Choice(LR_SCALINGS),
    help="Scales that rate from the workload's batch size to the arm's.",
)
@setting(
    "--schedule",
    metavar="SPEC",
    help="Changes the rate along the budget: step, step:gamma=0.2, cosine, warmup-cosine; or "
    "sgd:schedule=cosine.",
)
@setting(
    "--clip",
    type=float,
    metavar="NORM",
    help="Scales gradients of a larger norm down to it; or sgd:clip=1 for one.  [default: none]",
)
@setting(
    "--tune",
    type=int,
    metavar="N",
    help="Learning rates that every arm tries first, from 5 on about half of them around the best of the "
    "others; the best is reported.",
)
@setting(
    "--tune-range",
    callback=read_by(rate_range),
    metavar="LO,HI",
    help="Range of the first.  [default: a thirtieth to thirty times the rate]",
)
@TUNE_SEEDS
@setting(
    "--tune-repeats",
    type=int,
    metavar="K",
    help="Tunes K times, on shifted grids and other seeds; every seed is trained at the rate of each. From "
    "K = 5 on, intervals include the chance in tuning.",
)
@setting(
    "--metric",
    of=OPTIONS,
    metavar="COLUMN",
    help="What the plot shows: valid_accuracy, any measured column.  [default: validation and training loss]",
)
@setting("--goal", metavar="METRIC=VALUE", help="Counts samples, updates and seconds until it is reached.")
@setting("--baseline", metavar="ARM", help="The arm that the others are compared with.  [default: the first]")
@setting(
    "--control",
    is_flag=True,
    help="Adds a rounding control: the same baseline, with gradients accumulated in smaller chunks.",
)
@setting(
    "--margin",
    type=float,
    metavar="DIFFERENCE",
    help="Final values that differ by less count as equal, which is tested.  [default: equality is not "
    "claimed]",
)
@with_options(*SEEDS)
@setting(
    "--split-seeds",
    type=int,
    metavar="K",
    help="Splits the workload's data K times into sets of the same sizes; the i-th seed takes split i mod K.",
)
@click.option(
    "--epochs", type=int, help="Budget of each trial: passes over the data.  [default: the workload's]"
)
@click.option("--updates", type=int, help="Budget of each trial: optimizer steps.")
@click.option("--samples", type=int, help="Budget of each trial: training samples.")
@click.option("--seconds", type=float, help="Budget of each trial: seconds of its own training.")
@setting(
    "--measure",
    type=int,
    metavar="K",
    help="Measurements of every arm per epoch; 0: only before and after.",
)
@setting(
    "--plane",
    is_flag=True,
    help="Keeps the first seed's weights at every measurement, and draws each arm's path.",
)
@setting(
    "--diagnostics",
    metavar="LIST",
    help="Further columns of the records: grad_norm, noise_scale:rows=512, sharpness, …; see optcompare "
    "list diagnostics.",
)
@setting(
    "--diagnose-every",
    type=int,
    metavar="K",
    help="Computes them at every K-th measurement, outside the training clock.",
)
@setting(
    "--chunk",
    type=int,
    metavar="ROWS",
    help="Rows in one forward pass; larger batches accumulate gradients.  [default: 4 MiB of input]",
)
@setting(
    "--eval-chunk",
    type=int,
    metavar="ROWS",
    help="The same for evaluation.  [default: 4 MiB of input, on a CPU also of results within the model]",
)
@click.option(
    "--config", type=click.Path(path_type=Path), metavar="FILE", help="Runs a saved comparison.json again."
)
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Continues a run or a suite that was interrupted, or extends one by --seeds, --epochs or more "
    "--strategies.",
)
@click.option(
    "--force", is_flag=True, help="Resumes even if versions, data or sources changed; the run records it."
)
@TRUST
@setting(
    "--checkpoint",
    of=OPTIONS,
    type=float,
    metavar="SECONDS",
    help="Between checkpoints of the trials under way.",
)
@click.option(
    "--keep-states",
    callback=read_by(state_bytes),
    default=f"{OPTIONS.keep_states / 2**30:g}GB",
    show_default=True,
    metavar="SIZE",
    help="Final states to keep, from which --resume --epochs continues; 0: none.",
)
@with_options(*MEASURING, *MACHINE, *OUTPUT)
@click.option(
    "--wide", is_flag=True, help="Prints all columns of the summary, and how final values spread over seeds."
)
@click.pass_context
def run(ctx: click.Context, /, **_: Any) -> None:
    """Train every strategy from the same weights in the same order, and draw one comparison plot.

    LIST is separated by commas: name[:value][:key=value]…[@optimizer]. Give at
    most one budget. Exit code 0: done (diverged trials are results), 1: some
    trial failed, 2: the call is wrong, 130: interrupted (what was measured is saved).

    What it executes: installed plugins, and the files and packages that the command
    line names. Of those that a saved comparison names (--config, --resume, also with
    --dry-run) only what you named on a command line before, and is unchanged; else it
    lists them and exits with 2, unless --trust or --plugin says to execute them.
    """
    from ..api.attempt import interruption_named
    from ..storage.suite_run import write_suite_run
    from .prepare_runs import check_known_metric, prepare_runs, tracker_prints
    from .suite_runs import by_resume, show_score
    from .terminal import Reporter

    request = RunRequest.of(ctx)
    output, options = request.output, request.options
    reporter = Reporter(output.quiet or output.as_json, tracker_prints(request), output.wide)
    with reporter.preparation():
        runs = prepare_runs(request)
    if options.metric is not None:
        for one in runs:
            check_known_metric(options.metric, one.prepared)
    if output.dry_run:
        show_plans([(one.prepared, one.previous) for one in runs], reporter, output.as_json, options)
        return
    suite, folder, results = runs[0].suite, runs[0].out.parent, []
    if suite is not None:
        write_suite_run(folder, suite, {one.out.name: one.prepared.setup.comparison for one in runs})
    with interruption_named(f"suite {suite.name}", by_resume(folder)) if suite is not None else nullcontext():
        for one in runs:
            results.append(run_one(one, reporter, options, force=request.force))
            if results[-1].status == "interrupted":
                break
    if suite is None:
        _show(results, [one.out for one in runs], reporter, request)
    else:
        show_score(suite, results, folder, reporter, request)
    ctx.exit(max(map(exit_code, results)))


def _show(results: Sequence[Result], outs: Sequence[Path], reporter: Reporter, request: RunRequest) -> None:
    """Print what concerns all runs: JSON, the paths of plots, or what several workloads show together."""
    from ..report.figures import save_across

    formats = request.options.formats
    plots = [out / f"comparison.{formats[0]}" for out in outs]
    several = len(outs) > 1 and len(results) == len(outs)
    drawn = save_across(results, outs[0].parent, formats) if several else []
    if request.output.as_json:
        found = [result_as_json(result, plot) for result, plot in zip(results, plots, strict=False)]
        click.echo(json.dumps(found[0] if len(outs) == 1 else found, indent=2, allow_nan=False))
    elif request.output.quiet:
        for _, plot in zip(results, plots, strict=False):
            click.echo(str(plot), err=reporter.to_stderr)
    elif several:
        reporter.across(results, drawn)
