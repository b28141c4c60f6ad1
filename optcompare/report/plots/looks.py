"""Give arms a colour, a marker and dashes that depend on their names only, not on the other arms."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import to_hex, to_rgb
from numpy.typing import NDArray

Dashes = str | tuple[float, tuple[float, ...]]

# The colours of Okabe and Ito, which colour-blind readers can distinguish. Their yellow is left out, since it
# is too pale for a line on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "*")
DASHES: tuple[Dashes, ...] = ("solid", (0, (3.2, 1.2)), (0, (1, 1)), (0, (5, 1, 1, 1)))
LIGHTEST, DARKEST = 70.0, 26.0
"""CIE L* of the lightest and the darkest arm of a large family."""
SALT = "6658"
"""A salt for which all bundled strategies prefer different hues (see the tests)."""


class ArmStyle(str):
    """Hold a colour as matplotlib takes it, with the marker and the dashes of its arm."""

    marker: str
    dashes: Dashes

    def __new__(cls, colour: str, marker: str = "o", dashes: Dashes = "solid") -> ArmStyle:
        """Make a colour with a marker and dashes.

        Args:
            colour: The colour in hexadecimal notation.
            marker: A marker of matplotlib.
            dashes: A line style of matplotlib.
        """
        look = super().__new__(cls, colour)
        look.marker, look.dashes = marker, dashes
        return look


def arm_colours(arms: Sequence[str]) -> dict[str, str]:
    """Give each arm a :class:`ArmStyle` that depends on the names, never on their order.

    Arms whose labels differ in one number alone are a family, such as one strategy at many rates or batch
    sizes. A family has one hue, from light to dark as the number grows; if several numbers differ, it is the
    one with most values. A family has the hue that its name prefers, unless a shorter name among these has
    it. From the eighth family on, hues repeat with other dashes. Markers are assigned in the same way, one
    for each arm.

    Args:
        arms: The labels of the arms.

    Returns:
        The looks by label, in the order of ``arms``.
    """
    families = _families(list(dict.fromkeys(arms)))
    hues, markers = _shared_out(list(families), len(PALETTE)), _shared_out(list(arms), len(MARKERS))
    looks: dict[str, str] = {}
    for name, members in families.items():
        hue, turn = hues[name]
        members = sorted(members, key=lambda arm: (_numbers(arm), arm))
        for arm, colour in zip(members, shades(PALETTE[hue], len(members)), strict=True):
            looks[arm] = ArmStyle(colour, MARKERS[markers[arm][0]], DASHES[turn % len(DASHES)])
    return {arm: looks[arm] for arm in arms}


def recoloured(looks: Mapping[str, str], colours: Mapping[str, str]) -> dict[str, str]:
    """Replace the colours of some looks; markers and dashes stay.

    Args:
        looks: The looks by arm.
        colours: The new colours of some arms.
    """
    return {arm: ArmStyle(colours.get(arm, look), marker(look), dashes(look)) for arm, look in looks.items()}


def marker(colour: str) -> str:
    """Return the marker of a look; a circle for a plain colour.

    Args:
        colour: A look, or a plain colour.
    """
    return colour.marker if isinstance(colour, ArmStyle) else MARKERS[0]


def dashes(colour: str) -> Dashes:
    """Return the dashes of a look; solid for a plain colour.

    Args:
        colour: A look, or a plain colour.
    """
    return colour.dashes if isinstance(colour, ArmStyle) else DASHES[0]


def line_styles(colours: Mapping[str, str]) -> dict[str, Dashes]:
    """Return the dashes of each arm.

    Args:
        colours: The looks by arm.
    """
    return {arm: dashes(colour) for arm, colour in colours.items()}


def sample(colour: str, width: float = 1.8) -> dict[str, Any]:
    """Return the options of a line of three points that stands for an arm in a key.

    Args:
        colour: A look, or a plain colour.
        width: The width of the line in points.
    """
    return {
        "color": colour,
        "linestyle": dashes(colour),
        "linewidth": width,
        "marker": marker(colour),
        "markersize": 6.0 if marker(colour) in "P*" else 4.5,
        "markeredgewidth": 0.0,
        "markevery": [1],
    }


def family(label: str) -> str:
    """Return the label without its numbers, such as ``mini@adam`` for ``mini:32@adam:lr=0.1``.

    Args:
        label: The label of an arm.
    """
    return "@".join(":".join(_without_numbers(part)) for part in label.split("@"))


def _families(arms: Sequence[str]) -> dict[str, list[str]]:
    """Return the arms of each family by its name.

    A family whose arms differ in several numbers is split, so that only the number with most values varies.
    """
    whole: dict[str, list[str]] = {}
    for arm in arms:
        whole.setdefault(family(arm), []).append(arm)
    families: dict[str, list[str]] = {}
    for name, members in whole.items():
        parts: dict[tuple[float, ...], list[str]] = {}
        numbers = {arm: _numbers(arm) for arm in members}
        alike = len({len(each) for each in numbers.values()}) == 1
        counts = [len(set(column)) for column in zip(*numbers.values(), strict=True)] if alike else []
        for arm in members:
            others = (
                [value for i, value in enumerate(numbers[arm]) if i != counts.index(max(counts))]
                if counts
                else []
            )
            parts.setdefault(tuple(others), []).append(arm)
        for i, others_of_part in enumerate(sorted(parts)):
            # The first part keeps the name of the family, and thus its hue.
            families[name if i == 0 else f"{name} {others_of_part}"] = parts[others_of_part]
    return families


def _without_numbers(part: str) -> list[str]:
    head, *options = part.split(":")
    return [head, *(option for option in options if not re.search(r"\d", option))]


def _numbers(label: str) -> tuple[float, ...]:
    return tuple(float(digits) for digits in re.findall(r"\d+(?:\.\d+)?(?:e[+-]?\d+)?", label))


def _shared_out(names: Sequence[str], count: int) -> dict[str, tuple[int, int]]:
    """Assign one of ``count`` things to each name; shorter names choose first.

    Returns:
        By name: the thing, and how many names had it before.
    """
    taken = [0] * count
    choices: dict[str, tuple[int, int]] = {}
    for name in sorted(set(names), key=lambda name: (len(name), name)):
        choice = min(_preferred(name, count), key=lambda i: taken[i])
        choices[name] = choice, taken[choice]
        taken[choice] += 1
    return choices


def _preferred(name: str, count: int) -> list[int]:
    """Return the numbers below ``count`` in an order that depends on the name only."""
    return sorted(range(count), key=lambda i: hashlib.sha256(f"{SALT} {name} {i}".encode()).digest())


def shades(colour: str, count: int) -> list[str]:
    """Return shades of a colour, from light to dark in even steps of CIE L*; one shade is the colour itself.

    Args:
        colour: The colour in hexadecimal notation.
        count: The number of shades.
    """
    if count == 1:
        return [colour]
    half = min((LIGHTEST - DARKEST) / 2, 9.0 * (count - 1))
    middle = (LIGHTEST + DARKEST) / 2
    return [_of_lightness(colour, value) for value in np.linspace(middle + half, middle - half, count)]


def _of_lightness(colour: str, target: float) -> str:
    """Mix a colour with white or black so that it has this CIE L*."""
    rgb = np.array(to_rgb(colour))
    end = np.ones(3) if lightness(rgb) < target else np.zeros(3)
    low, high = 0.0, 1.0
    for _ in range(30):
        share = (low + high) / 2
        mixed = rgb + share * (end - rgb)
        low, high = (share, high) if (lightness(mixed) < target) == bool(end[0]) else (low, share)
    return to_hex(tuple((rgb + low * (end - rgb)).tolist())).upper()


def luminance(rgb: NDArray[np.float64]) -> float:
    """Return the relative luminance of a colour (WCAG 2).

    Args:
        rgb: A colour in sRGB, float[3], 0 to 1.
    """
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return float(linear @ np.array([0.2126, 0.7152, 0.0722]))


def lightness(rgb: NDArray[np.float64]) -> float:
    """Return CIE L* of a colour: 0 is black, 100 white.

    Args:
        rgb: A colour in sRGB, float[3], 0 to 1.
    """
    y = luminance(rgb)
    return 116 * y ** (1 / 3) - 16 if y > 216 / 24389 else y * 24389 / 27
