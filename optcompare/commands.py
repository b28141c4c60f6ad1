"""The commands that train: ``run`` and ``scaling``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .execute import Prepared
    from .report.terminal import Reporter
    from .result import Result
    from .resume import Earlier

RUN_EXAMPLES = """\b
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

SCALING_EXAMPLES = """\b
Examples:
  optcompare scaling --workload digits --goal train_loss=0.3
  optcompare scaling --workload digits --batch-sizes 1,4,16,64,256 --goal train_loss=0.3 --optimizers sgd,adam
  optcompare scaling --workload noisy-quadratic:dim=100 --goal train_loss=0.1 --seeds 10
  optcompare report runs/20260101-120000-digits --figure scaling --width 3.4 --format pdf
  optcompare run --resume runs/20260101-120000-digits
"""

_MACHINE = (
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto, cpu, mps, cuda:1, or cuda: with --jobs, all CUDA devices in turn.",
    ),
    click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True),
    click.option(
        "--autocast", metavar="DTYPE", help="bfloat16: for forward passes, weights staying in float32.  [default: none]"
    ),
    click.option(
        "--deterministic/--no-deterministic",
        default=True,
        show_default=True,
        help="Deterministic algorithms where there are some; where there are none, that is said.",
    ),
    click.option("--threads", type=int, default=1, show_default=True, metavar="T", help="CPU threads of a trial."),
    click.option(
        "--trainer",
        type=click.Choice(["auto", "loop", "lanes"]),
        default="auto",
        show_default=True,
        help="loop: one trial after another; lanes: many as one program, as far as they can; auto: lanes where they repay.",
    ),
    click.option("--memory", metavar="SIZE", help="What lanes may take: 4GB, or 25% of what is free.  [default: 50%]"),
    click.option("--jobs", type=int, metavar="N", help="Trials at once, each in a process of its own.  [default: 1]"),
    click.option(
        "--executor",
        metavar="NAME[:ADDRESS]",
        help="Where trials are trained: processes (with --jobs), ray, or a plugin's.  [default: this process]",
    ),
)
_OUTPUT = (
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        metavar="DIR",
        help="Run directory, new or empty.  [default: runs/<time>-<workload>]",
    ),
    click.option(
        "--format",
        "formats",
        default="png",
        show_default=True,
        metavar="LIST",
        help="Of the plot: png,svg,pdf; html: a page.",
    ),
    click.option(
        "--plugin", multiple=True, metavar="FILE.py|MODULE", help="A plugin to load; may be given several times."
    ),
    click.option(
        "--dry-run", is_flag=True, help="Shows arms, trials, updates and an estimate of the time; trains nothing."
    ),
    click.option(
        "--track",
        multiple=True,
        metavar="NAME[:ADDRESS]",
        help="Tells a tracker: tensorboard, mlflow:sqlite:///runs/mlflow.db, jsonl, …; may be given several times.",
    ),
    click.option("--verbose", "-v", is_flag=True, help="Says which trainer takes which trials, and why."),
    click.option("--quiet", is_flag=True, help="Prints the path of the plot alone."),
    click.option("--json", "as_json", is_flag=True, help="Prints summary, certificate and paths as JSON."),
)


def _with(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Options that several commands have, in this order."""

    def added(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return added


@click.command(short_help="Trains every contender and draws one plot.", epilog=RUN_EXAMPLES)
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
    help="Crossed with every strategy that has no @optimizer: sgd:momentum=0.9, adam, any installed package's by its path, as "
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
    help="Changes the rate along the budget: step, step:gamma=0.2, cosine, warmup-cosine; or sgd:schedule=cosine.",
)
@click.option(
    "--clip",
    type=float,
    metavar="NORM",
    help="Scales gradients of a larger norm down to it; or sgd:clip=1 for one.  [default: none]",
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
@click.option(
    "--plane", is_flag=True, help="Keeps the first seed's weights at every mark, and draws where each arm went."
)
@click.option(
    "--diagnostics",
    metavar="LIST",
    help="Further columns of the records: grad_norm, noise_scale:rows=512, sharpness, …; see optcompare list diagnostics.",
)
@click.option(
    "--diagnose-every",
    type=int,
    default=1,
    show_default=True,
    metavar="K",
    help="Computes them at every K-th mark, outside the training clock.",
)
@click.option(
    "--chunk",
    type=int,
    metavar="ROWS",
    help="Rows in one forward pass; larger batches accumulate gradients.  [default: 4 MiB of input]",
)
@click.option("--eval-chunk", type=int, metavar="ROWS", help="The same for evaluation.")
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Runs a saved comparison.json again.")
@click.option(
    "--resume",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Goes on with a run that was stopped, or extends one by --seeds, --epochs or more --strategies.",
)
@click.option("--force", is_flag=True, help="Resumes even if versions, data or sources changed; the run records it.")
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
@_with(*_MACHINE, *_OUTPUT)
@click.pass_context
def run(ctx: click.Context, /, **options: Any) -> None:
    """Trains every strategy from the same weights in the same order, and draws one comparison plot.

    LIST is separated by commas: name[:value][:key=value]…[@optimizer]. Give at
    most one budget. Exit code 0: done (diverged trials are results), 1: some
    trial failed, 2: the call is wrong, 130: interrupted (what was measured is saved).
    """  # fmt: skip
    from .figures import save_across
    from .options import check_memory, directories, plot_formats, prepare_all, prepare_resumed, tells_programs
    from .report.terminal import Reporter

    formats = plot_formats(options["formats"])
    given = [name for name in options if ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE]
    say = Reporter(quiet=options["quiet"] or options["as_json"], aside=tells_programs(options))
    earlier = None
    if options["memory"] is not None:
        check_memory(options["memory"])
    if options["force"] and options["resume"] is None:
        raise click.UsageError("--force goes with --resume")
    if options["resume"] is not None:
        one, earlier = prepare_resumed(options, given)
        prepared, outs = [one], [options["resume"]]
    else:
        prepared = prepare_all(options, given)
        outs = directories(options["out"], prepared)
    if options["dry_run"]:
        _show_plans(prepared, say, options["as_json"])
        return
    results = []
    for one, out in zip(prepared, outs, strict=True):
        results.append(_run_one(one, out, say, formats, options, earlier))
        if results[-1].status == "interrupted":
            break
    plots = [out / f"comparison.{formats[0]}" for out in outs]
    several = len(outs) > 1 and len(results) == len(outs)
    drawn = save_across(results, outs[0].parent, formats) if several else []
    if options["as_json"]:
        found = [_as_json(result, plot) for result, plot in zip(results, plots, strict=False)]
        click.echo(json.dumps(found[0] if len(outs) == 1 else found, indent=2, allow_nan=False))
    elif options["quiet"]:
        shown = [str(plot) for plot, _ in zip(plots, results, strict=False)]
        click.echo("\n".join(shown), err=say.aside)
    elif several:
        say.across(results, drawn)
    ctx.exit(max(map(_exit_code, results)))


def _show_plans(prepared: Sequence[Prepared], say: Reporter, as_json: bool) -> None:
    plans = []
    for one in prepared:
        comparison = one.setup.comparison
        say.question(comparison, one.notes)
        say.plan(one.estimates, len(comparison.trials()) + len(comparison.tuning_trials()))
        trials = [{"arm": e.arm.label, "updates": e.updates, "seconds": e.seconds} for e in one.estimates]
        plans.append({"comparison": comparison.to_json(), "trials": trials})
    if as_json:
        click.echo(json.dumps(plans[0] if len(plans) == 1 else plans, indent=2))


def _run_one(
    prepared: Prepared, out: Path, say: Reporter, formats: list[str], options: dict[str, Any], earlier: Earlier | None
) -> Result:
    from .execute import How, execute, go_on
    from .options import state_bytes

    warn(prepared.registry.warnings)
    say.question(prepared.setup.comparison, prepared.notes)
    known = len(prepared.registry.warnings)
    with say.progress() as observer:
        how = How(
            observers=[] if observer is None else [observer],
            track=options["track"],
            say=_tell if options["verbose"] else None,
            formats=formats,
            memory=options["memory"],
            checkpoint=options["checkpoint"],
            keep_states=state_bytes(options["keep_states"]),
            jobs=options["jobs"],
            executor=options["executor"],
        )
        force = options["force"]
        result = execute(prepared, out, how) if earlier is None else go_on(prepared, earlier, how, force=force)
    warn(prepared.registry.warnings[known:])
    if prepared.setup.comparison.stop_at_goal and result.status != "interrupted":
        from .figures import save_scaling

        plotted = [suffix for suffix in formats if suffix != "html"] or ["png"]
        say.scaling(result, result.recommendation(), save_scaling(result, out, plotted))
    else:
        say.result(result, [out / f"comparison.{suffix}" for suffix in formats], len(prepared.notes))
    return result


@click.command(short_help="Finds what the batch size costs.", epilog=SCALING_EXAMPLES)
@click.option("--workload", default="digits", show_default=True, metavar="SPEC", help="What is trained.")
@click.option("--goal", metavar="METRIC=VALUE", help="What each trial trains to.  [default: the workload's]")
@click.option(
    "--batch-sizes", metavar="B,B,…", help="Samples in an update.  [default: powers of two up to the training samples]"
)
@click.option("--optimizers", default="sgd", show_default=True, metavar="LIST", help="Each makes a curve.")
@click.option(
    "--tune",
    type=int,
    default=8,
    show_default=True,
    metavar="N",
    help="Learning rates that each batch size tries; from 6 on, half of them around the best of the others.",
)
@click.option(
    "--tune-range", metavar="LO,HI", help="Range of the first.  [default: a thirtieth to thirty times the rate · √B]"
)
@click.option("--tune-seeds", type=int, default=3, show_default=True, metavar="N", help="Seeds kept for tuning alone.")
@click.option(
    "--max-epochs", type=int, default=100, show_default=True, metavar="E", help="What a trial spends at most."
)
@click.option("--seeds", type=int, default=5, show_default=True, metavar="N", help="Independent repetitions.")
@click.option("--first-seed", type=int, default=0, show_default=True, metavar="S", help="The first of the seeds.")
@_with(*_MACHINE, *_OUTPUT)
@click.pass_context
def scaling(ctx: click.Context, /, **options: Any) -> None:
    """Finds what the batch size costs: updates and samples to a goal, each batch size at its own best learning rate.

    Trials end at their goal, measured every max(B, N/16) samples, or after
    --max-epochs. A goal that nothing reaches is a result: exit code 0. The run
    directory is one like any other, so that report, verify and run --resume take it.
    """  # fmt: skip
    from .options import check_memory, directories, plot_formats, prepare_scaling, tells_programs
    from .report.terminal import Reporter

    formats = plot_formats(options["formats"])
    if options["memory"] is not None:
        check_memory(options["memory"])
    say = Reporter(quiet=options["quiet"] or options["as_json"], aside=tells_programs(options))
    prepared = prepare_scaling(options)
    (out,) = directories(options["out"], [prepared])
    if options["dry_run"]:
        _show_plans([prepared], say, options["as_json"])
        return
    result = _run_one(
        prepared, out, say, formats, {**options, "checkpoint": 10.0, "keep_states": "1GB", "force": False}, None
    )
    if result.status == "interrupted":
        ctx.exit(130)
    plot = out / f"scaling.{formats[0] if formats[0] != 'html' else 'png'}"
    if options["as_json"]:
        click.echo(json.dumps({**_as_json(result, plot), "words": result.recommendation()}, indent=2, allow_nan=False))
    elif options["quiet"]:
        click.echo(str(plot), err=say.aside)
    ctx.exit(_exit_code(result))


def warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def _tell(line: str) -> None:
    click.echo(line, err=True)


def _exit_code(result: Result) -> int:
    if result.status == "interrupted":
        return 130
    return 1 if (result.trials["status"] == "failed").any() else 0


def _as_json(result: Result, plot: Path) -> dict[str, Any]:
    import dataclasses

    summary = json.loads(result.summary().to_json(orient="records", double_precision=15))
    return {
        "status": result.status,
        "verdict": result.verdict(),
        "summary": summary,
        "pairs": json.loads(result.pairs().to_json(orient="records", double_precision=15)),
        "certificate": [dataclasses.asdict(check) for check in result.certificate],
        "directory": str(plot.parent),
        "plot": str(plot),
    }
