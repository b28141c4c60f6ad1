"""The command line as a user meets it: what it writes, prints and returns, and how it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from click.testing import CliRunner, Result

from optcompare import __version__, load
from optcompare.cli.main import cli, main
from optcompare.core.comparison import Arm, Budget, Comparison, Part
from tests.helpers.commands import without_progress
from tests.helpers.run_files import FILES as RUN_FILES

SCRIPT = str(Path(sys.executable).with_name("optcompare"))
FILES = RUN_FILES | {"states"}
SMALL = ("--seeds", "2", "--epochs", "3", "--device", "cpu")

STRATEGIES = """
from dataclasses import dataclass
import torch
from optcompare import Strategy, hookimpl

@dataclass
class Bad(Strategy):
    how: str
    when: int = 0

    def batches(self, epoch):
        order = epoch.order
        if epoch.index < self.when:
            yield order
            return
        if self.how == "raises":
            raise RuntimeError("out of tricks")
        if self.how == "none":
            return
        yield order[:2]
        second = {
            "empty": order[2:2],
            "beyond": torch.tensor([6]),
            "negative": torch.tensor([0, -1]),
            "float": order[2:].double(),
            "mask": order[2:] > 0,
            "matrix": order[2:].reshape(2, 2),
            "list": ["3", "4"],
            "repeated": order[1:],
            "missing": order[2:5],
        }
        yield second[self.how]

@hookimpl
def optcompare_strategies():
    return {"bad": Bad}
"""
WORKLOADS = """
import torch
from torch import nn
from optcompare import Workload

x, y = torch.arange(6.0).reshape(6, 1), torch.arange(6.0)

def wrong_shape():
    return Workload(model=lambda: nn.Linear(1, 1), train=(x, y), loss=nn.functional.mse_loss)

def right_shape(size: int = 1):
    return Workload(model=lambda: nn.Linear(1, size), train=(x, x), loss=nn.functional.mse_loss, batch_size=3)

def unreduced():
    return Workload(model=lambda: nn.Linear(1, 1), train=(x, x), loss=lambda output, y: output - y)

def no_workload():
    return 3

def explodes():
    return 1 / 0
"""
OBSERVER = """
from optcompare import hookimpl

@hookimpl
def optcompare_measured(trial, record):
    if trial.seed > 0:
        raise OSError("no more paper")
"""
TOLD = """
from optcompare import hookimpl

@hookimpl
def optcompare_trial_finished(trial):
    if trial.seed == 0 and trial.arm.label == "full":
        print("a trial has ended", flush=True)
"""


def line_of(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


RAISES = f"RuntimeError: out of tricks (strategies.py:{line_of(STRATEGIES, 'out of tricks')})"
EXPLODES = f"ZeroDivisionError: division by zero (workloads.py:{line_of(WORKLOADS, '1 / 0')})"


def own_workload() -> Comparison:
    arm = Arm("full", Part("full", "full"), Part("sgd", "sgd"), {}, 0.1, 8)
    return Comparison(Part("houses", None), (arm,), (0,), Budget("epochs", 1))


TEXTS = {
    "strategies.py": STRATEGIES,
    "twice.py": STRATEGIES.replace('"bad"', '"full"'),
    "workloads.py": WORKLOADS,
    "observer.py": OBSERVER,
    "broken.py": "import torch\nx = undefined\n",
    "syntax.py": "def f(:\n",
    "hook.py": "from optcompare import hookimpl\n@hookimpl\ndef optcompare_strategy():\n    return {}\n",
    "list.py": "from optcompare import hookimpl\n@hookimpl\ndef optcompare_strategies():\n    return []\n",
    "not.json": "{",
    "other.json": '{"seeds": 3}',
    "own.json": json.dumps({"comparison": own_workload().to_json()}),
    "houses.csv": "size,price\n" + "\n".join(f"{i},{2 * i}" for i in range(40)),
    "taken/note.txt": "",
    "file": "",
}


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def files(place: Path) -> Path:
    """A working directory with the user's files in it."""
    for name, text in TEXTS.items():
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_text(text)
    return place


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments, catch_exceptions=False, prog_name="optcompare")


def everything_in(place: Path) -> set[Path]:
    return {path for path in place.rglob("*") if "__pycache__" not in path.parts}


def exits(code: int, *arguments: str) -> None:
    with pytest.raises(SystemExit, match=rf"^{code}$"):
        main(list(arguments))


def without_times(table: pd.DataFrame) -> pd.DataFrame:
    return table.drop(columns=[name for name in table if name.endswith("seconds")])


def test_run_writes_its_directory_and_says_what_it_did(place):
    done = invoke("run", *SMALL, "--out", "here")
    assert done.exit_code == 0
    assert done.stderr == ""
    assert {path.name for path in Path("here").iterdir()} == FILES
    first, *_, plot, figure, page, seeds = done.stdout.splitlines()
    assert (
        first == "line: full, mini:2, single | sgd lr 0.01 | 2 seeds, 3 epochs each | cpu, float32, 1 thread"
    )
    assert plot == f"plot: {Path('here/comparison.png')}"
    assert figure == "another figure: optcompare report here --figure pairs"
    assert page == "a page to explore: optcompare report here --format html"
    assert seeds.startswith("more seeds: optcompare run --resume here --seeds ")
    assert done.stdout.count("✓") == len(load("here").certificate)
    assert "✗" not in done.stdout
    assert load("here").trials["status"].tolist() == ["finished"] * 6


def test_run_again_from_its_file_gives_the_same_records(files):
    strategies = "full,mini:4:tail=merge@adam:betas=(0.8,0.9),mini:3@sgd:lr=0.02:momentum=0.9"
    exits(
        0,
        "run",
        *SMALL,
        "--strategies",
        strategies,
        "--dtype",
        "float64",
        "--measure",
        "2",
        "--out",
        "one",
        "--quiet",
    )
    exits(0, "run", "--config", "one/comparison.json", "--out", "two", "--quiet")
    one, two = load("one"), load("two")
    assert one.comparison == two.comparison
    pd.testing.assert_frame_equal(without_times(one.records), without_times(two.records), check_exact=True)
    pd.testing.assert_frame_equal(without_times(one.trials), without_times(two.trials), check_exact=True)


@pytest.mark.slow
def test_run_again_from_elsewhere_finds_the_files_that_were_named(files, monkeypatch):
    named = ("--plugin", "observer.py", "--workload", "workloads.py:right_shape")
    exits(
        0, "run", "--seeds", "1", "--epochs", "1", "--strategies", "mini", *named, "--out", "one", "--quiet"
    )
    (files / "elsewhere").mkdir()
    monkeypatch.chdir(files / "elsewhere")
    exits(0, "run", "--config", "../one/comparison.json", "--out", "two", "--quiet")
    assert load("two").trials["final_sha256"].tolist() == load("../one").trials["final_sha256"].tolist()


def test_seeds_budget_and_settings_reach_the_comparison(place):
    options = [
        "--first-seed",
        "5",
        "--seeds",
        "2",
        "--samples",
        "30",
        "--threads",
        "2",
        "--chunk",
        "4",
        "--measure",
        "0",
    ]
    done = invoke(
        "run", *options, "--eval-chunk", "5", "--lr", "0.02", "--dtype", "float64", "--dry-run", "--json"
    )
    values = json.loads(done.stdout)["comparison"]
    assert values["seeds"] == [5, 6]
    assert values["budget"] == {"unit": "samples", "amount": 30}
    assert {name: values[name] for name in ("threads", "eval_chunk", "measure", "dtype")} == {
        "threads": 2,
        "eval_chunk": 5,
        "measure": 0,
        "dtype": "float64",
    }
    assert [(arm["lr"], arm["chunk"]) for arm in values["arms"]] == [(0.02, 4)] * 3


def test_splits_reach_the_comparison_and_are_said(place):
    arguments = ("--workload", "diabetes", "--seeds", "4", "--split-seeds", "2", "--dry-run")
    assert json.loads(invoke("run", *arguments, "--json").stdout)["comparison"]["split_seeds"] == 2
    assert "| 4 seeds on 2 splits, 20 epochs each |" in invoke("run", *arguments).stdout


@pytest.mark.slow
def test_the_summary_shows_a_test_set_beside_validation(files, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    Path("points.csv").write_text("x,y\n" + "".join(f"{i},{i % 7}.5\n" for i in range(40)))
    asked = ("run", "--workload", "csv:points.csv:y=y:test=0.2", "--seeds", "2", "--epochs", "1")
    done = invoke(*asked, "--out", "held", "--wide")
    for title in (
        "final valid loss",
        "final test loss",
        "final test mae",
        "final valid_loss: mean",
        "final test_loss: mean",
    ):
        assert title in done.stdout
    assert "best test loss" not in done.stdout
    row = invoke("report", "held", "--table", "md").stdout.splitlines()[0]
    assert row == "| arm | final valid loss | final test loss | updates | train time |"


def test_a_dry_run_of_a_resumed_run_counts_what_is_left(place):
    invoke("run", *SMALL, "--strategies", "full,mini:4", "--seeds", "2", "--out", "here", "--quiet")
    more = invoke("run", "--resume", "here", "--seeds", "3", "--dry-run")
    assert "2 trials of 2 arms would take" in " ".join(more.output.split())
    same = invoke("run", "--resume", "here", "--dry-run")
    assert "All trials are trained already: nothing is left." in " ".join(same.output.split())


def test_one_factory_that_cannot_be_imported_hides_no_other(place):
    Path("lost.py").write_text(
        "import optcompare\n\n\n@optcompare.hookimpl\ndef optcompare_optimizers():\n"
        '    return {"lost": "not_there.build", "kept": "torch.optim.SGD"}\n',
        encoding="utf-8",
    )
    done = invoke("list", "optimizers", "--plugin", "lost.py")
    assert done.exit_code == 0
    listed = " ".join(done.output.split())
    assert "'lost' is not_there.build, which cannot be imported: ModuleNotFoundError" in listed
    assert "kept " in listed


def test_dry_run_shows_arms_updates_and_trials_and_writes_nothing(place):
    done = invoke("run", *SMALL, "--strategies", "full,mini:4", "--dry-run", "--out", "here")
    assert done.exit_code == 0
    rows = {
        line.split()[0]: line.split()[1:5]
        for line in done.stdout.splitlines()
        if line.startswith(("full", "mini:4"))
    }
    assert rows == {"full": ["full", "sgd", "0.01", "3"], "mini:4": ["mini:4", "sgd", "0.01", "6"]}
    assert "4 trials of 2 arms would take about " in done.stdout
    assert done.stdout.endswith("Dry run: nothing was trained.\n")
    assert everything_in(place) == set()


@pytest.mark.slow
def test_quiet_prints_the_plot_alone(place):
    done = invoke("run", "--seeds", "1", "--epochs", "1", "--strategies", "full", "--quiet")
    assert done.stderr == ""
    (run,) = (place / "runs").iterdir()
    assert run.name.endswith("-line")
    assert done.stdout == f"{Path('runs', run.name, 'comparison.png')}\n"


@pytest.mark.slow
def test_json_is_valid_with_a_diverged_arm_in_it(place):
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    done = invoke(
        "run", *SMALL, "--strategies", "full@sgd:lr=1e30,mini", "--out", "here", "--json", "--format", "svg"
    )
    assert done.exit_code == 0  # a diverged trial is a result
    values = json.loads(done.stdout, parse_constant=refuse)
    assert done.stderr == ""
    assert [(row["arm"], row["diverged"]) for row in values["summary"]] == [
        ("full@sgd:lr=1e+30", 2),
        ("mini:2@sgd", 0),
    ]
    assert values["status"] == "finished"
    assert values["directory"] == "here"
    assert values["plot"] == str(Path("here/comparison.svg"))
    assert all(check["held"] for check in values["certificate"])


@pytest.mark.slow
def test_plot_comes_in_the_formats_asked_for(place):
    done = invoke(
        "run",
        "--seeds",
        "1",
        "--epochs",
        "1",
        "--strategies",
        "full",
        "--format",
        "svg, PDF",
        "--out",
        "here",
    )
    plots = [f"plot: {Path('here') / name}\n" for name in ("comparison.svg", "comparison.pdf")]
    assert "".join(plots) in done.stdout
    assert {path.name for path in Path("here").iterdir()} == FILES - {"comparison.png", "looks.jsonl"} | {
        "comparison.svg",
        "comparison.pdf",
    }
    assert "<svg" in Path("here/comparison.svg").read_text()
    assert Path("here/comparison.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.slow
def test_two_runs_in_one_second_get_two_directories(place):
    for _ in range(2):
        exits(0, "run", "--seeds", "1", "--updates", "1", "--strategies", "full", "--quiet")
    assert len(list((place / "runs").iterdir())) == 2


def test_batch_size_above_the_number_of_samples_is_said(place):
    done = invoke("run", *SMALL, "--strategies", "mini:64", "--dry-run")
    assert (
        "note: mini:64: a batch of 64 is more than the 6 training samples, so it runs as full batch\n"
        in done.stdout
    )


def test_workload_from_a_file_with_its_parameters(files):
    done = invoke(
        "run", *SMALL, "--workload", "workloads.py:right_shape:size=1", "--strategies", "mini", "--dry-run"
    )
    assert done.stdout.startswith("right_shape: mini:3 | ")


def test_table_of_ones_own_is_a_workload(files):
    done = invoke(
        "run", "--seeds", "1", "--workload", "csv:houses.csv:y=price", "--strategies", "full", "--dry-run"
    )
    assert done.exit_code == 0
    assert "note: csv: 32 training and 8 validation rows, 1 input\n" in done.stdout


def test_list_names_everything_with_its_parameters():
    done = invoke("list")
    assert done.exit_code == 0
    for line in (
        "strategies",
        "mini",
        "    batch_size=32 tail=keep",
        "workloads",
        "line",
        "optimizers",
        "adamw",
    ):
        assert any(shown == line or shown.startswith(f"{line}  ") for shown in done.stdout.splitlines()), line
    assert ": ray:ADDRESS, else" in done.stdout
    assert "``" not in done.stdout


def test_list_of_one_kind_holds_no_other(files):
    lines = invoke("list", "strategies", "--plugin", "strategies.py").stdout.splitlines()
    names = [line.partition("  ")[0] for line in lines if not line.startswith(" ")]
    assert {"bad", "full", "mini", "single"} <= set(names)
    assert names == sorted(names)
    assert "line" not in names
    assert "    how when=0" in lines


def test_plugins_are_listed_with_what_they_add(files):
    lines = invoke("plugins", "--plugin", "strategies.py", "--plugin", "observer.py").stdout.splitlines()
    assert any(
        line.startswith(
            f"strategies.full {__version__}  optcompare_plugins.strategies.full  strategies: full"
        )
        for line in lines
    )
    assert next(line for line in lines if line.startswith("strategies.py ")).endswith("strategies: bad")
    ours = next(line for line in lines if line.startswith("lane_rules.third_party "))
    assert "lane rules: pytorch_optimizer.Lion, schedulefree.SGDScheduleFree" in ours
    assert next(line for line in lines if line.startswith("observer.py ")).endswith("observer")


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("raises", RAISES),
        ("repeated", "strategy bad:repeated:when=2, epoch 2, batch 1: index "),
        ("missing", "strategy bad:missing:when=2, epoch 2: 1 of 6 samples were left out"),
    ],
)
def test_failed_trial_is_named_and_the_others_go_on(files, capsys, how, reason):
    label = f"bad:{how}:when=2"
    plugin = ("--plugin", "strategies.py")
    exits(1, "run", *SMALL, *plugin, "--strategies", f"{label},full", "--out", "here", "--format", "svg")
    shown = capsys.readouterr()
    assert [line.partition(reason)[0] for line in shown.err.splitlines()] == [
        f"failed: {label}, seed {s}: " for s in (0, 1)
    ]
    assert f"failed: {label}, seed 0: {reason}" in shown.out
    result = load("here")
    assert result.trials["status"].tolist() == ["failed", "finished"] * 2
    assert result.trials["updates"].tolist() == [2, 3] * 2
    assert result.trials["reason"][0].startswith(reason)
    assert Path("here/comparison.svg").is_file()


@pytest.mark.slow
def test_observer_that_raises_is_a_warning_and_the_run_goes_on(files, capsys):
    exits(0, "run", *SMALL, "--plugin", "observer.py", "--strategies", "full", "--out", "here", "--quiet")
    assert capsys.readouterr().err == (
        "warning: observer observer.py is left out from now on: OSError: no more paper (observer.py:7)\n"
    )
    assert len(load("here").trials) == 2


BAD: list[tuple[str, str]] = [
    ("--strategies ful", "unknown strategy 'ful' (did you mean 'full'?)"),
    ("--workload lime", "unknown workload 'lime' (did you mean 'line'?)"),
    ("--optimizers adm", "unknown optimizer 'adm' (did you mean 'adam'?)"),
    ("--strategies full@adm", "unknown optimizer 'adm' (did you mean 'adam'?)"),
    (
        "--split-seeds 2",
        "workload line cannot be split again, since it has no resplit; leave out --split-seeds",
    ),
    ("--split-seeds 0", "--split-seeds must be at least 1, got 0"),
    ("--split-seeds two", "Invalid value for '--split-seeds': 'two' is not a valid integer."),
    ("--split-seeds 11 --workload diabetes", "--split-seeds 11 needs as many seeds, got 10"),
    (
        "--workload diabetes --goal test_loss=1",
        "there is no metric 'test_loss'; there are train_loss, valid_loss",
    ),
    (
        "--workload digits --goal valid_accuracy=95",
        "accuracy is at most 1; give a value up to that, such as valid_accuracy=0.95",
    ),
    ("--workload digits --goal valid_accuracy=101", "accuracy is at most 1; give a value up to that"),
    ("--strategies ,", "has an empty name; write names separated by single commas"),
    ("--strategies full,full", "full is listed twice; leave one out or change a setting"),
    ("--strategies mini@adam@sgd", "has more than one '@'; write strategy@optimizer"),
    ("--strategies mini:(3", "has a parenthesis that is never closed"),
    (
        "--strategies mini:batchsize=3",
        "strategy mini has no parameter 'batchsize' (did you mean 'batch_size'?)",
    ),
    ("--strategies mini:many", "strategy mini: batch_size must be an int, got 'many'"),
    ("--strategies mini:2.5", "strategy mini: batch_size must be an int, got '2.5'"),
    ("--strategies mini:0", "strategy mini: batch_size must be at least 1, got 0"),
    ("--strategies mini:-3", "strategy mini: batch_size must be at least 1, got -3"),
    ("--strategies mini:tail=drop", "strategy mini: tail must be keep or merge, got 'drop'"),
    ("--strategies full:3", "strategy full has no parameters, got 1 value: 3"),
    ("--workload line:3", "workload line has no parameters, got 1 value: 3"),
    ("--workload quadratic:n=1", "workload quadratic: give n ≥ 2"),
    ("--optimizers sgd:lr=fast", "optimizer sgd: lr must be a float, got 'fast'"),
    ("--optimizers sgd:lr=-0.1", "the learning rate must be positive and finite, got -0.1"),
    ("--optimizers sgd:lr=nan", "the learning rate must be positive and finite, got nan"),
    ("--optimizers sgd:momentum=-1", "Invalid momentum value: -1.0"),
    ("--optimizers sgd:nesterov=true", "Nesterov momentum requires a momentum"),
    ("--optimizers adam:betas=0.9", "optimizer adam: betas must be a tuple such as (0.5,0.9), got '0.9'"),
    ("--optimizers adam:betas=(0.9,2)", "Invalid beta parameter at index 1: 2.0"),
    ("--optimizers lbfgs", "each update must take all 6 samples, and the first takes 2; give full@lbfgs"),
    (
        "--strategies full@lbfgs --clip 1",
        "compares the two, so that gradients cannot be clipped; leave out clip",
    ),
    (
        "--strategies norm-test:6@lbfgs",
        "each update must take all samples, once; norm-test:6 may choose others",
    ),
    ("--strategies full@lbfgs --epochs 2", "more than the budget of 2 epochs; give --epochs"),
    (
        "--optimizers no_such.Lion",
        "no_such.Lion: there is no module no_such; install it, as with pip install no_such",
    ),
    ("--optimizers torch.optim.Adm", "torch.optim has no 'Adm' (did you mean 'Adam'?)"),
    ("--optimizers torch.nn.Linear", "torch.nn.Linear is a class and no optimizer; give a subclass"),
    ("--optimizers torch.optim", "torch.optim is a module and no optimizer"),
    ("--optimizers sys.maxsize", "sys.maxsize is an int and no optimizer"),
    (
        "--plugin some/folder",
        "some/folder is no Python file; give the path of one, DIR/FILE.py, or the name of a module",
    ),
    ("--optimizers gone.py:Lion", "gone.py; give the path of a Python file"),
    ("--optimizers workloads.py", "'workloads.py': name the optimizer, as in workloads.py:Lion"),
    ("--optimizers workloads.py:gone", "workloads.py has no 'gone'"),
    ("--optimizers ..", "unknown optimizer '..'; known: "),
    ("--clip 0", "clip must be a norm, positive and finite, or none, got 0.0"),
    ("--clip nan", "clip must be a norm, positive and finite, or none, got nan"),
    ("--optimizers sgd:clip=much", "optimizer sgd: clip must be a float or none, got 'much'"),
    (
        "--strategies cabs --clip 1",
        "strategy cabs:2 is correct for plain sgd only, so that arm cabs:2 cannot be clipped",
    ),
    ("--optimizers sparseadam", "SparseAdam does not support dense gradients, please consider Adam instead"),
    ("--optimizers muon", "optimizer muon orthogonalises matrices, and parameter 'bias' has shape [1]"),
    ("--lr -1", "the learning rate must be positive and finite, got -1.0"),
    ("--lr 0", "the learning rate must be positive and finite, got 0.0"),
    ("--lr nan", "the learning rate must be positive and finite, got nan"),
    ("--lr fast", "--lr takes numbers separated by commas, got 'fast'"),
    ("--epochs 0", "epochs must be positive, got 0"),
    ("--updates -1", "updates must be positive, got -1"),
    ("--seconds nan", "seconds must be positive, got nan"),
    ("--epochs 2.5", "Invalid value for '--epochs': '2.5' is not a valid integer"),
    ("--epochs 3 --updates 5", "give one budget, not 2: epochs, updates"),
    (
        "--samples 5",
        "arm full: its first update takes 6 samples, more than the budget of 5 samples; give --samples 6",
    ),
    ("--seeds 0", "a comparison needs at least 1 seed, got 0"),
    ("--first-seed -1", "seeds must lie between 0 and 2**62-1, got -1"),
    ("--threads 0", "threads must be at least 1, got 0"),
    ("--chunk 0", "chunk must be at least 1, got 0"),
    ("--eval-chunk 0", "--eval-chunk must be at least 1, got 0"),
    ("--measure -1", "measure must be at least 0, got -1"),
    (
        "--device cuda",
        "device cuda is not available: there is no CUDA device on this machine; use --device cpu",
    ),
    ("--device gpu", "unknown device 'gpu'; give auto, cpu, cuda, cuda:0 or mps"),
    ("--device cpu:1", "unknown device 'cpu:1'"),
    ("--dtype float16", "Invalid value for '--dtype': 'float16' is not one of"),
    (
        "--format jpeg",
        "unknown plot format 'jpeg' (did you mean 'png'?); give png, svg, pdf, html, separated by commas",
    ),
    ("--out taken", "taken exists and is not empty; give another directory, or move it away"),
    ("--out file", "file exists and is not empty; give another directory, or move it away"),
    ("--out file/below", "give another directory"),
    ("--plugin gone.py", "there is no file gone.py; give the path of a Python file"),
    ("--plugin no_such_module", "no_such_module does not import: ModuleNotFoundError"),
    (
        "--plugin broken.py",
        "broken.py does not import: NameError: name 'undefined' is not defined (broken.py:2)",
    ),
    ("--plugin syntax.py", "syntax.py does not import: SyntaxError: "),
    ("--plugin hook.py", "plugin hook.py: "),
    ("--plugin list.py", "optcompare_strategies() must return a mapping of name to factory, got a list"),
    ("--plugin twice.py", "plugins strategies.full and twice.py both register the strategy 'full'"),
    ("--config gone.json", "cannot read gone.json"),
    ("--config not.json", "cannot read not.json"),
    ("--config taken", "cannot read taken"),
    ("--config other.json", "this is not a comparison"),
    (
        "--config own.json",
        "houses existed only as an object in the session that ran it; run it there again with compare()",
    ),
    (
        "--config own.json --seeds 3",
        "--config fixes the whole comparison; leave out --seeds, or leave out --config",
    ),
    ("--config own.json --eval-chunk 3", "leave out --eval-chunk"),
    ("--workload csv:gone.csv:y=a", "workload csv: gone.csv does not exist"),
    ("--workload csv:houses.csv", "workload csv needs y; write csv:houses.csv:y=…"),
    ("--workload csv:houses.csv:y=prize", "has no column 'prize' (did you mean 'price'?)"),
    ("--workload workloads.py", "name the function that returns the Workload"),
    ("--workload gone.py:make", "there is no file gone.py"),
    ("--workload workloads.py:gone", "workloads.py has no function 'gone'"),
    ("--workload workloads.py:no_workload", "its function must return a Workload, got a int"),
    ("--workload workloads.py:explodes", EXPLODES),
    ("--workload workloads.py:right_shape:big", "workload right_shape: size must be an int, got 'big'"),
    (
        "--workload workloads.py:wrong_shape",
        "shape [5, 1] for y of shape [5], which a loss would silently broadcast",
    ),
    (
        "--workload workloads.py:unreduced",
        "the loss must be one number, the mean over the batch, with a gradient",
    ),
    ("--plugin strategies.py --strategies bad", "strategy bad needs how; write bad:how=…"),
    ("--nonsense", "No such option '--nonsense'"),
    ("--epoch 3", "No such option '--epoch'"),
    ("surprise", "unexpected extra argument (surprise)"),
]
BAD += [
    (f"--plugin strategies.py --strategies bad:{how}", f"strategy bad:{how}, epoch 0{text}")
    for how, text in {
        "empty": ", batch 1: the batch is empty",
        "beyond": ", batch 1: index 6 is out of range; there are 6 samples",
        "negative": ", batch 1: index -1 is out of range; there are 6 samples",
        "float": ", batch 1: got torch.float64 of shape [4]",
        "mask": ", batch 1: got torch.bool of shape [4]",
        "matrix": ", batch 1: got torch.int64 of shape [2, 2]",
        "list": ", batch 1: got a list with a str in it; a batch is a one-dimensional tensor, an array or a "
        "list of whole",
        "repeated": ", batch 1: index ",
        "missing": ": 1 of 6 samples were left out, index ",
        "none": ": it yielded no batch",
        "raises": f": {RAISES}",
    }.items()
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=lambda case: case.replace("/", "_")[:60])
def test_wrong_call_is_refused_in_one_line_and_leaves_nothing_behind(
    files, capsys, monkeypatch, arguments, message
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    before = everything_in(files)
    exits(2, "run", *arguments.split())
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown
    assert shown.count("\n") == 1
    assert everything_in(files) == before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("list strategie", "'strategie' is not one of 'strategies', 'workloads', 'optimizers'"),
        ("list --plugin broken.py", "NameError: name 'undefined' is not defined (broken.py:2)"),
        ("list strategies --plugin twice.py", "both register the strategy 'full'"),
        ("plugins --plugin gone.py", "there is no file gone.py"),
        ("rnu", "No such command 'rnu'"),
    ],
)
def test_wrong_call_of_another_command_is_one_line(files, capsys, arguments, message):
    exits(2, *arguments.split())
    shown = capsys.readouterr().err
    assert shown.startswith("error: ")
    assert message in shown
    assert shown.count("\n") == 1


def test_call_without_a_command_shows_the_help(capsys):
    with pytest.raises(SystemExit, match=r"^[02]$"):
        main([])
    shown = "".join(capsys.readouterr())
    assert "error: " not in shown
    assert "\nCommands:\n" in shown


def test_unexpected_error_keeps_its_traceback(place, monkeypatch):
    def fail(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("optcompare.planning.prepare.prepare", fail)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main(["run"])


def test_help_of_every_command_has_examples_and_imports_nothing_heavy():
    code = """
import sys
from optcompare.cli.main import main
for command in ([], ["run"], ["list"], ["plugins"]):
    try:
        main([*command, "--help"])
    except SystemExit as exit:
        assert exit.code == 0
sys.exit(" ".join({"torch", "pandas", "matplotlib", "numpy"} & sys.modules.keys()) or None)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    for example in (
        "run --strategies full,mini",
        "run --config runs/",
        "list strategies",
        "plugins --plugin mine.py",
    ):
        assert f"  optcompare {example}" in done.stdout


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONWARNINGS": "error"}


def test_installed_command_runs_as_a_process_of_its_own(place):
    command = [SCRIPT, "run", *SMALL, "--strategies", "full,mini"]
    done = subprocess.run(command, cwd=place, env=environment(), capture_output=True, text=True)
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    (run,) = (place / "runs").iterdir()
    assert {path.name for path in run.iterdir()} == FILES
    assert f"plot: {Path('runs', run.name, 'comparison.png')}\n" in done.stdout


def heed_hangups() -> None:
    """Undo what ``nohup`` did to the process of the tests, which its children inherit."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.fixture
def long_run(files: Path) -> Iterator[subprocess.Popen[str]]:
    """A run of many trials, the first of which has ended."""
    (files / "told.py").write_text(TOLD)
    command = [
        SCRIPT,
        "run",
        "--plugin",
        "told.py",
        "--seeds",
        "5000",
        "--epochs",
        "500",
        "--trainer",
        "loop",
        "--out",
        "here",
    ]
    with subprocess.Popen(
        command,
        cwd=files,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=heed_hangups if os.name != "nt" else None,
    ) as process:
        assert process.stdout is not None
        assert "a trial has ended\n" in iter(process.stdout.readline, "")
        yield process
        process.kill()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGINT for one process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP] if os.name != "nt" else [])
def test_interrupted_run_saves_what_was_measured(files, long_run, number):
    long_run.send_signal(number)
    out, err = long_run.communicate()
    assert (long_run.returncode, without_progress(err)) == (130, "")
    assert out.endswith("\nStopped; results so far are saved. Continue: optcompare run --resume here\n")
    result = load("here")
    assert result.status == "interrupted"
    *before, last = zip(result.trials["status"], result.trials["reason"], strict=True)
    assert set(before) <= {("finished", "")}
    assert last in [("interrupted", "stopped by the user"), ("finished", "")], (
        "between two trials nothing is cut"
    )
    assert len(result.records) > 0
    assert Path("here/comparison.png").is_file()


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGHUP")
def test_a_hangup_that_is_ignored_from_the_start_does_not_end_a_run(files):
    command = [
        "--strategies",
        "full",
        "--seeds",
        "1",
        "--epochs",
        "2",
        "--trainer",
        "loop",
        "--out",
        "here",
        "--quiet",
    ]
    ask = (
        "import os, signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); from optcompare.cli.main import "
        "process; "
    )
    hang_up = (
        "import threading; threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGHUP)).start(); process()"
    )
    done = subprocess.run(
        [sys.executable, "-c", ask + hang_up, "run", *command],
        cwd=files,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, without_progress(done.stderr)) == (0, "")
    assert load("here").status == "finished"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="Windows has no terminals of this kind")
def test_a_run_whose_terminal_is_closed_saves_what_was_measured(files):
    """As its session's leader it gets SIGHUP from the system, and each write to the terminal is an error from
    then on.
    """
    main_end, terminal = os.openpty()
    lead = (
        "import fcntl, os, signal, termios; signal.signal(signal.SIGHUP, signal.SIG_DFL); os.setsid(); "
        "fcntl.ioctl(1, termios.TIOCSCTTY, 0); "
    )
    ask = "from optcompare.cli.main import process; process()"
    arguments = [
        "--strategies",
        "single",
        "--seeds",
        "500",
        "--epochs",
        "500",
        "--trainer",
        "loop",
        "--out",
        "here",
    ]
    with subprocess.Popen(
        [sys.executable, "-c", lead + ask, "run", *arguments],
        cwd=files,
        env=environment(),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
    ) as process:
        os.close(terminal)
        shown = b""
        while b"trial 2 of 500" not in shown:
            shown += os.read(main_end, 65536)
        os.close(main_end)
        assert process.wait(timeout=120) == 130
    assert load("here").status == "interrupted"


@pytest.mark.slow
def test_reader_that_stops_reading_gets_no_traceback(place):
    with subprocess.Popen(
        [SCRIPT, "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


def test_the_list_of_commands_says_what_each_does_in_full(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    shown = capsys.readouterr().out
    assert "Write an installable package as a start." in shown
    assert "..." not in shown.partition("Commands:")[2], "a help text is cut off"


@pytest.mark.parametrize(("seeds", "counted"), [("10", "10 trials"), ("1", "1 trial")])
def test_one_arm_and_one_trial_are_counted_in_the_singular(capsys, seeds, counted):
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--strategies", "full", "--seeds", seeds, "--dry-run"])
    assert f"\n{counted} of 1 arm would take " in capsys.readouterr().out
