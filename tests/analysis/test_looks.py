"""Looks: what counts as one, at which level it is, and how histories of several runs come together."""

from __future__ import annotations

import dataclasses

import pandas as pd
import pytest

from optcompare.analysis.claims import could_claim
from optcompare.analysis.looks import FIRST_LOOK, Claim, Contrast, History, PastLook, fingerprint_of
from tests.helpers.tables import ended

FINAL = Contrast("mini", "full", "final train_loss")
GOAL = Contrast("mini", "full", "samples to train_loss=1")
EXTRA = Contrast("single", "full", "final train_loss")


def trials_of(seeds: int):
    return ended({"full": [1.0] * seeds, "mini": [2.0] * seeds})[1]


def looked(seeds: int, *shown: Contrast, counted: bool = True) -> PastLook:
    return PastLook(fingerprint_of(trials_of(seeds)), seeds, shown or (FINAL,), counted=counted)


def test_unrecorded_trials_are_tested_as_a_first_look():
    look = History().look_at(trials_of(10))
    assert (look.number, look.level, look.recorded, look.family) == (1, 0.035, False, ())


def test_more_seeds_are_another_look_and_keep_the_family():
    look = History((looked(10, FINAL, GOAL), looked(12, FINAL, EXTRA)), True).look_at(trials_of(20))
    assert (look.number, look.level) == (3, pytest.approx(0.00228, rel=1e-3))
    assert look.family == (FINAL, GOAL, EXTRA)


def test_seeing_the_same_trials_again_is_no_other_look():
    history = History((looked(10), looked(20, FINAL, GOAL)), True)
    assert history.look_at(trials_of(10)).number == 1
    assert history.look_at(trials_of(20)).number == 2
    assert history.look_at(trials_of(20).iloc[::-1]).family == (FINAL, GOAL)
    assert history.holds(trials_of(20))
    assert not history.holds(trials_of(21))


def test_a_look_that_could_not_claim_anything_spends_nothing():
    look = History((looked(3, counted=False),), True).look_at(trials_of(10))
    assert (look.number, look.family) == (1, (FINAL,))


@pytest.mark.parametrize(
    "change", [{"status": "diverged"}, {"updates": 7}, {"samples": 1}, {"final_sha256": "b"}]
)
def test_trials_that_ended_otherwise_are_others(change):
    trials = trials_of(3).assign(final_sha256="a", batches_sha256="b")
    other = trials.copy()
    other.loc[other.index[0], list(change)] = list(change.values())
    assert fingerprint_of(trials) != fingerprint_of(other)
    assert fingerprint_of(trials) == fingerprint_of(trials.assign(arm="another label"))


def test_merged_runs_have_had_every_look_of_both_once():
    one, other = History((looked(5), looked(6)), True), History((looked(6), looked(7, EXTRA)), True)
    merged = one.together_with(other)
    assert [look.seeds for look in merged.looks] == [5, 6, 7]
    assert merged.look_at(trials_of(9)).number == 4
    assert not one.together_with(History()).recorded


def test_other_comparisons_of_the_same_trials_stay_in_the_family_whichever_run_comes_first():
    one, other = History((looked(6),), True), History((looked(6, GOAL, EXTRA, counted=False),), True)
    for merged in (one.together_with(other), other.together_with(one)):
        assert set(merged.look_at(trials_of(6)).family) == {FINAL, GOAL, EXTRA}
        assert merged.look_at(trials_of(7)).number == 2


def test_a_look_at_both_runs_follows_the_looks_at_each():
    both = looked(9)
    one, other = History((looked(5), both), True), History((looked(6), looked(7), both, looked(8)), True)
    for merged in (one.together_with(other), other.together_with(one)):
        assert [look.seeds for look in merged.looks][3:] == [9, 8]
        assert merged.look_at(trials_of(9)).number == 4


def test_labels_follow_the_arms():
    look = PastLook("x", 6, (FINAL,), (Claim(FINAL, "lower"),)).relabelled({"mini": "mini@sgd"})
    assert look.shown == (Contrast("mini@sgd", "full", "final train_loss"),)
    assert look.claims[0].contrast == look.shown[0]


def test_a_look_is_read_as_it_was_written():
    look = PastLook("x", 6, (FINAL, GOAL), (Claim(GOAL, "fewer"),), counted=False)
    assert PastLook.from_json(look.to_json()) == look
    assert dataclasses.replace(look, counted=True) != look


def test_a_look_at_two_thousand_seeds_could_claim_something():
    table = pd.DataFrame({"n": [2000], "goal_n": [0], "comparisons": [1]})
    assert could_claim(table, {"": "final train_loss"}, FIRST_LOOK)
