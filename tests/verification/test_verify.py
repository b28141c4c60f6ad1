"""A run directory is computed again: what was changed in it is found, by the check that can know."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
import torch

from optcompare import Strategy, compare
from optcompare.cli.main import main
from optcompare.core.comparison import Arm, Part, Trial
from optcompare.results.tables import ResultTables
from optcompare.storage import journal
from optcompare.storage.run_dir import file_sha256
from optcompare.training.measurement.counters import Progress
from optcompare.verification.recompute import rows_of
from optcompare.verification.replay_batches import of_some_seeds
from optcompare.verification.retrain import Ran, Saved, _distances
from optcompare.verification.verify import verify
from tests.helpers.workloads import small_workload

PLUGIN = '''
from dataclasses import dataclass, field
import torch
from torch import nn
from optcompare import Strategy, Workload, hookimpl


@dataclass
class Turning(Strategy):
    """Turns the order a little further in each epoch: it remembers how far."""

    turned: int = field(init=False, default=0)

    def batches(self, epoch):
        self.turned += 1
        yield from epoch.order.roll(self.turned).split(3)


@dataclass
class Growing(Strategy):
    """Batches that grow once the loss falls."""

    adaptive = True
    needs = ("loss",)

    def batches(self, epoch):
        at, size = 0, 2
        while at < len(epoch.order):
            stats = yield epoch.order[at : at + size]
            at, size = at + size, size + (stats.loss < 1)


def wandering():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(10, 3, generator=generator), torch.randn(10, 1, generator=generator)
    model = lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))
    return Workload(model=model, train=(x, y), valid=(x[:4], y[:4]),
                    loss=nn.functional.mse_loss, lr=0.05, name="wandering")


@hookimpl
def optcompare_strategies():
    return {"turning": Turning, "growing": Growing}


@hookimpl
def optcompare_workloads():
    return {"wandering": wandering}
'''
ROWS = [f"{i},{(i * 7) % 5},{(i * 3) % 11 + 0.5}" for i in range(12)]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(PLUGIN)
    Path("data.csv").write_text("a,b,y\n" + "\n".join(ROWS) + "\n")


def run(*arguments: str, out: str = "run") -> Path:
    """A small run of two arms and three seeds."""
    settings = {
        "--strategies": "full,mini:2",
        "--seeds": "3",
        "--epochs": "3",
        "--device": "cpu",
        "--trainer": "loop",
    }
    settings |= dict(zip(arguments[::2], arguments[1::2], strict=True))
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--quiet", "--out", out, *(part for pair in settings.items() for part in pair)])
    return Path(out)


def found(directory: Path | str, **how) -> dict[str, tuple[bool | None, str]]:
    return {finding.name: (finding.held, finding.detail) for finding in verify(Path(directory), **how)}


def broken(directory: Path | str, **how) -> list[str]:
    return [name for name, (held, _) in found(directory, **how).items() if held is False]


def exits(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as exit_:
        main(["verify", *arguments])
    return exit_.value.code


def edited(directory: Path, **changes) -> None:
    """Changes comparison.json."""
    path = directory / "comparison.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def forged(directory: Path, name: str, change) -> None:
    """Changes a table, and everything else that follows from its bytes: only computing again can tell."""
    table = pd.read_parquet(directory / name)
    changed = change(table)
    table = table if changed is None else changed
    table.to_parquet(directory / name, index=False)
    files = json.loads((directory / "comparison.json").read_text())["files"]
    edited(directory, files={**files, name: file_sha256(directory / name)})


def put(column: str, value, row: int | slice = 1):
    def change(table: pd.DataFrame) -> None:
        table.loc[row, column] = value

    return change


RUNS = {
    "loop": (),
    "lanes": ("--trainer", "lanes"),
    "tuned": ("--tune", "3", "--tune-seeds", "2", "--workload", "csv:data.csv:y=y"),
    "momentum and dropout": (
        "--plugin",
        "mine.py",
        "--workload",
        "wandering",
        "--optimizers",
        "sgd:momentum=0.9,adam",
    ),
    "a strategy with state": (
        "--plugin",
        "mine.py",
        "--strategies",
        "turning,full",
        "--workload",
        "wandering",
    ),
    "an adaptive strategy": (
        "--plugin",
        "mine.py",
        "--strategies",
        "growing,full",
        "--workload",
        "wandering",
    ),
    "a budget of updates within an epoch": ("--updates", "7"),
    "a budget of samples within a batch": (
        "--samples",
        "15",
        "--workload",
        "wandering",
        "--plugin",
        "mine.py",
    ),
    "a budget of samples at an epoch's end": (
        "--samples",
        "13",
        "--workload",
        "line",
        "--strategies",
        "full",
    ),
    "a budget of seconds": ("--seconds", "0.02"),
    "float64 in lanes": ("--trainer", "lanes", "--dtype", "float64", "--optimizers", "adam"),
    "trials that diverge": ("--lr", "1e6", "--strategies", "full,mini:2,single", "--epochs", "20"),
    "trials that diverge in lanes": (
        "--lr",
        "1e6",
        "--strategies",
        "full,mini:2",
        "--epochs",
        "20",
        "--trainer",
        "lanes",
    ),
    "measured before and after alone": ("--measure", "0"),
    "a test set": ("--workload", "csv:data.csv:y=y:test=0.2"),
    "a test set in lanes": ("--workload", "csv:data.csv:y=y:test=0.2", "--trainer", "lanes"),
    "a test set and several splits": (
        "--workload",
        "csv:data.csv:y=y:test=0.2",
        "--split-seeds",
        "2",
        "--tune",
        "2",
        "--tune-seeds",
        "2",
    ),
    "several splits in lanes": ("--workload", "csv:data.csv:y=y", "--split-seeds", "2", "--trainer", "lanes"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", RUNS)
def test_a_fresh_run_holds_in_every_check(what):
    arguments = dict(zip(RUNS[what][::2], RUNS[what][1::2], strict=True))
    if arguments.keys() & {"--updates", "--samples", "--seconds"}:
        arguments = {**arguments, "--epochs": None}
    settings = {
        "--strategies": "full,mini:2",
        "--seeds": "3",
        "--epochs": "3",
        "--trainer": "loop",
        **arguments,
    }
    given = [part for pair in settings.items() if pair[1] is not None for part in pair]
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--quiet", "--device", "cpu", "--out", "run", *given])
    checks = found("run", trials=None)
    assert {name: said for name, (held, said) in checks.items() if held is False} == {}
    trained = [name for name in checks if name.startswith("trained again: ")]
    assert len(trained) == len(pd.read_parquet("run/trials.parquet"))
    trainers = set(pd.read_parquet("run/trials.parquet")["trainer"])
    assert trainers == ({"lanes"} if settings["--trainer"] == "lanes" else {"loop"})


class Press:
    """Ctrl-C at the ``at``-th measurement."""

    def __init__(self, at):
        self.at = at

    def measured(self, trial, record):
        self.at -= 1
        if self.at == 0:
            os.kill(os.getpid(), signal.SIGINT)

    def trial_finished(self, trial, outcome):
        pass

    def advanced(self, done, of, fraction, seconds_left):
        pass


SMALL = {
    "workload": "wandering",
    "plugins": "mine.py",
    "strategies": "turning,full",
    "seeds": 3,
    "device": "cpu",
}


@pytest.fixture
def in_small_tasks(monkeypatch):
    monkeypatch.setattr(journal, "_FLUSH_SECONDS", 0.0)
    monkeypatch.setattr("optcompare.execution.backends._TASK_SECONDS", 0.0)


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
@pytest.mark.parametrize("at", [7, 12, 21])
def test_an_interrupted_run_holds_for_what_it_has_and_again_once_it_was_resumed(in_small_tasks, trainer, at):
    asked = {**SMALL, "epochs": 4, "trainer": trainer}
    assert compare(**asked, out="run", observer=Press(at)).status == "interrupted"
    assert broken("run", trials=None) == []
    compare(**asked, resume="run")
    assert broken("run", trials=None) == []


@pytest.mark.slow
@pytest.mark.parametrize("at", [1, 3, 6, 15])
def test_a_run_that_was_stopped_while_it_was_extended_holds(in_small_tasks, at):
    asked = {**SMALL, "optimizers": "adam", "trainer": "loop"}
    compare(**asked, epochs=2, out="run")
    cut = compare(**{**asked, "seeds": 4}, epochs=5, resume="run", observer=Press(at))
    assert cut.status == "interrupted"
    assert broken("run", trials=None) == []
    compare(**{**asked, "seeds": 4}, epochs=5, resume="run")
    assert broken("run", trials=None) == []
    assert len(found("run")["files"][1].split(", ")) == 5, "the files of the extended run"


def test_a_run_that_was_killed_holds_for_the_trials_that_had_ended(in_small_tasks, monkeypatch):
    monkeypatch.setattr("optcompare.execution.run.forget_parts", lambda directory: None)
    compare(**SMALL, epochs=2, trainer="loop", out="run")
    for name in ("records.parquet", "trials.parquet", "summary.csv", "comparison.png"):
        Path("run", name).unlink()
    about = json.loads(Path("run/comparison.json").read_text())
    last = sorted(Path("run/parts").iterdir())[-2:]
    for path in last:
        path.unlink()
    del about["files"]
    Path("run/comparison.json").write_text(
        json.dumps({**about, "status": "running", "certificate": [], "verdict": []})
    )
    checks = found("run", trials=None)
    assert [name for name, (held, _) in checks.items() if held is None] == ["files", "conclusions"]
    assert [name for name, (held, _) in checks.items() if held is False] == []
    assert checks["trials"] == (True, "5 of 6 planned trials, each once")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["records.parquet", "trials.parquet", "summary.csv", "comparison.png"])
def test_one_changed_byte_in_a_file_is_found_and_the_file_is_named(name):
    directory = run()
    data = bytearray((directory / name).read_bytes())
    data[len(data) // 2] ^= 1
    (directory / name).write_bytes(data)
    held, said = found(directory, trials=0)["files"]
    assert held is False
    assert said.startswith(f"{name} was changed: its SHA-256 is ")
    assert exits(str(directory), "--trials", "0") == 1


def test_a_missing_file_is_found():
    directory = run()
    (directory / "comparison.png").unlink()
    assert found(directory, trials=0)["files"] == (
        False,
        "comparison.png cannot be read: No such file or directory",
    )


OTHER = "0" * 64
FORGERIES = {
    "weights_sha256": ("initial weights", put("weights_sha256", OTHER)),
    "order_sha256": ("sample order", put("order_sha256", OTHER)),
    "batches_sha256": ("batches", put("batches_sha256", OTHER)),
    "final_sha256": ("kept weights", put("final_sha256", OTHER)),
    "samples": ("batches", put("samples", 19)),
    "a trial left out": ("trials", lambda table: table.drop(index=1)),
    "a trial of a seed that cannot be": ("tables", put("seed", -7)),
    "a trial of another seed": ("trials", put("seed", 7)),
    "a trial twice": ("trials", lambda table: table.__setitem__("seed", [0, 0, 0, 1, 2, 2])),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", FORGERIES)
def test_a_forged_trial_is_found_by_computing_it_again(what):
    directory = run()
    name, change = FORGERIES[what]
    forged(directory, "trials.parquet", change)
    checks = found(directory, trials=0)
    assert checks["files"][0] is True
    assert checks[name][0] is False
    if what.endswith("_sha256"):
        assert checks[name][1].startswith("mini:2, seed 0: 000000000000… in trials.parquet, ")


@pytest.mark.slow
def test_all_weights_orders_and_certificate_forged_alike_are_found_by_computing_them_again():
    """Nothing in the directory contradicts itself then."""
    directory = run()
    forged(directory, "trials.parquet", lambda table: table.__setitem__("order_sha256", OTHER))
    assert broken(directory, trials=0) == ["sample order"]
    directory = run(out="other")
    forged(directory, "trials.parquet", lambda table: table.__setitem__("weights_sha256", OTHER))
    assert broken(directory, trials=0) == ["conclusions", "initial weights"]


@pytest.mark.slow
def test_a_final_fingerprint_whose_weights_were_not_kept_is_found_by_training_again():
    directory = run()
    for path in (directory / "states").iterdir():
        path.unlink()
    forged(directory, "trials.parquet", put("final_sha256", OTHER))
    assert broken(directory, trials=None) == ["trained again: mini:2, seed 0"]
    assert (
        "final_sha256 is 000000000000… in the run, and "
        in found(directory, trials=None)["trained again: mini:2, seed 0"][1]
    )


@pytest.mark.slow
def test_a_changed_loss_is_found_by_training_again_and_by_what_follows_from_it():
    directory = run()
    forged(directory, "records.parquet", lambda table: put("train_loss", 0.125, row=len(table) - 1)(table))
    arm, seed, update = pd.read_parquet(directory / "records.parquet")[["arm", "seed", "update"]].iloc[-1]
    assert broken(directory, trials=None) == ["conclusions", f"trained again: {arm}, seed {seed}"]
    said = found(directory, trials=None)[f"trained again: {arm}, seed {seed}"][1]
    assert said.startswith(f"at update {update}, train_loss is 0.125 in the records, and ")


@pytest.mark.slow
@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_a_changed_loss_on_the_test_set_is_found_by_training_again(trainer):
    directory = run("--workload", "csv:data.csv:y=y:test=0.2", "--trainer", trainer)
    row = pd.read_parquet(directory / "records.parquet")["test_loss"].last_valid_index()
    forged(directory, "records.parquet", put("test_loss", 0.125, row=row))
    arm, seed = pd.read_parquet(directory / "records.parquet").loc[row, ["arm", "seed"]]
    assert broken(directory, trials=None) == ["conclusions", f"trained again: {arm}, seed {seed}"]


@pytest.mark.slow
def test_another_split_in_the_tables_is_found():
    directory = run("--workload", "csv:data.csv:y=y", "--split-seeds", "2")
    forged(directory, "trials.parquet", put("split", 1, row=0))
    checks = found(directory, trials=0)
    assert [name for name, (held, _) in checks.items() if held is False] == ["certificate", "conclusions"]
    assert "identical split of the data" in checks["certificate"][1]


@pytest.mark.slow
def test_trials_that_were_said_to_be_on_other_splits_are_found_by_training_again():
    """The seeds stand in another order, and with them their splits."""
    directory = run("--workload", "csv:data.csv:y=y", "--split-seeds", "2", "--seeds", "2")
    for name in ("trials.parquet", "records.parquet"):
        forged(directory, name, lambda table: table.assign(split=1 - table["split"]))
    about = json.loads((directory / "comparison.json").read_text())
    edited(directory, comparison={**about["comparison"], "seeds": [1, 0]})
    wrong = broken(directory, trials=None)
    assert len([name for name in wrong if name.startswith("trained again")]) == 4


@pytest.mark.slow
def test_a_changed_loss_of_lanes_is_found_where_it_is_more_than_rounding():
    directory = run("--trainer", "lanes")

    def change(table: pd.DataFrame) -> None:
        table.loc[len(table) - 1, "train_loss"] *= 1.01

    forged(directory, "records.parquet", change)
    arm, seed = pd.read_parquet(directory / "records.parquet")[["arm", "seed"]].iloc[-1]
    assert f"trained again: {arm}, seed {seed}" in broken(directory, trials=None)


def test_weights_of_lanes_that_another_training_left_are_found():
    """The fingerprints are made to agree with them: only training again tells."""
    directory = run("--trainer", "lanes", "--strategies", "full", "--seeds", "1")
    (path,) = (directory / "states").iterdir()
    states = torch.load(path, weights_only=True)
    (state,) = states.values()
    state["model"]["weight"] += 0.001
    torch.save(states, path)
    from optcompare.training.shared_init import fingerprint

    forged(directory, "trials.parquet", put("final_sha256", fingerprint(state["model"]), row=0))
    assert broken(directory) == ["trained again: full, seed 0"]


def test_a_claimed_certificate_is_held_against_the_tables():
    directory = run()
    claimed = json.loads((directory / "comparison.json").read_text())["certificate"]
    (budgets,) = (check for check in claimed if check["name"] == "equal budgets")
    budgets["detail"] = budgets["detail"].replace("3 epochs", "9 epochs")
    edited(directory, certificate=claimed)
    held, said = found(directory, trials=0)["certificate"]
    assert held is False
    assert said.startswith(
        "equal budgets: the certificate has 'held' (9 epochs for each of 6 finished trials); the tables give"
    )


def saved_checks(directory, name):
    """All saved checks, and the one of this name among them."""
    checks = json.loads((directory / "comparison.json").read_text())["certificate"]
    return checks, next(check for check in checks if check["name"] == name)


@pytest.mark.slow
def test_data_of_a_check_are_held_against_the_tables_whatever_its_sentence_says():
    directory = run()
    checks, weights = saved_checks(directory, "identical initial weights")
    weights["data"]["seeds"] += 1
    edited(directory, certificate=checks)
    held, said = found(directory, trials=0)["certificate"]
    assert held is False
    assert said.startswith(
        "identical initial weights: the certificate has 'held' (all 2 arms start identically"
    )


@pytest.mark.slow
def test_a_check_that_lost_its_data_is_found_where_these_sources_wrote_it():
    directory = run()
    checks, weights = saved_checks(directory, "identical initial weights")
    del weights["data"]
    edited(directory, certificate=checks)
    assert broken(directory, trials=0) == ["certificate"]


@pytest.mark.slow
def test_a_certificate_of_sentences_alone_is_checked_by_the_numbers_in_them():
    """As earlier versions saved it; what may repeat samples is then read from a sentence too."""
    directory = run("--strategies", "full,replacement:2")
    about = json.loads((directory / "comparison.json").read_text())
    bare = [{key: check[key] for key in ("name", "held", "detail")} for check in about["certificate"]]
    assert "; but for replacement:2, which may repeat" in bare[4]["detail"]
    other = {"environment": {**about["environment"], "code_sha256": "0" * 64}}
    edited(directory, certificate=bare, **other)
    assert found(directory, trials=0)["certificate"][0] is True
    edited(directory, certificate=[{**check, "detail": check["detail"] + " 7"} for check in bare], **other)
    assert found(directory, trials=0)["certificate"][0] is False


def test_a_claimed_verdict_is_held_against_the_tables():
    directory = run()
    edited(directory, verdict=["full is best."])
    assert broken(directory, trials=0) == ["conclusions"]


@pytest.mark.slow
def test_sentences_of_other_sources_may_be_worded_otherwise_but_say_the_same_numbers():
    directory = run()
    about = json.loads((directory / "comparison.json").read_text())
    worded = [{**check, "detail": f"in other words, {check['detail']}"} for check in about["certificate"]]
    other = {"environment": {**about["environment"], "code_sha256": "0" * 64}, "verdict": ["full is best."]}
    edited(directory, certificate=worded, **other)
    checks = found(directory, trials=0)
    assert checks["certificate"][0] is True
    assert checks["conclusions"][0] is None
    assert "the verdict of other sources of version" in checks["conclusions"][1]
    edited(directory, certificate=[{**check, "detail": check["detail"] + " 7"} for check in worded], **other)
    assert found(directory, trials=0)["certificate"][0] is False


@pytest.mark.slow
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"claims": "lower"}, "mini:2 against full in final train_loss: lower (p "),
        ({"p_holm": 0.001}, "is claimed, the tables give "),
        ({"arm": "other"}, "is missing among the claims"),
    ],
)
def test_every_claim_is_held_against_the_tables(change, said):
    directory = run()
    (claim, *others) = json.loads(Path(directory, "comparison.json").read_text())["claims"]
    edited(directory, claims=[{**claim, **change}, *others])
    held, detail = found(directory, trials=0)["conclusions"]
    assert held is False
    assert said in detail


@pytest.mark.slow
def test_changed_data_are_named_and_the_rest_goes_on():
    directory = run("--workload", "csv:data.csv:y=y")
    Path("data.csv").write_text("a,b,y\n" + "\n".join([*ROWS[:-1], "11,2,99"]) + "\n")
    checks = found(directory, trials=1)
    assert checks["environment"] == (False, "the workload's data changed")
    assert checks["initial weights"][0] is True
    assert exits(str(directory), "--trials", "0") == 1


def test_a_changed_plugin_is_named_and_what_it_does_otherwise_is_found():
    directory = run("--plugin", "mine.py", "--strategies", "turning", "--workload", "wandering")
    Path("mine.py").write_text(PLUGIN.replace("self.turned += 1", "self.turned += 2"))
    checks = found(directory, trials=0, plugins=["mine.py"])
    assert checks["environment"][0] is False
    assert "the source files of plugin mine.py changed" in checks["environment"][1]
    assert checks["batches"][0] is False
    assert checks["sample order"][0] is True


def test_data_that_are_gone_leave_the_checks_of_the_files():
    directory = run("--workload", "csv:data.csv:y=y")
    Path("data.csv").unlink()
    checks = found(directory)
    assert checks["environment"][0] is False
    assert "data.csv" in checks["environment"][1]
    assert checks["files"][0] is True
    assert checks["fingerprints"][0] is None


@pytest.mark.slow
def test_what_existed_only_as_an_object_is_said_once_and_the_rest_is_checked(capsys):
    compare(small_workload(), ["full"], seeds=2, epochs=2, out="run")
    assert exits("run") == 0
    out = capsys.readouterr().out
    said = "existed only as an object in the session that ran it"
    assert [line for line in out.splitlines() if said in line and line.startswith("not checked")]
    forged(Path("run"), "trials.parquet", put("final_sha256", OTHER))
    assert exits("run") == 1


@dataclass
class Halves(Strategy):
    """A strategy that only this file knows."""

    seen: int = field(init=False, default=0)

    def batches(self, epoch):
        yield from epoch.order.split(5)


@pytest.mark.slow
def test_a_strategy_that_existed_only_as_an_object_is_said():
    compare("quadratic", [Halves()], seeds=1, epochs=2, out="run", device="cpu")
    assert "halves existed only as an object" in found("run")["fingerprints"][1]


@pytest.mark.slow
def test_of_the_trials_as_many_are_trained_again_as_were_asked_for(capsys):
    directory = run("--tune", "2", "--tune-seeds", "2")
    capsys.readouterr()
    for asked, number in (("0", 0), ("1", 1), ("4", 4), ("all", 14)):
        assert exits(str(directory), "--trials", asked, "--json") == 0
        checks = json.loads(capsys.readouterr().out)
        names = [one["name"] for one in checks["checks"] if one["name"].startswith("trained again: ")]
        assert len(names) == number
        if number == 4:
            assert sum("tuning lr" in name for name in names) == 2
            assert sum("full" in name for name in names) == 2
    assert checks["held"] is True


@pytest.mark.slow
def test_of_many_trials_a_sample_of_seeds_is_planned_again_unless_all_are_asked_for(monkeypatch, capsys):
    """Each seed has 2 trials of 3 epochs: 7 epochs of work are one seed's."""
    directory = run()
    monkeypatch.setattr("optcompare.verification.fingerprints.MOST_WORK", 7)
    checks = found(directory, trials=0)
    of = "2 trials of 6 (a sample of seeds; all of them: --trials all)"
    assert checks["initial weights"] == (
        True,
        f"weights_sha256 of {of}; a model was made again for each of 1 seed",
    )
    assert checks["sample order"] == (True, f"order_sha256 of {of}")
    assert checks["batches"] == (True, f"batches_sha256 and samples of {of}, planned again")
    assert found(directory, trials=None)["sample order"] == (True, "order_sha256 of 6 trials")


@pytest.mark.slow
def test_by_default_only_trials_are_trained_again_that_do_not_take_long(capsys):
    """Said to have taken 20 s each, of which 30 s allow one; at 40 s none, unless a number is asked for."""
    directory = run()
    forged(directory, "trials.parquet", put("train_seconds", 20.0, slice(None)))
    exits(str(directory))
    assert capsys.readouterr().out.count("trained again: ") == 1
    forged(directory, "trials.parquet", put("train_seconds", 40.0, slice(None)))
    exits(str(directory))
    said = "each trial would take longer than 30 s, the shortest about 40 s (--trials 1)"
    assert f"not checked  trained again: {said}" in capsys.readouterr().out
    exits(str(directory), "--trials", "2")
    assert capsys.readouterr().out.count("trained again: ") == 2


@pytest.mark.slow
def test_which_seeds_are_planned_again_follows_from_the_whole_table_and_is_never_none():
    rows = rows_of(ResultTables.read(run("--seeds", "6")))
    one, two = of_some_seeds(rows, 7), of_some_seeds(rows, 13)
    assert {trial.seed for trial, _ in one} < {trial.seed for trial, _ in two}
    assert (len(one), len(two), len(of_some_seeds(rows, 0)), len(of_some_seeds(rows, 100))) == (2, 4, 2, 12)
    chosen = set()
    for number in range(20):
        changed = [(trial, {**row, "final_sha256": f"{number}"}) for trial, row in rows]
        chosen.add(of_some_seeds(changed, 0)[0][0].seed)
    assert len(chosen) > 2


@pytest.mark.slow
def test_the_lines_say_in_words_what_held(capsys):
    directory = run()
    capsys.readouterr()
    assert exits(str(directory), "--trials", "1") == 0
    *lines, blank, last = capsys.readouterr().out.splitlines()
    assert all(line.startswith("held         ") for line in lines)
    assert (blank, last) == ("", f"all {len(lines)} checks held")
    edited(directory, verdict=["full is best."])
    assert exits(str(directory), "--trials", "0") == 1
    out = capsys.readouterr().out
    assert (
        "NOT HELD     conclusions: the verdict is not what the tables give: it has 'full is best.', " in out
    )
    assert "not checked  trained again: no trial, because of --trials 0" in out
    assert out.splitlines()[-1] == "1 of 9 checks did not hold: conclusions"


def test_only_the_sentences_that_differ_are_shown():
    directory = run()
    verdict = json.loads((directory / "comparison.json").read_text())["verdict"]
    for changed, shown in (
        ([*verdict[:-1], "No doubt."], f"it has 'No doubt.', the tables give {verdict[-1]!r}"),
        (verdict[:-1], f"the tables give {verdict[-1]!r}"),
        (verdict[::-1], "its sentences stand in another order, or twice"),
        (None, f"it has None, the tables give {verdict[0]!r}"),
    ):
        edited(directory, verdict=changed)
        (finding,) = (one for one in verify(directory, trials=0) if one.name == "conclusions")
        assert finding.held is False
        assert finding.detail.startswith(f"the verdict is not what the tables give: {shown}")


@pytest.mark.slow
def test_a_run_of_before_files_had_fingerprints_can_still_be_read_and_verified():
    directory = run()
    about = json.loads((directory / "comparison.json").read_text())
    del about["files"]
    about["environment"]["optcompare"] = "0.1.0"
    (directory / "comparison.json").write_text(json.dumps(about))
    checks = found(directory, trials=0)
    assert checks["files"][0] is None
    assert [name for name, (held, _) in checks.items() if held is False] == ["environment"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"claims": None, "verdict": ["full is best."]}, ["conclusions"]),
        ({"verdict": [], "claims": []}, ["conclusions"]),
        ({"files": None, "claims": None, "verdict": ["full is best."]}, ["files", "conclusions"]),
    ],
    ids=["without claims", "without a verdict", "without files"],
)
def test_what_this_version_writes_cannot_be_left_out(changes, wrong):
    directory = run()
    edited(directory, **changes)
    assert broken(directory, trials=0) == wrong


@pytest.mark.slow
def test_looks_that_were_changed_or_deleted_are_found_and_later_ones_are_not():
    directory = run()
    whole = (directory / "looks.jsonl").read_text()
    (directory / "looks.jsonl").write_text(whole.replace('"counted": false', '"counted": true '))
    assert broken(directory, trials=0) == ["files"]
    (directory / "looks.jsonl").unlink()
    assert broken(directory, trials=0) == ["files", "conclusions"]
    later = whole.replace('"trials": "', '"trials": "another ')
    (directory / "looks.jsonl").write_text(whole + later)
    assert broken(directory, trials=0) == []


NONSENSE = {
    "nothing there": (lambda path: None, "nowhere is no run directory: it has no comparison.json"),
    "no JSON": (lambda path: path.write_text("{"), "error: cannot read nowhere/comparison.json: "),
    "no comparison": (
        lambda path: path.write_text("{}"),
        "is damaged: it lacks status, comparison, certificate, notes",
    ),
    "a list": (lambda path: path.write_text("[]"), "nowhere/comparison.json holds no JSON object"),
}


@pytest.mark.parametrize("what", NONSENSE)
def test_what_is_no_run_directory_is_one_line_and_exit_code_2(what, capsys):
    write, said = NONSENSE[what]
    Path("nowhere").mkdir()
    write(Path("nowhere/comparison.json"))
    assert exits("nowhere") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line


def test_wrong_calls_are_one_line_and_exit_code_2(capsys):
    run()
    for arguments, said in (
        (["run", "--trials", "some"], "error: --trials takes how many to train again, or all; got 'some'"),
        (["run", "--plugin", "no.py"], "error: there is no file no.py; give the path of a Python file"),
    ):
        assert exits(*arguments) == 2
        assert capsys.readouterr().err.strip() == said


def test_damaged_tables_are_a_check_that_did_not_hold():
    directory = run()
    (directory / "trials.parquet").write_bytes(b"PAR1 nothing PAR1")
    assert list(found(directory)) == ["files", "tables"]
    assert broken(directory) == ["files", "tables"]


@pytest.mark.slow
def test_damaged_states_are_a_check_that_did_not_hold():
    directory = run()
    (path,) = (directory / "states").iterdir()
    path.write_bytes(b"")
    assert broken(directory, trials=0) == ["kept weights"]


@pytest.mark.slow
@pytest.mark.parametrize("where", ["plugins", "workload"])
def test_code_that_lies_within_the_run_itself_is_not_executed(where, capsys):
    directory = run()
    Path("run/evil.py").write_text("raise SystemExit('executed')")
    comparison = json.loads((directory / "comparison.json").read_text())["comparison"]
    evil = str(Path("run/evil.py").resolve())
    named = {"plugins": [evil], "workload": {"label": "evil", "reference": f"{evil}:make"}}
    edited(directory, comparison={**comparison, where: named[where]})
    assert exits("run") == 2
    assert "run names code within itself, " in capsys.readouterr().err


@pytest.mark.slow
def test_ctrl_c_while_a_trial_is_trained_again_is_exit_code_130(monkeypatch, capsys):
    run()
    monkeypatch.setattr(
        "optcompare.verification.train_again.compared", lambda *arguments: os.kill(os.getpid(), signal.SIGINT)
    )
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
    try:
        assert exits("run") == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert capsys.readouterr().err.endswith("interrupted\n")


@pytest.mark.slow
def test_settings_of_the_caller_are_left_as_they_were():
    directory = run("--threads", "2")
    before = torch.get_num_threads(), torch.get_rng_state()
    checks = verify(directory)
    for _ in checks:
        assert torch.get_num_threads() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


@pytest.mark.slow
def test_the_trials_that_are_trained_again_are_not_always_the_first_seeds():
    directory = run("--seeds", "8")
    names = [name for name in found(directory, trials=6) if name.startswith("trained again: ")]
    assert {int(name.rpartition(" ")[2]) for name in names} - {0, 1, 2}


def ended(distance: float, ulp: float) -> bool | None:
    """What is said of lanes that end so far from a loop that one ulp carries so far; all weights are 1."""

    def weights(moved: float) -> dict[str, torch.Tensor]:
        return {"weight": torch.full((4,), 1.0 + moved, dtype=torch.float64)}

    ran, moved = (Ran(Progress(), [], weights(by)) for by in (0.0, ulp))
    part = Part("full", "full")
    saved = Saved(Trial(Arm("full", part, part, {}, 0.1, 8), 0), {}, [], {"model": weights(distance)})
    return _distances(ran, moved, saved, 1e-5)[0]


@pytest.mark.parametrize(
    ("distance", "ulp", "said"),
    [
        (0.9e-5, 0.0, True),
        (1.1e-5, 0.0, False),
        (0.9e-2, 1e-3, True),
        (1.1e-2, 1e-3, False),
        (0.9e-5, 0.2, True),
        (0.1, 0.2, None),
    ],
)
def test_lanes_may_end_ten_times_as_far_from_the_loop_as_one_ulp_carries_it(distance, ulp, said):
    assert ended(distance, ulp) is said
