"""Every example in the gallery: short, run as a reader would run it, with its figure."""

from __future__ import annotations

import ast
import runpy
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
GALLERY = sorted(path.stem for path in EXAMPLES.glob("*.py"))
SAYS = {
    "notebook": "after 100 more 1.0089 -0.0380 1.0037 -0.0157",
    "full_mini_single": "Final valid_loss: single ends lower, full ends higher than mini:32, seed by seed.",
    "which_batch_size": "knee, twice the least of both (McCandlish 2018): ",
    "own_model": "One workload (wine), 1 split, 10 seeds. Other workloads may differ.",
    "own_strategy": "Final valid_loss: ramp and ramp:4:last=256 end higher than mini:32",
    "own_optimizer": "mini:32@signdescent: difference ",
    "paper_figure": "One workload (diabetes), 1 split, 10 seeds. Other workloads may differ.",
}


def test_the_gallery_is_whole():
    assert set(GALLERY) == set(SAYS)


@pytest.mark.parametrize("name", GALLERY)
def test_examples_have_fewer_than_forty_lines_of_code(name):
    text = (EXAMPLES / f"{name}.py").read_text("utf-8")
    docstring = ast.parse(text).body[0]
    assert len(text.splitlines()) - (docstring.end_lineno or 0) < 40


@pytest.mark.slow
@pytest.mark.parametrize("name", GALLERY)
def test_examples_say_what_they_are_about_and_draw_it(name, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [f"{name}.py", "figure.png"])
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    said = " ".join(capsys.readouterr().out.split())
    assert SAYS[name] in said
    assert Path("figure.png").read_bytes().startswith(b"\x89PNG")
    if name == "notebook":  # the whole table, as the notebook printed it, to all four digits
        assert said.startswith(
            "first order [2, 3, 1, 4, 5, 0] full: w, b mini:2: w, b start 0.2294 -0.2380 0.2294 -0.2380"
        )
        assert "after 1 epoch 0.4798 -0.1793 0.7664 -0.1066" in said


@pytest.mark.parametrize("name", sorted(GALLERY))
def test_each_figure_stands_beside_its_example(name):
    assert (EXAMPLES / f"{name}.png").read_bytes().startswith(b"\x89PNG")
