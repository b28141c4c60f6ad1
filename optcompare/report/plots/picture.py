"""Define a figure that carries its caption, and is saved with embedded fonts."""

from __future__ import annotations

from typing import Any

import matplotlib
from matplotlib.figure import Figure

EMBEDDED: Any = {"pdf.fonttype": 42, "ps.fonttype": 42, "svg.fonttype": "none"}
"""Embed fonts in PDF and PostScript as TrueType, as editors and journals need; keep text as text in SVG."""


class Picture(Figure):
    """Extend a matplotlib Figure by a caption.

    Attributes:
        caption: The lines that explain the figure, whether they are drawn or not.
    """

    caption: str = ""
    _resolution: float | None = None

    def set_resolution(self, dpi: float) -> None:
        """Set the resolution at which the figure is shown and saved.

        Args:
            dpi: Dots per inch.
        """
        self.set_dpi(dpi)
        self._resolution = dpi

    def savefig(self, fname: Any, **options: Any) -> None:
        """Save as :meth:`matplotlib.figure.Figure.savefig` does, with embedded fonts and with text as text.

        Args:
            fname: The file or its path.
            **options: The options of matplotlib.
        """
        if self._resolution is not None:
            options.setdefault("dpi", self._resolution)
        with matplotlib.rc_context(EMBEDDED):
            super().savefig(fname, **options)
