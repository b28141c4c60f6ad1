"""How Sphinx builds the documentation; nothing is fetched from the network.

With the gallery, whose examples are run: sphinx-build -W -b html docs docs/_build
Without: sphinx-build -W -b html -D plot_gallery=0 docs docs/_build
"""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

import optcompare

sys.path.insert(0, str(Path(__file__).parent))  # for gallery_figures

project = "optcompare"
author = "the optcompare developers"
project_copyright = author
version = release = optcompare.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "sphinx_gallery.gen_gallery",
]
exclude_patterns = ["_build", "gallery/**.ipynb", "gallery/**.zip", "gallery/**.py", "gallery/**.json"]
default_role = "code"

html_theme = "furo"
html_title = "optcompare"
html_static_path = ["_static"]
html_show_sphinx = False
html_copy_source = False
smartquotes = False  # options begin with two hyphens

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # signatures of twenty arguments read better without them
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "gallery",
    "filename_pattern": r"\.py$",
    "ignore_pattern": r"optcompare_cyclic\.py$",
    "within_subsection_order": "FileNameSortKey",
    "reset_argv": "gallery_figures.figure_argument",
    "image_scrapers": ("gallery_figures.saved_figure",),
    "reset_modules": (),
    "abort_on_example_error": True,
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_memory": False,
    "show_signature": False,
    "min_reported_time": 1e9,
    "write_computation_times": False,
}


def setup(app: Sphinx) -> None:
    """Connect what the extensions leave to do."""

    def only_rst_headers(app: Sphinx) -> None:
        """Keep folders that hold a README.md, such as the installable plugin, out of the gallery."""
        app.config.sphinx_gallery_conf["source_suffix"] = {".rst": "restructuredtext"}

    def absolute_values(
        app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
    ) -> None:
        """Keep the bars of |g| in docstrings, which would be references to substitutions."""
        for number, line in enumerate(lines):
            parts = line.split("``")
            parts[::2] = [text.replace("|", r"\|") for text in parts[::2]]  # the others are literals
            lines[number] = "``".join(parts)

    app.connect("builder-inited", only_rst_headers, priority=400)  # the gallery is made at 500
    app.connect("autodoc-process-docstring", absolute_values)
