"""The batch-size study: trials that stop at their goal, tuning by it, the fit, the words, the figure, the
command.
"""

from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

import optcompare
from optcompare import ComparisonError, load
from optcompare.cli.main import main
from optcompare.core.comparison import Budget, Comparison
from optcompare.core.tuning import Tuning
from optcompare.execution.run import execute
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.planning.study_question import rising, study_question
from optcompare.registry.manager import Registry
from optcompare.storage.previous_run import PreviousRun
from optcompare.verification.verify import verify
from tests.helpers.both_trainers import agree, both
from tests.helpers.exact_risk import exact_risk
from tests.helpers.workloads import small_workload


def ask(workload="noisy-quadratic:n=64", strategies=("mini:4", "full"), **question):
    settings = {
        "lr": 0.3,
        "budget": Budget("epochs", 40),
        "seeds": (0, 1, 2),
        "goal": "train_loss=0.5",
        "stop_at_goal": True,
        "measure": 16,
        "dtype": "float64",
    }
    asked = Question(workload=workload, strategies=list(strategies), **settings | question)
    return prepare(Registry.load(), asked)


def run(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as exit_:
        main([*arguments])
    return exit_.value.code


STUDY = [
    "scaling",
    "--workload",
    "noisy-quadratic:n=64:dim=20:noise=0.5",
    "--batch-sizes",
    "1,4,16,64",
    "--goal",
    "train_loss=0.3",
    "--seeds",
    "3",
    "--tune-seeds",
    "2",
    "--max-epochs",
    "12",
    "--trainer",
    "loop",
]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    directory = tmp_path_factory.mktemp("study") / "run"
    assert run(*STUDY, "--out", str(directory)) == 0
    return directory


class TestStopAtGoal:
    @pytest.mark.slow
    @pytest.mark.parametrize("trainer", ["loop", "lanes"])
    def test_a_trial_ends_at_the_first_measurement_that_reached_it(self, trainer):
        result = execute(ask(trainer=trainer))
        times = result.times_to_goal()
        ended = result.trials.merge(times, on=["arm", "seed"], suffixes=("", "_goal"))
        assert (ended["updates"] == ended["updates_goal"]).all()
        assert (ended["samples"] == ended["samples_goal"]).all()
        assert set(ended["reason"]) == {"reached train_loss=0.5"}
        assert set(ended["status"]) == {"finished"}
        last = result.records.groupby(["arm", "seed"])["train_loss"]
        assert (last.last() <= 0.5).all()
        assert all((values.iloc[:-1] > 0.5).all() for _, values in last)
        check = next(check for check in result.certificate if check.name == "equal budgets")
        assert check.held
        assert check.detail == (
            "40 epochs at most for each of 6 finished trials, of which 6 stopped at their goal "
            "train_loss=0.5 before"
        )

    @pytest.mark.slow
    def test_lanes_and_loop_end_alike(self):
        question = {"stop_at_goal": True, "goal": "train_loss=0.5", "measure": 16}
        one, other = (execute(ask(trainer=trainer, **question)) for trainer in ("lanes", "loop"))
        assert set(one.trials["trainer"]) == {"lanes"}
        agree(one, other)

    @pytest.mark.slow
    def test_a_trial_that_starts_at_its_goal_makes_no_update(self):
        for trainer in ("loop", "lanes"):
            result = execute(ask(goal="train_loss=100", trainer=trainer))
            assert set(result.trials["updates"]) == {0}
            assert (result.trials["final_sha256"] != "").all()
            assert all(check.held for check in result.certificate)

    @pytest.mark.slow
    def test_what_missed_the_goal_spends_its_budget(self):
        result = execute(ask(goal="train_loss=1e-9", budget=Budget("epochs", 10)))
        assert set(result.trials["epochs"]) == {10}
        assert set(result.trials["reason"]) == {""}
        assert np.isinf(result.times_to_goal()["samples"]).all()

    def test_it_needs_a_goal_and_survives_json(self):
        with pytest.raises(ComparisonError, match="to stop at the goal a comparison needs one; give --goal"):
            ask(goal=None)
        comparison = ask(tune=8).setup.comparison
        assert comparison.tuning.closer == 4
        assert Comparison.from_json(json.loads(json.dumps(comparison.to_json()))) == comparison

    def test_without_it_nothing_stops(self):
        one, other = both(small_workload(), goal="train_loss=100")
        assert set(one.trials["updates"]) == set(other.trials["updates"]) == {20}


class TestTuning:
    def test_the_second_round_lies_around_the_best_of_the_first(self):
        """Steps of 10: two more on either side of 1 stand at 10^(±1/3) and 10^(±2/3)."""
        found = Tuning({"a": (0.1, 1.0, 10.0)}, 2, 4).with_second_round([{"a": 1.0}])
        assert found.rates["a"] == (0.1, 1.0, 10.0, 0.2154, 0.4642, 2.154, 4.642)
        assert (found.seeds, found.closer) == (2, 0)
        beyond = Tuning({"a": (0.1, 1.0, 10.0)}, 2, 2).with_second_round([{"a": 10.0}])
        assert beyond.rates["a"][3:] == (3.162, 31.62)
        with pytest.raises(ComparisonError, match="must be an even number, got 3"):
            Tuning({"a": (0.1, 1.0)}, 2, 3)

    @pytest.mark.slow
    def test_every_arm_tries_as_many_and_the_median_samples_to_the_goal_decide(self):
        result = execute(ask(tune=8, tune_seeds=3))
        tried = result.trials[result.trials["phase"] == "tune"]
        assert tried.groupby("arm")["lr"].nunique().to_dict() == {"full": 8, "mini:4": 8}
        for arm in result.comparison.arms:
            own = tried[tried["arm"] == arm.label]
            samples = own["samples"].where(own["reason"] != "", math.inf).groupby(own["lr"]).median()
            assert samples[arm.lr] == samples.min()
        check = next(check for check in result.certificate if check.name == "equal tuning")
        assert check.held
        assert check.detail.startswith("8 learning rates on 3 seeds of their own for each arm")


class TestNoisyQuadratic:
    @pytest.mark.slow
    def test_its_risk_over_seeds_is_the_exact_expected_risk(self):
        """Mean over 100 seeds within 4 standard errors at every mark of three batch sizes."""
        question = {
            "stop_at_goal": False,
            "seeds": tuple(range(100)),
            "budget": Budget("epochs", 2),
            "lr": 0.3,
            "measure": 4,
        }
        records = execute(ask("noisy-quadratic:n=64:dim=5", ["mini:1", "mini:8", "full"], **question)).records
        h = 1 / np.arange(1, 6)
        for arm, size in (("mini:1", 1), ("mini:8", 8), ("full", 64)):
            exact = exact_risk(h, h, 0.3, size, 64, 128 // size)
            for update, group in records[(records["arm"] == arm) & (records["update"] > 0)].groupby("update"):
                values, expected = group["train_loss"].to_numpy(), exact[int(update) - 1]
                assert abs(values.mean() - expected) <= 4 * values.std(ddof=1) / 10 + 1e-6, (arm, update)

    @pytest.mark.slow
    def test_the_study_finds_the_updates_that_the_exact_risk_takes(self, study):
        """At the rates that were tuned, up to an update and the noise of three trials."""
        result = load(study)
        (curve,) = result.scaling()
        h = 1 / np.arange(1, 21)
        for row in curve.table.to_dict("records"):
            risk = exact_risk(h, 0.25 * h, row["lr"], row["batch_size"], 64, 12 * 64 // row["batch_size"])
            expected = 1 + int(np.argmax(risk <= 0.3)) if (risk <= 0.3).any() else math.inf
            assert row["updates"] == pytest.approx(expected, rel=0.2, abs=1), row

    def test_its_noise_sums_to_nothing_and_has_the_covariance_it_says(self):
        from optcompare_plugins.workloads.noisy_quadratic import noisy_quadratic

        (noise, _) = noisy_quadratic(dim=4, n=100, noise=2.0).train
        torch.testing.assert_close(noise.mean(0), torch.zeros(4, dtype=torch.float64), atol=1e-14, rtol=0)
        covariance = noise.T @ noise / 100
        torch.testing.assert_close(covariance, torch.diag(4.0 / torch.arange(1, 5, dtype=torch.float64)))

    def test_its_curvatures_can_be_given(self):
        from optcompare_plugins.workloads.noisy_quadratic import noisy_quadratic

        (noise, _) = noisy_quadratic(n=100, h=(1.0, 0.1, 0.01)).train
        covariance = noise.T @ noise / 100
        torch.testing.assert_close(
            covariance, torch.diag(torch.tensor([1.0, 0.1, 0.01], dtype=torch.float64))
        )

    @pytest.mark.parametrize("h", ["(0,1)", "(-1,1)", "(inf,)"])
    def test_curvatures_that_are_not_positive_are_refused(self, h, capsys):
        spec = f"noisy-quadratic:h={h}"
        assert run("scaling", "--workload", spec, "--goal", "train_loss=1") == 2
        assert "curvatures h are positive and finite; got" in capsys.readouterr().err

    @pytest.mark.parametrize("spec", ["dim=0", "n=5:dim=5", "noise=-1"])
    def test_what_cannot_be_is_refused(self, spec, capsys):
        assert run("scaling", "--workload", f"noisy-quadratic:{spec}", "--goal", "train_loss=1") == 2
        assert "give dim ≥ 1, n > dim, noise ≥ 0" in capsys.readouterr().err


def test_its_noise_scale_is_the_exact_one(study):
    """trΣ = noise²Σh over |G|² = Σ h² w², before the first update: 0.25·Σ1/j over Σ1/j² (all 64 samples are
    taken, so up to n/(n-1) and the trΣ/n that the unbiased estimate takes off).
    """
    (curve,) = load(study).scaling()
    h = 1 / np.arange(1, 21)
    trace = 0.25 * h.sum() * 64 / 63
    first = curve.noise.points.iloc[0]
    assert first["trace"] == pytest.approx(trace, rel=1e-4)
    assert first["squared"] == pytest.approx((h**2).sum() - trace / 64, rel=1e-4)


class TestCommand:
    def test_it_writes_a_run_like_any_other(self, study, capsys):
        assert {"scaling.csv", "scaling.png", "comparison.png", "records.parquet", "summary.csv"} <= {
            path.name for path in study.iterdir()
        }
        assert pd.read_csv(study / "scaling.csv")["batch_size"].tolist() == [1, 4, 16, 64]
        assert [finding.name for finding in verify(study, 3) if finding.held is False] == []
        assert PreviousRun.read(study).comparison.stop_at_goal

    @pytest.mark.slow
    def test_a_goal_that_was_changed_in_the_table_is_found_by_training_again(self, study, tmp_path):
        copy = shutil.copytree(study, tmp_path / "copy")
        trials = pd.read_parquet(copy / "trials.parquet")
        place = trials.index[(trials["phase"] == "report") & trials["goal_updates"].notna()][0]
        trials.loc[place, "goal_updates"] += 1
        trials.to_parquet(copy / "trials.parquet", index=False)
        wrong = {finding.name: finding.detail for finding in verify(copy, None) if finding.held is False}
        (said,) = [detail for name, detail in wrong.items() if name.startswith("trained again")]
        assert said.startswith(f"goal_updates is {trials.loc[place, 'goal_updates']} in the run, and ")

    @pytest.mark.slow
    def test_report_page_and_notebook_say_what_it_recommends(self, study, tmp_path, capsys):
        result = load(study)
        recommended = result.recommendation()[0][1:]
        assert run("report", str(study), "--format", "html", "--out", str(tmp_path)) in (0, None)
        (page,) = tmp_path.glob("*.html")
        for said in (capsys.readouterr().out, page.read_text("utf-8"), repr(result), result._repr_html_()):
            assert recommended in said
            assert result.verdict()[0] not in said
        assert 'aria-label="Recommendation"' in page.read_text("utf-8")

    @pytest.mark.slow
    def test_report_draws_it_again(self, study, tmp_path, capsys):
        assert run("report", str(study), "--figure", "scaling", "--width", "3.4", "--out", str(tmp_path)) in (
            0,
            None,
        )
        assert (tmp_path / f"{study.name}-scaling.png").read_bytes().startswith(b"\x89PNG")

    @pytest.mark.slow
    def test_it_is_resumed_with_more_epochs_without_training_again_what_ended(self, study, tmp_path, capsys):
        copy = tmp_path / "copy"
        shutil.copytree(study, copy)
        before = load(copy).trials
        assert run("run", "--resume", str(copy), "--epochs", "13", "--quiet") == 0
        after = load(copy).trials
        reached = before[before["reason"] != ""]
        pd.testing.assert_frame_equal(
            reached.reset_index(drop=True),
            after.loc[before.index[before["reason"] != ""]].reset_index(drop=True),
        )
        assert [finding.name for finding in verify(copy, 2) if finding.held is False] == []

    def test_a_goal_that_nothing_reaches_is_a_result(self, tmp_path, capsys):
        arguments = [
            *STUDY[:5],
            "--goal",
            "train_loss=1e-9",
            "--seeds",
            "2",
            "--tune",
            "2",
            "--tune-seeds",
            "1",
        ]
        assert run(*arguments, "--max-epochs", "2", "--trainer", "loop", "--out", str(tmp_path / "run")) == 0
        said = capsys.readouterr().out
        assert (
            "No batch size reaches train_loss=1e-09 within 2 epochs on most seeds (0 of 8 trials do)\n"
            in said
        )
        assert (tmp_path / "run" / "scaling.png").is_file()

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--batch-sizes", "1,128"], "--batch-sizes: 128 is more than the 64 training samples of"),
            (
                ["--batch-sizes", "1,x"],
                "--batch-sizes takes whole numbers from 1 on, separated by commas, got 'x'",
            ),
            (
                ["--batch-sizes", "0"],
                "--batch-sizes takes whole numbers from 1 on, separated by commas, got '0'",
            ),
            (["--tune", "1"], "tuning needs at least 2 learning rates, got --tune 1; give --tune 8"),
            (["--max-epochs", "0"], "--max-epochs must be at least 1, got 0"),
        ],
    )
    def test_a_wrong_call_is_one_line(self, arguments, message, capsys):
        assert (
            run("scaling", "--workload", "noisy-quadratic:n=64", "--goal", "train_loss=0.3", *arguments) == 2
        )
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1

    @pytest.mark.slow
    def test_a_goal_that_holds_before_training_is_said(self, tmp_path, capsys):
        arguments = [
            *STUDY[:5],
            "--goal",
            "train_loss=1000",
            "--seeds",
            "2",
            "--tune",
            "2",
            "--tune-seeds",
            "1",
        ]
        assert run(*arguments, "--max-epochs", "2", "--out", str(tmp_path / "run")) == 0
        assert "No trial made an update: train_loss=1000 holds before training" in capsys.readouterr().out
        assert (
            run("report", str(tmp_path / "run"), "--figure", "scaling", "--out", str(tmp_path / "out")) == 2
        )
        assert "there is nothing to draw: no trial made an update" in capsys.readouterr().err

    def test_digits_are_studied_to_a_goal_of_their_own(self):
        registry, asked = Registry.load(), Question(workload="digits", tune=2, seeds=(0,))
        studied = prepare(registry, study_question(registry, asked, [64], 1)).setup.comparison
        assert studied.goal == "train_loss=0.3"

    def test_it_needs_a_goal(self, capsys):
        assert run("scaling", "--workload", "noisy-quadratic:n=64") == 2
        assert "give one, such as --goal train_loss=0.3" in capsys.readouterr().err

    def test_batch_sizes_are_powers_of_two_unless_given(self):
        assert rising(None, 10, "w") == [1, 2, 4, 8]
        assert rising(None, 8, "w") == [1, 2, 4, 8]
        assert rising([10, 3, 3], 10, "w") == [3, 10]

    @pytest.mark.parametrize(("sizes", "got"), [([0, 2], "got 0"), ([], "got none"), ([1.5], "got 1.5")])
    def test_batch_sizes_are_whole_numbers(self, sizes, got):
        with pytest.raises(ComparisonError, match=f"batch sizes are whole numbers from 1 on, {got}"):
            rising(sizes, 10, "w")

    @pytest.mark.parametrize("most", [0, 1.5])
    def test_the_most_epochs_are_a_whole_number_and_are_named_as_the_user_named_them(self, most, capsys):
        with pytest.raises(ComparisonError, match=r"^max_epochs must be"):
            optcompare.batch_size_study("line", "train_loss=1", batch_sizes=[2], max_epochs=most)
        if most == 0:
            assert run("scaling", "--workload", "line", "--goal", "train_loss=1", "--max-epochs", "0") == 2
            assert "error: --max-epochs must be at least 1, got 0" in capsys.readouterr().err

    @pytest.mark.slow
    def test_python_asks_the_same_question_as_the_command_line(self, tmp_path):
        settings = {"batch_sizes": [1, 8, 64], "tune": 3, "seeds": 2, "tune_seeds": 1, "max_epochs": 9}
        asked = optcompare.batch_size_study(
            "noisy-quadratic:n=64:noise=0.3", "train_loss=0.3", **settings, out=tmp_path / "py"
        )
        options = [
            "--batch-sizes",
            "1,8,64",
            "--tune",
            "3",
            "--seeds",
            "2",
            "--tune-seeds",
            "1",
            "--max-epochs",
            "9",
        ]
        run(
            "scaling",
            "--workload",
            "noisy-quadratic:n=64:noise=0.3",
            "--goal",
            "train_loss=0.3",
            *options,
            "--out",
            str(tmp_path / "cli"),
        )
        other = load(tmp_path / "cli")
        assert asked.comparison == other.comparison
        said, too = (
            [line for line in one.recommendation() if "seconds" not in line] for one in (asked, other)
        )
        assert said == too
        assert said[0].startswith("fewest samples: batch size ")
        assert (tmp_path / "py" / "scaling.csv").is_file()
        assert optcompare.figure("scaling", asked).axes

    @pytest.mark.slow
    def test_another_run_is_no_study(self, tmp_path, capsys):
        run("run", "--epochs", "2", "--seeds", "2", "--quiet", "--out", str(tmp_path / "run"))
        capsys.readouterr()
        assert run("report", str(tmp_path / "run"), "--figure", "scaling") == 2
        assert "this run is no batch-size study" in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_is_drawn_in_the_colour_that_is_given_for_its_optimizer(study, tmp_path, capsys):
    draw = ("report", str(study), "--figure", "scaling", "--format", "svg", "--out", str(tmp_path))
    assert run(*draw, "--color", "sgd=#0A0B0C") == 0
    assert "#0a0b0c" in (tmp_path / "run-scaling.svg").read_text("utf-8")
    assert run(*draw, "--color", "sdg=#0A0B0C") == 2
    assert "there is no arm 'sdg' (did you mean 'sgd'?)" in capsys.readouterr().err


@pytest.mark.slow
def test_a_study_that_is_extended_is_drawn_and_said_again(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    study = [
        "scaling",
        "--workload",
        "noisy-quadratic",
        "--batch-sizes",
        "1,8",
        "--tune",
        "2",
        "--max-epochs",
        "2",
    ]
    with pytest.raises(SystemExit, match="0"):
        main([*study, "--goal", "train_loss=0.3", "--seeds", "2", "--out", "run"])
    capsys.readouterr()
    (tmp_path / "run" / "scaling.csv").unlink()
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--resume", "run", "--seeds", "3"])
    shown = capsys.readouterr().out
    assert "plot: run/scaling.png" in shown
    assert "3 of 3" in shown or "0 of 3" in shown
    assert (tmp_path / "run" / "scaling.csv").is_file()
