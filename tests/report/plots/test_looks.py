"""Colours, markers and dashes of arms: they belong to names, and are told apart without full sight of
colour.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from optcompare.report.plots.looks import (
    MARKERS,
    PALETTE,
    ArmStyle,
    arm_colours,
    dashes,
    family,
    lightness,
    marker,
    recoloured,
    shades,
)

SEVEN = ["full", "mini:32", "single", "replacement:16", "once", "growth", "sequential:8"]
APART, GREY_APART = 17.0, 8.0
"""The least distances: ΔE*ab (CIE 1976) with and without full sight of colour; ΔL* in grey, where markers do
not differ.
"""
# Machado, Oliveira and Fernandes (2009), severity 1, for linear RGB.
SIGHT = {
    "full sight": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
}


def lab(colour: str, sight: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as it is seen."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [
            [0.4124564, 0.3575761, 0.1804375],
            [0.2126729, 0.7151522, 0.0721750],
            [0.0193339, 0.1191920, 0.9503041],
        ]
    )
    xyz = to_xyz @ np.clip(sight @ linear, 0, 1) / [0.95047, 1, 1.08883]
    x, y, z = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT)
def test_seven_arms_have_colours_apart_as_colour_blind_readers_see_them(sight):
    seen = [lab(colour, SIGHT[sight]) for colour in arm_colours(SEVEN).values()]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= APART


@pytest.mark.parametrize(
    "arms", [SEVEN, [f"mini:{2**i}" for i in range(7)], [f"full:lr={x}" for x in range(7)]]
)
def test_in_grey_seven_arms_differ_in_lightness_or_in_their_markers(arms):
    looks = list(arm_colours(arms).values())
    for a, b in itertools.combinations(looks, 2):
        assert marker(a) != marker(b) or abs(lab(a, np.eye(3))[0] - lab(b, np.eye(3))[0]) >= GREY_APART
    assert len({marker(look) for look in looks}) == 7, "even from the first arm on, markers differ"


@pytest.mark.parametrize("count", [2, 5, 8, 12, 28])
def test_no_two_arms_look_alike(count):
    for arms in ([f"arm{i}" for i in range(count)], [f"mini:{i}" for i in range(count)]):
        looks = [(str(look), marker(look), dashes(look)) for look in arm_colours(arms).values()]
        assert len(set(looks)) == count


def test_a_colour_belongs_to_a_name_whatever_stands_before_it():
    for arms in (SEVEN, SEVEN[::-1], SEVEN[:3], ["single", "mini:64", "full"]):
        looks = arm_colours(arms)
        assert (looks["full"], looks["single"]) == (PALETTE[0], PALETTE[2])
        assert {look for arm, look in looks.items() if arm.startswith("mini")} == {PALETTE[1]}
        assert list(looks) == arms
    assert len(set(arm_colours(SEVEN).values())) == 7, "SALT keeps apart the strategies that come along"


def test_a_longer_name_takes_no_colour_from_a_shorter_one():
    alone = arm_colours(SEVEN)
    more = arm_colours([*(f"full@optimizer_{letter}" for letter in "abcdefgh"), *SEVEN])
    assert all(
        more[arm] == alone[arm] and marker(more[arm]) == marker(alone[arm])
        for arm in ("full", "single", "once")
    )


def test_a_family_has_one_hue_from_light_to_dark():
    looks = arm_colours(["mini:256", "full", "mini:8", "mini:32"])
    light = [lightness(np.array(to_rgb(looks[f"mini:{size}"]))) for size in (8, 32, 256)]
    assert light == sorted(light, reverse=True)
    assert min(-np.diff(light)) > 15
    lit = [np.array(to_rgb(looks[f"mini:{size}"])) for size in (8, 32, 256)]
    assert all(rgb.argmax() == 0 and rgb.argmin() == 2 for rgb in lit), "all are some vermilion"
    assert looks["full"] == PALETTE[0]
    assert shades("#0072B2", 1) == ["#0072B2"]


@pytest.mark.parametrize(
    ("label", "found"),
    [
        ("mini:32", "mini"),
        ("mini:32@adam:lr=0.1:betas=(0.9,0.999)", "mini@adam"),
        ("full@sgd:lr=0.5:nesterov=True", "full@sgd:nesterov=True"),
        ("grab2", "grab2"),
        ("full (control)", "full (control)"),
    ],
)
def test_numbers_do_not_make_a_family(label, found):
    assert family(label) == found


def test_a_given_colour_keeps_marker_and_dashes():
    looks = arm_colours(["full", "single"])
    given = recoloured(looks, {"full": "#123456"})
    assert given == {"full": "#123456", "single": looks["single"]}
    assert marker(given["full"]) == marker(looks["full"]) in MARKERS
    assert (marker("red"), dashes("red")) == ("o", "solid")
    assert dashes(ArmStyle("#123456", "s", (0, (1, 1)))) == (0, (1, 1))


def test_of_sizes_and_rates_each_rate_has_a_hue_and_sizes_go_from_light_to_dark():
    looks = arm_colours([f"mini:{size}@adam:lr={rate}" for size in (8, 32, 256) for rate in (0.1, 0.01)])
    alone = arm_colours(["mini:8@adam:lr=0.01"])
    for rate in (0.1, 0.01):
        lit = [np.array(to_rgb(looks[f"mini:{size}@adam:lr={rate}"])) for size in (8, 32, 256)]
        light = [lightness(rgb) for rgb in lit]
        assert light == sorted(light, reverse=True)
    ends = [lab(looks[f"mini:32@adam:lr={rate}"], np.eye(3)) for rate in (0.1, 0.01)]
    assert np.linalg.norm(ends[0] - ends[1]) > 20
    assert {*alone.values()} <= set(PALETTE)
