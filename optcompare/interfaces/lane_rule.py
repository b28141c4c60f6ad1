"""The lane rule contract: the update of an optimizer as pure functions of one lane.

With a rule, trials that differ in numbers alone are trained together, as lanes of one program. The
functions see one lane; the trainer maps them over all lanes and traces them once, so that they must not
branch on the values of tensors (``torch.where`` instead of ``if``), call ``.item()``, or write into their
arguments. Before a group is trained, the first updates by the rule are compared with those by the
optimizer; trials that differ run on the loop.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..errors import PluginError

if TYPE_CHECKING:
    from torch import Tensor

LaneState = dict[str, "Tensor"]
"""The tensors that an optimizer keeps for one weight, by their names in its ``state``."""
Numbers = Mapping[str, Any]
"""The numbers of lanes by name, a tensor each; a tuple of tensors where the setting is a tuple."""
Rates = Mapping[str, "Tensor"]
"""What the update computes with, by name."""
Flags = Mapping[str, Any]
"""The settings that select operations, by name; equal in all lanes of a program."""


def numbers_alone(numbers: Numbers, step: Tensor) -> dict[str, Tensor]:
    """Return the numbers themselves as rates, without those that are tuples.

    Args:
        numbers: The numbers of the lanes, float64[R] or float64[U, R] each.
        step: The counts of the updates, from 1 on, float64[U, 1].
    """
    return {name: value for name, value in numbers.items() if not isinstance(value, tuple)}


def stateless(weight: Tensor, flags: Flags) -> LaneState:
    """Return no state.

    Args:
        weight: The weight, of any shape.
        flags: The flags.
    """
    return {}


def uncounted(updates: int) -> Mapping[str, Any]:
    """Return no count.

    Args:
        updates: The number of updates made.
    """
    return {}


@dataclass(frozen=True, kw_only=True, eq=False)
class LaneRule:
    """Describe the update of an optimizer as pure functions of one lane.

    In what follows R is the number of lanes and U that of updates. Settings are read from a parameter group
    of the optimizer, or else from its attribute of that name. A setting of the group that is in none of
    ``numbers``, ``flags``, ``ignored`` and ``memory`` is refused, since it might change the result.

    Attributes:
        update: ``update(weight, grad, state, rates, flags)`` returns the new weight and the new state of
            one weight. The gradient has the weight's shape, rates have no dimension and the dtype of the
            weights.
        numbers: Names of settings that are numbers, or tuples of numbers, and may differ between lanes;
            ``lr`` is one of them.
        flags: Names of settings that select operations, with any hashable values. If a name is in
            ``numbers``, too, the flag is whether the number is other than 0; of a tuple, there is one for
            each part.
        ignored: Names of settings that do not change the result, such as ``foreach``.
        rates: ``rates(numbers, step)`` returns the factors of many updates, which the program does not
            compute again: from numbers of float64[R] (``lr`` of float64[U, R] under a schedule), and the
            counts of the updates from 1 on, float64[U, 1]. Each result can be broadcast to [U, R]. Default:
            the numbers.
        state: ``state(weight, flags)`` returns the state of a weight before its first update, by its names
            in ``optimizer.state[weight]``; tensors of any shape, which keep their dtype. Default: none.
        counted: ``counted(updates)`` returns the rest of ``optimizer.state[weight]`` after that many
            updates, such as ``{"step": torch.tensor(float(updates))}``. It is not an input of the update.
            Default: none.
        memory: Numbers that updates change in the parameter group, with their values before the first
            update.
        advance: ``advance(memory, rates, flags)`` is called once before the weights of a group are updated.
            It returns the new memory, and rates that replace or join the others. Memory has no dimension
            and is float64. None: there is no memory.
        evaluated: ``evaluated(weight, state, numbers, flags)`` returns the weight in the optimizer's
            evaluation mode, by which a trial is measured. Numbers have no dimension and the dtype of the
            weights. None: the weight itself.

    Raises:
        PluginError: Names are given as a text, there is memory without ``advance``, or no ``lr``.
    """

    update: Callable[[Tensor, Tensor, LaneState, Rates, Flags], tuple[Tensor, LaneState]]
    numbers: tuple[str, ...] = ("lr",)
    flags: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    rates: Callable[[Numbers, Tensor], Mapping[str, Tensor]] = numbers_alone
    state: Callable[[Tensor, Flags], LaneState] = stateless
    counted: Callable[[int], Mapping[str, Any]] = uncounted
    memory: Mapping[str, int | float] | None = None
    advance: Callable[[Rates, Rates, Flags], tuple[Mapping[str, Tensor], Mapping[str, Tensor]]] | None = None
    evaluated: Callable[[Tensor, LaneState, Numbers, Flags], Tensor] | None = None

    def __post_init__(self) -> None:
        for field in ("numbers", "flags", "ignored"):
            if isinstance(names := getattr(self, field), str):
                raise PluginError(f"{field} of a LaneRule is a tuple of names, got '{names}'")
        if (self.memory is None) != (self.advance is None):
            raise PluginError("a LaneRule has memory and advance, or neither")
        if "lr" not in self.numbers:
            raise PluginError(f"a LaneRule has lr among its numbers, got {self.numbers}")
