"""Plugins: how they are found, what they may do wrong, and who is told."""

from __future__ import annotations

import importlib.metadata
import inspect
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pluggy
import pytest

from optcompare import hookimpl
from optcompare.core.comparison import Budget
from optcompare.errors import PluginError
from optcompare.execution.run import execute
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.registry import hookspecs
from optcompare.registry.manager import KINDS, Registry
from optcompare.registry.plugin_files import load_module

HOOKS_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "hooks.md"
HOOKS = {name: value for name, value in vars(hookspecs).items() if name.startswith("optcompare_")}


def plugin(**hooks: Callable[..., Any]) -> types.SimpleNamespace:
    return types.SimpleNamespace(**{f"optcompare_{name}": hookimpl(hook) for name, hook in hooks.items()})


def loaded(**plugins: Any) -> Registry:
    registry = Registry()
    for name, each in plugins.items():
        registry.register(each, name)
    return registry


class Point:
    """What ``importlib.metadata`` gives for an installed plugin."""

    dist = types.SimpleNamespace(version="1.2")

    def __init__(self, name: str, load: Callable[[], Any]) -> None:
        self.name, self.value, self.load = name, f"{name}.module", load


def install(monkeypatch: pytest.MonkeyPatch, *points: Point) -> None:
    def entry_points(*, group: str) -> list[Point]:
        assert group == "optcompare"
        return list(points)

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)


def raising(error: BaseException) -> Callable[[], Any]:
    def load() -> Any:
        raise error

    return load


@pytest.mark.parametrize("kind", KINDS)
def test_name_becomes_the_thing_that_its_plugin_registered(kind):
    registry = loaded(
        one=plugin(**{kind: lambda: {"b": dict, "a": list}}), two=plugin(**{kind: lambda: {"c": set}})
    )
    assert list(registry.entries(kind)) == ["a", "b", "c"]
    assert [(e.name, e.factory, e.plugin) for e in (registry.find(kind, n) for n in "bc")] == [
        ("b", dict, "one"),
        ("c", set, "two"),
    ]


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("strategies", "mnii", "unknown strategy 'mnii' (did you mean 'mini'?); known: "),
        ("workloads", "lime", "unknown workload 'lime' (did you mean 'line'?)"),
        ("optimizers", "adm", "unknown optimizer 'adm' (did you mean 'adam'?)"),
        ("optimizers", "Adam", "unknown optimizer 'Adam' (did you mean 'adam'?)"),
        ("strategies", "xyzzy", "unknown strategy 'xyzzy'; known: "),
    ],
)
def test_unknown_name_gets_the_nearest(registry, kind, name, message):
    with pytest.raises(PluginError, match=re.escape(message)):
        registry.find(kind, name)


@pytest.mark.parametrize(("kind", "word"), [("strategies", "strategy"), ("workloads", "workload")])
def test_two_plugins_with_one_name_are_both_named(kind, word):
    registry = loaded(one=plugin(**{kind: lambda: {"a": dict}}), two=plugin(**{kind: lambda: {"a": list}}))
    with pytest.raises(PluginError, match=rf"plugins (one and two|two and one) both register the {word} 'a'"):
        registry.find(kind, "a")


@pytest.mark.parametrize(
    ("hooks", "message"),
    [
        ({"strategy": lambda: {}}, r"plugin mine: .*optcompare_strategy"),
        ({"measured": lambda trial, row: None}, r"plugin mine: .*optcompare_measured.*row"),
        ({"strategies": lambda extra: {}}, r"plugin mine: .*optcompare_strategies.*extra"),
    ],
)
def test_unknown_hook_or_signature_names_plugin_and_hook(hooks, message):
    registry = Registry()
    with pytest.raises(PluginError, match=message):
        registry.register(plugin(**hooks), "mine")
    assert registry.plugins() == []
    assert registry.entries("strategies") == {}


@pytest.mark.parametrize(
    ("things", "message"),
    [
        ([("a", dict)], "must return a mapping of name to factory, got a list"),
        (None, "must return a mapping of name to factory, got a NoneType"),
        ({"a": 3}, "got 'a': 3"),
        ({3: dict}, "got 3: <class 'dict'>"),
        ({"a b": dict}, "with names of letters, digits, '_', '-' and '.'; got 'a b'"),
        ({"": dict}, "got ''"),
    ],
)
def test_hook_that_returns_no_mapping_of_names_to_factories_is_named(things, message):
    registry = loaded(mine=plugin(strategies=lambda: things))
    with pytest.raises(PluginError, match=rf"plugin mine: optcompare_strategies\(\).*{re.escape(message)}"):
        registry.entries("strategies")


def test_hook_that_raises_is_named_with_its_cause():
    registry = loaded(mine=plugin(workloads=lambda: 1 / 0))
    with pytest.raises(PluginError, match=r"plugin mine: optcompare_workloads\(\) failed: ZeroDivisionError"):
        registry.entries("workloads")


def test_one_plugin_name_is_registered_once():
    registry = loaded(mine=plugin(strategies=lambda: {"a": dict}))
    with pytest.raises(PluginError, match=r"plugin mine: .*already registered"):
        registry.register(plugin(), "mine")
    assert list(registry.entries("strategies")) == ["a"]


@pytest.mark.parametrize(
    ("broken", "cause"),
    [
        (
            raising(ModuleNotFoundError("No module named 'gone'")),
            "ModuleNotFoundError: No module named 'gone'",
        ),
        (
            raising(SyntaxError("invalid syntax", ("bad.py", 3, 1, ""))),
            "SyntaxError: invalid syntax (bad.py:3)",
        ),
        (raising(RuntimeError("two\nlines")), "RuntimeError: two lines"),
        (raising(SystemExit(1)), "SystemExit"),
        (lambda: plugin(strategy=lambda: {}), "optcompare_strategy"),
    ],
)
def test_installed_plugin_that_cannot_be_used_is_a_warning_and_the_rest_work(monkeypatch, broken, cause):
    works = plugin(strategies=lambda: {"a": dict})
    install(monkeypatch, Point("broken", broken), Point("works", lambda: works))
    registry = Registry.load()
    (warning,) = registry.warnings
    assert warning.startswith("plugin broken (broken.module) is left out: ")
    assert cause in warning
    assert "\n" not in warning
    assert list(registry.entries("strategies")) == ["a"]
    assert [(info.name, info.version) for info in registry.plugins()] == [("works", "1.2")]


def test_bundled_plugins_load_without_warnings(registry):
    assert registry.warnings == []
    assert {"full", "mini", "single"} <= registry.entries("strategies").keys()
    assert {"line", "quadratic"} <= registry.entries("workloads").keys()
    assert {"sgd", "adam", "adamw"} <= registry.entries("optimizers").keys()


def test_loaded_plugins_are_listed_with_version_module_and_source_fingerprint(registry):
    (full,) = [info for info in registry.plugins() if info.name == "strategies.full"]
    assert full.version == importlib.metadata.version("optcompare")
    assert full.source == "optcompare_plugins.strategies.full"
    assert re.fullmatch("[0-9a-f]{64}", full.sha256)


FILE = """
from __future__ import annotations
from dataclasses import dataclass
from optcompare import Strategy, hookimpl

@dataclass
class Mine(Strategy):
    size: int = 3

@hookimpl
def optcompare_strategies():
    return {"mine": Mine}
"""


def test_plugin_file_is_loaded_by_its_path(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    registry = Registry.load([str(path)])
    assert registry.find("strategies", "mine").plugin == str(path)


def test_plugin_module_is_loaded_by_its_name(tmp_path, monkeypatch):
    (tmp_path / "my_plugin_module.py").write_text(FILE)
    monkeypatch.syspath_prepend(tmp_path)
    assert Registry.load(["my_plugin_module"]).find("strategies", "mine").plugin == "my_plugin_module"


@pytest.mark.parametrize(
    ("source", "cause"),
    [
        ("import torch\n\nx = undefined\n", r"NameError: name 'undefined' is not defined \(bad\.py:3\)"),
        ("def f(:\n    pass\n", r"SyntaxError: .* \(bad\.py:1\)"),
        ("\nimport no_such_module_at_all\n", r"ModuleNotFoundError: .*no_such_module_at_all.* \(bad\.py:2\)"),
        ("raise ValueError\n", r"ValueError \(bad\.py:1\)"),
        ("\n\nraise SystemExit(0)\n", r"SystemExit.* \(bad\.py:3\)"),
    ],
)
def test_plugin_file_that_does_not_import_says_where(tmp_path, source, cause):
    path = tmp_path / "bad.py"
    path.write_text(source)
    with pytest.raises(PluginError, match=rf"bad\.py does not import: {cause}"):
        Registry.load([str(path)])


MARK = "from optcompare import hookimpl\n"
MISSPELT = r"there is no hook optcompare_stategies\(\) \(did you mean 'optcompare_strategies'\?\)$"
UNMARKED = r"\(\) is not under @optcompare\.hookimpl, so that it would not be called; add that line above it"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            "",
            r"it implements no hook, so that it adds nothing; write a function such as "
            r"optcompare_strategies\(\)",
        ),
        ("def strategies():\n    return {}\n", "it implements no hook"),
        (MARK + "@hookimpl\ndef optcompare_stategies():\n    return {}\n", MISSPELT),
        (
            MARK + "@hookimpl\ndef optcompare_xyz():\n    return {}\n",
            r"there is no hook optcompare_xyz\(\); there are optcompare_",
        ),
        ("def optcompare_workloads():\n    return {}\n", rf"optcompare_workloads{UNMARKED}$"),
        (
            FILE + "\ndef optcompare_optimisers():\n    return {}\n",
            rf"optcompare_optimisers{UNMARKED} \(did you mean 'optcompare_optimizers'\?\)$",
        ),
    ],
)
def test_a_plugin_file_without_a_hook_or_with_a_misspelt_one_says_so(tmp_path, source, message):
    path = tmp_path / "mine.py"
    path.write_text(source)
    with pytest.raises(PluginError, match=rf"^plugin .*mine\.py: {message}"):
        Registry.load([str(path)])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gone.py", r"there is no file gone\.py; give the path of a Python file"),
        ("no_such_module", r"no_such_module does not import: ModuleNotFoundError"),
    ],
)
def test_plugin_that_is_not_there_is_an_error(name, message):
    with pytest.raises(PluginError, match=message):
        load_module(name)


class Listener:
    """Keeps what it is told, in order."""

    def __init__(self) -> None:
        self.told: list[tuple[str, Any]] = []

    @hookimpl
    def optcompare_run_started(self, comparison):
        self.told.append(("run_started", comparison))

    @hookimpl
    def optcompare_measured(self, record, trial):
        self.told.append(("measured", (trial, dict(record))))

    @hookimpl
    def optcompare_trial_finished(self, trial, outcome):
        self.told.append(("trial_finished", (trial, dict(outcome))))

    @hookimpl
    def optcompare_run_finished(self, result):
        self.told.append(("run_finished", result))


def test_observer_is_told_of_a_run_from_its_start_to_its_result():
    registry, listener = Registry.load(), Listener()
    registry.register(listener, "listener")
    question = Question(strategies=["full", "mini"], budget=Budget("updates", 2), device="cpu", seeds=(3, 4))
    prepared = prepare(registry, question)
    assert listener.told == []
    result = execute(prepared)
    comparison = prepared.setup.comparison
    assert listener.told[0] == ("run_started", comparison)
    assert listener.told[-1] == ("run_finished", result)
    measured = [told for event, told in listener.told if event == "measured"]
    assert [row for _, row in measured] == result.records.to_dict("records")
    assert [(trial.arm.label, trial.seed) for trial, _ in measured] == list(
        zip(result.records["arm"], result.records["seed"], strict=True)
    )
    finished = [told for event, told in listener.told if event == "trial_finished"]
    assert [trial for trial, _ in finished] == comparison.trials()
    assert [row for _, row in finished] == result.trials.to_dict("records")
    assert listener.told.index(("trial_finished", finished[0])) < listener.told.index(
        ("measured", measured[-1])
    )


def test_observer_may_ask_for_some_of_the_arguments():
    told: list[Any] = []
    registry = loaded(
        mine=plugin(trial_finished=lambda outcome: told.append(outcome), run_started=lambda: None)
    )
    assert registry.observes("trial_finished")
    registry.notify("trial_finished", trial=object(), outcome={"status": "failed"})
    registry.notify("run_started", comparison=object())
    assert told == [{"status": "failed"}]


def test_event_that_nobody_listens_to_is_no_error():
    registry = loaded(mine=plugin(run_started=lambda: None))
    assert not registry.observes("measured")
    registry.notify("measured", trial=None, record={})


def test_observer_that_raises_is_named_once_and_left_out():
    told: list[int] = []

    def measured(record):
        raise OSError("disk full")

    bad = plugin(measured=measured, run_finished=lambda: told.append(-1))
    registry = loaded(good=plugin(measured=lambda record: told.append(record)), bad=bad)
    for number in range(3):
        registry.notify("measured", trial=None, record=number)
    registry.notify("run_finished", result=None)
    assert told == [0, 1, 2]
    (warning,) = registry.warnings
    assert re.match(
        r"observer bad is left out from now on: OSError: disk full \(test_manager\.py:\d+\)", warning
    )


def test_hooks_are_functions_under_the_projects_marker():
    manager = pluggy.PluginManager(hookspecs.NAME)
    manager.add_hookspecs(hookspecs)
    assert HOOKS
    assert all(inspect.isfunction(hook) and hook.__doc__ for hook in HOOKS.values())
    assert all(hasattr(manager.hook, name) for name in HOOKS)


def test_the_page_about_hooks_has_each_with_its_exact_signature_and_no_other():
    headings = re.findall(r"^### `(.+)`$", HOOKS_PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    signatures = [f"{name}({', '.join(inspect.signature(hook).parameters)})" for name, hook in HOOKS.items()]
    assert sorted(headings) == sorted(signatures)


def test_a_path_is_imported_when_its_factory_is_used(monkeypatch, tmp_path):
    (tmp_path / "used_late.py").write_text("def build(model, *, lr=0.1): ...\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    registry = loaded(late=plugin(optimizers=lambda: {"late": "used_late.build"}))
    entry = registry.find("optimizers", "late")
    assert "used_late" not in sys.modules
    assert entry.factory is entry.factory is sys.modules["used_late"].build


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (
            "not_there.build",
            "plugin p: 'x' is not_there.build, which cannot be imported: ModuleNotFoundError",
        ),
        ("math.nothing", "plugin p: 'x' is math.nothing, which cannot be imported: AttributeError"),
        ("math.pi", "plugin p: 'x' is math.pi, a float; give the path of a function or class"),
    ],
)
def test_a_path_that_leads_to_no_factory_is_an_error(path, message):
    registry = loaded(p=plugin(optimizers=lambda: {"x": path}))
    with pytest.raises(PluginError, match=message):
        _ = registry.find("optimizers", "x").factory


@pytest.mark.parametrize("path", ["", "build", "a..b", "file.py:build", "1.5"])
def test_a_text_that_is_no_path_is_an_error(path):
    registry = loaded(p=plugin(optimizers=lambda: {"x": path}))
    with pytest.raises(
        PluginError, match=r"plugin p: optcompare_optimizers\(\) must return a mapping of name to"
    ):
        registry.entries("optimizers")
