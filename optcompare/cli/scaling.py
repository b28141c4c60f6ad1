"""The command ``scaling``: the study of the batch size."""

from __future__ import annotations

import json
from typing import Any

import click

from ..core.goal import GOAL_WINDOW
from .runs import MACHINE, MEASURING, OUTPUT, exit_code, result_as_json, run_one, show_plans, with_options

EXAMPLES = """\b
Examples:
  optcompare scaling
  optcompare scaling --workload digits --batch-sizes 1,4,16,64,256 --goal train_loss=0.3 --optimizers sgd,adam
  optcompare scaling --workload noisy-quadratic:dim=100 --goal train_loss=0.1 --seeds 10
  optcompare report runs/20260101-120000-digits --figure scaling --width 3.4 --format pdf
  optcompare run --resume runs/20260101-120000-digits
"""


@click.command(short_help="Finds what the batch size costs.", epilog=EXAMPLES)
@click.option("--workload", default="digits", show_default=True, metavar="SPEC", help="What is trained.")
@click.option(
    "--goal",
    metavar="METRIC=VALUE",
    help="What each trial trains to.  [default: the workload's; digits: train_loss=0.3]",
)
@click.option(
    "--batch-sizes",
    metavar="B,B,…",
    help="Samples in an update.  [default: powers of two up to the training samples]",
)
@click.option("--optimizers", default="sgd", show_default=True, metavar="LIST", help="Each makes a curve.")
@click.option(
    "--tune",
    type=int,
    default=8,
    show_default=True,
    metavar="N",
    help="Learning rates that each batch size tries; from 5 on, about half of them around the best of the "
    "others.",
)
@click.option(
    "--tune-range",
    metavar="LO,HI",
    help="Range of the first.  [default: a thirtieth to thirty times the rate · √B]",
)
@click.option(
    "--tune-seeds", type=int, default=3, show_default=True, metavar="N", help="Seeds kept for tuning alone."
)
@click.option(
    "--max-epochs",
    type=int,
    default=100,
    show_default=True,
    metavar="E",
    help="What a trial spends, with its window.",
)
@click.option(
    "--goal-window",
    type=float,
    default=GOAL_WINDOW,
    show_default=True,
    metavar="W",
    help="The goal is reached where the mean from 1-W to 1+W times the samples has reached it; 0: where a "
    "single value has.",
)
@click.option(
    "--seeds", type=int, default=10, show_default=True, metavar="N", help="Independent repetitions."
)
@click.option(
    "--first-seed", type=int, default=0, show_default=True, metavar="S", help="The first of the seeds."
)
@with_options(*MEASURING, *MACHINE, *OUTPUT)
@click.pass_context
def scaling(ctx: click.Context, /, **options: Any) -> None:
    """Finds what the batch size costs: updates and samples to a goal, each batch size at its own best
    learning rate.

    The goal is reached where the mean over a window of samples reaches it
    (--goal-window). Trials are measured every max(B, N/16) samples, at every update
    near the goal, and end once the window is complete, or after --max-epochs.

    Said is what takes the fewest samples, updates and seconds, and which sizes cannot
    be told apart from it; the critical batch size by both definitions: the knee, which
    takes twice the least updates and samples, and 20% over perfect scaling; how sure
    that is. A goal that nothing reaches is a result: exit code 0. The run directory is
    one like any other, so that report, verify and run --resume take it.

    What it executes: installed plugins, and the files and packages that the command
    line names.
    """
    from .options import check_memory, directories, plot_formats, prepare_scaling, tells_programs
    from .terminal import Reporter

    formats = plot_formats(options["formats"])
    if options["memory"] is not None:
        check_memory(options["memory"])
    say = Reporter(quiet=options["quiet"] or options["as_json"], aside=tells_programs(options))
    prepared = prepare_scaling(options)
    (out,) = directories(options["out"], [prepared])
    if options["dry_run"]:
        show_plans([prepared], say, options["as_json"], options["memory"], options["jobs"])
        return
    result = run_one(
        prepared,
        out,
        say,
        formats,
        {**options, "checkpoint": 10.0, "keep_states": "1GB", "force": False},
        None,
    )
    if result.status == "interrupted":
        ctx.exit(130)
    plot = out / f"scaling.{formats[0] if formats[0] != 'html' else 'png'}"
    if options["as_json"]:
        click.echo(
            json.dumps(
                {**result_as_json(result, plot), "words": result.recommendation()}, indent=2, allow_nan=False
            )
        )
    elif options["quiet"]:
        click.echo(str(plot), err=say.aside)
    ctx.exit(exit_code(result))
