"""Make live workloads, strategies, diagnostics and executors from names, specs and objects."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from ..core.columns import RECORD_COLUMNS
from ..core.comparison import Part
from ..core.file_paths import join_script_path, parse_list
from ..core.goal import TEST, TRAIN, VALID
from ..core.grammar import Spec, parse
from ..core.parameters import REQUIRED, as_spec, bind, parameters, write_value
from ..errors import USER_CODE_ERRORS, ComparisonError, OptcompareError, PluginError, SpecError, explain
from ..interfaces.diagnostic import Diagnostic
from ..interfaces.strategy import Strategy
from ..interfaces.workload import Workload
from ..registry.manager import Registry
from ..training.measurement.step_stats import check_needs

if TYPE_CHECKING:
    from ..interfaces.executor import Demand

StrategyLike = str | Strategy
DiagnosticLike = str | Diagnostic


def single_items(items: Any) -> list[Any]:
    """List single names, specs and objects.

    Args:
        items: One text with a comma-separated list, one object, or a sequence of texts and objects.

    Returns:
        A text for each spec, and the objects as they are.
    """
    if isinstance(items, str):
        return [str(spec) for spec in parse_list(items, optimizers=True)]
    if isinstance(items, Strategy | Diagnostic) or callable(items) or not isinstance(items, Iterable):
        return [items]
    return [single for item in items for single in (single_items(item) if isinstance(item, str) else [item])]


def make_workload(registry: Registry, workload: str | Workload) -> tuple[Workload, Part]:
    """Make the workload of a spec, or return an object as it is.

    Args:
        registry: The registry in which names are looked up.
        workload: ``digits``, ``csv:PATH:y=COLUMN``, ``FILE.py:NAME``, or a Workload.

    Returns:
        The workload, and its name in a comparison.

    Raises:
        OptcompareError: There is no such workload, a value does not fit, or its function fails.
    """
    if isinstance(workload, Workload):
        return workload, Part(workload.name, None)
    if not isinstance(workload, str):
        raise ComparisonError(f"workload must be a name or a Workload, got a {type(workload).__name__}")
    spec = join_script_path(parse(workload))
    if spec.name == "suite":
        raise ComparisonError(
            f"{workload} is a list of workloads, not one: optcompare run and optcompare.score_suite() take it"
        )
    if spec.name.endswith(".py"):
        return _workload_of_file(registry, spec)
    factory = registry.find("workloads", spec.name).factory
    values = bind(parameters(factory), spec, kind="workload")
    made = _call(factory, values, f"workload {spec.name}")
    return _checked_workload(made, str(spec)), Part(
        str(spec), str(as_spec(spec.name, _from_anywhere(values)))
    )


def make_strategy(
    registry: Registry, strategy: StrategyLike | Spec, batch_size: int | None
) -> tuple[Strategy, Part]:
    """Make the strategy of a spec, or return an object as it is.

    Args:
        registry: The registry in which names are looked up.
        strategy: ``mini:64``, or a Strategy.
        batch_size: The workload's, for a spec that gives none; None: the strategy's default.

    Returns:
        The strategy, and its name in a comparison.

    Raises:
        OptcompareError: There is no such strategy, a value does not fit, or its factory fails.
    """
    if isinstance(strategy, Strategy):
        part = _part_of(registry, strategy)
        check_needs(strategy, part.label)
        return strategy, part
    if not isinstance(strategy, (str, Spec)):
        raise ComparisonError(
            f"a strategy is a name or a Strategy object, got a {type(strategy).__name__}: {strategy!r}"
        )
    spec = parse(strategy) if isinstance(strategy, str) else strategy
    factory = registry.find("strategies", spec.name).factory
    known = parameters(factory)
    values = bind(known, spec, kind="strategy")
    if batch_size is not None and "batch_size" not in values and any(p.name == "batch_size" for p in known):
        values["batch_size"] = batch_size
    made = _call(factory, values, f"strategy {spec.name}")
    if not isinstance(made, Strategy):
        raise PluginError(
            f"strategy {spec.name}: its factory must return a Strategy, got a {type(made).__name__}"
        )
    check_needs(made, spec.name)
    return made, _part(spec.name, made, reference=True)


def make_diagnostics(registry: Registry, items: Sequence[DiagnosticLike]) -> list[tuple[Diagnostic, Part]]:
    """Make the diagnostics of specs; objects stay as they are.

    Args:
        registry: The registry in which names are looked up.
        items: ``noise_scale:rows=512``, or Diagnostics.

    Returns:
        Each diagnostic, and its name in a comparison.

    Raises:
        OptcompareError: There is no such diagnostic, or two fill the same column.
    """
    made = [_diagnostic(registry, item) for item in items]
    owners: dict[str, str] = {}
    for diagnostic, part in made:
        for column in diagnostic.columns:
            if column in owners:
                raise ComparisonError(
                    f"diagnostics {owners[column]} and {part.label} both fill the column {column}; leave "
                    "one out"
                )
            owners[column] = part.label
    return made


def _diagnostic(registry: Registry, item: DiagnosticLike) -> tuple[Diagnostic, Part]:
    """Make one diagnostic."""
    if isinstance(item, Diagnostic):
        known = [
            entry.name for entry in registry.entries("diagnostics").values() if entry.factory is type(item)
        ]
        name = known[0] if known else type(item).__name__.lower()
        made, reference = item, bool(known)
    elif isinstance(item, str):
        spec = parse(item)
        name, factory = spec.name, registry.find("diagnostics", spec.name).factory
        values = bind(parameters(factory), spec, kind="diagnostic")
        made, reference = _call(factory, values, f"diagnostic {name}"), True
    else:
        raise ComparisonError(
            f"a diagnostic is a name or a Diagnostic object, got a {type(item).__name__}: {item!r}"
        )
    if not isinstance(made, Diagnostic):
        raise PluginError(
            f"diagnostic {name}: its factory must return a Diagnostic, got a {type(made).__name__}"
        )
    _check_columns(name, made.columns)
    return made, _part(name, made, reference=reference)


def _check_columns(name: str, columns: Any) -> None:
    """Check that the columns of a diagnostic are names that nothing else has."""
    wrong = not (isinstance(columns, tuple) and columns and len(set(columns)) == len(columns))
    for column in () if wrong else columns:
        fits = isinstance(column, str) and column.isidentifier()
        wrong |= (
            not fits
            or column in (*RECORD_COLUMNS, "split")
            or column.startswith((TRAIN, VALID, TEST, "raw_"))
        )
    if wrong:
        raise PluginError(
            f"diagnostic {name}: columns must be a tuple of names of its own, not beginning with train_, "
            f"valid_, test_ or raw_; got {columns!r}"
        )


def make_executor(registry: Registry, text: str, demand: Demand) -> Executor:
    """Make the executor of ``name[:address]``.

    Args:
        registry: The registry in which names are looked up.
        text: The name and, where it needs one, the address.
        demand: Jobs, threads and device of a trial.

    Returns:
        The executor.

    Raises:
        PluginError: There is no such executor, or its factory returns another type of object.
    """
    name, _, address = text.partition(":")
    made = _call(
        registry.find("executors", name).factory, {"demand": demand, "address": address}, f"executor {name}"
    )
    if not (callable(getattr(made, "submit", None)) and callable(getattr(made, "shutdown", None))):
        kind = type(made).__name__
        raise PluginError(
            f"executor {name}: its factory must return a concurrent.futures.Executor, got a {kind}"
        )
    return cast(Executor, made)


def _part(name: str, thing: Strategy | Diagnostic, *, reference: bool) -> Part:
    """Name a strategy or a diagnostic by its class's name and the parameters that differ from defaults."""
    values = thing.parameters()
    label = name
    for position, parameter in enumerate(parameters(type(thing))):
        value = values.get(parameter.name)
        if position == 0 and (parameter.name == "batch_size" or value != parameter.default):
            label += f":{write_value(value)}"
        elif parameter.default is REQUIRED or value != parameter.default:
            label += f":{parameter.name}={write_value(value)}"
    return Part(label, str(as_spec(name, values)) if reference else None)


def _part_of(registry: Registry, strategy: Strategy) -> Part:
    """Return a strategy object as pure data, with its registered name if its class is registered."""
    for entry in registry.entries("strategies").values():
        if entry.factory is type(strategy):
            return _part(entry.name, strategy, reference=True)
    return _part(type(strategy).__name__.lower(), strategy, reference=False)


def _workload_of_file(registry: Registry, spec: Spec) -> tuple[Workload, Part]:
    """Make the workload of FILE.py:NAME."""
    if not spec.args:
        raise SpecError(
            f"'{spec}': name the function that returns the Workload, as in {spec.name}:make_workload"
        )
    path, (name, *args) = spec.name, spec.args
    factory = getattr(registry.import_source(path), name, None)
    if not callable(factory):
        raise PluginError(f"{path} has no function '{name}'; define def {name}() -> Workload there")
    values = bind(parameters(factory), Spec(name, tuple(args), spec.options), kind="workload")
    made = _call(factory, values, f"workload {path}:{name}")
    found = dataclasses.replace(spec, name=str(Path(path).resolve()))
    return _checked_workload(made, name), Part(name, str(found))


def _from_anywhere(values: dict[str, Any]) -> dict[str, Any]:
    """Make paths absolute, so that what is saved can be run again from another directory."""
    return {name: value.resolve() if isinstance(value, Path) else value for name, value in values.items()}


def _checked_workload(made: Any, name: str) -> Workload:
    """Check that a factory returned a Workload, and name it."""
    if not isinstance(made, Workload):
        raise PluginError(
            f"workload {name}: its function must return a Workload, got a {type(made).__name__}"
        )
    return dataclasses.replace(made, name=name)


def _call(factory: Callable[..., Any], values: dict[str, Any], who: str) -> Any:
    """Call a factory; convert its exceptions to errors with its name."""
    try:
        return factory(**values)
    except OptcompareError:
        raise
    except ValueError as error:
        raise SpecError(f"{who}: {error}") from error
    except USER_CODE_ERRORS as error:
        raise PluginError(f"{who}: {explain(error)}") from error
