"""Nonsense is refused in a line: no spec, command or edit of a run directory ends in a traceback, or never.

A twentieth runs with the quick tests, all with ``pytest --slow``. A failure names the number of its case,
from which :mod:`tests.fuzz.nonsense` makes it again.
"""

from __future__ import annotations

import faulthandler
import json
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from optcompare import load
from optcompare.cli.main import main
from optcompare.core.file_paths import parse_list
from optcompare.core.goal import Goal
from optcompare.core.parameters import bind, parameters
from optcompare.core.schedule import schedule_of
from optcompare.errors import OptcompareError
from optcompare.planning.factories import make_strategy
from optcompare.planning.optimizer_factory import make_optimizer
from optcompare.registry.manager import Registry
from tests.fuzz import nonsense

SPECS, COMMANDS, JSON_EDITS, TABLE_EDITS = 20_000, 500, 300, 300
SHARES = [pytest.param(20, id="a-twentieth"), pytest.param(1, id="all", marks=pytest.mark.slow)]
HANGS = 120
"""Seconds after which a case counts as one that never ends; each takes a small part of a second."""
every = pytest.mark.parametrize("share", SHARES)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory with a checkpoint's states, two metrics of looks, and tuning."""
    out = tmp_path_factory.mktemp("fuzz") / "run"
    options = [
        "--strategies",
        "full,mini",
        "--seeds",
        "3",
        "--updates",
        "6",
        "--tune",
        "2",
        "--goal",
        "train_loss=0.5",
    ]
    assert code_of(["run", *options, "--device", "cpu", "--out", str(out), "--quiet", "--format", "svg"]) == 0
    return out


def code_of(arguments: list[str]) -> int | str | None:
    """The exit code of a command."""
    with pytest.raises(SystemExit) as exit_:
        main(arguments)
    return exit_.value.code


def failure(case: str, action: Callable[[], object]) -> str:
    """What is wrong with how an action ends: it raises something else than a user's error, or does not end;
    '' if nothing.
    """

    def interrupt(number: int, frame: object) -> None:
        raise TimeoutError("it does not end")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.alarm(HANGS)
    faulthandler.dump_traceback_later(
        4 * HANGS, exit=True, file=sys.__stderr__
    )  # where even the signal is not seen
    try:
        action()
    except OptcompareError as error:
        return "" if str(error) else f"{case}: {error!r} says nothing"
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{case}: {type(error).__name__}: {str(error)[:300]} ({frame.filename}:{frame.lineno})"
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
    return ""


def refuse(failures: list[str]) -> None:
    """Fail with all failures."""
    found = list(filter(None, failures))
    if found:
        pytest.fail(f"{len(found)} of {len(failures)}:\n" + "\n".join(found), pytrace=False)


def ends_well(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A command ends with an exit code, and says why where it refuses."""
    code, said = code_of(arguments), capsys.readouterr().err
    assert code in (0, 1, 2), f"exit code {code}: {said}"
    assert code != 2 or said.strip(), "it says nothing"


def readers(registry: Registry) -> list[Callable[[str], object]]:
    workloads = registry.entries("workloads")

    def workload(text: str) -> None:
        for spec in parse_list(text):
            if spec.name in workloads:
                bind(parameters(workloads[spec.name].factory), spec, kind="workload")

    def arms(text: str) -> None:
        for spec in parse_list(text, optimizers=True):
            make_strategy(registry, spec, 4)
            make_optimizer(registry, "sgd" if spec.optimizer is None else spec.optimizer)

    return [arms, workload, schedule_of, Goal.parse]


@every
def test_any_spec_is_read_or_refused_in_a_line(share, registry):
    failures = []
    for number in range(0, SPECS, share):
        text = nonsense.spec(number)
        for read in readers(registry):
            failures.append(
                failure(f"spec {number}, {text[:200]!r}", lambda read=read, text=text: read(text))
            )
    refuse(failures)


@every
@pytest.mark.filterwarnings("ignore")
def test_any_command_ends_with_an_exit_code(share, run, tmp_path, monkeypatch, capsys):
    failures = []
    for number in range(0, COMMANDS, share):
        place = tmp_path / str(number)
        place.mkdir()
        monkeypatch.chdir(place)
        line = nonsense.command(number, run)
        case = f"command {number}, {' '.join(line)[:300]!r}"
        failures.append(failure(case, lambda line=line: ends_well(line, capsys)))
    refuse(failures)


WAYS: tuple[Callable[[Path], list[str]], ...] = (
    lambda run: ["report", str(run), "--table", "csv"],
    lambda run: ["report", str(run), "--format", "html"],
    lambda run: ["verify", str(run), "--trials", "0"],
    lambda run: ["verify", str(run), "--trials", "1"],
    lambda run: ["run", "--resume", str(run), "--dry-run"],
    lambda run: ["run", "--resume", str(run), "--quiet", "--format", "svg"],
    lambda run: [
        "run",
        "--resume",
        str(run),
        "--quiet",
        "--format",
        "svg",
        "--seeds",
        "4",
        "--updates",
        "7",
        "--force",
    ],
    lambda run: ["run", "--config", str(run / "comparison.json"), "--dry-run"],
)


def edited(
    run: Path,
    edit: Callable[[int, Path], str],
    numbers: range,
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> list[str]:
    """What fails where copies of a run directory are edited and opened."""
    failures = []
    for number in numbers:
        copy = Path(shutil.copytree(run, place / f"run{number}"))
        done = edit(number, copy)
        line = random.Random(f"way {number}").choice(WAYS)(copy)
        failures.append(failure(f"edit {number}, {done}, loaded", lambda copy=copy: load(copy).summary()))
        failures.append(failure(f"edit {number}, {done}, {line}", lambda line=line: ends_well(line, capsys)))
        shutil.rmtree(copy)
    return failures


@every
@pytest.mark.filterwarnings("ignore")
def test_any_edit_of_comparison_json_is_read_or_refused_in_a_line(share, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def edit(number: int, copy: Path) -> str:
        return nonsense.edit_json(number, copy / "comparison.json")

    refuse(edited(run, edit, range(0, JSON_EDITS, share), tmp_path, capsys))


@every
@pytest.mark.filterwarnings("ignore")
def test_any_edit_of_tables_is_read_or_refused_in_a_line(share, run, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    refuse(edited(run, nonsense.edit_table, range(0, TABLE_EDITS, share), tmp_path, capsys))


def test_the_same_number_makes_the_same_nonsense(run, tmp_path):
    texts = set()
    for name in ("one", "two"):
        copy = Path(shutil.copytree(run, tmp_path / name))
        texts.add(
            (
                nonsense.spec(7),
                nonsense.edit_json(7, copy / "comparison.json"),
                (copy / "comparison.json").read_text(),
            )
        )
    assert len(texts) == 1
    assert json.loads((run / "comparison.json").read_text())["status"] == "finished"
