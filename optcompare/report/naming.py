"""Replace the labels and the colours of arms in figures, tables and sentences."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from ..core.parameters import suggestion
from ..errors import ComparisonError, printable
from ..results.merge import with_labels

if TYPE_CHECKING:
    from .result import Result

_HEXADECIMAL = re.compile("#(?:[0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})")


def named(
    results: Sequence[Result],
    labels: Mapping[str, str],
    colours: Mapping[str, str],
    options: tuple[str, str] = ("--label", "--color"),
) -> list[Result]:
    """Give arms other labels and colours, in figures, tables and sentences.

    A renamed arm keeps the colour and the marker of its original label.

    Args:
        results: One for each workload.
        labels: The new labels, by the present ones.
        colours: Hexadecimal colours by label, new or present; for a batch-size study also by optimizer.
        options: The names of both in the caller's words, for messages.

    Returns:
        Copies of the results. A label that only some of them have is replaced in these.

    Raises:
        ComparisonError: No result has an arm of that name, two arms would have the same label, or a colour is
            none.
    """
    for option, values in zip(options, (labels, colours), strict=True):
        if not isinstance(values, Mapping) or not all(isinstance(each, str) for each in values.values()):
            raise ComparisonError(f"{option} must map labels of arms to texts, got {values!r}")
    known = list(dict.fromkeys(arm.label for result in results for arm in result.comparison.arms))
    studied = [
        arm.optimizer.label
        for result in results
        if result.comparison.stop_at_goal
        for arm in result.comparison.arms
    ]
    _refuse_unknown(options[0], labels, known)
    _refuse_unknown(options[1], colours, list(dict.fromkeys([*known, *labels.values(), *studied])))
    if not labels and not colours:
        return list(results)
    colours = _checked_colours(options[1], colours)
    shown = {old: printable(new) for old, new in labels.items()}
    return [_named(result, shown, colours, options[0]) for result in results]


def _checked_colours(option: str, colours: Mapping[str, str]) -> dict[str, str]:
    """Return colours as #RRGGBB, from these and from #RGB."""
    for name, colour in colours.items():
        if not _HEXADECIMAL.fullmatch(colour):
            raise ComparisonError(
                f"{option} {name}: '{colour}' is no colour; write it as #RRGGBB, such as #0072B2"
            )
    return {
        name: colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
        for name, colour in colours.items()
    }


def _refuse_unknown(option: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            hint = suggestion(name, known) or f"; there are {', '.join(known)}"
            raise ComparisonError(f"{option}: there is no arm '{name}'{hint}")


def _named(result: Result, labels: Mapping[str, str], colours: Mapping[str, str], option: str) -> Result:
    from .plots.looks import recoloured

    own = [arm.label for arm in result.comparison.arms]
    renamed = {old: new for old, new in labels.items() if old in own and old != new}
    final = [renamed.get(label, label) for label in own]
    for old, new in renamed.items():
        if final.count(new) > 1:
            raise ComparisonError(
                f"{option} {new}={old}: another arm is called {new}, too; choose another label"
            )
    looks = {renamed.get(label, label): look for label, look in result.colours().items()}
    chosen = {renamed.get(name, name): colour for name, colour in colours.items()}
    others = {name: colour for name, colour in chosen.items() if name not in looks}
    return dataclasses.replace(
        with_labels(result, renamed), appearance={**recoloured(looks, chosen), **others}
    )
