"""Run directories and configs that somebody sent: what they name is executed only where this user named
it.
"""

from __future__ import annotations

import json
import os
import py_compile
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from optcompare import PluginError, RunDirectoryError, compare, load
from optcompare.cli.main import main
from optcompare.core.comparison import Comparison
from optcompare.core.named_code import NamedCode, code_of
from optcompare.errors import printable
from optcompare.storage.run_dir import read_json
from optcompare.storage.trusted_code import load_registry, remember
from optcompare.storage.user_state import user_state
from optcompare.verification.verify import verify

CANARY = """
import os, pathlib, torch
from optcompare import Workload, hookimpl
pathlib.Path(os.environ["CANARY"]).touch()


def make():
    x = torch.arange(8.0).reshape(8, 1)
    return Workload(model=lambda: torch.nn.Linear(1, 1), train=(x, x),
                    loss=torch.nn.functional.mse_loss, lr=0.01)


def build(model, *, lr: float = 0.1):
    return torch.optim.SGD(model.parameters(), lr=lr)


class Lion(torch.optim.SGD):
    pass


@hookimpl
def optcompare_run_started(comparison):
    pass
"""
COMMANDS = {
    "config": ["run", "--out", "new", "--config", "run/comparison.json"],
    "config, dry run": ["run", "--dry-run", "--config", "run/comparison.json"],
    "resume": ["run", "--seeds", "3", "--resume", "run"],
    "resume, dry run": ["run", "--seeds", "3", "--dry-run", "--resume", "run"],
    "verify": ["verify", "run"],
}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A run that names no code."""
    directory = tmp_path_factory.mktemp("made") / "run"
    compare("line", ["full"], seeds=2, epochs=1, device="cpu", trainer="loop", out=directory)
    return directory


@pytest.fixture(autouse=True)
def here(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "project" / "run")
    monkeypatch.chdir(tmp_path / "project")
    monkeypatch.setenv("CANARY", str(tmp_path / "executed"))


@pytest.fixture
def executed(tmp_path) -> Callable[[], bool]:
    return lambda: (tmp_path / "executed").exists()


def says(name: str, value: object) -> None:
    """Edits the comparison of the run directory."""
    path = Path("run/comparison.json")
    about = json.loads(path.read_text())
    comparison = about["comparison"]
    if name == "plugin":
        comparison["plugins"] = [value]
    elif name == "workload":
        comparison["workload"]["reference"] = value
    else:
        comparison["arms"][0][name]["reference"] = value
    path.write_text(json.dumps(about))


def canary(path: Path | str) -> Path:
    """Writes a file that leaves a trace when it is executed."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(CANARY)
    return path.resolve()


def exit_code(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as exited:
        main(list(arguments))
    return exited.value.code


@dataclass(frozen=True)
class Attack:
    """What a comparison names, and the file or module that is written for it; ``listed``: as which it is
    refused.
    """

    role: str
    text: str
    file: str = ""
    listed: str = ""
    link: str = ""

    def prepare(self) -> None:
        if self.file:
            canary(self.file)
        if self.link:
            Path(self.link).symlink_to(Path(self.file).resolve())
        says(self.role, self.text.replace("HERE", str(Path.cwd())))


ATTACKS = {
    "a plugin within": Attack("plugin", "HERE/run/evil.py", "run/evil.py", "within itself, "),
    "a plugin beside": Attack("plugin", "HERE/evil.py", "evil.py", "/evil.py, which"),
    "a relative plugin": Attack("plugin", "run/evil.py", "run/evil.py", "within itself, "),
    "a path with dots": Attack("plugin", "run/../evil.py", "evil.py", "/evil.py, which"),
    "a module": Attack("plugin", "evil_module", "evil_module.py", "plugin module evil_module, which"),
    "a module of a package": Attack(
        "plugin", "evil_package.deep", "evil_package/__init__.py", "plugin module evil_package.deep"
    ),
    "a workload within": Attack("workload", "HERE/run/evil.py:make", "run/evil.py", "within itself, "),
    "a workload beside": Attack("workload", "HERE/evil.py:make", "evil.py", "/evil.py, which"),
    "a quoted path": Attack("workload", "'HERE/run/evil.py':make", "run/evil.py", "within itself, "),
    "a quote in a path": Attack("workload", '"HERE/run/ev\'il.py":make', "run/ev'il.py", "within itself, "),
    "two quotes in a path": Attack("workload", '"HERE/run/e""v.py":make', 'run/e"v.py', "within itself, "),
    "a colon in a path": Attack("workload", "HERE/run/e:vil.py:make", "run/e:vil.py", "within itself, "),
    "a quoted colon": Attack("workload", '"HERE/run/e:vil.py":make', "run/e:vil.py", "within itself, "),
    "a comma and an equals sign": Attack(
        "workload", '"HERE/run/a=1,b.py":make', "run/a=1,b.py", "within itself, "
    ),
    "a percent sign": Attack("workload", "HERE/run/%65vil.py:make", "run/%65vil.py", "within itself, "),
    "an escaped dot": Attack("workload", "HERE/%2e%2e/evil.py:make", "%2e%2e/evil.py", "/evil.py, which"),
    "a line break": Attack("workload", "HERE/run/e\nvil.py:make", "run/e\nvil.py", "within itself, "),
    "an escape sequence": Attack(
        "workload", "HERE/run/e\x1b[2Jvil.py:make", "run/e\x1b[2Jvil.py", "within itself, "
    ),
    "a right-to-left name": Attack(
        "workload", "HERE/run/\u202eyp.live.py:make", "run/\u202eyp.live.py", "within itself, "
    ),
    "blanks around": Attack("workload", "  HERE/run/evil.py  :make", "run/evil.py", "within itself, "),
    "an optimizer": Attack("optimizer", "HERE/run/evil.py:build", "run/evil.py", "within itself, "),
    "an optimizer beside": Attack("optimizer", "evil.py:build", "evil.py", "/evil.py, which"),
    "a class of a package": Attack(
        "optimizer", "evil_module.Lion", "evil_module.py", "optimizer module evil_module, which"
    ),
    "a class within": Attack(
        "optimizer", "evil_package.deep.Lion", "evil_package/__init__.py", "module evil_package.deep"
    ),
    "a link out of it": Attack(
        "plugin", "HERE/run/in.py", "../far/evil.py", "within itself, ", link="run/in.py"
    ),
    "a link into it": Attack("plugin", "HERE/out.py", "run/evil.py", "within itself, ", link="out.py"),
    "a link as a workload": Attack(
        "workload", "HERE/run/in.py:make", "../far/evil.py", "within itself, ", link="run/in.py"
    ),
    "a value of a strategy": Attack("strategy", "full:HERE/run/evil.py", "run/evil.py", "within itself, "),
    "a value of a workload": Attack("workload", "csv:HERE/run/evil.py:y=b", "run/evil.py", "within itself, "),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS)
def test_what_nobody_named_is_listed_and_not_executed(attack, command, executed, capsys, monkeypatch):
    monkeypatch.syspath_prepend(str(Path.cwd()))
    attack.prepare()
    assert exit_code(*command) == 2
    said = capsys.readouterr().err
    assert not executed()
    assert said.startswith("error: run")
    within, config = attack.listed.startswith("within"), "--config" in command
    assert (f"code {attack.listed}" if within and not config else "" if within else attack.listed) in said
    assert (
        printable(f"{attack.role} {Path(attack.file).resolve()}") in said or "module " in said or attack.link
    )
    assert "give --trust to execute all of it, or name each with --plugin" in said
    assert said.count("\n") == 1
    assert "\x1b" not in said
    assert not Path("new").exists()


NEVER = {
    "a zero byte": Attack("plugin", "HERE/run/evil.py\0.py", "run/evil.py"),
    "a zero byte in a workload": Attack("workload", "HERE/run/evil.py\0.py:make", "run/evil.py"),
    "a URL": Attack("workload", "file://HERE/run/evil.py:make", "run/evil.py"),
    "a URL as a plugin": Attack("plugin", "file://HERE/run/evil.py", "run/evil.py"),
    "percent-encoded": Attack("plugin", "HERE/run/%65vil.py", "run/evil.py"),
    "an archive": Attack("plugin", "HERE/run/evil.zip/evil.py", "run/evil.py"),
    "a home": Attack("plugin", "~/evil.py", "run/evil.py"),
    "too long": Attack("plugin", "HERE/" + "a" * 5000 + ".py", "run/evil.py"),
    "a folder": Attack("plugin", "HERE/run.py", "run.py/__init__.py"),
    "bytecode": Attack("plugin", "HERE/run/evil.pyc", "run/evil.py"),
    "another ending": Attack("plugin", "HERE/run/evil.PY", "run/evil.PY"),
    "a relative module": Attack("plugin", ".evil", "run/evil.py"),
    "code in a value": Attack("strategy", "full:__import__('evil')", "evil.py"),
    "an optimizer without a name": Attack("optimizer", "HERE/run/missing.py:.py:build", "run/evil.py"),
}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("attack", NEVER.values(), ids=NEVER)
def test_what_names_no_code_executes_none(attack, command, executed, capsys):
    attack.prepare()
    with zipfile.ZipFile("run/evil.zip", "w") as archive:
        archive.writestr("evil.py", CANARY)
    code = exit_code(*command)
    assert code == 2 or (code == 1 and command[0] == "verify")
    assert not executed()
    assert len(capsys.readouterr().err.splitlines()) <= 1


@pytest.mark.parametrize("text", ["sgd,HERE/run/evil.py:build", "sgd,evil_module.Lion"])
def test_a_reference_that_is_read_as_a_list_later_hides_nothing(text, executed, monkeypatch, capsys):
    """The registry imports what the guard has let through, and nothing else."""
    monkeypatch.syspath_prepend(str(Path.cwd()))
    canary("run/evil.py")
    canary("evil_module.py")
    says("optimizer", text.replace("HERE", str(Path.cwd())))
    assert exit_code("run", "--dry-run", "--resume", "run", "--strategies", "full,mini:2") == 2
    assert not executed()
    assert "code that you have not named" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["run", "scaling", "verify", "report", "check", "list", "plugins"])
def test_help_says_what_a_command_executes(command, capsys):
    assert exit_code(command, "--help") == 0
    assert re.search("(What it|It) executes", capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.parametrize(
    "attack", ["a plugin beside", "a colon in a path", "a class of a package", "a link out of it"]
)
def test_reading_a_run_directory_executes_nothing(attack, executed, monkeypatch):
    monkeypatch.syspath_prepend(str(Path.cwd()))
    ATTACKS[attack].prepare()
    load("run").summary()
    assert exit_code("report", "run", "--out", "figures") == 0
    assert not executed()


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize(
    "attack", ["a plugin beside", "a workload within", "an optimizer beside", "a link out of it"]
)
def test_the_same_is_executed_with_trust(attack, command, executed):
    """The attacks of the table are ones."""
    ATTACKS[attack].prepare()
    exit_code(*command, "--trust")
    assert executed()


@pytest.mark.parametrize(
    "attack", ["a plugin beside", "a workload beside", "an optimizer beside", "a class of a package"]
)
def test_the_command_line_may_name_what_the_config_names(attack, executed, monkeypatch):
    monkeypatch.syspath_prepend(str(Path.cwd()))
    ATTACKS[attack].prepare()
    named = ATTACKS[attack].file if ATTACKS[attack].text.startswith(("HERE", "evil.py")) else "evil_module"
    assert exit_code("run", "--dry-run", "--config", "run/comparison.json", "--plugin", named) == 0
    assert executed()
    for name in [name for name in sys.modules if name.startswith("evil_")]:
        monkeypatch.delitem(sys.modules, name)


@pytest.mark.slow
def test_what_the_line_names_needs_no_hook_where_the_config_names_it_as_a_workload(executed, capsys):
    hooks = CANARY.index("@hookimpl")
    canary("evil.py").write_text(CANARY[:hooks])
    says("workload", f"{Path('evil.py').resolve()}:make")
    command = [
        "run",
        "--config",
        "run/comparison.json",
        "--plugin",
        "evil.py",
        "--out",
        "new",
        "--track",
        "jsonl",
    ]
    assert exit_code(*command) == 0
    assert executed()
    assert read_json(Path("new"))["comparison"]["plugins"] == []
    assert exit_code("run", "--dry-run", "--plugin", "evil.py") == 2
    assert "it implements no hook" in capsys.readouterr().err


def test_naming_one_file_does_not_trust_another(executed, capsys):
    canary("evil.py")
    canary("other.py")
    says("plugin", str(Path("evil.py").resolve()))
    says("workload", f"{Path('other.py').resolve()}:make")
    assert exit_code("run", "--config", "run/comparison.json", "--plugin", "evil.py") == 2
    assert not executed()
    said = capsys.readouterr().err
    assert f"workload {Path('other.py').resolve()}, which" in said
    assert "evil.py" not in said


@pytest.mark.slow
def test_a_plugin_of_the_command_line_replaces_the_one_of_that_file_name_and_is_named_from_then_on(executed):
    canary("evil.py")
    Path("mine").mkdir()
    shutil.copy("evil.py", "mine/evil.py")
    says("plugin", "/nowhere/evil.py")
    command = ["run", "--config", "run/comparison.json", "--plugin", "mine/evil.py", "--out", "new"]
    assert exit_code(*command, "--quiet") == 0
    assert executed()
    assert read_json(Path("new"))["comparison"]["plugins"] == [str(Path("mine/evil.py").resolve())]


@pytest.mark.slow
@pytest.mark.parametrize(
    "option", [["--workload", "mine.py:make"], ["--plugin", "mine.py"], ["--optimizers", "mine.py:build"]]
)
def test_the_resume_command_that_a_run_prints_works_as_printed(option, capsys):
    canary("mine.py")
    settings = [
        "--strategies",
        "full",
        "--seeds",
        "2",
        "--epochs",
        "1",
        "--device",
        "cpu",
        "--trainer",
        "loop",
    ]
    assert exit_code("run", *settings, *option, "--out", "own") == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "--resume" in line]
    words = line.partition("optcompare ")[2].split()
    assert exit_code(*words) == 0
    assert exit_code("verify", "own") == 0


@pytest.mark.slow
def test_a_run_that_was_trusted_goes_on_while_the_code_is_unchanged(capsys):
    canary("evil.py")
    says("workload", f"{Path('evil.py').resolve()}:make")
    assert exit_code("run", "--config", "run/comparison.json", "--out", "new", "--quiet", "--trust") == 0
    assert exit_code("run", "--resume", "new", "--seeds", "3", "--quiet") == 0
    Path("evil.py").write_text(CANARY + "\n")
    assert exit_code("run", "--resume", "new", "--seeds", "4", "--quiet") == 2
    assert "/evil.py (changed since you named it), which" in capsys.readouterr().err


def test_a_module_beside_belongs_to_the_file_that_imports_it(capsys):
    Path("helper.py").write_text("x = 1\n")
    canary("mine.py").write_text("def late():\n    import helper\n" + CANARY)
    says("workload", f"{Path('mine.py').resolve()}:make")
    remember([NamedCode("mine.py", "workload")])
    assert exit_code("run", "--dry-run", "--config", "run/comparison.json") == 0
    Path("unrelated.py").write_text("x = 1\n")
    assert exit_code("run", "--dry-run", "--config", "run/comparison.json") == 0
    Path("helper.py").write_text("x = 2\n")
    assert exit_code("run", "--dry-run", "--config", "run/comparison.json") == 2
    assert "changed since you named it" in capsys.readouterr().err


def test_a_name_of_an_installed_package_that_shadows_it_beside_a_file_is_a_change():
    canary("mine.py")
    says("plugin", str(Path("mine.py").resolve()))
    remember([NamedCode("mine.py", "plugin")])
    Path("torch.py").write_text("raise SystemExit('executed')")
    assert exit_code("verify", "run") == 2


def test_bytecode_beside_a_file_is_not_executed_in_its_place(tmp_path, monkeypatch):
    """Python takes unchecked bytecode whatever the source says."""
    monkeypatch.setenv("CANARY", str(tmp_path / "by source"))
    canary("mine.py")
    Path("evil.py").write_text("raise SystemExit('executed')")
    cached = Path(f"__pycache__/mine.{sys.implementation.cache_tag}.pyc")
    py_compile.compile(
        "evil.py", str(cached), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH
    )
    assert exit_code("plugins", "--plugin", "mine.py") == 0
    assert (tmp_path / "by source").exists()


def test_a_link_to_what_was_named_was_not_named_itself(executed):
    canary("mine.py")
    remember([NamedCode("mine.py", "plugin")])
    Path("run/in.py").symlink_to(Path("mine.py").resolve())
    says("plugin", str(Path("run/in.py").absolute()))
    assert exit_code("verify", "run") == 2
    assert not executed()


def test_an_installed_plugin_needs_no_trust():
    says("plugin", "optcompare_plugins.strategies.full")
    assert exit_code("run", "--dry-run", "--config", "run/comparison.json") == 0


def test_a_module_that_appears_after_the_guard_has_looked_is_not_imported(monkeypatch, executed):
    says("optimizer", "late_module.Lion")
    Path("mine.py").write_text(f"import sys\nsys.path.append({str(Path('far').absolute())!r})\n" + CANARY)
    monkeypatch.setattr(sys, "path", [*sys.path])
    says("plugin", str(Path("mine.py").resolve()))
    canary("far/late_module.py").write_text("raise SystemExit('executed')")
    registry = load_registry(
        Comparison.from_json(read_json(Path("run"))["comparison"]), Path("run"), ["mine.py"]
    )
    with pytest.raises(PluginError, match=r"late_module is code that you have not named"):
        registry.import_object("late_module.Lion")


@pytest.mark.skipif(os.name == "nt", reason="it has no such permissions")
@pytest.mark.parametrize("what", ["directory", "entry", "link", "owner"])
def test_what_others_can_write_is_not_believed(what, executed, capsys):
    canary("evil.py")
    says("plugin", str(Path("evil.py").resolve()))
    remember([NamedCode("evil.py", "plugin")])
    directory = user_state() / "code"
    (entry,) = directory.iterdir()
    if what == "owner" and os.getuid() != 0:
        pytest.skip("only root can give a file away")
    if what == "owner":
        os.chown(entry, 65534, 65534)
    elif what == "link":
        shutil.move(entry, "elsewhere")
        entry.symlink_to(Path("elsewhere").resolve())
    else:
        (directory if what == "directory" else entry).chmod(0o777)
    assert exit_code("verify", "run") == 2
    assert not executed()


def test_a_state_directory_that_cannot_be_written_is_a_warning(monkeypatch, capsys):
    Path("file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(Path("file").resolve()))
    canary("mine.py")
    assert exit_code("plugins", "--plugin", "mine.py") == 0
    said = capsys.readouterr().err
    assert said.startswith(
        "warning: mine.py cannot be remembered as code that you named, so that --resume will need --trust: "
    )
    assert said.count("\n") == 1


@pytest.mark.slow
def test_from_python_verify_refuses_alike_and_compare_imports_nothing_that_the_run_names(executed):
    canary("evil.py")
    says("plugin", str(Path("evil.py").resolve()))
    with pytest.raises(RunDirectoryError, match=r"evil\.py, which is not executed"):
        list(verify(Path("run")))
    compare("line", ["full"], seeds=3, epochs=1, device="cpu", trainer="loop", resume="run")
    assert not executed()
    says("plugin", str(Path("evil.py").resolve()))
    assert list(verify(Path("run"), trust=True))
    assert executed()


def test_trust_needs_a_saved_comparison(capsys):
    assert exit_code("run", "--trust") == 2
    assert "--trust goes with --config or --resume" in capsys.readouterr().err


def test_code_is_listed_once_by_the_parser_of_the_run():
    says("workload", "'/a b/x.py':make")
    says("optimizer", '"/c:d/y.py":build:lr=0.1')
    comparison = Comparison.from_json(read_json(Path("run"))["comparison"])
    assert code_of(comparison) == [NamedCode("/a b/x.py", "workload"), NamedCode("/c:d/y.py", "optimizer")]
