"""A figure that carries its caption, and is saved as journals ask for it."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.figure import Figure

EMBEDDED: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}
"""Fonts go into PDF and PostScript as TrueType, which editors and journals take; text stays text in SVG."""


class Picture(Figure):
    """A matplotlib Figure with a ``caption``: what explains it, in lines, whether it is also drawn or not."""

    caption: str = ""
    _resolution: float | None = None

    def set_resolution(self, dpi: float) -> None:
        """Show and save it at so many dots an inch; without, saving takes what it was made with."""
        self.set_dpi(dpi)
        self._resolution = dpi

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save as :meth:`matplotlib.figure.Figure.savefig` does, with embedded fonts and with text as
        text.
        """
        if self._resolution is not None:
            options.setdefault("dpi", self._resolution)
        with matplotlib.rc_context(EMBEDDED):
            super().savefig(fname, **options)
