"""Arms that are tuned several times: equal budgets, seeds of their own, and report seeds crossed with
repeats.
"""

from __future__ import annotations

import pandas as pd
import pytest

from optcompare import ComparisonError, compare, load
from optcompare.core.tuning import FIRST_TUNING_SEED
from optcompare.report.figures import FIGURES, figure
from optcompare.report.html.page import page
from optcompare.report.loading import load_all
from optcompare.storage import journal
from optcompare.verification.verify import verify
from tests.helpers.both_trainers import agree
from tests.helpers.commands import run
from tests.helpers.trials import Press, same
from tests.helpers.workloads import small_workload

ASKED = {
    "strategies": ["full", "mini:4"],
    "seeds": 3,
    "epochs": 3,
    "tune": 5,
    "tune_seeds": 2,
    "tune_repeats": 3,
    "control": True,
    "trainer": "loop",
}


@pytest.fixture(scope="module")
def repeated():
    return compare(small_workload(), **ASKED)


def phase(result, name):
    return result.trials[result.trials["phase"] == name]


@pytest.mark.slow
def test_every_arm_tries_as_many_rates_in_each_repeat(repeated):
    tried = phase(repeated, "tune").groupby(["arm", "repeat"])
    assert tried["lr"].nunique().tolist() == [5] * 6
    assert tried["seed"].nunique().tolist() == [2] * 6
    check = next(check for check in repeated.certificate if check.name == "equal tuning")
    assert check.held
    assert check.detail.startswith(
        "5 learning rates on 2 seeds of their own for each arm in each of 3 repeats, on grids shifted at "
        "random; it cost "
    )


def test_tuning_seeds_are_those_of_one_repeat_alone(repeated):
    seeds = phase(repeated, "tune").groupby("repeat")["seed"].unique()
    assert len(set().union(*seeds)) == 6
    assert min(min(each) for each in seeds) >= FIRST_TUNING_SEED
    assert set(phase(repeated, "report")["seed"]) == {0, 1, 2}


def test_each_repeat_reports_its_own_best_rate_on_every_seed(repeated):
    """By hand: of each arm's rates in a repeat, the one with the least mean of its trials' last training
    losses.
    """
    tries = repeated.records[repeated.records["phase"] == "tune"]
    reported = phase(repeated, "report")
    assert reported.groupby(["arm", "repeat"])["seed"].apply(list).tolist() == [[0, 1, 2]] * 9
    for number, one in enumerate(repeated.comparison.tuning.repeats, 1):
        for arm in ("full", "mini:4"):
            mine = tries[(tries["arm"] == arm) & (tries["repeat"] == number)]
            last = mine.groupby(["lr", "seed"])["train_loss"].last().groupby("lr").mean()
            assert one.best[arm] == last.idxmin()
            rows = reported[(reported["arm"] == arm) & (reported["repeat"] == number)]
            assert set(rows["lr"]) == {last.idxmin()}
        assert one.best["full (control)"] == one.best["full"]
    assert {arm.lr for arm in repeated.comparison.arms} == {0.05}, "the reference rate"


def test_trials_of_a_seed_share_weights_and_order_in_all_repeats(repeated):
    by_seed = phase(repeated, "report").groupby("seed")
    assert by_seed["weights_sha256"].nunique().tolist() == [1, 1, 1]
    assert by_seed["order_sha256"].nunique().tolist() == [1, 1, 1]
    assert all(check.held for check in repeated.certificate)


def test_rates_of_a_repeat_are_trained_as_in_a_run_without_repeats(repeated):
    best = repeated.comparison.tuning.repeats[1].best["mini:4"]
    plain = compare(small_workload(), [f"mini:4@sgd:lr={best!r}"], seeds=3, epochs=3, trainer="loop")
    rows = phase(repeated, "report")
    mine = rows[(rows["arm"] == "mini:4") & (rows["repeat"] == 2)]
    assert mine["final_sha256"].tolist() == plain.trials["final_sha256"].tolist()


def test_one_repeat_is_a_run_without_repeats():
    asked = {**ASKED, "tune_repeats": 1}
    result = compare(small_workload(), **asked)
    assert "repeat" not in result.trials
    assert "repeat" not in result.records
    assert result.comparison.tuning.repeats == ()
    assert set(phase(result, "tune")["seed"]) == {FIRST_TUNING_SEED, FIRST_TUNING_SEED + 1}


def test_models_are_those_of_a_repeat(repeated):
    models = [repeated.model("mini:4", 1, repeat) for repeat in (1, 2, 3)]
    assert len({tuple(model.weight.detach().ravel().tolist()) for model in models}) == 3
    with pytest.raises(
        ComparisonError, match="each arm was tuned 3 times; choose one with repeat=1 to repeat=3"
    ):
        repeated.model("mini:4", 1)
    with pytest.raises(ComparisonError, match="there is no repeat 4; there are 1 to 3"):
        repeated.model("mini:4", 1, 4)
    plain = compare(small_workload(), "full", seeds=1, epochs=1)
    with pytest.raises(ComparisonError, match="there is no repeat 1; arms were not tuned several times"):
        plain.model("full", 0, 1)


def test_the_summary_counts_seeds_repeats_and_trials(repeated):
    summary = repeated.summary(wide=True)
    assert summary[["seeds", "repeats", "trials"]].to_numpy().tolist() == [[3, 3, 9]] * 3
    rates = [one.best["mini:4"] for one in repeated.comparison.tuning.repeats]
    row = summary.set_index("arm").loc["mini:4"]
    assert [row["lr_min"], row["lr"], row["lr_max"]] == sorted(rates)
    assert summary["final_train_loss_low"].isna().all(), "three repeats are too few for an interval"


def test_tables_of_tuning_have_a_row_for_each_repeat(repeated):
    assert repeated.tuning().groupby(["arm", "repeat"]).size().tolist() == [5] * 6
    assert repeated.rate_sensitivity()["repeats"].tolist() == [3, 3]


@pytest.mark.slow
def test_every_figure_and_the_page_can_be_drawn(tmp_path):
    asked = {**ASKED, "goal": "train_loss=1.0", "plane": True, "diagnostics": "sharpness"}
    result = compare("line", **asked, out=tmp_path / "run")
    kinds = [kind for kind in FIGURES if kind not in ("scaling", "profile", "ranks")]
    for kind in (*kinds, "sharpness", "plane"):
        assert figure(kind, result).axes
    assert "repeat 2" in page([result])
    assert "3 seeds at the rates of 3 tuning repeats" in page([result])


@pytest.mark.slow
def test_lanes_and_loop_find_and_report_alike(repeated):
    asked = {**ASKED, "control": False, "dtype": "float64"}
    one, other = (compare(small_workload(), **{**asked, "trainer": trainer}) for trainer in ("lanes", "loop"))
    assert set(one.trials["trainer"]) == {"lanes"}
    assert one.comparison.tuning == other.comparison.tuning
    agree(one, other)


@pytest.fixture
def at_once(monkeypatch):
    monkeypatch.setattr(journal, "_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)


@pytest.mark.slow
@pytest.mark.usefixtures("at_once")
@pytest.mark.parametrize("at", [20, 150, 260, 310, 360])
def test_an_interrupted_run_goes_on_to_the_same_bits(repeated, tmp_path, at):
    """36 first and 24 closer trials of about 5 records, then 27 of the report: stopped in each of these."""
    cut = compare(small_workload(), **ASKED, out=tmp_path / "run", observer=Press(at))
    assert cut.status == "interrupted"
    assert load(tmp_path / "run").summary(wide=True) is not None
    result = compare(small_workload(), **ASKED, resume=tmp_path / "run")
    assert result.status == "finished"
    assert result.comparison == repeated.comparison
    same(repeated, result)


@pytest.mark.slow
def test_a_run_is_verified_and_resumed_with_more_seeds(tmp_path):
    asked = ["run", "--strategies", "full,mini:2", "--epochs", "3", "--tune", "5", "--tune-seeds", "1"]
    asked += ["--tune-repeats", "2", "--trainer", "loop"]
    assert run(*asked, "--seeds", 2, "--out", tmp_path / "run") == 0
    assert run("run", "--resume", tmp_path / "run", "--seeds", 3) == 0
    assert run(*asked, "--seeds", 3, "--out", tmp_path / "whole") == 0
    one, other = (load(tmp_path / name).trials for name in ("run", "whole"))
    assert one["final_sha256"].tolist() == other["final_sha256"].tolist()
    findings = list(verify(tmp_path / "run", trials=None))
    assert [finding.name for finding in findings if finding.held is False] == []
    assert sum(finding.name.startswith("trained again") for finding in findings) == 32
    assert run("run", "--config", tmp_path / "run" / "comparison.json", "--out", tmp_path / "again") == 0
    assert load(tmp_path / "again").trials["final_sha256"].tolist() == one["final_sha256"].tolist()


@pytest.mark.slow
def test_a_forged_repeat_is_found(tmp_path):
    compare("line", ["full"], seeds=1, epochs=2, tune=3, tune_seeds=1, tune_repeats=2, out=tmp_path / "run")
    trials = pd.read_parquet(tmp_path / "run" / "trials.parquet")
    trials.loc[trials["phase"] == "report", "repeat"] = [2, 1]
    trials.to_parquet(tmp_path / "run" / "trials.parquet", index=False)
    broken = [finding.name for finding in verify(tmp_path / "run", trials=0) if finding.held is False]
    assert "trials" in broken


@pytest.mark.slow
def test_other_numbers_of_repeats_do_not_go_on_in_the_same_directory(tmp_path):
    asked = {"strategies": ["full"], "seeds": 1, "epochs": 2, "tune": 3, "tune_seeds": 1}
    compare("line", **asked, tune_repeats=2, out=tmp_path / "run")
    with pytest.raises(ComparisonError, match=r"different: tuning repeats \(3 and 2\)"):
        compare("line", **asked, tune_repeats=3, resume=tmp_path / "run")


OTHER_TUNING = {
    "another number of rates": {"tune": 5},
    "another number of seeds": {"tune_seeds": 2},
    "another range": {"tune_range": (0.001, 1.0)},
    "no tuning": {"tune": None, "tune_seeds": 3},
}


@pytest.mark.slow
@pytest.mark.parametrize("case", OTHER_TUNING)
def test_another_tuning_does_not_go_on_in_the_same_directory(tmp_path, case):
    asked = {"strategies": ["full"], "seeds": 1, "epochs": 2, "tune": 3, "tune_seeds": 1}
    compare("line", **asked, out=tmp_path / "run")
    with pytest.raises(
        ComparisonError, match="is not the comparison that is to be resumed; different: tuning;"
    ):
        compare("line", **{**asked, **OTHER_TUNING[case]}, resume=tmp_path / "run")


@pytest.mark.slow
def test_a_run_goes_on_with_the_rates_that_an_earlier_version_tried(tmp_path, monkeypatch):
    """It tried all five of them widely: none is tuned again, though this version would look closer with
    two.
    """
    asked = {"strategies": ["full", "mini"], "epochs": 2, "tune": 5, "tune_seeds": 1}
    with monkeypatch.context() as patched:
        patched.setattr("optcompare.planning.tuning_grids.split_rate_count", lambda count: (count, 0))
        before = compare("line", **asked, seeds=1, out=tmp_path / "run")
    seen = Press()
    result = compare("line", **asked, seeds=2, resume=tmp_path / "run", observer=seen)
    assert sorted(seen.ended) == [("full", 1), ("mini:2", 1)]
    assert result.comparison.tuning == before.comparison.tuning
    assert [finding.name for finding in verify(tmp_path / "run", trials=0) if finding.held is False] == []


@pytest.mark.slow
def test_runs_of_the_same_repeats_are_merged_and_others_refused(tmp_path):
    asked = {"epochs": 2, "tune": 3, "tune_seeds": 1, "tune_repeats": 2}
    compare("line", ["full", "mini"], seeds=2, **asked, out=tmp_path / "a" / "0")
    compare("line", ["full", "single"], seeds=3, **asked, out=tmp_path / "a" / "1")
    (merged,) = load_all([tmp_path / "a"])
    assert merged.trials.groupby(["arm", "phase"]).size().unstack()["report"].to_dict() == {
        "full": 6,
        "mini:2": 4,
        "single": 6,
    }
    assert merged.trials.groupby(["arm", "phase"]).size().unstack()["tune"].to_dict() == {
        "full": 6,
        "mini:2": 6,
        "single": 6,
    }
    assert set(merged.comparison.tuning.repeats[0].best) == {"full", "mini:2", "single"}
    compare("line", ["full"], seeds=[5], **asked, out=tmp_path / "b")
    with pytest.raises(
        ComparisonError, match="their tuning repeats have other seeds, which are drawn from the first seed"
    ):
        load_all([tmp_path / "a" / "0", tmp_path / "b"])
    compare("line", ["full"], seeds=2, **{**asked, "tune_repeats": 1, "tune_seeds": 2}, out=tmp_path / "c")
    with pytest.raises(ComparisonError, match="an arm was tuned 2 times in one and 1 in the other"):
        load_all([tmp_path / "a" / "0", tmp_path / "c"])


def test_a_dry_run_counts_all_rounds_of_all_repeats(capsys):
    """Two arms tune 5 rates on 2 seeds 3 times, 60 trials; with the control, 3 arms report 4 seeds at 3
    rates, 36.
    """
    asked = [
        "run",
        "--strategies",
        "full,mini",
        "--tune",
        5,
        "--tune-seeds",
        2,
        "--tune-repeats",
        3,
        "--seeds",
        4,
    ]
    assert run(*asked, "--control", "--dry-run") == 0
    said = capsys.readouterr().out
    assert (
        "sgd lr 0.01, and 5 to tune from in each of 3 repeats | 4 seeds at the rates of 3 tuning repeats"
        in said
    )
    assert "96 trials of 3 arms, 60 of them to tune, all of them in lanes (side by side), would take " in said


def test_edges_are_counted_over_repeats():
    """Rates a thousand times too small: the best is the largest in each repeat, and none diverges."""
    result = compare(
        "line", ["full"], seeds=1, epochs=2, tune=2, tune_range=(1e-6, 1e-5), tune_seeds=1, tune_repeats=2
    )
    assert result.notes == [
        "full: in 2 of 2 tuning repeats the best learning rate lies at the edge of the grid; a better one "
        "may lie beyond it "
        "(--tune-range)"
    ]


def test_the_verdict_knows_how_often_rates_were_tuned(repeated):
    said = " ".join(repeated.verdict())
    assert "Learning rates were tuned 3 times; the differences are over all of them." in said


@pytest.mark.slow
def test_processes_train_the_same(repeated):
    same(repeated, compare(small_workload(), **ASKED, jobs=2))
