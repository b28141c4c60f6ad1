"""Figures for papers: width, resolution, fonts, captions beside them, axes of one's own, and the column that
is shown.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

import optcompare
from optcompare import ComparisonError, compare, load
from tests.helpers.commands import run
from tests.helpers.figures import assert_rows_readable, said

KINDS = ["loss", "final", "pairs", "tuning", "goal"]


@pytest.fixture(scope="module")
def digits(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("digits") / "run"
    arms, tuned = ["full", "mini:64", "mini:256"], {"tune": 3, "tune_seeds": 1, "goal": "valid_loss=2.2"}
    compare("digits", arms, seeds=2, updates=6, out=out, **tuned)
    return out


def fonts(pdf: bytes) -> set[str]:
    return {
        name.decode() for name in re.findall(rb"/Subtype\s*/(Type0|Type3|TrueType|CIDFontType2|Type1)\b", pdf)
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", [None, *KINDS])
def test_pdf_embeds_truetype_fonts_and_svg_keeps_text(digits, tmp_path, kind):
    named = () if kind is None else ("--figure", kind)
    assert run("report", digits, *named, "--format", "pdf,svg", "--width", "3.4", "--out", tmp_path) == 0
    (pdf,) = tmp_path.glob("*.pdf")
    assert "Type3" not in fonts(pdf.read_bytes())
    assert fonts(pdf.read_bytes()) & {"TrueType", "CIDFontType2"}
    (svg,) = tmp_path.glob("*.svg")
    assert "<text" in svg.read_text()
    assert "mini:64" in svg.read_text()


@pytest.mark.slow
def test_a_figure_in_python_is_saved_in_the_same_way(digits, tmp_path):
    load(digits).plot().savefig(tmp_path / "plot.pdf")
    assert "Type3" not in fonts((tmp_path / "plot.pdf").read_bytes())


@pytest.mark.parametrize(("options", "dots"), [((), 300), (("--dpi", "150"), 150)])
def test_png_has_the_resolution_that_is_asked_for(digits, tmp_path, options, dots):
    assert run("report", digits, "--figure", "final", "--width", "3.4", *options, "--out", tmp_path) == 0
    (png,) = tmp_path.glob("*.png")
    with Image.open(png) as image:
        assert abs(image.width - 3.4 * dots) <= 1


def test_dots_an_inch_in_python(digits, tmp_path):
    optcompare.figure("final", load(digits), width=4, dpi=50).savefig(tmp_path / "small.png")
    with Image.open(tmp_path / "small.png") as image:
        assert image.width == 200


@pytest.mark.slow
@pytest.mark.parametrize("kind", [None, *KINDS])
def test_without_caption_explanations_are_a_text_beside_the_figure(digits, tmp_path, kind):
    named = () if kind is None else ("--figure", kind)
    assert run("report", digits, *named, "--no-caption", "--width", "5", "--out", tmp_path) == 0
    (text,) = tmp_path.glob("*.txt")
    assert [path.stem for path in tmp_path.glob("*.png")] == [text.stem]
    shown = optcompare.figure(kind or "loss", load(digits), width=5)
    bare = optcompare.figure(kind or "loss", load(digits), width=5, caption=False)
    assert shown.caption == bare.caption == text.read_text(encoding="utf-8").strip()
    assert len(bare.caption) > 20
    first = shown.caption.replace("\u00a0", " ").split(".")[0].replace("\n", " ").split(":")[0]
    assert first in said(shown).replace("\n", " ")
    assert first not in said(bare).replace("\n", " ")
    assert bare.get_figheight() < shown.get_figheight()


def test_with_its_caption_a_figure_stands_alone(digits, tmp_path):
    assert run("report", digits, "--figure", "final", "--out", tmp_path) == 0
    assert not list(tmp_path.glob("*.txt"))


@pytest.mark.slow
@pytest.mark.parametrize("width", [3.4, 7, 10])
@pytest.mark.parametrize("caption", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_has_the_width_and_can_be_read(digits, kind, width, caption):
    figure = optcompare.figure(kind, load(digits), width=width, caption=caption)
    assert figure.get_figwidth() == width
    assert_rows_readable(figure)


@pytest.mark.parametrize("kind", [*KINDS, "final"])
def test_a_figure_of_one_panel_is_drawn_on_axes_of_ones_own(digits, kind):
    own = Figure(figsize=(7, 3))
    ax = own.add_axes((0.3, 0.3, 0.4, 0.5))
    assert optcompare.figure(kind, load(digits), x="epochs" if kind == "loss" else None, ax=ax) is own
    assert ax.lines
    assert own.axes == [ax]


def test_several_panels_do_not_fit_one_ax(digits):
    ax = Figure().add_subplot()
    with pytest.raises(
        ComparisonError, match="the figure loss has several panels, and does not fit one ax; give x"
    ):
        optcompare.figure("loss", load(digits), ax=ax)
    with pytest.raises(ComparisonError, match="the figure paths has several panels"):
        optcompare.figure("paths", load(digits), ax=ax)


@pytest.mark.parametrize(("option", "value"), [("width", 2.0), ("dpi", 10.0)])
def test_a_size_out_of_range_is_refused(digits, option, value):
    with pytest.raises(ComparisonError, match=f"^{option} takes"):
        optcompare.figure("final", load(digits), **{option: value})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"x": "epoch"}, "x must be one of epochs, updates, samples, seconds, got 'epoch'"),
        ({"results": "runs/DIR"}, r"what compare\(\) or load\(\) returns, got 'runs/DIR'; give such as"),
    ],
)
def test_wrong_arguments_of_a_figure_are_one_line(digits, arguments, message):
    with pytest.raises(ComparisonError, match=message):
        optcompare.figure("loss", **{"results": load(digits), **arguments})


class TestWhatIsShown:
    @pytest.mark.slow
    def test_validation_and_training_loss_stand_side_by_side(self, digits):
        result = load(digits)
        assert [ax.get_ylabel() for ax in result.plot().axes if ax.get_ylabel()] == [
            "validation loss",
            "training loss",
        ]
        assert len(result.plot().axes) == 6

    def test_one_column_alone(self, digits):
        figure = load(digits).plot("valid_accuracy")
        assert [ax.get_ylabel() for ax in figure.axes] == ["validation accuracy", "", ""]
        assert "validation accuracy" in said(
            optcompare.figure("final", load(digits), metric="valid_accuracy")
        )

    @pytest.mark.slow
    def test_final_values_of_a_test_set_are_a_row(self, digits):
        result = load(digits)
        result.records["test_loss"] = np.linspace(1.0, 2.0, len(result.records))
        figure = result.plot()
        strip = figure.axes[6]
        assert strip.get_ylabel() == "test loss"
        assert [line.get_label() for line in strip.lines if not line.get_label().startswith("_")] == [
            arm.label for arm in result.comparison.arms
        ]
        assert_rows_readable(figure)
        with pytest.raises(ComparisonError, match="test_loss is measured once, when a trial has ended"):
            result.plot("test_loss")

    def test_the_title_says_what_is_claimed_and_the_subtitle_what_was_shared(self, digits):
        title, subtitle = (text.get_text() for text in load(digits).plot().texts[:2])
        assert title == "digits: no difference claimed (2 seeds)"
        assert subtitle.startswith("2 seeds, identical weights and sample order. Workload digits.")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (
                ("--metric", "valid_acuracy"),
                "no column 'valid_acuracy' is measured (did you mean 'valid_accuracy'?)",
            ),
            (("--metric", "seed"), "no column 'seed' is measured"),
            (("--figure", "pairs", "--metric", "valid_loss"), "metric is for the figures loss and final"),
        ],
    )
    def test_an_unknown_column_is_one_line(self, digits, tmp_path, capsys, options, message):
        assert run("report", digits, *options, "--out", tmp_path) == 2
        printed = capsys.readouterr()
        error = printed.err.strip().splitlines()
        assert len(error) == 1
        assert message in error[0]
        assert not printed.out, "what is refused is refused before the summary"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--dpi", "0"), "dpi takes 30 to 2400 dots an inch, got 0"),
            (("--dpi", "0", "--format", "html"), "--format html makes a page of the whole comparison"),
            (("--x", "seconds"), "the comparison plot has three axes; add --figure loss --x seconds"),
        ],
    )
    def test_no_setting_is_left_unread(self, digits, tmp_path, capsys, options, message):
        assert run("report", digits, *options, "--out", tmp_path) == 2
        assert message in capsys.readouterr().err
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("x", [None, "updates"])
    def test_the_title_of_another_column_names_the_one_that_is_compared(self, digits, x):
        found = load(digits)
        shown = said(optcompare.figure("loss", found, x, metric="valid_accuracy")).replace("\n", " ")
        assert "digits, final valid_loss: no difference claimed (2 seeds)" in shown
        same = said(optcompare.figure("loss", found, x, metric="valid_loss")).replace("\n", " ")
        assert "digits: no difference claimed (2 seeds)" in same

    @pytest.mark.slow
    def test_a_run_refuses_an_unknown_column_before_it_trains(self, tmp_path, capsys):
        out = tmp_path / "run"
        asked = (
            "--workload",
            "digits",
            "--strategies",
            "full",
            "--seeds",
            "1",
            "--updates",
            "1",
            "--out",
            out,
        )
        assert run("run", *asked, "--metric", "valid_los") == 2
        assert (
            "metric: no column 'valid_los' is measured (did you mean 'valid_loss'?)"
            in capsys.readouterr().err
        )
        assert not out.exists()
        assert run("run", *asked, "--metric", "valid_accuracy", "--diagnostics", "grad_norm") == 0
        assert (out / "comparison.png").is_file()


@pytest.mark.slow
def test_an_arm_that_blew_up_does_not_stretch_the_axis_of_final_values():
    """Losses of (1 - 2.5)^2n · ½ after n = 100 updates: 1e35, which is finite in float64."""
    arms = ["full@sgd:lr=0.3", "full@sgd:lr=2.5"]
    result = optcompare.compare("quadratic", arms, seeds=2, epochs=100, dtype="float64", progress=False)
    assert list(result.trials["status"]) == ["finished"] * 4
    figure = optcompare.figure("final", result)
    assert figure.axes[0].get_xlim()[1] < 10
    assert "Drawn as lost: full@sgd:lr=2.5, which blew up." in figure.caption


def test_a_figure_in_python_takes_labels_and_colours(digits):
    result = load(digits)
    shown = optcompare.figure(
        "loss", result, x="epochs", labels={"mini:64": "ours"}, colors={"ours": "#123456", "full": "#654321"}
    )
    words = {text.get_text().strip() for text in shown.findobj(Text)}
    assert {"ours", "full", "mini:256"} <= words
    assert "mini:64" not in words
    assert {"#123456", "#654321"} <= {to_hex(line.get_color()) for ax in shown.axes for line in ax.lines}
    assert [arm.label for arm in result.comparison.arms] == ["full", "mini:64", "mini:256"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"labels": {"mini:65": "ours"}}, r"^labels: there is no arm 'mini:65' \(did you mean 'mini:64'\?\)"),
        ({"labels": {"mini:64": "full"}}, "^labels full=mini:64: another arm is called full, too"),
        ({"colors": {"ful": "#123456"}}, "^colors: there is no arm 'ful'"),
        ({"colors": {"full": "#12345"}}, "^colors full: '#12345' is no colour; write it as #RRGGBB"),
        ({"colors": ["full"]}, r"^colors must map labels of arms to texts, got \['full'\]"),
        ({"labels": {"full": 3}}, r"^labels must map labels of arms to texts, got \{'full': 3\}"),
    ],
)
def test_labels_and_colours_of_no_arm_are_refused(digits, names, message):
    with pytest.raises(ComparisonError, match=message):
        optcompare.figure("final", load(digits), **names)
