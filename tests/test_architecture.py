"""The house: the order of the rooms is the contract in setup.cfg, held here; so is who may use what from
outside.
"""

from __future__ import annotations

import ast
import configparser
import shutil
import subprocess
import sys
import unicodedata
from pathlib import Path

import grimp
import pytest

import optcompare
from optcompare.cli import plugins, report
from optcompare.core import budget
from optcompare.registry import manager
from optcompare.report import figures

ROOT = Path(__file__).parents[1]
CORE, PLUGINS = ROOT / "optcompare", ROOT / "plugins"
MOST_EXCEPTIONS = 5


def lint_imports(directory: Path) -> subprocess.CompletedProcess[str]:
    """Checks the contract in a directory's setup.cfg against the optcompare in it."""
    code = (
        "import sys; sys.path.insert(0, '.'); from importlinter.cli import lint_imports; "
        "sys.exit(lint_imports(no_cache=True))"
    )
    return subprocess.run([sys.executable, "-c", code], cwd=directory, capture_output=True, text=True)


def contract() -> dict[str, configparser.SectionProxy]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return {
        name.rpartition(":")[2]: parser[name] for name in parser.sections() if name.startswith("importlinter")
    }


def test_each_room_imports_only_from_those_below_it_and_no_two_from_each_other():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout
    assert "2 kept, 0 broken" in done.stdout


@pytest.mark.parametrize(
    ("module", "line", "broken"),
    [
        (
            "core/goal.py",
            "from ..api.compare import compare",
            "optcompare.core.goal -> optcompare.api.compare",
        ),
        (
            "report/table.py",
            "def late():\n    from ..cli import main",
            "optcompare.report.table -> optcompare.cli.main",
        ),
        ("core/rng.py", "from . import comparison\nfrom . import schedule", ""),
        ("training/device.py", "from .loop import trainer", ".device -> .loop"),
    ],
    ids=["upwards", "upwards in a function", "sideways", "a circle in a room"],
)
def test_the_contract_finds(module, line, broken, tmp_path):
    shutil.copytree(CORE, tmp_path / "optcompare", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "setup.cfg", tmp_path)
    file = tmp_path / "optcompare" / module
    file.write_text(f"{file.read_text('utf-8')}\n\n{line}\n", "utf-8")
    done = lint_imports(tmp_path)
    assert done.returncode == (1 if broken else 0), done.stdout
    assert broken in done.stdout


def test_the_rooms_are_few_and_say_what_they_are():
    layers = contract()["rooms"]["layers"].split()
    folders = {path.parent for path in CORE.rglob("*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").is_file()] == [], (
        "the contract would not see it"
    )
    assert sorted(path.name for path in folders if path.parent == CORE) == sorted(set(layers) - {"errors"})
    assert len(layers) <= 15, "fourteen rooms, and errors.py"
    assert [
        line.split("``")[1] for line in (optcompare.__doc__ or "").splitlines() if line.startswith("- ")
    ] == layers
    assert sorted(path.name for path in CORE.glob("*.py")) == ["__init__.py", "errors.py"]
    for room in CORE.rglob("*/__init__.py"):
        (only,) = ast.parse(room.read_text("utf-8")).body
        assert isinstance(only, ast.Expr), f"{room} holds more than a docstring; name things where they are"


def test_exceptions_from_the_order_are_few_and_have_a_reason():
    """An exception is a line ``importer -> imported`` of ``ignore_imports`` below a comment that says why."""
    text = (ROOT / "setup.cfg").read_text("utf-8")
    lines = [
        line.strip()
        for section in contract().values()
        for line in section.get("ignore_imports", "").split("\n")
    ]
    exceptions = [line for line in lines if "->" in line]
    assert len(exceptions) <= MOST_EXCEPTIONS
    above = dict(zip(text.splitlines()[1:], text.splitlines(), strict=False))
    assert [line for line in exceptions if not above[f"    {line}"].strip().startswith("#")] == []


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """Every import anywhere in a file, for types too."""
    return grimp.build_graph(
        "optcompare", "optcompare_plugins", include_external_packages=True, cache_dir=None
    )


def imported(graph: grimp.ImportGraph, *rooms: str) -> dict[str, set[str]]:
    """What each module of some rooms imports."""
    modules = [m for m in graph.modules for room in rooms if f"{m}.".startswith(f"optcompare.{room}.")]
    assert modules
    return {module: graph.find_modules_directly_imported_by(module) for module in modules}


def test_no_module_imports_the_package_that_names_them_all(graph):
    """``from optcompare import compare`` within it would be an arrow to anywhere that the contract does not
    see.
    """
    modules = [name for name in graph.modules if name.startswith("optcompare.")]
    assert [name for name in modules if "optcompare" in graph.find_modules_directly_imported_by(name)] == []


@pytest.mark.slow
def test_modules_that_are_imported_by_their_names_lie_below():
    """The tracker's process imports what it will unpickle before it is needed."""
    found = {}
    for path in CORE.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)]
        named = [call for call in calls if ast.unparse(call.func).endswith(("import_module", "__import__"))]
        literal = [ast.unparse(call.args[0]) for call in named if "optcompare" in ast.unparse(call.args[0])]
        if literal:
            found[str(path.relative_to(CORE))] = literal
    assert found == {"execution/tracker_server.py": ["'optcompare.report.result'"]}


def test_core_knows_no_plugin():
    assert [path for path in CORE.rglob("*.py") if "optcompare_plugins" in path.read_text("utf-8")] == []


@pytest.mark.parametrize(
    "path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: str(path.relative_to(PLUGINS))
)
def test_plugins_import_public_names_alone(path):
    tree = ast.parse(path.read_text("utf-8"))
    froms = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and not node.level]
    used = {f"{node.module}.{alias.name}" for node in froms for alias in node.names}
    used |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    public = {f"optcompare.{name}" for name in optcompare.__all__}
    assert {name for name in used if name.partition(".")[0].startswith("optcompare")} <= public


def test_trainers_know_neither_plugins_nor_the_command_line_nor_files(graph):
    engines = "optcompare.training.lanes.engines."  # they keep compiled programs in the user's cache
    for module, names in imported(graph, "training").items():
        files = set() if module.startswith(engines) else {"pathlib"}
        assert names.isdisjoint({"pluggy", "click", "rich", *files}), module


def test_statistics_and_report_read_records_without_torch_or_pyplot(graph):
    for module, names in imported(graph, "analysis", "report").items():
        assert "torch" not in names, module
    texts = [path for room in ("analysis", "report") for path in (CORE / room).rglob("*.py")]
    assert [path for path in texts if "pyplot" in path.read_text("utf-8")] == []


PRINTS = ("optcompare.cli", "optcompare.execution.progress")


@pytest.mark.slow
def test_only_the_command_line_and_the_progress_bar_print(graph):
    for path in CORE.rglob("*.py"):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        if module.startswith(PRINTS):
            continue
        calls = [
            node.func for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
        ]
        assert not {"print", "click.echo", "sys.exit", "exit"} & set(map(ast.unparse, calls)), module
        name = module.removesuffix(".__init__")
        assert graph.find_modules_directly_imported_by(name).isdisjoint({"click", "rich"}), module


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (
            ["optcompare", "optcompare.cli.main"],
            {"torch", "pandas", "matplotlib", "numpy", "scipy", "optcompare_plugins"},
        ),
        (
            [
                ".".join(p.relative_to(ROOT).with_suffix("").parts)
                for room in ("analysis", "report")
                for p in (CORE / room).rglob("*.py")
            ],
            {"torch", "optcompare_plugins", "matplotlib.pyplot"},
        ),
    ],
    ids=["the command line", "reading results"],
)
def test_import_brings_nothing_heavy_along(modules, absent):
    code = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) & absent == set()
    assert done.stderr == ""


def test_public_names_are_what_they_say():
    assert all(
        getattr(optcompare, name).__module__.startswith("optcompare.")
        for name in optcompare.__all__
        if name != "hookimpl"
    )
    assert set(optcompare.__all__) < set(dir(optcompare))
    with pytest.raises(AttributeError, match="module 'optcompare' has no attribute 'nothing'"):
        _ = optcompare.nothing


def test_a_public_name_that_was_renamed_works_and_says_so():
    with pytest.warns(DeprecationWarning, match=r"optcompare.Moment is called optcompare.Snapshot now"):
        assert optcompare.Moment is optcompare.Snapshot


def test_names_that_the_command_line_repeats_so_as_to_start_fast_are_the_same():
    assert plugins.KINDS == manager.KINDS
    assert report.FIGURES == figures.FIGURES
    assert budget.UNITS == figures.XS


def python_files() -> list[Path]:
    rooms = ("optcompare", "plugins", "tests", "examples")
    return [path for room in rooms for path in (ROOT / room).rglob("*.py")]


def test_no_line_is_longer_than_110_characters_not_even_with_a_pragma():
    """The linter lets lines pass that end in a pragma; combining characters take no room."""
    [path for room in ("optcompare", "plugins", "tests", "examples") for path in (ROOT / room).rglob("*.py")]
    long = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in python_files()
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1)
        if sum(not unicodedata.combining(character) for character in line) > 110
    ]
    assert long == []


def test_the_formatter_skips_no_passage():
    skipped = "fmt: " + "skip"
    [path for room in ("optcompare", "plugins", "tests", "examples") for path in (ROOT / room).rglob("*.py")]
    assert [path for path in python_files() if skipped in path.read_text("utf-8")] == []


def test_no_two_types_have_the_same_name():
    """One word for one thing: no two classes of the package share a name."""
    homes: dict[str, list[str]] = {}
    for path in sorted(CORE.rglob("*.py")):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, []).append(str(path.relative_to(CORE)))
    assert {name: files for name, files in homes.items() if len(files) > 1} == {}
