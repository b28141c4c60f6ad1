"""What stands on a figure, and whether it can be read."""

from __future__ import annotations

import itertools

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text


def visible_texts(fig: Figure) -> list[Text]:
    """Every text that is drawn: tick names within the limits, axis names, and what stands on the figure."""
    texts = list(fig.texts)
    for ax in fig.axes:
        texts += [ax.title, ax.xaxis.label, ax.yaxis.label, *ax.texts]
        for axis in (ax.xaxis, ax.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in texts if text.get_visible() and text.get_text().strip()]


def assert_readable(fig: Figure) -> None:
    """No text touches another, or axes it does not belong to, or leaves the page; none is smaller than 8
    points.
    """
    renderer = FigureCanvasAgg(fig).get_renderer()
    fig.draw(renderer)
    boxes = {text: text.get_window_extent(renderer) for text in visible_texts(fig)}
    for (one, a), (other, b) in itertools.combinations(boxes.items(), 2):
        apart = a.x1 <= b.x0 + 0.5 or b.x1 <= a.x0 + 0.5 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5
        assert apart, f"{one.get_text()!r} touches {other.get_text()!r}"
    for text, box in boxes.items():
        assert text.get_fontsize() >= 8
        assert min(box.x0, box.y0) >= 0, f"{text.get_text()!r} leaves the page"
        assert (box.max <= fig.bbox.max).all(), f"{text.get_text()!r} leaves the page"
    for text in fig.texts:
        assert not any(boxes[text].overlaps(ax.bbox) for ax in fig.axes), f"{text.get_text()!r} lies on axes"


LONG = "mini:{}@some_custom_optimizer:lr=0.01:betas=(0.9,0.999)"


def labelled(ax: Axes, label: str) -> list[Line2D]:
    return [line for line in ax.lines if line.get_label() == label]


def names(count: int, label: str = "") -> list[str]:
    short = [
        "full",
        "mini:2",
        "single",
        "mini:32@adam:lr=0.1",
        "mini:256@sgd:momentum=0.9",
        "full@adam",
        "mini:64",
    ]
    return (
        [label.format(2**i) for i in range(count)]
        if label
        else [*short, *(f"m:{i}" for i in range(5))][:count]
    )


def said(fig: Figure) -> str:
    return " ".join(text.get_text() for text in visible_texts(fig)).replace("\u00a0", " ")


def assert_rows_readable(fig: Figure) -> None:
    """No text touches another or a cross, or leaves the page, or is too small; none of the figure's lies on
    axes.
    """
    renderer = FigureCanvasAgg(fig).get_renderer()
    fig.draw(renderer)
    boxes = [(repr(text.get_text()), text.get_window_extent(renderer)) for text in visible_texts(fig)]
    crosses = [line for ax in fig.axes for name in ("_lost", "_diverged") for line in labelled(ax, name)]
    boxes += [("×", cross.get_window_extent(renderer)) for cross in crosses]
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart = a.x1 <= b.x0 + 0.5 or b.x1 <= a.x0 + 0.5 or a.y1 <= b.y0 + 0.5 or b.y1 <= a.y0 + 0.5
        assert apart or one == other == "×", f"{one} touches {other}"
    for name, box in boxes:
        assert min(box.x0, box.y0) >= 0, f"{name} leaves the page"
        assert (box.max <= fig.bbox.max).all(), f"{name} leaves the page"
    assert min(text.get_fontsize() for text in visible_texts(fig)) >= (7 if fig.get_figwidth() < 5 else 8)
    for text in fig.texts:
        assert not any(text.get_window_extent(renderer).overlaps(ax.bbox) for ax in fig.axes), text.get_text()
