"""Comparisons of models with running averages: measured by recalibrated ones, trained as ever."""

from __future__ import annotations

import dataclasses
import json

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, Workload, compare, load
from optcompare.core.comparison import Comparison
from optcompare.core.goal import metric_columns
from optcompare.results.merge import merge
from optcompare.training.measurement.recalibration import Sample
from optcompare.verification.verify import verify
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.commands import run
from tests.helpers.trials import same
from tests.helpers.workloads import small_workload, wandering
from tests.interfaces.test_optimizer import Averaged

MINE = """
import torch
from torch import nn
from optcompare import Workload

def norm():
    generator = torch.Generator().manual_seed(0)
    x = 3 + 2 * torch.randn(96, 4, generator=generator)
    y = (x.sum(1) > 12).long()
    return Workload(
        model=lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)),
        train=(x[:64], y[:64]), valid=(x[64:], y[64:]), loss=nn.functional.cross_entropy,
        lr=0.1, epochs=4, batch_size=8, goal="valid_loss=0.3",
    )

def plain():
    return Workload(model=lambda: nn.Linear(1, 1), train=(torch.ones(4, 1), torch.ones(4, 1)),
                    loss=nn.functional.mse_loss, lr=0.1, epochs=2)
"""


def accuracy(output, y):
    return (output.argmax(1) == y).sum(), len(y)


def workload(model=None, **changes):
    """Two classes of rows around (3, 3, 3, 3), of which BatchNorm must learn that they are not around 0."""
    x = 3 + 2 * torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
    y = (x.sum(1) > 12).long()
    settings = {
        "model": model
        or (lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))),
        "train": (x[:64], y[:64]),
        "valid": (x[64:], y[64:]),
        "metrics": {"accuracy": accuracy},
        "loss": nn.functional.cross_entropy,
        "lr": 0.1,
        **changes,
    }
    return Workload(**settings)


def images(**changes):
    x = torch.randn(48, 1, 6, 6, generator=torch.Generator().manual_seed(0))

    def model():
        return nn.Sequential(
            nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(48, 2)
        )

    return workload(model, train=(x[:32], (x[:32].mean((1, 2, 3)) > 0).long()), valid=None, **changes)


QUESTION = {"strategies": ["mini:8", "full"], "seeds": 2, "epochs": 4, "trainer": "loop"}


def line(result, name="BatchNorm averages"):
    return next((check for check in result.certificate if check.name == name), None)


class TestMeasurements:
    def test_losses_are_those_of_the_trained_model_and_raw_those_of_its_own_averages(self):
        """Full makes 4 updates, after which .9⁴ = 66% of the initial averages are left."""
        asked = workload()
        result = compare(asked, **QUESTION, dtype="float64")
        x, y = asked.train[0].double(), asked.train[1]
        last = result.records[(result.records["arm"] == "full") & (result.records["seed"] == 0)].iloc[-1]
        found = {}
        for recalibrated in (False, True):
            model = result.model("full", 0, recalibrated=recalibrated).eval()
            found[recalibrated] = nn.functional.cross_entropy(model(x), y).item()
        assert last["raw_train_loss"] == pytest.approx(found[False], rel=1e-12)
        assert last["train_loss"] == pytest.approx(found[True], rel=1e-12)
        assert abs(found[False] - found[True]) > 0.05, (
            "the running averages are mostly what they were made with"
        )
        model = result.model("full", 0).train()
        own = nn.functional.cross_entropy(model(x), y).item()
        assert last["train_loss"] == pytest.approx(own, rel=0.01), (
            "as full trains, but for the variance's 64/63"
        )

    @pytest.mark.slow
    @pytest.mark.parametrize("asked", [workload, images])
    def test_training_ends_in_the_same_bits_with_it_and_without(self, asked):
        on, off = (compare(asked(), **QUESTION, recalibrate=answer) for answer in (True, False))
        assert on.trials["final_sha256"].equals(off.trials["final_sha256"])
        measured = [name for name in off.records if name in metric_columns(off.records)]
        assert [name for name in on.records if name.startswith("raw_")] == [
            f"raw_{name}" for name in measured
        ]
        for name in measured:
            assert on.records[f"raw_{name}"].equals(off.records[name])
        assert not on.records["train_loss"].equals(off.records["train_loss"])

    @pytest.mark.slow
    def test_a_batch_norm_on_the_rows_themselves_takes_the_mean_of_the_sample(self):
        x = torch.arange(3000.0)[:, None]
        asked = Workload(
            model=lambda: nn.Sequential(nn.BatchNorm1d(1, affine=False), nn.Linear(1, 1)),
            train=(x, x),
            loss=nn.functional.mse_loss,
            lr=0.1,
        )
        result = compare(asked, "full", seeds=1, epochs=1, dtype="float64", eval_chunk=1024)
        rows = torch.cat(list(Sample(3000, 2, 1024).indices()))
        mean = result.model("full", 0, recalibrated=True)[0].running_mean
        torch.testing.assert_close(mean, x.double()[rows].mean(0), rtol=1e-12, atol=0)
        assert result.model("full", 0)[0].running_mean.tolist() == pytest.approx([0.1 * 1499.5], rel=1e-12)
        said = "from 2,048 of 3,000 training rows, drawn by a fixed seed, in 2 forward passes of 1,024 rows"
        assert said in line(result).detail

    def test_weights_that_are_judged_others_than_trained_are_judged_with_averages_of_their_own(self):
        asked = workload()
        result = compare(asked, "full", Averaged, seeds=1, epochs=4, lr=0.1, dtype="float64")
        x, y = asked.train[0].double(), asked.train[1]
        loss = nn.functional.cross_entropy(result.model("full", 0, recalibrated=True).eval()(x), y)
        assert result.records["train_loss"].iloc[-1] == pytest.approx(loss.item(), rel=1e-12)
        off = compare(asked, "full", Averaged, seeds=1, epochs=4, lr=0.1, dtype="float64", recalibrate=False)
        assert off.trials["final_sha256"].equals(result.trials["final_sha256"])

    def test_diagnostics_see_what_the_losses_see(self):
        """The norm of the gradient in eval mode, of the model with recalibrated averages."""
        asked = workload()
        question = {"strategies": "full", "seeds": 1, "updates": 2, "measure": 0, "diagnostics": "grad_norm"}
        result = compare(asked, **question, dtype="float64")
        model = result.model("full", 0, recalibrated=True).eval()
        nn.functional.cross_entropy(model(asked.train[0].double()), asked.train[1]).backward()
        norm = torch.cat([weight.grad.reshape(-1) for weight in model.parameters()]).norm()
        assert result.records["grad_norm"].iloc[-1] == pytest.approx(float(norm), rel=1e-9)

    def test_raw_columns_are_no_metrics(self):
        result = compare(workload(), **QUESTION, goal="train_loss=0.6")
        assert not [name for name in result.summary(wide=True) if "raw" in name]
        with pytest.raises(
            ComparisonError, match="there is no metric 'raw_train_loss'; there are train_loss"
        ):
            compare(workload(), **QUESTION, goal="raw_train_loss=0.6")

    def test_a_diagnostic_cannot_take_their_names(self):
        from optcompare import Diagnostic, PluginError

        class Raw(Diagnostic):
            columns = ("raw_train_loss",)

            def measure(self, moment):
                return {"raw_train_loss": 0.0}

        with pytest.raises(
            PluginError, match=r"not beginning with train_, valid_, test_ or raw_; got \('raw_train_loss',\)"
        ):
            compare(workload(), "full", seeds=1, epochs=1, diagnostics=Raw())

    def test_a_model_without_running_averages_is_measured_as_ever(self):
        result = compare(small_workload(), "full", seeds=1, epochs=2)
        assert not result.comparison.recalibrate
        assert not [name for name in result.records if name.startswith("raw_")]
        assert line(result) is None
        assert result.notes == []


class TestLanes:
    @pytest.mark.slow
    @pytest.mark.parametrize(
        "norm",
        [
            pytest.param(lambda: nn.BatchNorm1d(8), id="batch norm"),
            pytest.param(
                lambda: nn.Sequential(
                    nn.Unflatten(1, (2, 4)), nn.InstanceNorm1d(2, track_running_stats=True), nn.Flatten()
                ),
                id="instance norm",
            ),
            pytest.param(lambda: nn.Sequential(nn.BatchNorm1d(8).eval(), nn.BatchNorm1d(8)), id="one frozen"),
        ],
    )
    @pytest.mark.parametrize("eval_chunk", [64, 20])
    def test_lanes_measure_what_the_loop_measures(self, norm, eval_chunk):
        asked = workload(lambda: nn.Sequential(nn.Linear(4, 8), norm(), nn.ReLU(), nn.Linear(8, 2)))
        settings = {"recalibrate": True, "eval_chunk": eval_chunk, "epochs": 3}
        lanes, loop = both(asked, ["mini:8", "full"], **settings)
        assert trainers(lanes) == {"lanes"}
        agree(lanes, loop)
        raw = [name for name in loop.records if name.startswith("raw_")]
        assert len(raw) == 4
        for name in raw:
            keys = ["arm", "seed", "update"]
            one, other = (result.records.sort_values(keys)[name].tolist() for result in (lanes, loop))
            assert one == pytest.approx(other, rel=1e-9)

    @pytest.mark.slow
    def test_final_weights_of_lanes_are_the_same_with_it_and_without(self):
        on, off = (
            compare(workload(), "mini:8", seeds=2, updates=6, trainer="lanes", recalibrate=answer)
            for answer in (True, False)
        )
        assert trainers(on) == {"lanes"}
        assert on.trials["final_sha256"].equals(off.trials["final_sha256"])


class TestQuestion:
    @pytest.mark.slow
    def test_results_do_not_depend_on_jobs(self):
        same(compare(images(), **QUESTION), compare(images(), **QUESTION, jobs=2))

    @pytest.mark.slow
    def test_more_seeds_go_on_with_what_the_run_began_with(self, tmp_path):
        settings = {**QUESTION, "strategies": ["mini:8"]}
        compare(workload(), **settings, recalibrate=True, out=tmp_path / "run")
        longer = compare(workload(), **{**settings, "seeds": 3}, resume=tmp_path / "run")
        whole = compare(workload(), **{**settings, "seeds": 3}, recalibrate=True)
        same(longer, whole)
        with pytest.raises(ComparisonError, match="different: recalibrate"):
            compare(workload(), **{**settings, "seeds": 4}, recalibrate=False, resume=tmp_path / "run")

    @pytest.mark.slow
    def test_runs_with_it_and_without_are_not_merged(self, tmp_path):
        for name, answer in (("on", True), ("off", False)):
            compare(workload(), **QUESTION, recalibrate=answer, out=tmp_path / name)
        with pytest.raises(ComparisonError, match="recalibrate is True in one and False in the other"):
            merge([(tmp_path / name, load(tmp_path / name)) for name in ("on", "off")])

    def test_an_earlier_comparison_loads_as_off(self):
        saved = compare(workload(), **QUESTION).comparison.to_json()
        assert saved.pop("recalibrate") is True
        assert Comparison.from_json(saved).recalibrate is False
        with pytest.raises(ComparisonError, match="recalibrate must be true or false, got 'yes'"):
            Comparison.from_json({**saved, "recalibrate": "yes"})


class TestCertificate:
    def test_it_says_from_what_the_averages_are(self):
        check = line(compare(workload(), **QUESTION))
        assert check.held
        assert check.detail.startswith(
            "recalibrated before each measurement, for all arms, from all 64 training rows, in one forward "
            "pass"
        )

    def test_it_does_not_hold_where_losses_are_measured_with_initial_values(self):
        check = line(compare(workload(), **QUESTION, recalibrate=False))
        assert not check.held
        assert check.detail == (
            "not recalibrated, and of their initial values 66% is left at the end of full, whose losses are "
            "measured with that"
        )

    def test_where_next_to_nothing_is_left_it_holds_without(self):
        """Ten epochs of 8 updates: .9⁸⁰ = .0002."""
        result = compare(workload(), "mini:8", seeds=1, epochs=10)
        assert not result.comparison.recalibrate
        assert result.notes == []
        check = line(result)
        assert check.held
        assert check.detail == (
            "not recalibrated; of their initial values less than 0.1% is left at the end of mini:8, the arm "
            "of the fewest "
            "updates"
        )

    def test_cumulative_averages_keep_nothing(self):
        result = compare(
            workload(lambda: nn.Sequential(nn.BatchNorm1d(4, momentum=None), nn.Linear(4, 2))),
            "full",
            seeds=1,
            updates=2,
        )
        assert not result.comparison.recalibrate
        assert (
            line(result).detail
            == "not recalibrated; after the first update nothing is left of their initial values"
        )


class TestCommandLine:
    @pytest.fixture
    def mine(self, tmp_path, monkeypatch):
        (tmp_path / "mine.py").write_text(MINE)
        monkeypatch.chdir(tmp_path)
        return "mine.py:norm"

    def test_a_run_says_so_verifies_and_goes_on(self, mine, tmp_path, capsys):
        asked = ["--workload", mine, "--strategies", "full,mini", "--trainer", "loop"]
        assert run("run", *asked, "--seeds", 2, "--out", "run") == 0
        said = capsys.readouterr().out
        assert "would be left at the end of full (4 updates); --no-recalibrate" in said
        assert "✓ BatchNorm averages: recalibrated" in said
        assert run("run", "--resume", "run", "--seeds", 3, "--quiet") == 0
        findings = list(verify(tmp_path / "run", trials=None))
        assert [finding.detail for finding in findings if finding.held is not True] == []
        assert load("run").comparison.recalibrate

    @pytest.mark.slow
    def test_a_forged_raw_loss_is_found(self, mine, tmp_path):
        assert (
            run("run", "--workload", mine, "--strategies", "full", "--seeds", 1, "--out", "run", "--quiet")
            == 0
        )
        result = load("run")
        forged = dataclasses.replace(result, records=result.records.assign(raw_train_loss=0.0))
        forged.write(tmp_path / "run", ["png"])
        assert [
            f.detail
            for f in verify(tmp_path / "run", trials=1)
            if f.held is False and "raw_train_loss" in f.detail
        ]

    @pytest.mark.slow
    def test_it_is_switched_off(self, mine, capsys):
        asked = ["--workload", mine, "--strategies", "full", "--seeds", 1]
        assert run("run", *asked, "--no-recalibrate", "--out", "run") == 0
        said = capsys.readouterr().out
        assert (
            "are not recalibrated, and 66% of their initial values is left at the end of full (4 updates)"
            in said
        )
        assert "✗ BatchNorm averages" in said
        assert run("verify", "run", "--trials", "0") == 0
        assert run("run", "--config", "run/comparison.json", "--out", "again", "--quiet") == 0
        assert not load("again").comparison.recalibrate

    @pytest.mark.slow
    def test_a_run_from_before_there_was_recalibration_verifies_and_goes_on_without(self, mine, tmp_path):
        asked = ["--workload", mine, "--strategies", "full", "--seeds", 1, "--trainer", "loop"]
        assert run("run", *asked, "--no-recalibrate", "--out", "run", "--quiet") == 0
        path = tmp_path / "run" / "comparison.json"
        about = json.loads(path.read_text("utf-8"))
        del about["comparison"]["recalibrate"], about["environment"]["traits"]
        about["certificate"] = [
            check for check in about["certificate"] if check["name"] != "BatchNorm averages"
        ]
        path.write_text(json.dumps(about), "utf-8")
        assert [
            finding.detail for finding in verify(tmp_path / "run", trials=None) if finding.held is not True
        ] == []
        assert run("run", "--resume", "run", "--seeds", 2, "--quiet") == 0
        result = load("run")
        assert not result.comparison.recalibrate
        assert not [name for name in result.records if name.startswith("raw_")]
        assert not line(result).held, "what it goes on with, it says"

    @pytest.mark.slow
    def test_a_study_takes_it_since_its_trials_may_end_early(self, mine, capsys):
        study = [
            "scaling",
            "--workload",
            mine,
            "--batch-sizes",
            "8,16",
            "--tune",
            2,
            "--tune-seeds",
            1,
            "--seeds",
            1,
        ]
        assert run(*study, "--max-epochs", 8, "--out", "on", "--quiet") == 0
        assert run(*study, "--max-epochs", 8, "--no-recalibrate", "--out", "off", "--quiet") == 0
        assert (load("on").comparison.recalibrate, load("off").comparison.recalibrate) == (True, False)

    @pytest.mark.slow
    def test_nonsense_is_one_line(self, mine, tmp_path, capsys):
        assert run("run", "--workload", mine, "--recalibrate=often") == 2
        assert "recalibrate" in capsys.readouterr().err
        assert (
            run("run", "--workload", mine, "--strategies", "full", "--seeds", 1, "--out", "run", "--quiet")
            == 0
        )
        capsys.readouterr()
        for how in (["--resume", "run"], ["--config", "run/comparison.json"]):
            assert run("run", *how, "--recalibrate") == 2
            assert "leave out --recalibrate" in capsys.readouterr().err
        about = json.loads((tmp_path / "run" / "comparison.json").read_text("utf-8"))
        about["comparison"]["recalibrate"] = 1.5
        (tmp_path / "odd.json").write_text(json.dumps(about), "utf-8")
        assert run("run", "--config", "odd.json") == 2
        assert "recalibrate must be true or false, got 1.5" in capsys.readouterr().err

    @pytest.mark.slow
    def test_asked_for_in_vain_is_said(self, mine, capsys):
        assert (
            run("run", "--workload", "mine.py:plain", "--strategies", "full", "--seeds", 1, "--recalibrate")
            == 0
        )
        assert "note: --recalibrate changes nothing" in capsys.readouterr().out


class TestRandomNumbers:
    """Which random numbers arms have in common, by what each of them drew."""

    def drawn(self, strategies, **changes):
        masks: list = []

        class Noted(nn.Module):
            def forward(self, x):
                mask = torch.rand(len(x))
                if self.training and torch.is_grad_enabled():
                    masks.append(mask)
                return x * (0.5 + mask[:, None])

        asked = small_workload(8, model=lambda: nn.Sequential(nn.Linear(3, 1), Noted()), **changes)
        result = compare(asked, strategies, seeds=1, updates=2, trainer="loop", measure=0)
        return result, masks

    def test_arms_with_the_same_batches_draw_the_same_and_others_do_not(self):
        """The masks of each arm's updates are the last two that it drew."""
        per_arm = {}
        for strategies in (["mini:4"], ["mini:4@sgd:momentum=0.9"], ["mini:8"]):
            _, masks = self.drawn(strategies)
            per_arm[strategies[0]] = masks[-2:]
        assert [len(mask) for mask in per_arm["mini:4"]] == [4, 4]
        assert all(map(torch.equal, per_arm["mini:4"], per_arm["mini:4@sgd:momentum=0.9"]))
        assert not torch.equal(torch.cat(per_arm["mini:4"]), per_arm["mini:8"][1]), "each pass draws its own"
        assert torch.equal(per_arm["mini:4"][0], per_arm["mini:8"][0][:4]), "from one seed for all arms"

    def test_the_certificate_says_so_of_arms_that_draw(self):
        check = line(
            compare(small_workload(model=wandering), ["full", "mini:4"], seeds=1, epochs=1),
            "shared random numbers",
        )
        assert check.held
        assert check.detail == (
            "updates of full, mini:4 draw random numbers, such as dropout masks, from one generator a "
            "trial, seeded alike for "
            "all arms of a seed: arms with the same batches draw the same, arms with other batch sizes draw "
            "others"
        )

    def test_where_nothing_is_drawn_there_is_nothing_to_say(self):
        assert line(compare(small_workload(), "full", seeds=1, epochs=1), "shared random numbers") is None

    @pytest.mark.slow
    def test_samples_of_a_dataset_are_the_same_for_all_arms_whatever_their_batches(self):
        read: dict = {}

        class Augmented(torch.utils.data.Dataset):
            def __len__(self):
                return 6

            def __getitem__(self, index):
                noise = torch.rand(3)
                read.setdefault(arm, {}).setdefault(index, []).append(noise)
                return noise, torch.zeros(1)

        for arm in ("full", "mini:2", "single"):
            result = compare(
                small_workload(train=Augmented()), arm, seeds=1, epochs=2, trainer="loop", measure=0
            )
        for index in range(6):
            seen = [
                torch.stack(list({tuple(v.tolist()): v for v in read[arm][index]}.values())) for arm in read
            ]
            sets = [{tuple(row.tolist()) for row in each} for each in seen]
            assert sets[0] == sets[1] == sets[2]
            assert len(sets[0]) == 2, "one for each epoch; measurements read epoch 0 of seed 0"
        assert line(result, "shared random numbers").detail == (
            "what a sample of the Dataset draws follows from seed, epoch and sample, alike for all arms"
        )
