"""Find optimizers by name, by path or as factories, with the settings of their specs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from ..core.comparison import Part
from ..core.file_paths import join_script_path
from ..core.grammar import Spec, parse
from ..core.named_code import is_dotted_name
from ..core.parameters import Parameter, as_spec, bind
from ..errors import ComparisonError, SpecError
from ..interfaces.optimizer import Factory, check_factory, hyperparameters, undecorated
from ..registry.manager import Registry

OptimizerLike = str | Factory
"""What a caller may name an optimizer by."""
_OF_ARM = (Parameter("schedule", str, "none"), Parameter("clip", float | None, None))
"""Settings of an arm that the spec of its optimizer may hold."""


@dataclasses.dataclass(frozen=True)
class OptimizerChoice:
    """Hold a requested optimizer.

    Args:
        factory: The factory: ``build(model, **hyperparameters)`` or an Optimizer class.
        name: The name in the registry, or the name of the factory.
        part: The optimizer as pure data: its label and its spec.
        values: Hyperparameters that differ from the factory's defaults, without the learning rate.
        lr: The learning rate, where the spec sets it; else None.
        of_arm: ``schedule`` and ``clip``, where the spec sets them.
    """

    factory: Factory
    name: str
    part: Part
    values: dict[str, Any]
    lr: float | None
    of_arm: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def make_optimizer(registry: Registry, optimizer: OptimizerLike | Spec) -> OptimizerChoice:
    """Find the optimizer of a spec, or read a factory.

    Args:
        registry: The registry in which names are looked up.
        optimizer: A spec such as ``sgd:momentum=0.9``, or a factory, possibly a ``functools.partial``.

    Returns:
        The optimizer.

    Raises:
        ComparisonError: It is neither.
        SpecError: A value does not fit.
        PluginError: There is no such optimizer, or it cannot be imported.
    """
    if callable(optimizer):
        return _optimizer_of(registry, optimizer)
    if not isinstance(optimizer, (str, Spec)):
        kind = type(optimizer).__name__
        made = isinstance(optimizer, torch.optim.Optimizer)
        what = f"a {kind} of one model's weights; give {kind} itself" if made else f"a {kind}: {optimizer!r}"
        raise ComparisonError(f"an optimizer is a name, an Optimizer class or a build function, got {what}")
    spec = join_script_path(parse(optimizer) if isinstance(optimizer, str) else optimizer)
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
    """Find an optimizer by its name, its dotted path or FILE.py:NAME; return its spec from anywhere, too."""
    known = registry.entries("optimizers")
    if spec.name in known or not (is_dotted_name(spec.name) or spec.name.endswith(".py")):
        return registry.find("optimizers", spec.name).factory, Spec(spec.name)
    if not spec.name.endswith(".py"):
        head = Spec(spec.name)
        found = registry.import_object(spec.name)
    elif spec.args:
        head = Spec(str(Path(spec.name).resolve()), spec.args[:1])
        found = registry.import_object(f"{head.name}:{spec.args[0]}")
    else:
        raise SpecError(f"'{spec}': name the optimizer, as in {spec.name}:Lion")
    check_factory(found, spec.args[0] if head.args else spec.name)
    names = [entry.name for entry in known.values() if entry.factory is found]
    return found, Spec(names[0]) if names else head


def _optimizer_of(registry: Registry, factory: Factory) -> OptimizerChoice:
    """Read a factory and the hyperparameters that a partial holds."""
    bare, values = undecorated(factory), dict(getattr(factory, "keywords", {}))
    lr = values.pop("lr", None)
    values = _without_defaults(bare, values)
    names = [entry.name for entry in registry.entries("optimizers").values() if entry.factory is bare]
    name = names[0] if names else getattr(bare, "__name__", type(bare).__name__).lower()
    text = str(as_spec(name, values))
    return OptimizerChoice(bare, name, Part(text, text if names else None), values, lr)


def _without_defaults(factory: Factory, values: dict[str, Any]) -> dict[str, Any]:
    """Leave out values that equal the defaults, so that sgd and sgd:momentum=0 are the same arm."""
    defaults = {parameter.name: parameter.default for parameter in hyperparameters(factory)}
    return {name: value for name, value in values.items() if name not in defaults or defaults[name] != value}
