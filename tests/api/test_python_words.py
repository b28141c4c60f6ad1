"""Errors of Python's functions name their arguments, those of the command line its options."""

from __future__ import annotations

import pytest

import optcompare
from optcompare.api.python_words import in_python_words
from optcompare.errors import ComparisonError
from tests.helpers.commands import run

NAMES = {
    "goal_window",
    "lr_scaling",
    "tune",
    "tune_range",
    "chunk",
    "goal",
    "dtype",
    "trainer",
    "force",
    "recalibrate",
    "plugins",
}


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("--goal-window is a share", "goal_window is a share"),
        ("got --tune 1; give --tune 5", "got tune=1; give tune=5"),
        ("got --tune -2; give", "got tune=-2; give"),
        ("--lr-scaling linear needs", 'lr_scaling="linear" needs'),
        ("give --tune N too", "give tune=N too"),
        ("--tune-range 0.1,1 is too narrow", "tune_range=(0.1,1) is too narrow"),
        ("give --chunk 64 or more", "give chunk=64 or more"),
        ("give --goal, such as train_loss=0.3", "give goal, such as train_loss=0.3"),
        ("such as --goal train_loss=0.3", 'such as goal="train_loss=0.3"'),
        ("use --dtype float32 or wait", 'use dtype="float32" or wait'),
        ("a mask has no number; give --trainer loop", 'a mask has no number; give trainer="loop"'),
        ("give --force to go on", "give force=True to go on"),
        ("--no-recalibrate switches that off", "recalibrate=False switches that off"),
        ("name each with --plugin", "name each with plugins"),
        ("give --trust to execute it", "give --trust to execute it"),
        ("optcompare run --chunk 8 goes on", "optcompare run --chunk 8 goes on"),
        ("a file--goal stays", "a file--goal stays"),
    ],
)
def test_options_become_arguments(message, words):
    assert in_python_words(message, NAMES, {"force", "recalibrate"}) == words


def test_an_error_of_compare_keeps_its_type_and_names_the_argument():
    with pytest.raises(
        ComparisonError, match=r"^tuning needs at least 2 learning rates, got tune=1; give tune"
    ):
        optcompare.compare("line", "full", tune=1, seeds=1, epochs=1)


def test_an_error_of_the_study_names_the_argument():
    with pytest.raises(ComparisonError, match=r'give one, such as goal="train_loss=0\.3"$'):
        optcompare.batch_size_study("line", seeds=1)


def test_the_same_error_on_the_command_line_names_the_option(capsys):
    assert run("run", "--strategies", "full", "--tune", 1, "--seeds", 1, "--epochs", 1, "--dry-run") == 2
    assert "got --tune 1; give --tune 5" in capsys.readouterr().err
