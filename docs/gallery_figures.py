"""How the gallery gets the figure of each example: the example saves it, and it is moved into its page."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst

FIGURE = Path(tempfile.gettempdir()) / f"optcompare-gallery-{os.getpid()}.png"


def figure_argument(gallery_conf: dict[str, Any], script_vars: dict[str, Any]) -> list[str]:
    """Return the command line of an example: where to write its figure."""
    return [str(FIGURE)]


def saved_figure(block: Any, block_vars: dict[str, Any], gallery_conf: dict[str, Any]) -> str:
    """Move the figure that an example wrote, if any, into its page; return the text that shows it."""
    if not FIGURE.exists():
        return ""
    path = next(block_vars["image_path_iterator"])
    shutil.move(FIGURE, path)
    return str(figure_rst([path], gallery_conf["src_dir"]))
