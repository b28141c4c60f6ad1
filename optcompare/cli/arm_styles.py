"""New labels and colours of arms in figures, as options give them."""

from __future__ import annotations

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
        Colours by labels, as they were typed.

    Raises:
        ComparisonError: A text is no such pair.
    """
    found = {}
    for text in texts:
        arm, equals, colour = (part.strip() for part in text.rpartition("="))
        if not (arm and equals):
            raise ComparisonError(f"--color takes ARM=#hex, such as 'full=#0072B2', got '{text}'")
        found[arm] = colour
    return found
