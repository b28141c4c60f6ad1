"""What a run names as the next commands: they work when pasted, whatever the path."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path

import pytest

from optcompare import compare
from optcompare.cli.main import main
from optcompare.cli.next_steps import next_steps


@pytest.fixture(scope="module")
def result():
    return compare("line", ["full", "mini:2"], seeds=2, epochs=2, trainer="loop")


def test_more_seeds_are_as_many_as_a_claim_needs_or_two(result):
    """One comparison needs six seeds."""
    assert next_steps(result, Path("run"))[-1] == "more seeds: optcompare run --resume run --seeds 6"
    seeds = dataclasses.replace(result.comparison, seeds=tuple(range(10)))
    many = dataclasses.replace(result, comparison=seeds)
    assert next_steps(many, Path("run"))[-1] == "more seeds: optcompare run --resume run --seeds 12"


@pytest.mark.slow
def test_one_more_seed_is_named_where_the_verdict_asks_for_one(result):
    """Both lines of a run name the same command."""
    four = [f"full@sgd:lr={lr}" for lr in (0.1, 0.2, 0.3, 0.4)]
    found = compare("line", four, seeds=7, updates=1, trainer="loop")
    assert "Add 1 seed, for 8 in all" in " ".join(found.verdict())
    assert next_steps(found, Path("run"))[-1] == "more seeds: optcompare run --resume run --seeds 8"


def test_an_interrupted_run_names_how_to_continue(result):
    cut = dataclasses.replace(result, status="interrupted")
    assert next_steps(cut, Path("it's here")) == [
        "Stopped; results so far are saved. Continue: optcompare run --resume 'it'\"'\"'s here'"
    ]


@pytest.mark.slow
def test_every_command_works_when_pasted(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run = Path("a run; with spaces")
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--strategies", "full,mini", "--seeds", "2", "--epochs", "2", "--out", str(run)])
    lines = capsys.readouterr().out.splitlines()[-3:]
    assert [line.partition(":")[0] for line in lines] == ["another figure", "a page to explore", "more seeds"]
    for line in lines:
        with pytest.raises(SystemExit, match="0"):
            main(shlex.split(line.partition(": ")[2])[1:])
