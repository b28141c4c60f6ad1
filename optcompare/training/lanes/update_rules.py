"""Read the settings of an optimizer for its lane rule, so that many lanes can be one program.

Numbers (learning rate, momentum, …) may differ between lanes. Flags are equal for all lanes, since they
select the operations. A number is named ``<group>.<name>``, and a part of a tuple ``<group>.<name>.<place>``.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from ...interfaces.closures import takes_closure
from ...interfaces.lane_rule import Flags, LaneRule, Numbers
from ...interfaces.lane_rules import LaneRules

if TYPE_CHECKING:
    from torch import Tensor


class Unsupported(Exception):
    """Report why a trial cannot run in lanes; the message is a clause for another sentence."""


class Slower(Unsupported):
    """Report that lanes would take longer than the loop."""


@dataclass(frozen=True)
class Group:
    """Describe a parameter group of an optimizer.

    Attributes:
        chosen: The flags, by name.
        weights: The places of its weights among the model's trainable weights, in the order of the group.
    """

    chosen: tuple[tuple[str, Hashable], ...]
    weights: tuple[int, ...]

    @property
    def flags(self) -> Flags:
        return dict(self.chosen)


@dataclass(frozen=True)
class Settings:
    """Hold an optimizer as a rule with its numbers and flags.

    Two optimizers can be lanes of one program if rule and groups are equal.

    Attributes:
        rule: The lane rule.
        groups: The parameter groups.
        numbers: The numbers of all groups, by name.
    """

    rule: LaneRule
    groups: tuple[Group, ...]
    numbers: Mapping[str, float]

    @property
    def structure(self) -> Hashable:
        """Return a key that is equal for optimizers that can be lanes of one program."""
        return self.rule, self.groups, tuple(sorted(self.numbers))


def settings_of(optimizer: torch.optim.Optimizer, weights: Sequence[Tensor], rules: LaneRules) -> Settings:
    """Return the rule and the settings of an optimizer.

    Args:
        optimizer: Any optimizer.
        weights: The trainable weights of the model.
        rules: The lane rules.

    Raises:
        Unsupported: There is no rule for the optimizer or one of its settings.
    """
    kind = type(optimizer).__name__
    if takes_closure(optimizer):
        raise Unsupported(f"{kind} evaluates loss and gradient itself, as often as it needs")
    rule = rules.of(type(optimizer))
    if rule is None:
        raise Unsupported(f"there is no lane rule for the optimizer {kind}")
    places = {id(weight): place for place, weight in enumerate(weights)}
    trained = [id(weight) for group in optimizer.param_groups for weight in group["params"]]
    if sorted(trained) != sorted(places):
        raise Unsupported("the optimizer does not train exactly the model's trainable weights")
    groups, numbers = list[Group](), dict[str, float]()
    for place, group in enumerate(optimizer.param_groups):
        _refuse_unknown(rule, group, kind)
        own = {name: _numbers(name, _setting(optimizer, group, name)) for name in rule.numbers}
        for name, value in own.items():
            numbers |= _named(f"{place}.{name}", value)
        flags = tuple(
            (name, _flag(own[name]) if name in own else _hashable(name, _setting(optimizer, group, name)))
            for name in rule.flags
        )
        groups.append(Group(flags, tuple(places[id(weight)] for weight in group["params"])))
    return Settings(rule, tuple(groups), numbers)


def numbers_of_group(numbers: Mapping[str, Tensor], group: int) -> Numbers:
    """Return the numbers of a parameter group as a lane rule expects them, with tuples.

    Args:
        numbers: The numbers of all groups, by name; see the module.
        group: The number of the group.
    """
    found: dict[str, Any] = {}
    for full_name, value in numbers.items():
        owner, name, *place = full_name.split(".")
        if int(owner) == group:
            found[name] = (*found.get(name, ()), value) if place else value
    return found


def clipped(grads: Sequence[Tensor], clip: float) -> list[Tensor]:
    """Scale the gradient of one lane down to a norm, as ``torch.nn.utils.clip_grad_norm_`` does."""
    norm = torch.stack([grad.norm() for grad in grads]).norm()
    factor = (clip / (norm + 1e-6)).clamp(max=1.0)
    return [grad * factor for grad in grads]


def _refuse_unknown(rule: LaneRule, group: Mapping[str, Any], kind: str) -> None:
    known = {"params", *rule.numbers, *rule.flags, *rule.ignored, *(rule.memory or ())}
    if unknown := sorted(set(group) - known):
        raise Unsupported(
            f"the lane rule of {kind} does not name the setting {unknown[0]}; add it to numbers, flags or "
            "ignored"
        )


def _setting(optimizer: torch.optim.Optimizer, group: Mapping[str, Any], name: str) -> Any:
    """Return a setting of a group, or of the optimizer; None: it has no such setting."""
    return group[name] if name in group else getattr(optimizer, name, None)


def _numbers(name: str, value: Any) -> float | tuple[float, ...]:
    parts = value if isinstance(value, (tuple, list)) else [value]
    if any(isinstance(part, bool) or not isinstance(part, (int, float)) for part in parts):
        raise Unsupported(f"the optimizer's {name} is {value!r}, which is no plain number")
    return tuple(map(float, parts)) if isinstance(value, (tuple, list)) else float(value)


def _named(full_name: str, value: float | tuple[float, ...]) -> dict[str, float]:
    if isinstance(value, tuple):
        return {f"{full_name}.{place}": part for place, part in enumerate(value)}
    return {full_name: value}


def _flag(value: float | tuple[float, ...]) -> Hashable:
    return tuple(part != 0 for part in value) if isinstance(value, tuple) else value != 0


def _hashable(name: str, value: Any) -> Hashable:
    value = tuple(value) if isinstance(value, list) else value
    if not isinstance(value, Hashable):
        raise Unsupported(f"the optimizer's {name} is {value!r}, which no flag can be")
    return value
