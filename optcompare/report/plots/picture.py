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

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save as :meth:`matplotlib.figure.Figure.savefig` does, with embedded fonts and with text as text."""
        with matplotlib.rc_context(EMBEDDED):
            super().savefig(fname, **options)
