"""The checks of the certificate: data, the sentences made from them, and how both are saved and read."""

from __future__ import annotations

import dataclasses
import json

import pytest

from optcompare.analysis.check import KINDS, Check
from optcompare.analysis.start_checks import (
    Coverage,
    DataSplit,
    InitialWeights,
    PlainLoopAgreement,
    SampleOrder,
)
from optcompare.analysis.training_checks import (
    DropoutMasks,
    EqualBudgets,
    EqualTuning,
    OtherRandomNumbers,
    RandomNumbers,
    RunningAverages,
    TrainersAgree,
)

BUDGET = EqualBudgets("epochs", 2, "", 9, 0, 0.0, 2.0, 2.0, None, 0)


@pytest.mark.parametrize(
    ("data", "held", "sentence"),
    [
        (
            PlainLoopAgreement({"full": 3, "mini": 1}, ["masks"]),
            True,
            "3 updates of full, 1 update of mini; masks",
        ),
        (
            InitialWeights([], 3, 2),
            True,
            "all 3 arms start identically in each of 2 seeds (SHA-256 match)",
        ),
        (InitialWeights([], 1, 1), True, "1 arm starts identically in 1 seed (SHA-256 match)"),
        (InitialWeights([7, 1, 2, 3, 4, 5], 2, 6), False, "differs for seed 7, 1, 2, 3, 4"),
        (
            SampleOrder([], 6, 3, False, ["grab"]),
            True,
            "the same for all arms in 6 epochs of 3 seeds (SHA-256 match), in the order that the caller gave"
            "; offered to all, and rearranged by grab",
        ),
        (DataSplit([], 2), True, "one of 2 splits of the data a seed, in turn, over all arms"),
        (
            Coverage([], 18, ["replacement"], 1),
            True,
            "the batches of 18 epochs were checked; but for replacement, which may repeat and leave out; "
            "1 trial failed and is not counted",
        ),
        (BUDGET, True, "2 epochs for each of 9 finished trials"),
        (
            dataclasses.replace(BUDGET, high=3.0, unended=1),
            False,
            "2 epochs for each of 9 finished trials; spent: 2 to 3; 1 trial ended before",
        ),
        (
            dataclasses.replace(BUDGET, unit="samples", amount=25, low=20.0, high=25.0),
            True,
            "25 samples for each of 9 finished trials, of which it used 20 to 25",
        ),
        (
            dataclasses.replace(BUDGET, goal="loss=1", at_goal=9, last_at_goal=3.0, low=None, high=None),
            False,
            "2 epochs at most for each of 9 finished trials, of which 9 stopped at their goal loss=1 before",
        ),
        (
            EqualTuning(5, 2, 0, 1200, 0.123, {"full": 10, "mini": 10}),
            True,
            "5 learning rates on 2 seeds of their own for each arm; it cost 1,200 samples and 0.123 s of "
            "training",
        ),
        (
            EqualTuning(5, 2, 0, 1200, 0.123, {"full": 10, "mini": 9}),
            False,
            "trials that did not fail: 10 of full, 9 of mini",
        ),
        (
            TrainersAgree({"lanes": 2, "loop": 1}, 2, 1e-3, 1e-5),
            False,
            "2 trials in lanes; 1 trial in the loop; the first updates of 2 lanes, made by both, differ by "
            "at most 1.0e-03 of the weights' norm (allowed: 1e-05)",
        ),
        (
            RunningAverages(None, "full", 0.5, False),
            False,
            "not recalibrated, and of their initial values 50% is left at the end of full, whose losses are "
            "measured with that",
        ),
        (
            RandomNumbers(True, []),
            True,
            "what a sample of the Dataset draws follows from seed, epoch and sample, alike for all arms",
        ),
        (
            OtherRandomNumbers(False, ["full"]),
            True,
            "updates of full draw other random numbers from one generator a trial, seeded alike for all arms "
            "of a seed: arms with the same batches draw the same, arms with other batch sizes draw others",
        ),
        (
            DropoutMasks(["AlphaDropout", "Dropout"]),
            True,
            "masks of AlphaDropout, Dropout come from a counter (Threefry), by seed, update and layer, alike "
            "in lanes and in the loop; arms with the same batches draw the same, arms with other batch sizes "
            "draw others",
        ),
    ],
)
def test_a_sentence_is_made_from_the_data_and_both_are_read_as_they_were_saved(data, held, sentence):
    check = Check.of(data)
    assert (check.name, check.held, check.detail) == (data.name, held, sentence)
    assert Check.read(json.loads(json.dumps(dataclasses.asdict(check)))) == check


def test_the_names_of_checks_tell_their_kinds_apart():
    assert len(KINDS) == 14
    assert all(name == kind.name for name, kind in KINDS.items())


def test_data_are_the_same_in_whatever_order_trials_ended():
    one = SampleOrder([], 6, 3, True, ["grab", "once"])
    assert one.same(dataclasses.replace(one, rearranged=["once", "grab"]))
    assert not one.same(dataclasses.replace(one, rearranged=["once"]))
    assert not one.same(None)
    agree = TrainersAgree({"lanes": 2, "loop": 1}, 2, 0.0, 1e-5)
    assert agree.same(dataclasses.replace(agree, trials={"loop": 1, "lanes": 2}))
    assert not agree.same(dataclasses.replace(agree, trials={"loop": 2, "lanes": 1}))


@pytest.mark.parametrize(
    "saved",
    [
        {"name": "equal budgets", "held": True, "detail": "3 epochs"},
        {"name": "equal budgets", "held": True, "detail": "3 epochs", "data": None},
        {"name": "equal budgets", "held": True, "detail": "3 epochs", "data": {"of a later version": 1}},
        {"name": "of a later version", "held": True, "detail": "3 epochs", "data": {"a": 1}},
    ],
)
def test_a_check_without_data_that_this_version_knows_keeps_its_sentence(saved):
    assert Check.read(saved) == Check(saved["name"], True, "3 epochs")
