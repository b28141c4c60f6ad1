"""The grammar of ``mini:64@adam:lr=0.001``."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from optcompare.core.file_paths import parse_list
from optcompare.core.grammar import Spec, parse, quoted, split, unquoted
from optcompare.errors import SpecError

texts = st.text(max_size=12) | st.text(alphabet="ab0 \t\n\0\"'(),:@=…é\u2028", max_size=12)
keys = st.from_regex(r"[A-Za-z_]\w{0,4}", fullmatch=True)
options = st.lists(st.tuples(keys, texts), max_size=3, unique_by=lambda pair: pair[0]).map(tuple)
things = st.builds(Spec, texts, st.lists(texts, max_size=3).map(tuple), options)
specs = st.builds(
    lambda thing, optimizer: Spec(thing.name, thing.args, thing.options, optimizer),
    things,
    st.none() | things,
)

EXAMPLES = {
    "mini": Spec("mini"),
    "mini:64": Spec("mini", ("64",)),
    "mini:batch_size=64": Spec("mini", (), (("batch_size", "64"),)),
    "mini:64@adam:lr=0.001": Spec("mini", ("64",), (), Spec("adam", (), (("lr", "0.001"),))),
    "full@sgd:lr=0.5": Spec("full", (), (), Spec("sgd", (), (("lr", "0.5"),))),
    "adam:betas=(0.9,0.999)": Spec("adam", (), (("betas", "(0.9,0.999)"),)),
    'csv:"C:/my, data.csv":y=price': Spec("csv", ("C:/my, data.csv",), (("y", "price"),)),
    "csv:'C:/my, data.csv':y=price": Spec("csv", ("C:/my, data.csv",), (("y", "price"),)),
    'csv:"a ""b"" c.csv"': Spec("csv", ('a "b" c.csv',)),
    'csv:data.csv:y="a=b:c@d,e(f"': Spec("csv", ("data.csv",), (("y", "a=b:c@d,e(f"),)),
    " mini : 64 : tail = merge ": Spec("mini", ("64",), (("tail", "merge"),)),
    "my.py:make:": Spec("my.py", ("make", "")),
    "x:a==b": Spec("x", (), (("a", "=b"),)),
    "x:(1,(2:3),4)": Spec("x", ("(1,(2:3),4)",)),
    "x:3=4": Spec("x", ("3=4",)),
}


@pytest.mark.parametrize("text", EXAMPLES)
def test_text_is_read(text):
    assert parse(text, optimizers=True) == EXAMPLES[text]


@pytest.mark.parametrize("spec", EXAMPLES.values(), ids=str)
def test_examples_are_written_such_that_they_read_back(spec):
    assert parse(str(spec), optimizers=True) == spec


def test_list_is_cut_at_top_level_commas_alone():
    text = 'full@sgd:lr=0.5,mini:32,mini:256@adam:betas=(0.9,0.999),csv:"a,b"'
    assert [str(spec) for spec in parse_list(text, optimizers=True)] == [
        "full@sgd:lr=0.5",
        "mini:32",
        "mini:256@adam:betas=(0.9,0.999)",
        'csv:"a,b"',
    ]


def test_optimizers_of_a_list_keep_their_parameters():
    assert parse_list("sgd:momentum=0.9,adam") == [Spec("sgd", (), (("momentum", "0.9"),)), Spec("adam")]


def test_at_sign_is_an_ordinary_character_where_no_optimizer_may_follow():
    assert parse("csv:me@home.csv") == Spec("csv", ("me@home.csv",))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' has an empty name; write names separated by single commas, such as full,mini:32"),
        ("full,,mini", "'' has an empty name"),
        ("full,", "'' has an empty name"),
        (":64", "':64' has an empty name"),
        ("@adam", "'@adam' has an empty name"),
        ("mini@", "'mini@' has an empty name"),
        ("mini@adam@sgd", "'mini@adam@sgd' has more than one '@'; write strategy@optimizer"),
        (
            "mini:tail=keep:64",
            "'mini:tail=keep:64': '64' comes after a key=value; give values without a key first",
        ),
        ("adam:lr=1:lr=2", "'adam:lr=1:lr=2' gives lr twice; give it once"),
        ("adam:betas=(0.9,0.999", "has a parenthesis that is never closed"),
        ("adam:betas=0.9)", "closes a parenthesis that was not opened; remove it"),
        ('csv:"data.csv', 'has a quote (") that is never closed; quote the whole value with the other kind'),
        (
            "csv:peter's.csv",
            "has a quote (') that is never closed; quote the whole value with the other kind",
        ),
        ('csv:my" data".csv', 'my" data".csv is quoted in part; quote the whole value or none of it'),
        ('csv:"a"b"c"', '"a"b"c" is quoted in part; quote the whole value or none of it'),
    ],
)
def test_what_cannot_be_read_says_why(text, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        parse_list(text, optimizers=True)


@settings(deadline=None)
@given(specs)
@example(Spec("a", ("", " ", "(", ")", "'", '"', "\"'", "'\"", "a=b", "(a'b)", '("', "\0\n"), (("k", "=v"),)))
@example(Spec("a@b", ("c@d",), (), Spec("e,f", ("(g", "h)"))))
def test_any_spec_reads_back_as_it_was_written(spec):
    assert parse(str(spec), optimizers=True) == spec


@pytest.mark.slow
@settings(deadline=None)
@given(st.lists(specs, min_size=1, max_size=4))
def test_any_list_of_specs_reads_back_as_it_was_written(written):
    assert parse_list(",".join(map(str, written)), optimizers=True) == written


@settings(deadline=None)
@given(texts)
def test_any_text_survives_its_quotes(text):
    assert unquoted(quoted(text)) == text


@settings(deadline=None)
@given(texts, st.sampled_from(",:@"))
def test_split_loses_nothing(text, separator):
    try:
        pieces = list(split(text, separator))
    except SpecError:
        return
    assert separator.join(pieces) == text


@settings(deadline=None)
@given(texts, st.booleans())
def test_any_text_is_read_or_refused_as_a_spec_error(text, optimizers):
    try:
        found = parse_list(text, optimizers=optimizers)
    except SpecError:
        return
    assert parse_list(",".join(map(str, found)), optimizers=optimizers) == found
