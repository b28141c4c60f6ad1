"""Markdown tables whose cells are text alone."""

from __future__ import annotations

import re

import pytest

from optcompare.report.markdown import markdown

LIVE = [
    "[x](http://a.example)",
    "![x](http://a.example/p.png)",
    "<http://a.example>",
    "http://a.example",
    "www.a.example",
    "javascript:alert(1)",
    "[x]: http://a.example",
    "a@b.example",
    "mailto:a@b.example",
    "full@package.Lion",
    "<a href=x>y</a>",
    "<script>alert(1)</script>",
    "&#91;x&#93;",
    "\\[x]",
    "*x*",
    "_x_",
    "~~x~~",
    "$x$",
    "`x`",
    "@someone",
    "owner/name#1",
    "#1",
    "GH-1",
    "0123456789abcdef",
]


@pytest.mark.parametrize("name", LIVE)
@pytest.mark.parametrize("place", ["{}", "before {}", "``` {}", "a | {}", "{}\nnext"])
def test_a_name_is_set_as_code_where_it_would_be_more_than_text(name, place):
    text = place.format(name)
    header, _, row = markdown(["arm", text], [[text, "1"]]).splitlines()
    cell = row.removeprefix("| ").removesuffix(" | 1 |")
    assert header == f"| arm | {cell} |"
    (fence,) = re.findall("^`+", cell)
    inside = cell.removeprefix(fence).removesuffix(fence)
    assert cell == f"{fence}{inside}{fence}"
    assert fence not in re.findall("`+", inside)
    assert inside.strip().replace("\\|", "|") == " ".join(text.split())


@pytest.mark.parametrize(
    "name", ["mini:32@adam:lr=0.1", "norm_test:theta=0.5", "-1.5 ± 0.2", "<0.001", "1,234,567", "∞", "名前"]
)
def test_other_names_and_numbers_are_text(name):
    assert markdown(["arm"], [[name]]) == f"| arm |\n| --- |\n| {name} |"


def test_a_bar_ends_no_cell():
    assert markdown(["a|b", "c"], [["x|y", "z"]]).splitlines()[2] == "| x\\|y | z |"
