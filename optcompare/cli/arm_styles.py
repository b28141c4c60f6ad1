"""New labels and colours of arms in figures, as options give them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import ComparisonError


def arm_labels(texts: Sequence[str]) -> dict[str, str]:
    """Read ``--label NEW=ARM``.

    Args:
        texts: The texts that the user typed.

    Returns:
        New labels by those that arms have.

    Raises:
        ComparisonError: A text is no such pair, or an arm has two new labels.
    """
    found: dict[str, str] = {}
    for text in texts:
        new, equals, arm = (part.strip() for part in text.partition("="))
        if not (new and equals and arm):
            raise ComparisonError(f"--label takes NEW=ARM, such as 'Ours=halves:3', got '{text}'")
        if arm in found:
            raise ComparisonError(f"--label gives {arm} two names, {found[arm]} and {new}; leave one out")
        found[arm] = new
    return found


def arm_colours(texts: Sequence[str]) -> dict[str, str]:
    """Read ``--color ARM=#hex``; an arm's label may hold an equals sign.

    Args:
        texts: The texts that the user typed.

    Returns:
        Colours as #RRGGBB, by labels.

    Raises:
        ComparisonError: A text is no such pair, or no colour.
    """
    found = {}
    for text in texts:
        arm, equals, colour = (part.strip() for part in text.rpartition("="))
        if not (arm and equals):
            raise ComparisonError(f"--color takes ARM=#hex, such as 'full=#0072B2', got '{text}'")
        if not re.fullmatch(r"#(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})", colour):
            raise ComparisonError(
                f"--color {arm}: '{colour}' is no colour; write it as #RRGGBB, such as #0072B2"
            )
        found[arm] = colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
    return found
