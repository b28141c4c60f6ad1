"""The command ``scaling``: the study of the batch size."""

from __future__ import annotations

import json
from typing import Any

import click

from ..planning.question import STUDY, STUDY_MAX_EPOCHS
from .option_values import batch_sizes, rate_range, read_by
from .requests import StudyRequest
from .runs import exit_code, result_as_json, run_one, show_plans
from .shared_options import MACHINE, MEASURING, OUTPUT, SEEDS, TUNE_SEEDS, setting, with_options

EXAMPLES = """\b
Examples:
  optcompare scaling
  optcompare scaling --workload digits --batch-sizes 1,4,16,64,256 --goal train_loss=0.3 --optimizers sgd,adam
  optcompare scaling --workload noisy-quadratic:dim=100 --goal train_loss=0.1 --seeds 10
  optcompare report runs/20260101-120000-digits --figure scaling --width 3.4 --format pdf
  optcompare run --resume runs/20260101-120000-digits
"""


@click.command(short_help="Find what the batch size costs.", epilog=EXAMPLES)
@setting("--workload", of=STUDY, metavar="SPEC", help="What is trained.")
@setting(
    "--goal",
    metavar="METRIC=VALUE",
    help="What each trial trains to.  [default: the workload's; digits: train_loss=0.3]",
)
@click.option(
    "--batch-sizes",
    callback=read_by(batch_sizes),
    metavar="B,B,…",
    help="Samples in an update.  [default: powers of two up to the training samples]",
)
@setting("--optimizers", metavar="LIST", help="Each makes a curve.")
@setting(
    "--tune",
    of=STUDY,
    type=int,
    metavar="N",
    help="Learning rates that each batch size tries; from 5 on, about half of them around the best of the "
    "others.",
)
@setting(
    "--tune-range",
    callback=read_by(rate_range),
    metavar="LO,HI",
    help="Range of the first.  [default: a thirtieth to thirty times the rate · √B]",
)
@TUNE_SEEDS
@click.option(
    "--max-epochs",
    type=int,
    default=STUDY_MAX_EPOCHS,
    show_default=True,
    metavar="E",
    help="The most that a trial trains, its window included.",
)
@setting(
    "--goal-window",
    of=STUDY,
    type=float,
    metavar="W",
    help="The goal is reached where the mean from 1-W to 1+W times the samples has reached it; 0: where a "
    "single value has.",
)
@with_options(*SEEDS, *MEASURING, *MACHINE, *OUTPUT)
@click.pass_context
def scaling(ctx: click.Context, /, **_: Any) -> None:
    """Find the updates and samples to a goal of each batch size, at its own best learning rate.

    The goal is reached where the mean over a window of samples reaches it
    (--goal-window). Trials are measured every max(B, N/16) samples, at every update
    near the goal, and end once the window is complete, or after --max-epochs.

    The result names the batch sizes with the fewest samples, updates and seconds, and
    the sizes that do not differ significantly from them. It has the critical batch size
    by both definitions, with intervals: the knee, which takes twice the least updates
    and samples, and 20% over perfect scaling. A goal that no trial reaches is a result
    too: exit code 0. The commands report, verify and run --resume accept the run
    directory.

    What it executes: installed plugins, and the files and packages that the command
    line names.
    """
    from .prepare_runs import prepare_study_run, tracker_prints
    from .terminal import Reporter

    request = StudyRequest.of(ctx)
    output, options = request.output, request.options
    reporter = Reporter(output.quiet or output.as_json, tracker_prints(request))
    with reporter.preparation():
        study = prepare_study_run(request)
    if output.dry_run:
        show_plans([(study.prepared, study.previous)], reporter, output.as_json, options)
        return
    result = run_one(study, reporter, options)
    if result.status == "interrupted":
        ctx.exit(130)
    suffix = options.formats[0] if options.formats[0] != "html" else "png"
    plot = study.out / f"scaling.{suffix}"
    if output.as_json:
        values = {**result_as_json(result, plot), "words": result.recommendation()}
        click.echo(json.dumps(values, indent=2, allow_nan=False))
    elif output.quiet:
        click.echo(str(plot), err=reporter.to_stderr)
    ctx.exit(exit_code(result))
