"""What the commands that train share: options, plans, a comparison's run, what is printed of it, the exit
code.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ..planning.prepare import Prepared
    from ..report.result import Result
    from ..storage.previous_run import PreviousRun
    from .terminal import Reporter

MACHINE = (
    click.option(
        "--device",
        default="auto",
        show_default=True,
        help="auto, cpu, mps, cuda:1, or cuda: with --jobs, all CUDA devices in turn.",
    ),
    click.option("--dtype", type=click.Choice(["float32", "float64"]), default="float32", show_default=True),
    click.option(
        "--autocast",
        metavar="DTYPE",
        help="bfloat16: for forward passes, weights staying in float32.  [default: none]",
    ),
    click.option(
        "--deterministic/--no-deterministic",
        default=True,
        show_default=True,
        help="Deterministic algorithms where there are some; where there are none, that is said.",
    ),
    click.option(
        "--threads", type=int, default=1, show_default=True, metavar="T", help="CPU threads of a trial."
    ),
    click.option(
        "--trainer",
        type=click.Choice(["auto", "loop", "lanes"]),
        default="auto",
        show_default=True,
        help="loop: one trial after another; lanes: many trials in one vectorized program; auto: lanes "
        "where faster.",
    ),
    click.option(
        "--memory",
        metavar="SIZE",
        help="Memory limit for vectorized trials (lanes): 4GB, or 25% of what is free.  [default: 50%]",
    ),
    click.option(
        "--jobs", type=int, metavar="N", help="Trials at once, each in a process of its own.  [default: 1]"
    ),
    click.option(
        "--executor",
        metavar="NAME[:ADDRESS]",
        help="Where trials are trained: processes (with --jobs), ray, or a plugin's.  [default: this "
        "process]",
    ),
)
MEASURING = (
    click.option(
        "--recalibrate/--no-recalibrate",
        default=None,
        help="Computes BatchNorm's running averages anew before each measurement, on a copy, for all arms.  "
        "[default: where "
        "more than 5% of their initial values would be left]",
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
        default="png",
        show_default=True,
        metavar="LIST",
        help="Of the plot: png,svg,pdf; html: a page.",
    ),
    click.option(
        "--plugin",
        multiple=True,
        metavar="FILE.py|MODULE",
        help="A plugin to load; may be given several times.",
    ),
    click.option(
        "--dry-run",
        is_flag=True,
        help="Shows arms, trials, updates and an estimate of the time; trains nothing.",
    ),
    click.option(
        "--track",
        multiple=True,
        metavar="NAME[:ADDRESS]",
        help="Tells a tracker: tensorboard, mlflow:sqlite:///runs/mlflow.db, jsonl, …; may be given several "
        "times.",
    ),
    click.option("--verbose", "-v", is_flag=True, help="Shows which trainer runs which trials, and why."),
    click.option("--quiet", is_flag=True, help="Prints the path of the plot alone."),
    click.option("--json", "as_json", is_flag=True, help="Prints summary, certificate and paths as JSON."),
)


TRUST = click.option(
    "--trust",
    is_flag=True,
    help="Executes the files and packages that the saved comparison names, also those that you have not "
    "named before.",
)


class Nearest(click.Choice[str]):
    """One of some names; the error for another names the nearest."""

    def get_invalid_choice_message(self, value: Any, ctx: click.Context | None) -> str:
        """Click's message with a suggestion."""
        from ..core.parameters import suggestion

        return super().get_invalid_choice_message(value, ctx).removesuffix(".") + suggestion(
            str(value), self.choices
        )


def with_options(*options: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Options that several commands have, in this order."""

    def added(command: Any) -> Any:
        for option in reversed(options):
            command = option(command)
        return command

    return added


def show_plans(
    prepared: Sequence[Prepared],
    say: Reporter,
    as_json: bool,
    memory: str | None = None,
    jobs: int | None = None,
) -> None:
    """What would be trained, and an estimate of how long it takes."""
    from ..core.bounds import MOST_JOBS, whole
    from ..execution.expected_time import expected_of

    jobs = whole("jobs", 1 if jobs is None else jobs, 1, MOST_JOBS)
    plans = []
    for one in prepared:
        comparison = one.setup.comparison
        say.question(comparison, one.notes)
        expected = expected_of(one, memory, jobs)
        tuning, closer, report = comparison.tuning_trials(), comparison.closer_trials(), comparison.trials()
        say.plan(one.estimates, [*tuning, *closer, *report], expected)
        trials = [{"arm": e.arm.label, "updates": e.updates, "seconds": e.seconds} for e in one.estimates]
        seconds = {"seconds_low": expected.low, "seconds_high": expected.high}
        plans.append({"comparison": comparison.to_json(), "trials": trials, **seconds})
    if as_json:
        click.echo(json.dumps(plans[0] if len(plans) == 1 else plans, indent=2))


def run_one(
    prepared: Prepared,
    out: Path,
    say: Reporter,
    formats: list[str],
    options: dict[str, Any],
    earlier: PreviousRun | None,
) -> Result:
    """Trains a comparison, or goes on with an earlier run of it; prints its question, its progress and its
    result.
    """
    from ..execution.run import How, execute, go_on
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
            metric=options.get("metric"),
            memory=options["memory"],
            checkpoint=options["checkpoint"],
            keep_states=state_bytes(options["keep_states"]),
            jobs=options["jobs"],
            executor=options["executor"],
        )
        force = options["force"]
        result = (
            execute(prepared, out, how) if earlier is None else go_on(prepared, earlier, how, force=force)
        )
    warn(prepared.registry.warnings[known:])
    name_missing_glyphs([result])
    if result.is_finished_study:
        from ..report.figures import save_scaling

        plotted = [suffix for suffix in formats if suffix != "html"] or ["png"]
        say.scaling(result, save_scaling(result, out, plotted))
    else:
        say.result(result, [out / f"comparison.{suffix}" for suffix in formats], len(prepared.notes))
    return result


def remember_plugins(plugins: Sequence[str]) -> None:
    """Notes that the command line names this code, so that a saved comparison may name it."""
    from ..core.named_code import NamedCode
    from ..storage.trusted_code import remember

    warn(remember([NamedCode(name, "plugin") for name in plugins]))


def warn(warnings: Sequence[str]) -> None:
    for warning in warnings:
        click.echo(f"warning: {warning}", err=True)


def name_missing_glyphs(results: Sequence[Result]) -> None:
    """One line where names in pictures are drawn as boxes."""
    from ..report.plots.fonts import without_glyphs

    comparisons = [result.comparison for result in results]
    names = [
        text
        for one in comparisons
        for text in (one.workload.label, one.goal or "", *(arm.label for arm in one.arms))
    ]
    missing = without_glyphs(names)
    if missing:
        shown = missing if len(missing) <= 20 else f"{missing[:20]}…"
        warn(
            [
                f"no installed font has {shown}: pictures show boxes; install one that does, such as Noto "
                "Sans CJK"
            ]
        )


def _tell(line: str) -> None:
    click.echo(line, err=True)


def exit_code(result: Result) -> int:
    if result.status == "interrupted":
        return 130
    return 1 if (result.trials["status"] == "failed").any() else 0


def result_as_json(result: Result, plot: Path) -> dict[str, Any]:
    import dataclasses

    summary = json.loads(result.summary(wide=True).to_json(orient="records", double_precision=15))
    return {
        "status": result.status,
        "verdict": result.verdict(),
        "summary": summary,
        "pairs": json.loads(result.pairs().to_json(orient="records", double_precision=15)),
        "certificate": [dataclasses.asdict(check) for check in result.certificate],
        "directory": str(plot.parent),
        "plot": str(plot),
    }
