"""The file of looks: lines are added and never changed, and damage is said."""

from __future__ import annotations

import pytest

from optcompare.analysis.looks import Claim, Contrast, PastLook
from optcompare.errors import RunDirectoryError
from optcompare.storage.looks_file import (
    LOOKS,
    add_look,
    add_unrecorded,
    looks_changed,
    looks_so_far,
    read_looks,
)

FINAL = Contrast("mini", "full", "final train_loss")
FIRST, SECOND = (
    PastLook("a", 6, (FINAL,), (Claim(FINAL, "lower"),)),
    PastLook("b", 8, (FINAL,), counted=False),
)


def test_looks_are_read_in_the_order_in_which_they_were_added(tmp_path):
    add_look(tmp_path, FIRST)
    before = (tmp_path / LOOKS).read_bytes()
    add_look(tmp_path, SECOND)
    assert (tmp_path / LOOKS).read_bytes().startswith(before)
    history = read_looks(tmp_path)
    assert (history.looks, history.recorded) == ((FIRST, SECOND), True)


def test_a_run_of_an_earlier_version_recorded_none(tmp_path):
    assert read_looks(tmp_path) == read_looks(tmp_path / "nowhere")
    assert not read_looks(tmp_path).recorded


def test_a_line_that_a_crash_cut_off_is_no_look_and_makes_room_for_the_next(tmp_path):
    add_look(tmp_path, FIRST)
    with (tmp_path / LOOKS).open("a") as file:
        file.write('{"trials": "b", "se')
    assert read_looks(tmp_path).looks == (FIRST,)
    add_look(tmp_path, SECOND)
    assert read_looks(tmp_path).looks == (FIRST, SECOND)


@pytest.mark.parametrize(
    "line",
    ["{}", "[1]", "not json", '{"trials": "a", "seeds": 1, "counted": true, "shown": [[1]], "claims": []}'],
)
def test_a_damaged_line_is_refused(tmp_path, line):
    (tmp_path / LOOKS).write_text(line + "\n")
    with pytest.raises(RunDirectoryError, match=r"looks\.jsonl is damaged: "):
        read_looks(tmp_path)


def test_two_lines_on_the_same_trials_are_one_look_with_all_that_both_compared(tmp_path):
    other = Contrast("single", "full", "final train_loss")
    add_look(tmp_path, FIRST)
    add_look(tmp_path, PastLook("a", 6, (other,)))
    (look,) = read_looks(tmp_path).looks
    assert (look.shown, look.claims) == ((FINAL, other), FIRST.claims)


def test_looks_that_are_missing_are_kept_in_the_file(tmp_path):
    add_unrecorded(tmp_path)
    add_look(tmp_path, FIRST)
    assert (read_looks(tmp_path).looks, read_looks(tmp_path).recorded) == ((FIRST,), False)


def test_what_was_noted_of_the_file_tells_added_lines_from_changed_ones(tmp_path):
    assert looks_so_far(tmp_path) is None
    add_look(tmp_path, FIRST)
    noted = looks_so_far(tmp_path)
    add_look(tmp_path, SECOND)
    assert looks_changed(tmp_path, noted) == ""
    (tmp_path / LOOKS).write_text((tmp_path / LOOKS).read_text().replace('"seeds": 6', '"seeds": 7'))
    assert looks_changed(tmp_path, noted) == "looks.jsonl was changed"
    (tmp_path / LOOKS).unlink()
    assert looks_changed(tmp_path, noted) == "looks.jsonl was deleted"
    assert looks_changed(tmp_path, None) == ""
