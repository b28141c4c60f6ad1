"""Looks of real runs: what a run directory records, resumes and merges, and what its verdict says of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from optcompare import compare, load
from optcompare.errors import ComparisonError
from optcompare.report.loading import load_all
from optcompare.storage.looks_file import LOOKS, read_looks
from optcompare.verification.verify import verify
from tests.helpers.workloads import small_workload

ASKED = {"workload": "line", "strategies": ["full", "mini:2"], "epochs": 3, "trainer": "loop"}


def look_sentence(result) -> str:
    return next((sentence for sentence in result.verdict() if "ook" in sentence), "")


@pytest.mark.slow
def test_a_run_that_was_never_saved_says_that_looks_are_not_recorded():
    assert look_sentence(compare(**ASKED, seeds=6)).startswith("Earlier looks were not recorded: ")


def test_more_seeds_are_a_second_look_and_seeing_them_again_is_none(tmp_path):
    run = tmp_path / "run"
    compare(**ASKED, seeds=6, out=run)
    assert look_sentence(load(run)).startswith("Look 1 at these trials: tested at level 0.035")
    first = (run / LOOKS).read_bytes()
    result = compare(**ASKED, seeds=8, resume=run)
    assert look_sentence(result).startswith("Look 2 at these trials: tested at level 0.0091")
    assert (run / LOOKS).read_bytes().startswith(first)
    compare(**ASKED, seeds=8, resume=run)
    assert [look.seeds for look in read_looks(run).looks] == [6, 8]
    assert load(run).verdict() == result.verdict()


@pytest.mark.slow
def test_a_further_arm_stays_in_the_family(tmp_path):
    run = tmp_path / "run"
    compare(**ASKED, seeds=6, out=run)
    more = {**ASKED, "strategies": ["full", "mini:2", "single"]}
    assert compare(**more, seeds=6, resume=run).pairs()["comparisons"].tolist() == [2, 2]
    shown = [len(look.shown) for look in read_looks(run).looks]
    assert shown == [1, 2]


@pytest.mark.slow
def test_too_few_seeds_for_any_claim_spend_no_look(tmp_path):
    run = tmp_path / "run"
    compare(**ASKED, seeds=3, out=run)
    assert look_sentence(compare(**ASKED, seeds=6, resume=run)).startswith(
        "Look 1 at these trials: tested at level 0.035"
    )


@pytest.mark.slow
def test_a_run_of_an_earlier_version_has_been_looked_at_once(tmp_path):
    run = tmp_path / "run"
    compare(**ASKED, seeds=6, out=run)
    (run / LOOKS).unlink()
    about = json.loads((run / "comparison.json").read_text())
    del about["looks"]
    (run / "comparison.json").write_text(json.dumps(about))
    assert look_sentence(load(run)).startswith("Earlier looks were not recorded: ")
    later = look_sentence(compare(**ASKED, seeds=8, resume=run))
    assert later == "Not all looks were recorded: look 2 or later at these trials, tested at level 0.0091."


@pytest.mark.slow
@pytest.mark.parametrize(
    "change", [lambda path: path.unlink(), lambda path: path.write_text(path.read_text()[:-2] + " \n")]
)
def test_looks_that_were_deleted_or_changed_stop_a_resume(tmp_path, change):
    run = tmp_path / "run"
    compare(**ASKED, seeds=6, out=run)
    change(run / LOOKS)
    with pytest.raises(
        ComparisonError, match=r"^since this run began, looks\.jsonl was (deleted|changed), and with it"
    ):
        compare(**ASKED, seeds=8, resume=run)
    if not (run / LOOKS).exists():
        result = compare(**ASKED, seeds=8, resume=run, force=True)
        assert look_sentence(result).startswith(
            "Earlier looks were not recorded"
        ) or "Not all looks" in look_sentence(result)
        assert "resumed although looks.jsonl was deleted" in result.notes


@pytest.mark.slow
def test_looks_that_were_added_to_the_file_are_no_damage(tmp_path):
    for first in (0, 6):
        compare(**ASKED, seeds=6, first_seed=first, out=tmp_path / str(first))
    load_all([tmp_path])
    assert all(check.held is not False for check in verify(tmp_path / "0", trials=0))
    assert look_sentence(load(tmp_path / "0")).startswith("Look 1 at these trials")
    assert look_sentence(compare(**ASKED, seeds=13, resume=tmp_path / "0")).startswith(
        "Look 3 at these trials"
    )


@pytest.mark.slow
def test_every_merge_of_small_runs_is_a_look_that_is_remembered(tmp_path):
    for first in range(8):
        compare(**ASKED, seeds=1, first_seed=first, out=tmp_path / str(first))
    numbers = [look_sentence(load_all([tmp_path / str(i) for i in range(n)])[0]) for n in (6, 7, 8, 6)]
    assert [sentence.split(" ")[1] for sentence in numbers] == ["1", "2", "2", "1"]
    """With 7 seeds, 2/2⁷ = .016 lies above the level of a second look, .0091: that one could claim nothing.
    """


@pytest.mark.slow
def test_runs_of_one_arm_each_are_first_compared_where_they_are_merged(tmp_path):
    for arm in ("full", "mini:2"):
        compare(**{**ASKED, "strategies": arm}, seeds=6, out=tmp_path / arm.partition(":")[0])
    assert look_sentence(load_all([tmp_path])[0]).startswith("Look 1 at these trials")


@pytest.mark.slow
def test_a_merge_with_a_run_of_an_earlier_version_says_that_looks_are_missing(tmp_path):
    for first in (0, 6):
        compare(**ASKED, seeds=6, first_seed=first, out=tmp_path / str(first))
    (tmp_path / "0" / LOOKS).unlink()
    about = json.loads((tmp_path / "0" / "comparison.json").read_text())
    del about["looks"]
    (tmp_path / "0" / "comparison.json").write_text(json.dumps(about))
    for _ in range(2):
        assert look_sentence(load_all([tmp_path])[0]).startswith(
            "Not all looks were recorded: look 2 or later at these trials"
        )


@pytest.mark.slow
def test_a_result_that_is_saved_late_has_looks_that_were_not_recorded(tmp_path):
    result = compare(**ASKED, seeds=6)
    result.save(tmp_path / "run")
    assert look_sentence(load(tmp_path / "run")).startswith("Earlier looks were not recorded: ")
    later = look_sentence(compare(**ASKED, seeds=8, resume=tmp_path / "run"))
    assert later.startswith("Not all looks were recorded: look 2 or later at these trials")


@pytest.mark.slow
def test_merged_runs_have_been_looked_at_before(tmp_path):
    for first in (0, 6):
        compare(**ASKED, seeds=6, first_seed=first, out=tmp_path / str(first))
    (merged,) = load_all([tmp_path])
    assert look_sentence(merged).startswith("Look 3 at these trials")
    shutil.copytree(tmp_path / "0", tmp_path / "copy")
    (same,) = load_all([tmp_path / "0", tmp_path / "copy"])
    assert look_sentence(same).startswith("Look 1 at these trials")


@pytest.mark.slow
def test_a_run_that_is_under_way_claims_nothing_and_is_no_look(tmp_path):
    run = tmp_path / "run"
    compare(**ASKED, seeds=6, out=run)
    about = json.loads((run / "comparison.json").read_text())
    (run / "comparison.json").write_text(json.dumps({**about, "status": "running"}))
    (run / LOOKS).unlink()
    cut = load(run)
    assert cut.verdict()[0] == "Nothing is claimed: this run has not come to its end."
    assert not cut.pairs()[["claimed", "goal_claimed", "equal_claimed"]].to_numpy().any()
    cut.save(tmp_path / "saved")
    assert not (tmp_path / "saved" / LOOKS).exists()


@pytest.mark.slow
def test_looks_go_with_a_result_that_is_saved_elsewhere(tmp_path):
    compare(**ASKED, seeds=6, out=tmp_path / "run")
    compare(**ASKED, seeds=8, resume=tmp_path / "run")
    load(tmp_path / "run").save(tmp_path / "copy")
    assert (tmp_path / "copy" / LOOKS).read_bytes() == (tmp_path / "run" / LOOKS).read_bytes()


@pytest.mark.slow
def test_one_arm_is_compared_with_nothing_and_needs_no_look(tmp_path):
    compare(**{**ASKED, "strategies": "full"}, seeds=2, out=tmp_path / "run")
    assert not Path(tmp_path / "run" / LOOKS).exists()


@pytest.mark.slow
def test_margin_is_part_of_the_question_and_of_the_claims(tmp_path):
    result = compare(
        small_workload(), ["full", "mini:5"], seeds=7, epochs=2, margin=5.0, out=tmp_path / "run"
    )
    assert load(tmp_path / "run").comparison.margin == 5.0
    claims = {claim["measure"]: claim["claims"] for claim in result.claims()}
    assert claims["final train_loss within 5"] == "equal"
    assert "within 5 " in result.verdict()[0]


@pytest.mark.parametrize("margin", [0, -1.0, float("inf"), float("nan"), "much"])
def test_a_margin_that_is_none_is_refused(margin):
    with pytest.raises(
        ComparisonError, match=r"margin must be a difference of final values, positive and finite, got "
    ):
        compare(**ASKED, seeds=2, margin=margin)
