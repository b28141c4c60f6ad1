"""A summary is the same up to what other versions of libraries round otherwise."""

from __future__ import annotations

import pytest

from optcompare.verification.summary_file import is_same_summary

WRITTEN = b"arm,mean,seeds\nfull,2.5,10\nmini,0.3333333333333333,10\n"


@pytest.mark.parametrize(
    "changed",
    [
        WRITTEN,
        WRITTEN.replace(b"0.3333333333333333", b"0.33333333333333337"),
        WRITTEN.replace(b"2.5,", b"2.5000000001,"),
    ],
    ids=["itself", "the last digit", "a tenth of a billionth"],
)
def test_rounding_makes_no_other_summary(changed):
    assert is_same_summary(WRITTEN, changed)


@pytest.mark.parametrize(
    "changed",
    [
        WRITTEN.replace(b"2.5,", b"2.50001,"),
        WRITTEN.replace(b"2.5,", b"nan,"),
        WRITTEN.replace(b"full", b"mini"),
        WRITTEN.replace(b",10\n", b"\n", 1),
        WRITTEN + b"single,1,10\n",
        b"\xff" + WRITTEN,
        b"",
    ],
    ids=["another number", "no number", "another arm", "a cell less", "a row more", "no text", "empty"],
)
def test_any_other_change_does(changed):
    assert not is_same_summary(WRITTEN, changed)
