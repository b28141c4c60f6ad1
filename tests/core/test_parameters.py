"""Typed parameters: texts become the arguments of a factory, by its annotations."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Optional, Union

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from optcompare.core.grammar import parse
from optcompare.core.parameters import (
    REQUIRED,
    Parameter,
    as_spec,
    bind,
    parameters,
    read_value,
    suggestion,
    write_value,
)
from optcompare.errors import SpecError

Tail = Literal["keep", "merge"]
Maybe = Optional[float]  # noqa: UP045
Either = Union[str, None]  # noqa: UP007


@dataclass
class Mini:
    batch_size: int = 32
    tail: Tail = "keep"
    seen: int = field(default=0, init=False)


def table(path: str, y: str, *, hidden: int = 32, valid: float = 0.2) -> None: ...


def image_set(model: Tail = "keep", *, data: Path | None = None) -> None: ...


def text(path: Path, *, context: int = 64) -> None: ...


def unannotated(size, rate=0.5, *rest, name="a", **more): ...


READ = [
    (int, "64", 64),
    (int, "-3", -3),
    (float, "0.001", 0.001),
    (float, "1e-3", 0.001),
    (float, "3", 3.0),
    (float, "inf", math.inf),
    (bool, "true", True),
    (bool, "False", False),
    (bool, "yes", True),
    (bool, "no", False),
    (str, "7", "7"),
    (str, "none", "none"),
    (type(None), "none", None),
    (Tail, "merge", "merge"),
    (Literal[1, 2, "auto"], "2", 2),
    (Literal[1, 2, "auto"], "auto", "auto"),
    (Literal[True, None], "none", None),
    (tuple[float, float], "(0.9,0.999)", (0.9, 0.999)),
    (tuple[int, str], "(3, a b )", (3, "a b")),
    (tuple[int, ...], "(1,2,3)", (1, 2, 3)),
    (tuple[int, ...], "()", ()),
    (tuple[tuple[int, ...], ...], "((1,2),(3))", ((1, 2), (3,))),
    (tuple[str, ...], '("a,b",c)', ("a,b", "c")),
    (list[int], "(1,2)", [1, 2]),
    (Maybe, "none", None),
    (Maybe, "0.5", 0.5),
    (Either, "x", "x"),
    (int | float, "2", 2),
    (int | float, "2.0", 2.0),
    (float | int, "2", 2),
    (str | int, "2", 2),
    (str | bool, "no", False),
    (str | None, "none", None),
    (float | torch.Tensor, "0.1", 0.1),
    (tuple[float | torch.Tensor, float | torch.Tensor], "(0.9,0.99)", (0.9, 0.99)),
    (bool | None, "none", None),
    (tuple[int, ...] | str, "(1,2)", (1, 2)),
    (tuple[int, ...] | str, "all", "all"),
    (tuple[int, ...] | str, "(a)b)", "(a)b)"),
    (Any, "none", None),
    (Any, "true", True),
    (Any, "12", 12),
    (Any, "1.5", 1.5),
    (Any, "text", "text"),
    (Any, "(0.9,0.999)", (0.9, 0.999)),
]


@pytest.mark.parametrize(("type_", "text", "value"), READ)
def test_text_is_read_by_the_type(type_, text, value):
    found = read_value(text, type_, "x")
    assert found == value
    assert type(found) is type(value)


def test_a_path_begins_at_home_or_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.setenv("USERPROFILE", "/home/me")
    assert read_value("~/data", Path, "x") == Path("/home/me/data")
    assert read_value("~no such user/data", Path, "x") == Path("~no such user/data")


@pytest.mark.parametrize(
    ("type_", "text", "expected"),
    [
        (int, "1.5", "an int"),
        (int, "many", "an int"),
        (int, "", "an int"),
        (float, "fast", "a float"),
        (bool, "1", "true or false"),
        (type(None), "null", "none"),
        (Tail, "drop", "keep or merge"),
        (Maybe, "x", "a float or none"),
        (float | torch.Tensor, "x", "a float"),
        (Path, "", "a path"),
        (Path | None, "", "a path or none"),
        (tuple[float, float], "0.9", "a tuple such as (0.5,0.9)"),
        (tuple[float, float], "(0.9)", "a tuple such as (0.5,0.9)"),
        (tuple[float, float], "(0.9,x)", "a tuple such as (0.5,0.9)"),
        (tuple[int, ...], "(1,x)", "a tuple such as (2,4)"),
        (tuple[float | torch.Tensor, float | torch.Tensor], "x", "a tuple such as (0.5,0.9)"),
        (torch.Tensor, "x", "Tensor"),
    ],
)
def test_error_names_the_parameter_the_type_and_the_value(type_, text, expected):
    with pytest.raises(SpecError, match=re.escape(f"strategy mini: size must be {expected}, got '{text}'")):
        read_value(text, type_, "strategy mini: size")


def test_parameters_are_the_init_fields_in_order():
    assert parameters(Mini) == [Parameter("batch_size", int, 32), Parameter("tail", Tail, "keep")]
    assert list(map(str, parameters(Mini))) == ["batch_size=32", "tail=keep"]


def test_parameters_of_a_function_know_what_is_required():
    found = parameters(table)
    assert [(p.name, p.type, p.default) for p in found] == [
        ("path", str, REQUIRED),
        ("y", str, REQUIRED),
        ("hidden", int, 32),
        ("valid", float, 0.2),
    ]
    assert list(map(str, found)) == ["path", "y", "hidden=32", "valid=0.2"]
    assert parameters(table, skip=1) == found[1:]


def test_parameters_without_annotations_take_anything_and_collectors_are_no_parameters():
    found = parameters(unannotated)
    assert [(p.name, p.type) for p in found] == [("size", Any), ("rate", Any), ("name", Any)]
    assert bind(found, parse("u:3:name=x"), kind="workload") == {"size": 3, "name": "x"}


def test_annotations_that_cannot_be_evaluated_leave_the_others_as_they_are():
    def build(model: Absent, *, lr: float, search: Tail | None = None) -> Absent: ...  # noqa: F821

    assert parameters(build) == [
        Parameter("model", Any, REQUIRED),
        Parameter("lr", float, REQUIRED),
        Parameter("search", Optional[Tail], None),  # noqa: UP045
    ]


def test_parameters_of_torch_optimizers_are_readable():
    values = bind(
        parameters(torch.optim.Adam, skip=1),
        parse("adam:lr=0.01:betas=(0.8,0.9):amsgrad=true"),
        kind="optimizer",
    )
    assert values == {"lr": 0.01, "betas": (0.8, 0.9), "amsgrad": True}


def test_values_are_bound_by_place_and_by_name():
    assert bind(parameters(Mini), parse("mini:64:tail=merge"), kind="strategy") == {
        "batch_size": 64,
        "tail": "merge",
    }


def test_what_is_not_given_is_left_to_the_factory():
    assert bind(parameters(Mini), parse("mini"), kind="strategy") == {}


@pytest.mark.parametrize(
    ("factory", "text", "message"),
    [
        (
            Mini,
            "mini:1:keep:3",
            "strategy mini has 2 parameters (batch_size=32, tail=keep), got 3 values: 1, keep, 3",
        ),
        (dict, "full:3", "strategy full has no parameters, got 1 value: 3"),
        (Mini, "mini:batchsize=3", "strategy mini has no parameter 'batchsize' (did you mean 'batch_size'?)"),
        (
            Mini,
            "mini:qqq=3",
            "strategy mini has no parameter 'qqq'; its parameters are (batch_size=32, tail=keep)",
        ),
        (Mini, "mini:64:batch_size=32", "strategy mini: batch_size is given twice (64 and 32); give it once"),
        (Mini, "mini:seen=3", "strategy mini has no parameter 'seen'"),
        (Mini, "mini:many", "strategy mini: batch_size must be an int, got 'many'"),
        (Mini, "mini:tail=drop", "strategy mini: tail must be keep or merge, got 'drop'"),
        (table, "csv:data.csv", "strategy csv needs y; write csv:data.csv:y=…"),
        (table, "csv", "strategy csv needs path; write csv:path=…"),
        (text, "text:context=4", "strategy text needs path; write text:PATH:context=4"),
        (
            image_set,
            "mnist:data/raw",
            "strategy mnist: model must be keep or merge, got 'data/raw'; the parameters are (model=keep, d",
        ),
        (table, "csv:a:b:1:2:3", "has 4 parameters (path, y, hidden=32, valid=0.2)"),
    ],
)
def test_what_does_not_fit_the_parameters_says_why(factory, text, message):
    known = [] if factory is dict else parameters(factory)
    with pytest.raises(SpecError, match=re.escape(message)):
        bind(known, parse(text), kind="strategy")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mni", " (did you mean 'mini'?)"), ("ful", " (did you mean 'full'?)"), ("zzzz", ""), ("", "")],
)
def test_suggestion_is_the_nearest_name_or_nothing(name, expected):
    assert suggestion(name, ["full", "mini", "single"]) == expected


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"),
        (True, "true"),
        (3, "3"),
        (0.001, "0.001"),
        (1e-8, "1e-08"),
        (2.0, "2.0"),
        ("keep", "keep"),
        ("a,b", '"a,b"'),
        ((0.9, 0.999), "(0.9,0.999)"),
        (((1, 2), ()), "((1,2),())"),
        (("a:b", "c"), '("a:b",c)'),
    ],
)
def test_values_are_written_in_the_grammar(value, text):
    assert write_value(value) == text


words = st.text(max_size=10) | st.text(alphabet="ab \t\"'(),:@=é\0", max_size=10)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
numbers = st.floats(allow_nan=False)
VALUES: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, INTEGERS),
    (float, numbers),
    (bool, st.booleans()),
    (str, words),
    (int | None, st.none() | INTEGERS),
    (float | torch.Tensor, numbers),
    (Literal["a b", "c:d", 3, None], st.sampled_from(["a b", "c:d", 3, None])),
    (tuple[float, str], st.tuples(numbers, words)),
    (tuple[str, ...], st.lists(words).map(tuple)),
    (tuple[tuple[int, ...], ...], st.lists(st.lists(INTEGERS, max_size=3).map(tuple), max_size=3).map(tuple)),
    (Any, st.none() | st.booleans() | INTEGERS | numbers),
]


@pytest.mark.parametrize(("type_", "values"), VALUES, ids=lambda case: str(case)[:30])
@settings(deadline=None)
@given(data=st.data())
def test_any_values_come_back_from_the_spec_that_names_them(type_, values, data):
    given = dict(zip("pq", data.draw(st.tuples(values, values)), strict=True))
    known = [Parameter(name, type_, REQUIRED) for name in given]
    assert bind(known, parse(str(as_spec("thing", given))), kind="thing") == given
