"""What the README shows works as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from optcompare.cli.main import main

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
PANEL, PLUGIN, SESSION, MODEL, GROUPS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as exit_:
        main([*arguments])
    return exit_.value.code


def test_the_first_strategy_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("halves.py").write_text(PLUGIN)
    assert (
        run("run", "--plugin", "halves.py", "--strategies", "full,halves:3", "--seeds", "2", "--epochs", "2")
        == 0
    )
    assert "halves:3" in capsys.readouterr().out


def test_the_first_panel_is_listed(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("norms.py").write_text(PANEL)
    assert run("list", "panels", "--plugin", "norms.py") in (0, None)
    assert "grad_norm" in capsys.readouterr().out


def test_the_first_parameter_groups_train(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text("import torch\n\n\n" + GROUPS)
    assert run("run", "--optimizers", "mine.py:no_decay,adamw", "--seeds", "2", "--epochs", "2") == 0
    assert "no_decay" in capsys.readouterr().out


def test_the_first_own_model_runs_from_the_command_line_and_from_python(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    Path("mine.py").write_text(MODEL)
    assert (
        run(
            "run", "--workload", "mine.py:xor", "--strategies", "full,mini:2", "--seeds", "2", "--epochs", "5"
        )
        == 0
    )
    exec(compile(SESSION.replace("seeds=10", "seeds=2"), "README.md", "exec"), {})
    assert Path("iris.pdf").read_bytes().startswith(b"%PDF")


def test_every_line_that_is_shown_to_be_tried_is_understood(tmp_path, monkeypatch, capsys):
    """Each `optcompare …` line, dry, where it trains; the houses are made up here, and the run to resume."""
    monkeypatch.chdir(tmp_path)
    rows = "\n".join(f"{40 + 3 * i},{'north' if i % 2 else 'south'},{100 + 7 * i}" for i in range(30))
    Path("houses.csv").write_text("area,side,price\n" + rows + "\n")
    lines = re.findall(r"^optcompare (run|list|plugins|verify|scaling)\b([^#\n]*)", README, re.MULTILINE)
    assert len(lines) == 18
    run("run", "--epochs", "20", "--out", "runs/DIR", "--quiet")
    for command, rest in lines:
        dry = ["--dry-run"] if command in ("run", "scaling") and "--dry-run" not in rest else []
        assert run(command, *rest.split(), *dry) in (0, None), rest
    assert [path.name for path in Path("runs").iterdir()] == ["DIR"], "nothing else was written"
