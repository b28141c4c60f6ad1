"""One picture of all figures, to be looked through in a minute, from a few small runs made on the spot.

``python tests/benchmarks/sheet.py [OUT.png]`` trains for about a minute and draws every figure of
``optcompare report`` at 7 inches and in a column of a paper (3.4 inches): of the first command of README; of
arms one of which diverges; of tuned arms; of arms whose seconds are measured and estimated; of panels; and
across workloads. What is cut off, overlaps, is empty or has the wrong words is seen at once, and so is what a
change makes of figures that it was not meant to touch.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image, ImageDraw

import optcompare

WIDTHS, DPI = (7.0, 3.4), 80
ACROSS, GAP, NAME = 2600, 16, 20
"""Pixels: the width of the sheet, what lies between two figures, and the height of a figure's name."""
TEN_INCHES = ("loss", "paths")


class Shown(NamedTuple):
    """Results, and the figures of them that stand on the sheet, each with its x axis (None: its own)."""

    name: str
    results: Callable[[], list[optcompare.Result]]
    figures: Sequence[tuple[str, str | None]]


def run(workload: str, strategies: Sequence[str], **settings: object) -> optcompare.Result:
    """A small comparison, of 3 seeds where nothing else is said."""
    return optcompare.compare(workload, strategies=strategies, progress=False, **{"seeds": 3, **settings})


def shown() -> list[Shown]:
    """All that stands on the sheet, in its order."""
    panels = ("batch_size", "noise_scale", "grad_cosine", "sharpness", "plane")
    growing = ("mini", "growth:8:at=(2,4)", "norm-test:8")
    diagnosed = {"diagnostics": "noise_scale,grad_cosine,sharpness", "diagnose_every": 2, "plane": True}
    goals = {"diabetes": "train_loss=0.6", "breast-cancer": "train_loss=0.3", "digits": "train_loss=1.5"}
    return [
        Shown(
            "line",
            lambda: [run("line", ["full", "mini", "single"], seeds=10)],
            [(kind, None) for kind in ("loss", "final", "pairs")],
        ),
        Shown(
            "one arm diverges",
            lambda: [run("quadratic", ["full@sgd:lr=0.3", "mini:8", "full@sgd:lr=2.5"], epochs=100)],
            [(kind, None) for kind in ("loss", "paths", "final")],
        ),
        Shown(
            "tuned",
            lambda: [run("digits", ["mini", "full"], tune=5, tune_seeds=2, epochs=4, goal="valid_loss=0.5")],
            [(kind, None) for kind in ("loss", "tuning", "goal")],
        ),
        Shown(
            "two clocks",
            lambda: [
                run(
                    "breast-cancer",
                    ["mini", "norm-test:8"],
                    trainer="lanes",
                    epochs=4,
                    goal=goals["breast-cancer"],
                )
            ],
            [("loss", None), ("loss", "seconds"), ("goal", "seconds"), ("batch_size", "seconds")],
        ),
        Shown(
            "panels",
            lambda: [run("digits", growing, schedule="step", epochs=8, **diagnosed)],
            [("loss", None), *((panel, None) for panel in panels)],
        ),
        Shown(
            "across workloads",
            lambda: [
                run(name, ["full", "mini", "single"], epochs=4, goal=goal) for name, goal in goals.items()
            ],
            [("profile", None), ("ranks", None)],
        ),
    ]


def pixels(figure: Figure) -> Image.Image:
    """A figure as an image."""
    figure.set_dpi(DPI)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")


def drawn(part: Shown) -> dict[str, Image.Image]:
    """The figures of a part of the sheet by their names."""
    results, images = part.results(), {}
    for kind, x in part.figures:
        for width in WIDTHS[: 1 if kind in TEN_INCHES else None]:
            name = " ".join(
                filter(
                    None, [part.name, kind, x and f"over {x}", "" if kind in TEN_INCHES else f"{width:g} in"]
                )
            )
            if kind == "loss" and x is None:
                images[name] = pixels(results[0].plot())
            else:
                one = results if len(results) > 1 else results[0]
                images[name] = pixels(optcompare.figure(kind, one, x=x, width=width))
    return images


def laid_out(images: Mapping[str, Image.Image]) -> Image.Image:
    """The images, each below its name, as high up on the sheet as there is room for them."""
    filled, places = np.full(ACROSS, GAP), []
    for image in images.values():
        lefts = range(GAP, ACROSS - image.width - GAP + 1, GAP)
        top, left = min((int(filled[left : left + image.width].max()), left) for left in lefts)
        places.append((left, top))
        around = filled[left - GAP : left + image.width + GAP]
        np.maximum(around, top + NAME + image.height + GAP, out=around)
    sheet = Image.new("RGB", (ACROSS, int(filled.max())), "#9AA0A8")
    pen = ImageDraw.Draw(sheet)
    for (name, image), (x, y) in zip(images.items(), places, strict=True):
        pen.text((x, y + 2), name, fill="black", font_size=13)
        sheet.paste(image, (x, y + NAME))
    return sheet


def main(out: Path, parts: Sequence[Shown]) -> Path:
    """Makes the runs, draws the sheet, and prints where it is."""
    images: dict[str, Image.Image] = {}
    for part in parts:
        images |= drawn(part)
    laid_out(images).save(out)
    print(f"{out}: {len(images)} figures")
    return out


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "sheet.png"), shown())
