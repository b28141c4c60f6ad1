"""The question and the run options: one set of defaults for Python and the command line."""

from __future__ import annotations

import dataclasses
import inspect
import re
from typing import Any

import click
import pytest

from optcompare.api.batch_size_study import batch_size_study
from optcompare.api.compare import compare
from optcompare.cli.requests import QUESTION_OPTIONS, RunRequest, StudyRequest
from optcompare.cli.run import run
from optcompare.cli.scaling import scaling
from optcompare.core.budget import UNITS, Budget
from optcompare.core.choices import DTYPES, ENGINE_CHOICES, LR_SCALINGS, TRAINERS
from optcompare.core.comparison import Comparison
from optcompare.errors import ComparisonError
from optcompare.execution.run_options import RunOptions
from optcompare.planning.factories import single_items
from optcompare.planning.question import STUDY, STUDY_MAX_EPOCHS, Question, further_arms
from optcompare.planning.resolve import resolve

LISTS = {"strategies", "optimizers", "diagnostics"}
NOT_PYTHON = {"observers", "report_trainer", "formats", "metric", "checkpoint", "keep_states"}
"""Run options that ``compare()`` does not have, since they are about the terminal and the run directory."""


def defaults(function: Any) -> dict[str, Any]:
    return {
        name: parameter.default
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.default is not inspect.Parameter.empty
    }


def parsed(command: click.Command, *arguments: str) -> click.Context:
    return command.make_context(command.name, list(arguments))


def values(question: Question | RunOptions) -> dict[str, Any]:
    found = {field.name: getattr(question, field.name) for field in dataclasses.fields(question)}
    return {name: single_items(value) if name in LISTS else value for name, value in found.items()}


def test_the_defaults_of_compare_are_those_of_the_question_and_the_run_options():
    of_python = defaults(compare)
    for fields in (values(Question()), values(RunOptions())):
        for name in fields.keys() & of_python.keys():
            of_name = of_python[name]
            assert (single_items(of_name) if name in LISTS else of_name) == fields[name], name
    apart = {"budget", "stop_at_goal", "goal_window", "previous_engine", "masks"}
    assert values(Question()).keys() - of_python.keys() == apart
    assert values(RunOptions()).keys() - of_python.keys() == NOT_PYTHON


def test_the_command_line_without_options_asks_the_same_question():
    request = RunRequest.of(parsed(run))
    assert values(request.question) == values(Question())
    assert values(request.options) == values(RunOptions())
    assert request.typed == ()


def test_a_study_without_options_is_the_same_in_python_and_on_the_command_line():
    request = StudyRequest.of(parsed(scaling))
    assert values(request.question) == values(STUDY)
    assert values(request.options) == values(RunOptions())
    assert (request.batch_sizes, request.max_epochs) == (None, STUDY_MAX_EPOCHS)
    of_python = defaults(batch_size_study)
    for name in of_python.keys() & values(STUDY).keys():
        of_name = of_python[name]
        assert (single_items(of_name) if name in LISTS else of_name) == values(STUDY)[name], name
    assert of_python["max_epochs"] == STUDY_MAX_EPOCHS


@pytest.mark.parametrize("function", [compare, batch_size_study])
def test_every_argument_is_documented_once_and_in_order(function):
    documented = re.findall(r"(?m)^        (\w+): ", (function.__doc__ or "").partition("Returns:")[0])
    assert documented == list(inspect.signature(function).parameters)


def test_choices_of_the_command_line_are_those_of_python():
    choices = {parameter.name: parameter.type for parameter in run.params}
    for name, known in {
        "dtype": DTYPES,
        "trainer": TRAINERS,
        "engine": ENGINE_CHOICES,
        "lr_scaling": LR_SCALINGS,
    }.items():
        assert tuple(choices[name].choices) == known
    assert {*UNITS, "goal", "device"} <= QUESTION_OPTIONS
    assert {parameter.name for parameter in run.params} | {
        "order",
        "stop_at_goal",
        "goal_window",
        "previous_engine",
        "masks",
    } >= QUESTION_OPTIONS


def test_what_is_typed_becomes_typed_values():
    line = (
        "--lr 0.1,0.2 --tune-range 0.01,1 --updates 7 --keep-states 2GB --format svg,pdf --jobs 2 --track a"
    )
    request = RunRequest.of(parsed(run, *line.split()))
    question, options = request.question, request.options
    assert (question.lr, question.tune_range) == ((0.1, 0.2), (0.01, 1.0))
    assert question.budget == Budget("updates", 7)
    assert (options.keep_states, options.formats) == (2 * 2**30, ("svg", "pdf"))
    assert (options.jobs, tuple(options.track)) == (2, ("a",))
    assert set(request.typed) == {"lr", "tune_range", "updates", "keep_states", "formats", "jobs", "track"}


def test_several_budgets_are_refused():
    with pytest.raises(ComparisonError, match="give one budget, not 2: epochs, seconds"):
        RunRequest.of(parsed(run, "--epochs", "1", "--seconds", "2"))


def test_question_and_run_options_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'seeds'"):
        Question().seeds = 3  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'jobs'"):
        RunOptions().jobs = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": 0}, "jobs must be at least 1, got 0"),
        ({"checkpoint": -1.0}, "checkpoint takes seconds, 0 or more, got -1"),
    ],
)
def test_run_options_that_cannot_be_are_refused(options, message):
    with pytest.raises(ComparisonError, match=message):
        RunOptions(**options)


def test_further_arms_are_asked_for_with_the_settings_of_the_run(registry):
    asked = Question(
        workload="line", strategies="full", optimizers="sgd:momentum=0.9", clip=1.0, chunk=3, device="cpu"
    )
    before: Comparison = resolve(registry, asked)[0].comparison
    further = resolve(registry, further_arms(before, "full,mini", None))[0].comparison
    assert [arm.label for arm in further.arms] == ["full", "mini:2"]
    assert {(arm.clip, arm.chunk, arm.optimizer) for arm in further.arms} == {
        (1.0, 3, before.arms[0].optimizer)
    }
    assert (further.seeds, further.budget) == (before.seeds, before.budget)
