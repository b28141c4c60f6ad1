"""Variables of the environment for a while."""

from __future__ import annotations

import os

import pytest

from optcompare.core.environment import environment_variable


@pytest.mark.parametrize("before", [None, "old"])
@pytest.mark.parametrize("value", [None, "new"])
def test_a_variable_is_set_within_the_context_and_restored_after_an_error(monkeypatch, before, value):
    if before is None:
        monkeypatch.delenv("OPTCOMPARE_TRIED", raising=False)
    else:
        monkeypatch.setenv("OPTCOMPARE_TRIED", before)
    inside = before if value is None else value
    with pytest.raises(ValueError, match="stop"):
        _change_and_fail(value, inside)
    assert os.environ.get("OPTCOMPARE_TRIED") == before


def _change_and_fail(value, inside):
    with environment_variable("OPTCOMPARE_TRIED", value):
        assert os.environ.get("OPTCOMPARE_TRIED") == inside
        os.environ["OPTCOMPARE_TRIED"] = "changed inside"
        raise ValueError("stop")
