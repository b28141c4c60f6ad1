"""``optcompare check`` and ``optcompare new-plugin``: what a plugin's author is told."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from optcompare import OptcompareError, PluginError, check
from optcompare.cli.main import main
from optcompare.cli.new_plugin import new_plugin
from tests.helpers.plugins import SIGNS

HEAD = """
import random
import torch
from dataclasses import dataclass, field
from torch import nn
from optcompare import Strategy, Workload, hookimpl

@hookimpl
def optcompare_strategies():
    return {"mine": Mine}
"""

BROKEN = {
    "leaves samples out": (
        "def batches(self, epoch): yield epoch.order[:20]",
        "trains with a short last batch",
        "3 of 23 samples were left out, index .* first; coverage 'once' needs every index",
    ),
    "draws from a global generator": (
        "def batches(self, epoch): yield from epoch.order[torch.randperm(len(epoch.order))].split(4)",
        "the same batches again",
        r"(drew from torch's global generator|planned different batches .*); draw .*epoch\.rng",
    ),
    "keeps state that was not declared": (
        "def batches(self, epoch):\n        self.far = getattr(self, 'far', 0) + 1\n"
        "        yield from epoch.order.roll(self.far).split(4)",
        "cut after each epoch and continued",
        "changed far, which no checkpoint would carry; declare it as state",
    ),
    "cannot be made": (
        "def __post_init__(self): raise RuntimeError('no')",
        "made without arguments",
        r"RuntimeError: no \(mine\.py:\d+\)",
    ),
    "cannot be copied": (
        "def __post_init__(self): self.lock = __import__('threading').Lock()\n"
        "    def batches(self, epoch): yield from epoch.order.split(4)",
        "copied and sent to other processes",
        "cannot pickle '_thread.lock' object",
    ),
    "expects whole batches": (
        "def batches(self, epoch):\n        for batch in epoch.order.split(4):\n"
        "            assert len(batch) == 4\n            yield batch",
        "trains with a short last batch",
        "AssertionError",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_strategy_that_breaks_a_rule_is_told_which_and_how(tmp_path, fault):
    body, name, why = BROKEN[fault]
    (tmp_path / "mine.py").write_text(
        HEAD + f'@dataclass\nclass Mine(Strategy):\n    """Mine."""\n    {body}\n'
    )
    found = {finding.name.partition(": ")[2]: finding for finding in check(str(tmp_path / "mine.py"))}
    assert found["says what it is"].held
    assert found[name].held is False
    with pytest.raises(AssertionError, match=why):
        raise AssertionError(found[name].detail)


@pytest.mark.slow
def test_a_workload_that_shares_its_model_and_an_optimizer_that_forgets_are_told(tmp_path):
    (tmp_path / "mine.py").write_text(
        '''
import torch
from torch import nn
from optcompare import Workload, hookimpl

MODEL = nn.Linear(2, 1)

def shared():
    """One model for all."""
    return Workload(model=lambda: MODEL, train=(torch.ones(4, 2), torch.ones(4, 1)),
                    loss=nn.functional.mse_loss, lr=0.1)

class Forgets(torch.optim.SGD):
    """Steps that shrink, counted where no state is kept."""
    made = 0
    def step(self, closure=None):
        self.made += 1
        for group in self.param_groups:
            for weight in group["params"]:
                weight.data -= group["lr"] * weight.grad / self.made

@hookimpl
def optcompare_workloads():
    return {"shared": shared}

@hookimpl
def optcompare_optimizers():
    return {"forgets": Forgets}
'''
    )
    broken = {
        finding.name: finding.detail for finding in check(str(tmp_path / "mine.py")) if not finding.held
    }
    assert broken["workload shared: a new model each time"].startswith(
        "workload custom: model() returned the same module at two calls"
    )
    assert "ended in other weights" in broken["optimizer forgets: cut after each update and continued"]
    assert len(broken) == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "plugin", ["strategies.mini", "strategies.grab", "optcompare_plugins.strategies.cabs"]
)
def test_what_comes_with_the_package_keeps_its_contracts(plugin):
    found = list(check(plugin))
    assert len(found) == 7
    assert all(finding.held for finding in found)


def test_what_adds_nothing_or_is_not_there_is_one_line(tmp_path, capsys):
    (tmp_path / "empty.py").write_text(
        "from optcompare import hookimpl\n@hookimpl\ndef optcompare_run_finished(result):\n    pass\n"
    )
    with pytest.raises(
        OptcompareError,
        match=r"empty\.py adds no strategy, workload, optimizer or lane rule, and nothing else can be",
    ):
        check(str(tmp_path / "empty.py"))
    with pytest.raises(SystemExit, match="2"):
        main(["check", "nowhere.py"])
    assert capsys.readouterr().err.startswith("error: there is no file nowhere.py")


@pytest.mark.slow
def test_exit_codes_and_json(tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["check", "strategies.full", "--json"])
    assert json.loads(capsys.readouterr().out)["held"] is True
    (tmp_path / "mine.py").write_text(HEAD + "class Mine(Strategy):\n    pass\n")
    with pytest.raises(SystemExit, match="1"):
        main(["check", str(tmp_path / "mine.py")])
    assert "NOT HELD     strategy mine: says what it is: it has no docstring" in capsys.readouterr().out


@pytest.mark.slow
def test_a_new_plugin_passes_its_own_tests(tmp_path, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["new-plugin", "large-first", "--out", str(tmp_path)])
    root = tmp_path / "optcompare-large-first"
    assert sorted(capsys.readouterr().out.split()) == sorted(str(path) for path in root.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


@pytest.mark.parametrize("name", ["", "Large", "../out", "a b", "class", "9a"])
def test_what_is_no_name_is_refused(tmp_path, name):
    with pytest.raises(PluginError, match="a plugin's name is lower-case words joined by '-'"):
        new_plugin(name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_new_plugin_overwrites_nothing(tmp_path):
    new_plugin("mine", tmp_path)
    with pytest.raises(OptcompareError, match="exists and is not empty"):
        new_plugin("mine", tmp_path)
    assert len(list(Path(tmp_path / "optcompare-mine").iterdir())) == 4


@pytest.mark.parametrize(
    ("factor", "held", "detail"),
    [
        ("1.0", True, "4 lanes, 20 updates: they differ from the loop by at most "),
        ("1.001", False, "the lane rule of Signs is refused: an update differs from the loop's by "),
    ],
)
def test_a_lane_rule_is_compared_with_its_optimizer(tmp_path, factor, held, detail):
    (tmp_path / "signs.py").write_text(SIGNS.replace("FACTOR", factor), encoding="utf-8")
    *_, finding = check(str(tmp_path / "signs.py"))
    assert (finding.name, finding.held) == ("lane rule of Signs: trains as its optimizer", held)
    assert finding.detail.startswith(detail)


def test_a_lane_rule_of_a_package_that_is_not_installed_cannot_be_checked(tmp_path):
    hook = (
        "from optcompare import hookimpl\n"
        "@hookimpl\ndef optcompare_lane_rules():\n    return {'nowhere.Lion': 'nowhere.LION'}\n"
    )
    (tmp_path / "of_nowhere.py").write_text(hook, encoding="utf-8")
    (finding,) = check(str(tmp_path / "of_nowhere.py"))
    assert (finding.held, finding.detail) == (None, "nowhere is not installed")
