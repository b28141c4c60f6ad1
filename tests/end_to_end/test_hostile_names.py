"""Names that want out: in arms, workloads, metrics and CSV headers they stay names."""

from __future__ import annotations

import json
import pickle

import pandas as pd
import pytest
import torch

from optcompare import OptcompareError, RunDirectoryError, WorkloadError, compare, load
from optcompare.cli.main import main
from tests.helpers.hostile_names import NAMES, strategy
from tests.helpers.workloads import small_workload


def files(place):
    return {str(path.relative_to(place)) for path in place.rglob("*")}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Glyph")
@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_a_hostile_name_stays_a_name(tmp_path, capsys, monkeypatch, name):
    place = tmp_path / "deep" / "er"
    place.mkdir(parents=True)
    monkeypatch.chdir(place)
    result = compare(small_workload(name=name), [strategy(name), "full"], seeds=2, epochs=2, out="run")
    assert {path.partition("/")[0] for path in files(place)} == {"run"}
    assert files(tmp_path) - {f"deep/er/{path}" for path in files(place)} == {"deep", "deep/er"}
    again = load("run")
    assert again.trials["arm"].tolist() == result.trials["arm"].tolist()
    assert again.summary(wide=True).equals(result.summary(wide=True))
    assert len(pd.read_csv("run/summary.csv")) == 2
    for arguments in (
        ["report", "run"],
        ["report", "run", "--table", "md"],
        ["report", "run", "--table", "latex"],
    ):
        with pytest.raises(SystemExit, match="0"):
            main(arguments)
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "\0" not in shown
    html = result._repr_html_()
    assert "<script>alert" not in html


@pytest.mark.parametrize("name", [name for name in NAMES if not name.isidentifier()])
def test_a_hostile_metric_is_refused_in_one_line(name):
    with pytest.raises(
        WorkloadError, match=r"it a name of letters, digits and '_', other than loss, rows and seconds"
    ) as caught:
        small_workload(metrics={name: lambda output, y: (output.sum(), len(y))})
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.slow
def test_a_hostile_csv_header_stays_a_header(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    headers = ["<b>x</b>", "../y", "a,b", 'quo"te', "long" * 500]
    table = pd.DataFrame(
        {name: [0.1 * row + place for row in range(12)] for place, name in enumerate(headers)}
    )
    table.to_csv("d.csv", index=False)
    with pytest.raises(SystemExit, match="0"):
        main(["run", "--workload", 'csv:d.csv:y="../y"', "--seeds", "2", "--epochs", "2", "--out", "run"])
    assert files(tmp_path) >= {"d.csv", "run", "run/comparison.png"}
    assert len(load("run").trials) == 6


class Boom:
    def __reduce__(self):
        return (pytest.fail, ("something in a run directory was executed",))


@pytest.mark.parametrize(
    "name", ["records.parquet", "trials.parquet", "comparison.json", "checkpoint.pt", "states"]
)
def test_a_pickle_in_a_run_directory_is_not_executed(tmp_path, name):
    run = tmp_path / "run"
    settings = {"strategies": ["full"], "seeds": 2, "trainer": "loop"}
    compare(small_workload(), **settings, epochs=2, out=run)
    targets = [*(run / "states").iterdir()] if name == "states" else [run / name]
    for target in targets:
        target.write_bytes(pickle.dumps(Boom()))
        torch_file = target.suffix == ".pt"
        if torch_file:
            torch.save(Boom(), target)
    if name in ("checkpoint.pt", "states"):
        with pytest.raises(
            OptcompareError, match=r"\.pt is damaged; delete it, and what it held is trained again"
        ):
            compare(small_workload(), **settings, epochs=4, resume=run)
    else:
        with pytest.raises(RunDirectoryError, match=r"(is damaged|cannot read)"):
            load(run)


@pytest.mark.slow
def test_a_config_cannot_name_more_than_it_says(tmp_path, monkeypatch, capsys):
    """What a config names is loaded, as on the command line; what it holds is data."""
    monkeypatch.chdir(tmp_path)
    compare("line", ["full"], seeds=1, epochs=1, out="run")
    about = json.loads((tmp_path / "run" / "comparison.json").read_text())
    about["comparison"]["arms"][0]["strategy"]["reference"] = "full:__import__('os').system('touch escaped')"
    (tmp_path / "bad.json").write_text(json.dumps(about))
    with pytest.raises(SystemExit, match="2"):
        main(["run", "--config", "bad.json"])
    assert not (tmp_path / "escaped").exists()
    assert capsys.readouterr().err.startswith("error: ")
