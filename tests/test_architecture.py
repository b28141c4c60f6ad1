"""The direction of the arrows: who may import whom, who may print, what is packaged."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import optcompare
from optcompare.cli import options, plugins, report
from optcompare.core import comparison
from optcompare.registry import manager as registry
from optcompare.report import figures

ROOT = Path(__file__).parents[1]
CORE, PLUGINS = ROOT / "optcompare", ROOT / "plugins"

LAYERS = {
    "rooms": [
        "adapters",
        "analysis",
        "api",
        "cli",
        "core",
        "execution",
        "interfaces",
        "planning",
        "registry",
        "report",
        "report.html",
        "report.plots",
        "results",
        "storage",
        "training",
        "training.lanes",
        "training.lanes.engines",
        "training.loop",
        "training.measurement",
        "verification",
    ],
    "words": [
        "errors",
        "core.grammar",
        "core.parameters",
        "core.schedule",
        "core.tuning",
        "core.goal",
        "core.columns",
        "core.version",
        "core.comparison",
        "core.formatting",
    ],
    "contracts": [
        "core.rng",
        "core.memmap",
        "core.finite",
        "registry.hookspecs",
        "interfaces.strategy",
        "core.tree",
        "interfaces.workload",
        "interfaces.diagnostic",
        "interfaces.optimizer",
        "interfaces.tracker",
        "interfaces.executor",
        "training.shared_init",
    ],
    "trainers": [
        "training.mismatch",
        "training.autocast",
        "training.contender",
        "training.device",
        "training.data",
        "training.measurement.evaluation",
        "training.loop.batch_plan",
        "training.measurement.counters",
        "training.loop.planner",
        "training.measurement.per_sample_grads",
        "training.measurement.step_stats",
        "training.loop.gradient",
        "training.measurement.record",
        "training.measurement.projection",
        "training.measurement.snapshot",
        "training.measurement.diagnosing",
        "training.loop.closure_passes",
        "training.loop.trial",
        "training.loop.planned_epoch",
        "training.loop.adaptive_epoch",
        "training.loop.closure_epoch",
        "training.loop.epochs",
        "training.loop.trainer",
        "training.loop.landscape",
        "training.lanes.cost_model",
        "training.lanes.update_rules",
        "training.lanes.program",
        "training.lanes.engines.inductor",
        "training.lanes.program_cache",
        "training.lanes.memory",
        "training.lanes.equivalence",
        "training.lanes.families",
        "training.lanes.run",
        "training.lanes.trainer",
    ],
    "records": [
        "analysis.certificate",
        "storage.run_dir",
        "storage.journal",
        "analysis.statistics",
        "analysis.time_to_goal",
        "analysis.summary",
        "analysis.paired",
        "analysis.profiles",
        "analysis.lr_scores",
        "execution.select_lr",
        "analysis.stability",
        "analysis.pca",
        "report.plots.style",
        "report.plots.scales",
        "report.plots.curves",
        "report.plots.paths",
        "report.plots.layout",
        "report.plots.panel",
        "report.plots.builtin_panels",
        "report.plots.comparison",
        "report.table",
        "execution.progress",
        "analysis.verdict",
        "report.plots.row_chart",
        "report.plots.final_values",
        "report.plots.forest",
        "report.plots.tuning",
        "report.plots.goal",
        "report.plots.across_workloads",
        "analysis.batch_scaling",
        "report.plots.batch_scaling",
        "report.html.series",
        "report.html.markup",
        "report.html.notebook",
        "report.html.page",
        "results.tables",
    ],
    "running": [
        "registry.manager",
        "execution.tracker_process",
        "storage.provenance",
        "planning.factories",
        "planning.resolve",
        "planning.workload_checks",
        "planning.dry_run",
        "planning.prepare",
        "adapters.data",
        "adapters.losses",
        "adapters.frameworks",
        "adapters.workload_from",
        "execution.scheduler",
        "storage.resume",
        "execution.worker",
        "execution.backends",
        "execution.runner",
        "report.panels",
        "report.figures",
        "results.merge",
        "report.result",
        "verification.retrain",
        "verification.replay_batches",
        "execution.noise_scale",
        "verification.recompute",
        "verification.verify",
    ],
    "faces": [
        "execution.run",
        "api.compare",
        "api.batch_size_study",
        "verification.plugin_checks",
        "cli.new_plugin",
        "cli.options",
        "cli.terminal",
        "cli.runs",
        "cli.report",
        "cli.checks",
        "cli.plugins",
        "cli.run",
        "cli.scaling",
        "cli.main",
        "",
    ],
}
"""From bottom to top, within a layer too: a module imports only what stands before it. "" is ``optcompare`` itself."""
ORDER = [module for layer in LAYERS.values() for module in layer]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(CORE).with_suffix("").parts).removesuffix("__init__").removesuffix(".")


MODULES = {module_name(path): path for path in sorted(CORE.rglob("*.py"))}


def imports(path: Path, *, for_types: bool) -> Iterator[str]:
    """Absolute names of what a file imports anywhere in it; ``for_types``: those under TYPE_CHECKING too."""
    package = [path.parent.relative_to(ROOT).parts, ()][not path.is_relative_to(CORE)]
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not for_types:
            todo += node.orelse
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            where = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{where}.{alias.name}" for alias in node.names)
        todo += ast.iter_child_nodes(node)


def core_modules(path: Path, *, for_types: bool = False) -> set[str]:
    """The modules of optcompare that a file imports; ``optcompare.core.grammar.Spec`` counts as ``spec``."""
    found = set()
    for name in imports(path, for_types=for_types):
        parts = name.split(".")[1:]
        if name.partition(".")[0] == "optcompare":
            fitting = (".".join(parts[:size]) for size in range(len(parts), 0, -1))
            found.add(next((module for module in fitting if module in MODULES), ""))
    return found


def test_every_module_has_its_place():
    assert sorted(ORDER) == sorted(MODULES)


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module or "optcompare")
def test_module_imports_only_from_below(module):
    wrong = {name for name in core_modules(MODULES[module]) - {""} if ORDER.index(name) >= ORDER.index(module)}
    assert not wrong, f"{module} stands below {wrong}"


def test_core_knows_no_plugin():
    assert [name for name, path in MODULES.items() if "optcompare_plugins" in path.read_text(encoding="utf-8")] == []


@pytest.mark.parametrize("path", sorted(PLUGINS.rglob("*.py")), ids=lambda path: str(path.relative_to(PLUGINS)))
def test_plugins_import_public_names_alone(path):
    used = [name for name in imports(path, for_types=True) if name.partition(".")[0].startswith("optcompare")]
    assert set(used) <= {f"optcompare.{name}" for name in optcompare.__all__}


@pytest.mark.parametrize("module", [name for name in MODULES if name.startswith("training")])
def test_trainers_know_neither_plugins_nor_the_command_line_nor_files(module):
    above = {
        "registry.manager",
        "registry.hookspecs",
        "planning.resolve",
        "execution.runner",
        "storage.run_dir",
        "report.result",
        "api.compare",
        "cli.main",
    }
    assert core_modules(MODULES[module], for_types=True).isdisjoint(above)
    outside = {name.partition(".")[0] for name in imports(MODULES[module], for_types=True)}
    libraries = module == "training.lanes.engines.inductor"  # it keeps them beside torch's own
    files = set() if libraries else {"pathlib"}
    assert outside.isdisjoint({"pluggy", "click", "rich", "optcompare_plugins", *files})


@pytest.mark.parametrize(
    "module",
    [
        name
        for name in MODULES
        if name.startswith(
            (
                "report",
                "analysis.statistics",
                "storage.run_dir",
                "analysis.time_to_goal",
                "analysis.paired",
                "analysis.profiles",
                "analysis.lr_scores",
                "analysis.verdict",
                "analysis.stability",
                "analysis.pca",
            )
        )
    ],
)
def test_statistics_and_report_read_records_without_torch_or_pyplot(module):
    names = set(imports(MODULES[module], for_types=True))
    assert not {name for name in names if name.partition(".")[0] == "torch" or name.endswith("pyplot")}


PRINTING = {f"cli.{name}" for name in ("main", "run", "scaling", "runs", "report", "checks", "plugins", "terminal")} | {
    "execution.progress"
}


@pytest.mark.parametrize("module", sorted(MODULES.keys() - PRINTING))
def test_only_the_command_line_prints(module):
    calls = [
        node.func for node in ast.walk(ast.parse(MODULES[module].read_text("utf-8"))) if isinstance(node, ast.Call)
    ]
    assert [
        ast.unparse(call) for call in calls if ast.unparse(call) in ("print", "click.echo", "sys.exit", "exit")
    ] == []
    used = {name.partition(".")[0] for name in imports(MODULES[module], for_types=False)}
    assert used.isdisjoint({"click", "rich"})


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        (
            ["optcompare", "optcompare.cli.main"],
            {"torch", "pandas", "matplotlib", "numpy", "scipy", "optcompare_plugins"},
        ),
        (
            [
                "optcompare.analysis.statistics",
                "optcompare.report.result",
                *(f"optcompare.{m}" for m in MODULES if "report" in m),
            ],
            {"torch", "optcompare_plugins", "matplotlib.pyplot"},
        ),
    ],
    ids=["the command line", "reading results"],
)
def test_import_brings_nothing_heavy_along(modules, absent):
    code = f"import sys, {', '.join(modules)}; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
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


def test_names_that_the_command_line_repeats_so_as_to_start_fast_are_the_same():
    assert plugins.KINDS == registry.KINDS
    assert options.UNITS == comparison.UNITS
    assert report.FIGURES == figures.FIGURES
    assert report.XS == figures.XS


def setup() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg", encoding="utf-8")
    return parser


def test_every_package_is_listed():
    found = [path.parent.relative_to(ROOT).parts for top in (CORE, PLUGINS) for path in top.rglob("__init__.py")]
    packages = {".".join(["optcompare_plugins" if part == "plugins" else part for part in parts]) for parts in found}
    assert set(setup()["options"]["packages"].split()) == packages


def test_every_bundled_plugin_is_an_entry_point():
    entry_points = setup()["options.entry_points"]["optcompare"].split("\n")
    listed = {line.partition("=")[2].strip() for line in entry_points if line}
    hooked = [path for path in PLUGINS.rglob("*.py") if "@hookimpl" in path.read_text(encoding="utf-8")]
    names = {".".join(["optcompare_plugins", *path.relative_to(PLUGINS).with_suffix("").parts]) for path in hooked}
    assert listed == names


def test_version_stands_in_one_place():
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert "project" not in pyproject
    assert pyproject["build-system"]["build-backend"] == "setuptools.build_meta"
    assert setup()["metadata"]["version"] == optcompare.__version__


def test_versions_that_are_tested_are_versions_that_are_allowed():
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = {pin.name: pin for line in lines if line and not line.startswith("#") for pin in [Requirement(line)]}
    options = setup()
    wanted = "\n".join([options["options"]["install_requires"], *options["options.extras_require"].values()])
    for requirement in map(Requirement, filter(None, wanted.split("\n"))):
        (pin,) = pins[requirement.name].specifier
        assert pin.operator == "==", pin
        assert requirement.specifier.contains(pin.version), requirement
    assert str(pins["torch"].specifier) == "==2.13.0"


NAMED_OTHERWISE = {"sklearn": "scikit-learn", "PIL": "pillow", "mlflow": "mlflow-skinny", "IPython": "ipython"}
"""Modules whose distribution has another name."""


def third_party(paths: Iterator[Path]) -> set[str]:
    """The distributions of the modules that files import, for types too."""
    tops = {name.partition(".")[0] for path in paths for name in imports(path, for_types=True)}
    files = (path for top in (PLUGINS, ROOT / "tests") for path in top.rglob("*.py"))
    own = {"", "optcompare", "optcompare_plugins", *(path.stem for path in files)}
    return {NAMED_OTHERWISE.get(top, top) for top in tops - own - sys.stdlib_module_names}


def declared(*groups: str) -> set[str]:
    return {Requirement(line).name for group in groups for line in group.split("\n") if line}


def test_every_import_is_declared():
    options = setup()
    extras = options["options.extras_require"]
    of_users = [extras[name] for name in extras if name != "test"]
    core = declared(options["options"]["install_requires"], *of_users)
    assert third_party(path for top in (CORE, PLUGINS) for path in top.rglob("*.py")) <= core
    assert third_party((ROOT / "tests").rglob("*.py")) <= core | declared(extras["test"])
