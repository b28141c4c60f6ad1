"""The command lines of the commands that train, as typed objects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import click

from ..core.budget import UNITS, one_budget
from ..execution.run_options import RunOptions
from ..planning.question import Question

QUESTION_OPTIONS = frozenset({field.name for field in fields(Question)} - {"budget", "plugins"} | set(UNITS))
"""Parameters of commands that decide results."""


@dataclass(frozen=True, kw_only=True)
class Output:
    """Describe where a command writes files, and what it prints.

    Args:
        out: The run directory; None: one that is named after the time and the workload.
        dry_run: Show what would be trained, and train nothing.
        quiet: Print only the path of the plot.
        as_json: Whether to print JSON instead of text.
        wide: Print all columns of the summary.
    """

    out: Path | None
    dry_run: bool
    quiet: bool
    as_json: bool
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Request:
    """Hold the parsed command line of a command that trains.

    Args:
        question: The question. Its workload may be a list that is separated by commas.
        options: The run options; observers are added when the run starts.
        output: Where files are written, and what is printed.
        plugins: Files and modules to load, as they were typed.
    """

    question: Question
    options: RunOptions
    output: Output
    plugins: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class RunRequest(Request):
    """Hold the parsed command line of ``run``.

    Args:
        typed: Parameters that stand on the command line, in the order of the help.
        config: A saved comparison to run again; None: the question counts.
        resume: The run directory of a run to continue; None: the run is new.
        force: Resume although versions, data or sources changed.
        trust: Execute all code that a saved comparison names.
    """

    typed: tuple[str, ...]
    config: Path | None
    resume: Path | None
    force: bool
    trust: bool

    @classmethod
    def of(cls, ctx: click.Context) -> RunRequest:
        """Read the parsed command line.

        Args:
            ctx: The click context of the command ``run``.

        Returns:
            The request.

        Raises:
            UsageError: Options do not go together.
            ComparisonError: A value is not in its range.
        """
        values = ctx.params
        if values["force"] and values["resume"] is None:
            raise click.UsageError("--force goes with --resume")
        if values["trust"] and values["resume"] is None and values["config"] is None:
            raise click.UsageError("--trust goes with --config or --resume")
        return cls(
            question=_question(values),
            options=_run_options(values),
            output=_output(values),
            plugins=values["plugin"],
            typed=tuple(name for name in values if _is_typed(ctx, name)),
            config=values["config"],
            resume=values["resume"],
            force=values["force"],
            trust=values["trust"],
        )


@dataclass(frozen=True, kw_only=True)
class StudyRequest(Request):
    """Hold the parsed command line of ``scaling``.

    Args:
        batch_sizes: Samples in an update; None: powers of two up to the training samples.
        max_epochs: Epochs after which a trial ends that has not reached the goal.
    """

    batch_sizes: tuple[int, ...] | None
    max_epochs: int

    @classmethod
    def of(cls, ctx: click.Context) -> StudyRequest:
        """Read the parsed command line.

        Args:
            ctx: The click context of the command ``scaling``.

        Returns:
            The request.

        Raises:
            ComparisonError: A value is not in its range.
        """
        values = ctx.params
        return cls(
            question=_question(values),
            options=_run_options(values),
            output=_output(values),
            plugins=values["plugin"],
            batch_sizes=values["batch_sizes"],
            max_epochs=values["max_epochs"],
        )


def options_of(names: Sequence[str]) -> str:
    """Name parameters as they are typed.

    Args:
        names: Parameters of a command.
    """
    return ", ".join(f"--{name.replace('_', '-')}" for name in names)


def _question(values: Mapping[str, Any]) -> Question:
    """Build the question from the options that are named like its fields."""
    named = {name: value for name, value in values.items() if name in QUESTION_OPTIONS - set(UNITS)}
    if named.get("diagnostics") is None:
        named["diagnostics"] = Question.diagnostics
    plugins = (str(Path(name).resolve()) if name.endswith(".py") else name for name in values["plugin"])
    budget = one_budget(**{unit: values.get(unit) for unit in UNITS})
    return Question(**named, budget=budget, plugins=tuple(plugins))


def _run_options(values: Mapping[str, Any]) -> RunOptions:
    """Build the run options from the options that are named like their fields."""
    named = {field.name: values[field.name] for field in fields(RunOptions) if field.name in values}
    return RunOptions(**named, report_trainer=_print_to_stderr if values["verbose"] else None)


def _output(values: Mapping[str, Any]) -> Output:
    """Build the output from the options that are named like its fields."""
    return Output(**{field.name: values[field.name] for field in fields(Output) if field.name in values})


def _is_typed(ctx: click.Context, name: str) -> bool:
    return ctx.get_parameter_source(name) == click.core.ParameterSource.COMMANDLINE


def _print_to_stderr(line: str) -> None:
    click.echo(line, err=True)
