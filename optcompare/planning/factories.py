"""One name, spec or object becomes one live workload, strategy or optimizer, and the part of a comparison
that names it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch

from ..core.columns import RECORD_COLUMNS
from ..core.comparison import Part
from ..core.file_paths import parse_list, script_first
from ..core.goal import TEST, TRAIN, VALID
from ..core.grammar import Spec, parse
from ..core.named_code import is_dotted_name
from ..core.parameters import REQUIRED, Parameter, as_spec, bind, parameters, write
from ..errors import RAISED, ComparisonError, OptcompareError, PluginError, SpecError, explain
from ..interfaces.diagnostic import Diagnostic
from ..interfaces.optimizer import Factory, check_factory, hyperparameters, undecorated
from ..interfaces.strategy import Strategy
from ..interfaces.workload import Workload
from ..registry.manager import Registry
from ..training.measurement.step_stats import check_needs

if TYPE_CHECKING:
    from ..interfaces.executor import Demand

_OF_ARM = (Parameter("schedule", str, "none"), Parameter("clip", float | None, None))

StrategyLike = str | Strategy
OptimizerLike = str | Factory
DiagnosticLike = str | Diagnostic


@dataclasses.dataclass(frozen=True)
class OptimizerChoice:
    """An optimizer as asked for: its factory, label, reference, and the learning rate if the spec gave one.

    ``of_arm``: the settings of its arm that the spec gave, ``schedule`` and ``clip``.
    """

    factory: Factory
    name: str
    part: Part
    values: dict[str, Any]
    lr: float | None
    of_arm: Mapping[str, Any] = dataclasses.field(default_factory=dict)


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
    """The workload of a spec (``digits``, ``csv:PATH:y=COLUMN``, ``FILE.py:NAME``) or the object itself."""
    if isinstance(workload, Workload):
        return workload, Part(workload.name, None)
    if not isinstance(workload, str):
        raise ComparisonError(f"workload must be a name or a Workload, got a {type(workload).__name__}")
    spec = script_first(parse(workload))
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
    """The strategy of a spec or the object itself; ``batch_size`` is what it gets if it has one and was given
    none.
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


def make_optimizer(registry: Registry, optimizer: OptimizerLike | Spec) -> OptimizerChoice:
    """The optimizer of a spec such as ``sgd:momentum=0.9``, or a factory handed in."""
    if callable(optimizer):
        return _optimizer_of(registry, optimizer)
    if not isinstance(optimizer, (str, Spec)):
        kind = type(optimizer).__name__
        made = isinstance(optimizer, torch.optim.Optimizer)
        what = f"a {kind} of one model's weights; give {kind} itself" if made else f"a {kind}: {optimizer!r}"
        raise ComparisonError(f"an optimizer is a name, an Optimizer class or a build function, got {what}")
    spec = script_first(parse(optimizer) if isinstance(optimizer, str) else optimizer)
    factory, head = _named_optimizer(registry, spec)
    name = head.args[0] if head.args else head.name
    own = hyperparameters(factory)
    of_arm = [parameter for parameter in _OF_ARM if parameter.name not in {each.name for each in own}]
    values = bind([*own, *of_arm], Spec(name, spec.args[len(head.args) :], spec.options), kind="optimizer")
    settings = {
        parameter.name: values.pop(parameter.name) for parameter in of_arm if parameter.name in values
    }
    lr = values.pop("lr", None)
    values = _without_defaults(factory, values)
    written = as_spec(name, values)
    part = Part(str(written), str(dataclasses.replace(head, options=written.options)))
    return OptimizerChoice(factory, name, part, values, None if lr is None else float(lr), settings)


def _named_optimizer(registry: Registry, spec: Spec) -> tuple[Factory, Spec]:
    """A registered optimizer, one by its dotted path, or FILE.py:NAME; and the spec that names it from
    anywhere.
    """
    known = registry.entries("optimizers")
    if spec.name in known or not (is_dotted_name(spec.name) or spec.name.endswith(".py")):
        return registry.find("optimizers", spec.name).factory, Spec(spec.name)
    if not spec.name.endswith(".py"):
        head = Spec(spec.name)
        found = registry.by_path(spec.name)
    elif spec.args:
        head = Spec(str(Path(spec.name).resolve()), spec.args[:1])
        found = registry.by_path(f"{head.name}:{spec.args[0]}")
    else:
        raise SpecError(f"'{spec}': name the optimizer, as in {spec.name}:Lion")
    check_factory(found, spec.args[0] if head.args else spec.name)
    names = [entry.name for entry in known.values() if entry.factory is found]
    return found, Spec(names[0]) if names else head


def make_diagnostics(registry: Registry, items: Sequence[DiagnosticLike]) -> list[tuple[Diagnostic, Part]]:
    """The diagnostics of specs such as ``noise_scale:rows=512``, or objects; no two may fill the same
    column.
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
            "valid_, "
            f"test_ or raw_; got {columns!r}"
        )


def make_executor(registry: Registry, text: str, demand: Demand) -> Executor:
    """The executor of ``name[:address]``."""
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
    values = thing.parameters()
    label = name
    for position, parameter in enumerate(parameters(type(thing))):
        value = values.get(parameter.name)
        if position == 0 and (parameter.name == "batch_size" or value != parameter.default):
            label += f":{write(value)}"
        elif parameter.default is REQUIRED or value != parameter.default:
            label += f":{parameter.name}={write(value)}"
    return Part(label, str(as_spec(name, values)) if reference else None)


def _part_of(registry: Registry, strategy: Strategy) -> Part:
    for entry in registry.entries("strategies").values():
        if entry.factory is type(strategy):
            return _part(entry.name, strategy, reference=True)
    return _part(type(strategy).__name__.lower(), strategy, reference=False)


def _optimizer_of(registry: Registry, factory: Factory) -> OptimizerChoice:
    bare, values = undecorated(factory), dict(getattr(factory, "keywords", {}))
    lr = values.pop("lr", None)
    values = _without_defaults(bare, values)
    names = [entry.name for entry in registry.entries("optimizers").values() if entry.factory is bare]
    name = names[0] if names else getattr(bare, "__name__", type(bare).__name__).lower()
    text = str(as_spec(name, values))
    return OptimizerChoice(bare, name, Part(text, text if names else None), values, lr)


def _without_defaults(factory: Factory, values: dict[str, Any]) -> dict[str, Any]:
    """What differs from the factory's defaults, so that sgd and sgd:momentum=0 are seen to be the same."""
    defaults = {parameter.name: parameter.default for parameter in hyperparameters(factory)}
    return {name: value for name, value in values.items() if name not in defaults or defaults[name] != value}


def _workload_of_file(registry: Registry, spec: Spec) -> tuple[Workload, Part]:
    if not spec.args:
        raise SpecError(
            f"'{spec}': name the function that returns the Workload, as in {spec.name}:make_workload"
        )
    path, (name, *args) = spec.name, spec.args
    factory = getattr(registry.module(path), name, None)
    if not callable(factory):
        raise PluginError(f"{path} has no function '{name}'; define def {name}() -> Workload there")
    values = bind(parameters(factory), Spec(name, tuple(args), spec.options), kind="workload")
    made = _call(factory, values, f"workload {path}:{name}")
    found = dataclasses.replace(spec, name=str(Path(path).resolve()))
    return _checked_workload(made, name), Part(name, str(found))


def _from_anywhere(values: dict[str, Any]) -> dict[str, Any]:
    """Paths made absolute, so that what is saved can be run again from another directory."""
    return {name: value.resolve() if isinstance(value, Path) else value for name, value in values.items()}


def _checked_workload(made: Any, name: str) -> Workload:
    if not isinstance(made, Workload):
        raise PluginError(
            f"workload {name}: its function must return a Workload, got a {type(made).__name__}"
        )
    return dataclasses.replace(made, name=name)


def _call(factory: Callable[..., Any], values: dict[str, Any], who: str) -> Any:
    try:
        return factory(**values)
    except OptcompareError:
        raise
    except ValueError as error:
        raise SpecError(f"{who}: {error}") from error
    except RAISED as error:
        raise PluginError(f"{who}: {explain(error)}") from error
