"""A run that goes on: what is done is not trained again, and what was cut ends in the same bits."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, OptcompareError, Strategy, compare, load
from optcompare.cli.main import main
from optcompare.cli.option_values import state_bytes
from optcompare.storage import journal
from tests.helpers.trials import EXACT, Press
from tests.helpers.workloads import small_workload, wandering


@dataclass
class Turning(Strategy):
    """Turns the order a little further in each epoch: it remembers how far."""

    turned: int = field(init=False, default=0)

    def batches(self, epoch):
        self.turned += 1
        yield from epoch.order.roll(self.turned).split(3)


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr(journal, "_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)


QUESTIONS = {
    "momentum": {"strategies": ["mini:3", "full"], "optimizers": ["sgd:momentum=0.9"]},
    "adam": {"strategies": ["mini:3", "single"], "optimizers": ["adam"]},
    "dropout": {"strategies": ["mini:4"], "model": wandering},
    "a strategy with state": {"strategies": [Turning(), "full"]},
}


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 4, 9, 17])
@pytest.mark.parametrize("question", QUESTIONS)
def test_an_interrupted_run_ends_in_the_same_bits(tmp_path, question, at):
    """From its last checkpoint, which lies within an epoch: tasks end after each update here."""
    asked = dict(QUESTIONS[question])
    workload = small_workload(model=asked.pop("model", lambda: nn.Linear(3, 1)))
    settings = {**asked, "seeds": 3, "epochs": 4, "trainer": "loop"}
    whole = compare(workload, **settings)
    cut = compare(workload, **settings, out=tmp_path / "run", observer=Press(at))
    assert cut.status == "interrupted"
    before = [*zip(cut.trials["arm"], cut.trials["seed"], strict=True)][:-1]
    seen = Press()
    result = compare(workload, **settings, resume=tmp_path / "run", observer=seen)
    assert result.status == "finished"
    assert set(seen.ended).isdisjoint(before)
    assert result.trials[EXACT].equals(whole.trials[EXACT])
    unclocked = [name for name in whole.records.columns if name != "seconds"]
    assert result.records[unclocked].equals(whole.records[unclocked])
    assert [(check.name, check.held) for check in result.certificate] == [
        (c.name, c.held) for c in whole.certificate
    ]
    for key, weights in whole.weights.items():
        assert all(torch.equal(weights[name], result.weights[key][name]) for name in weights)
    assert load(tmp_path / "run").trials[EXACT].equals(whole.trials[EXACT])


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_more_epochs_train_on_from_the_final_states(tmp_path, trainer):
    settings = {
        "strategies": ["mini:3", "full"],
        "optimizers": ["adam"],
        "seeds": 3,
        "trainer": trainer,
        "dtype": "float64",
    }
    whole = compare(small_workload(), **settings, epochs=6)
    compare(small_workload(), **settings, epochs=4, out=tmp_path / "run")
    result = compare(small_workload(), **settings, epochs=6, resume=tmp_path / "run")
    assert result.notes == []
    assert result.records["epoch"].tolist() == whole.records["epoch"].tolist()
    assert result.records["train_loss"].tolist() == pytest.approx(
        whole.records["train_loss"].tolist(), rel=1e-12
    )
    if trainer == "loop":
        assert result.trials[EXACT].equals(whole.trials[EXACT])


@pytest.mark.slow
def test_without_final_states_more_epochs_begin_again_and_say_so(tmp_path):
    compare(small_workload(), ["full"], seeds=2, epochs=2, trainer="loop", out=tmp_path / "run")
    for path in (tmp_path / "run" / "states").iterdir():
        path.unlink()
    result = compare(small_workload(), ["full"], seeds=2, epochs=3, trainer="loop", resume=tmp_path / "run")
    assert result.notes == [
        "2 finished trials are trained again from the start: their final states were not kept"
    ]
    assert result.records.groupby("seed").size().tolist() == [4, 4], "the start, and 3 epochs of one update"


class Noisy(torch.utils.data.Dataset):
    """Samples with random noise of their own, which loader processes draw."""

    def __len__(self):
        return 12

    def __getitem__(self, index):
        return torch.full((3,), float(index)) + torch.rand(3), torch.tensor([float(index % 2)])


@pytest.mark.slow
@pytest.mark.parametrize("at", [2, 7])
def test_loader_processes_give_the_same_samples_after_a_resume(tmp_path, at):
    workload = small_workload(train=Noisy(), workers=2, lr=0.001)
    settings = {"strategies": ["mini:5"], "seeds": 2, "epochs": 3, "trainer": "loop"}
    whole = compare(workload, **settings)
    cut = compare(workload, **settings, out=tmp_path / "run", observer=Press(at))
    assert cut.status == "interrupted"
    result = compare(workload, **settings, resume=tmp_path / "run")
    assert result.trials[EXACT].equals(whole.trials[EXACT])


def test_states_are_kept_as_far_as_they_may_take_room(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = ["run", "--strategies", "full", "--epochs", "2", "--seeds", "3", "--trainer", "loop", "--quiet"]
    for size, kept in (("0", False), ("1MB", True)):
        with pytest.raises(SystemExit, match="0"):
            main([*run, "--keep-states", size, "--out", size])
        assert any((tmp_path / size / "states").iterdir()) == kept


def test_more_seeds_and_more_arms_train_the_new_ones_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = ["run", "--device", "cpu", "--epochs", "3", "--trainer", "loop", "--quiet"]
    with pytest.raises(SystemExit, match="0"):
        main([*run, "--strategies", "full,mini", "--seeds", "2", "--out", "a"])
    first = load("a").trials
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--resume", "a", "--strategies", "full,mini,single", "--seeds", "3", "--quiet"])
    with pytest.raises(SystemExit, match="0"):
        main([*run, "--strategies", "full,mini,single", "--seeds", "3", "--out", "b"])
    extended, whole = load("a"), load("b")
    assert extended.trials[EXACT].equals(whole.trials[EXACT])
    kept = extended.trials.merge(first, on=["arm", "seed"], suffixes=("", "_first"))
    assert len(kept) == 4
    assert (kept["train_seconds"] == kept["train_seconds_first"]).all(), "they were not trained again"


def test_what_changed_since_is_listed_and_refused(tmp_path):
    settings = {"strategies": ["full"], "epochs": 2, "trainer": "loop"}
    compare(small_workload(), seeds=1, **settings, out=tmp_path / "run")
    about = json.loads((tmp_path / "run" / "comparison.json").read_text())
    about["environment"]["torch"] = "1.0"
    (tmp_path / "run" / "comparison.json").write_text(json.dumps(about))
    other = small_workload(n=11)
    refusal = (
        f"torch: 1.0 then, {torch.__version__} now; the workload's data changed; give force=True to go on "
        "nevertheless"
    )
    with pytest.raises(ComparisonError, match=refusal.replace(".", r"\.").replace("+", r"\+")):
        compare(other, seeds=2, **settings, resume=tmp_path / "run")
    result = compare(other, seeds=2, **settings, resume=tmp_path / "run", force=True)
    assert result.notes == [
        f"resumed although torch: 1.0 then, {torch.__version__} now",
        "resumed although the workload's data changed",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"epochs": 2}, "this run had 3 epochs each; it can be resumed with that or more, not with 2 epochs"),
        (
            {"epochs": None, "updates": 9},
            "this run had 3 epochs each; it can be resumed with that or more, not with 9 updates",
        ),
        ({"strategies": ["mini:2"]}, "different: baseline, arm full"),
        ({"measure": 2}, "different: measure; ask the same question"),
        (
            {"seeds": 1},
            "this run has 2 seeds, of which seed 1 is missing; give seeds=2 or more",
        ),
        ({"out": "there"}, "resume continues in the directory of the previous run; leave out `out`"),
    ],
)
def test_another_question_is_refused(tmp_path, changes, why):
    settings = {"strategies": ["full"], "seeds": 2, "epochs": 3, "trainer": "loop"}
    compare(small_workload(), **settings, out=tmp_path / "run")
    with pytest.raises(ComparisonError, match=why):
        compare(small_workload(), **{**settings, **changes}, resume=tmp_path / "run")
    assert len(load(tmp_path / "run").trials) == 2, "nothing was lost"


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 3, 6])
def test_stopped_while_it_was_extended_nothing_that_had_ended_is_lost(tmp_path, at):
    settings = {"strategies": ["mini:3"], "optimizers": ["adam"], "trainer": "loop"}
    whole = compare(small_workload(), **settings, seeds=4, epochs=6)
    compare(small_workload(), **settings, seeds=3, epochs=2, out=tmp_path / "run")
    cut = compare(
        small_workload(), **settings, seeds=4, epochs=6, resume=tmp_path / "run", observer=Press(at)
    )
    assert cut.status == "interrupted"
    assert set(cut.trials.loc[cut.trials["status"] == "finished", "seed"]) >= {0, 1, 2}
    result = compare(small_workload(), **settings, seeds=4, epochs=6, resume=tmp_path / "run")
    assert result.trials[EXACT].equals(whole.trials[EXACT])
    assert result.records["epoch"].tolist() == whole.records["epoch"].tolist()


@pytest.mark.slow
def test_killed_while_it_was_extended_short_trials_do_not_pass_for_long_ones(tmp_path):
    """The new budget was written down before the kill, and no trial had reached it."""
    settings = {"strategies": ["full"], "seeds": 2, "trainer": "loop"}
    compare(small_workload(), **settings, epochs=2, out=tmp_path / "run")
    path = tmp_path / "run" / "comparison.json"
    about = json.loads(path.read_text())
    about["comparison"]["budget"]["amount"] = 5
    path.write_text(json.dumps(about | {"status": "running"}))
    result = compare(small_workload(), **settings, epochs=5, resume=tmp_path / "run")
    assert result.trials["epochs"].tolist() == [5, 5]


@pytest.mark.slow
def test_what_was_forced_and_how_lanes_agreed_stays_on_record(tmp_path):
    settings = {"strategies": ["full"], "epochs": 2, "trainer": "lanes"}
    first = compare(small_workload(), seeds=3, **settings, out=tmp_path / "run")
    compare(small_workload(n=11), seeds=3, **settings, resume=tmp_path / "run", force=True)
    last = compare(small_workload(n=11), seeds=3, **settings, resume=tmp_path / "run")
    assert last.notes == ["resumed although the workload's data changed"]
    assert last.certificate[-1].detail == first.certificate[-1].detail
    assert len(last.environment["earlier"]) == 2


@pytest.mark.slow
def test_a_checkpoint_stays_until_its_task_has_ended(tmp_path):
    settings = {"strategies": ["mini:3"], "seeds": 2, "epochs": 4, "trainer": "loop"}
    compare(small_workload(), **settings, out=tmp_path / "run", observer=Press(3))
    assert (tmp_path / "run" / "checkpoint.pt").is_file()
    compare(small_workload(), **settings, resume=tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


@pytest.mark.parametrize(
    ("name", "damage", "why"),
    [
        ("trials.parquet", None, "has no trials.parquet"),
        ("checkpoint.pt", b"", r"checkpoint.pt is damaged; delete it, and what it held is trained again"),
    ],
)
def test_damage_is_named(tmp_path, name, damage, why):
    settings = {"strategies": ["mini:3"], "seeds": 2, "epochs": 4, "trainer": "loop"}
    compare(small_workload(), **settings, out=tmp_path / "run", observer=Press(3))
    if damage is None:
        (tmp_path / "run" / name).unlink()
    else:
        (tmp_path / "run" / name).write_bytes(damage)
    with pytest.raises(OptcompareError, match=why):
        compare(small_workload(), **settings, resume=tmp_path / "run")


@pytest.mark.slow
def test_damaged_states_are_not_needed_for_more_seeds(tmp_path):
    settings = {"strategies": ["full"], "epochs": 2, "trainer": "loop"}
    compare(small_workload(), seeds=2, **settings, out=tmp_path / "run")
    for path in (tmp_path / "run" / "states").iterdir():
        path.write_bytes(b"")
    assert len(compare(small_workload(), seeds=3, **settings, resume=tmp_path / "run").trials) == 3


@pytest.mark.parametrize("text", ["lots", "10%", "-1"])
def test_room_for_states_is_a_size(text):
    with pytest.raises(ComparisonError, match="--keep-states takes a size, such as 2GB or 0, got"):
        state_bytes(text, "--keep-states")
