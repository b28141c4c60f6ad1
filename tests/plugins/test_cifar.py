"""CIFAR-10 and CIFAR-100: how binary files are read, and how pickled ones are refused and converted.

All files are generated, of the same form.
"""

from __future__ import annotations

import pickle
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from optcompare_plugins.workloads import data_folders
from optcompare_plugins.workloads.cifar import cifar10, cifar100

from optcompare import WorkloadError, compare
from tests.helpers.commands import run
from tests.helpers.image_sets import write_cifar10, write_cifar100
from tests.helpers.pages import ROOT, blocks

MAKERS = {"cifar10": cifar10, "cifar100": cifar100}
BINARY = {"cifar10": "cifar-10-batches-bin", "cifar100": "cifar-100-binary"}
PICKLED = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
WRITE = {"cifar10": write_cifar10, "cifar100": write_cifar100}
MEAN = {"cifar10": (0.4914, 0.4822, 0.4465), "cifar100": (0.5071, 0.4865, 0.4409)}
DEVIATION = {"cifar10": (0.2470, 0.2435, 0.2616), "cifar100": (0.2673, 0.2564, 0.2762)}

each_set = pytest.mark.parametrize("name", MAKERS)


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    monkeypatch.setattr(data_folders, "usual_folders", lambda: [tmp_path / "usual"])
    monkeypatch.delenv("OPTCOMPARE_DATA", raising=False)
    monkeypatch.chdir(tmp_path)


class Runs:
    """Creates a file where it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


def write_pickled(name: str, folder: Path, binary: Path) -> None:
    """Write what ``binary`` holds as pickled files of the authors: rows of pixels, lists of labels."""
    folder.mkdir(parents=True)
    labels = 1 if name == "cifar10" else 2
    keys = [b"labels"] if labels == 1 else [b"coarse_labels", b"fine_labels"]
    for file in binary.iterdir():
        rows = np.fromfile(file, np.uint8).reshape(-1, labels + 3072)
        columns = {key: rows[:, place].tolist() for place, key in enumerate(keys)}
        (folder / file.stem).write_bytes(pickle.dumps({b"data": rows[:, labels:], **columns}))
    (folder / "batches.meta").write_bytes(pickle.dumps({}))


@each_set
def test_images_are_normalised_by_channel_and_the_label_is_the_last_one(tmp_path, name):
    _, held = WRITE[name](tmp_path / "files")
    workload = MAKERS[name](data=tmp_path / "files")
    pixels = torch.from_numpy(held[:, -3072:].reshape(-1, 3, 32, 32)).double() / 255
    mean, deviation = (torch.tensor(values[name]).reshape(3, 1, 1) for values in (MEAN, DEVIATION))
    x, y = workload.test
    assert torch.allclose(x.double(), (pixels - mean) / deviation, atol=1e-5)
    assert y.tolist() == held[:, -3073].tolist()
    classes = 10 if name == "cifar10" else 100
    assert workload.model()(x[:2]).shape == (2, classes)
    count = len(workload.train[0]) + len(workload.valid[0])
    assert workload.notes[0].endswith(
        f"which holds {count} training and {len(held)} test images instead of 50,000 training and 10,000 "
        "test images"
    )


def test_files_are_read_in_order_and_the_first_images_are_used(tmp_path):
    whole, _ = write_cifar10(tmp_path / "files")
    workload = cifar10(data=tmp_path / "files", train=20)
    found = torch.cat([workload.train[0], workload.valid[0]]).flatten(1).sum(1).sort().values
    mean, deviation = (torch.tensor(values["cifar10"]).reshape(3, 1, 1) for values in (MEAN, DEVIATION))
    pixels = torch.from_numpy(whole[:20, 1:].reshape(-1, 3, 32, 32)).float() / 255
    expected = ((pixels - mean) / deviation).flatten(1).sum(1).sort().values
    assert torch.allclose(found, expected, rtol=1e-3)


@each_set
def test_classes_are_held_out_in_proportion_and_it_can_be_split_again(tmp_path, name):
    WRITE[name](tmp_path / "files")
    workload = MAKERS[name](data=tmp_path / "files", valid=0.4)
    assert len(set(workload.valid[1].bincount().tolist())) <= 2
    other = workload.on_split(1)
    assert not torch.equal(other.valid[0], workload.valid[0])
    assert all(map(torch.equal, other.test, workload.test))


@each_set
def test_files_are_found_in_the_usual_folders(tmp_path, name):
    WRITE[name](tmp_path / "usual" / BINARY[name])
    assert str(tmp_path / "usual" / BINARY[name]) in MAKERS[name]().notes[0]


@pytest.mark.parametrize("model", ["mlp", "cnn", "vit"])
def test_each_model_learns(tmp_path, model):
    write_cifar10(tmp_path / "files")
    workload = cifar10(model, data=tmp_path / "files")
    losses = compare(workload, "mini:5", "adam", seeds=1, epochs=8, measure=0, jobs=1).records["train_loss"]
    assert losses.iloc[-1] < losses.iloc[0] / 2


@pytest.mark.parametrize(("model", "weights"), [("mlp", 394_634), ("cnn", 33_834), ("vit", 32_490)])
def test_models_have_the_weights_that_the_help_says(tmp_path, model, weights):
    write_cifar10(tmp_path)
    module = cifar10(model, data=tmp_path).model()
    assert sum(parameter.numel() for parameter in module.parameters()) == weights
    assert f"{weights:,} ({model})" in " ".join(cifar10.__doc__.split())


@each_set
@pytest.mark.parametrize("given", [True, False])
def test_pickled_files_are_refused_in_one_line_and_not_loaded(tmp_path, capsys, name, given):
    folder = tmp_path / "usual" / PICKLED[name]
    folder.mkdir(parents=True)
    for file in ("data_batch_1", "train"):
        (folder / file).write_bytes(pickle.dumps(Runs()))
    options = f":data={folder}" if given else ""
    assert run("run", "--workload", name + options, "--dry-run") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert f"workload {name}: {folder} holds pickled files, which could run any code" in line
    assert f"by the script in docs/how-to/data.md, or unpack cifar-{name[5:]}-binary.tar.gz instead" in line
    assert not Path("unpickled").exists()


@each_set
def test_binary_files_are_preferred_to_pickled_ones_wherever_these_are(tmp_path, monkeypatch, name):
    roots = [tmp_path / "first", tmp_path / "second"]
    monkeypatch.setattr(data_folders, "usual_folders", lambda: roots)
    WRITE[name](roots[1] / BINARY[name])
    write_pickled(name, roots[0] / PICKLED[name], roots[1] / BINARY[name])
    assert str(roots[1]) in MAKERS[name]().notes[0]


@each_set
def test_the_script_of_the_documentation_converts_pickled_files(tmp_path, name):
    (script,) = [
        block.text for block in blocks(ROOT / "docs/how-to/data.md") if block.file == "convert_cifar.py"
    ]
    WRITE[name](tmp_path / "files")
    write_pickled(name, tmp_path / "pickled", tmp_path / "files")
    command = [sys.executable, "-c", script, str(tmp_path / "pickled"), str(tmp_path / "new" / "folder")]
    subprocess.run(command, check=True)
    names = {file.name for file in (tmp_path / "files").iterdir()}
    assert {file.name for file in (tmp_path / "new" / "folder").iterdir()} == names
    for file in names:
        assert (tmp_path / "new" / "folder" / file).read_bytes() == (tmp_path / "files" / file).read_bytes()


def test_what_is_missing_is_said_in_one_line(tmp_path):
    with pytest.raises(
        WorkloadError, match=r"usual holds cifar-10-batches-bin; unpack cifar-10-binary\.tar\.g"
    ):
        cifar10()
    with pytest.raises(
        WorkloadError, match=r"holds none of train\.bin, cifar-100-binary; unpack cifar-100-bin"
    ):
        cifar100(data=tmp_path)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "data_batch_3.bin",
            b"",
            "data_batch_3.bin has 0 bytes, which is no number of whole records of 3,073",
        ),
        (
            "data_batch_3.bin",
            b"x" * 5000,
            "data_batch_3.bin has 5,000 bytes, which is no number of whole rec",
        ),
        ("test_batch.bin", b"\x0a" + b"\0" * 3072, "files has a test label 10; labels are 0 to 9"),
        (
            "data_batch_5.bin",
            None,
            "files has no data_batch_5.bin; get the files again, or name another folder",
        ),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, file, content, message):
    write_cifar10(tmp_path / "files")
    (tmp_path / "files" / file).unlink()
    if content is not None:
        (tmp_path / "files" / file).write_bytes(content)
    with pytest.raises(WorkloadError, match=re.escape(message)) as refusal:
        cifar10(data=tmp_path / "files")
    assert "\n" not in str(refusal.value)


def test_names_in_capital_letters_are_read_and_a_missing_first_file_is_named(tmp_path):
    write_cifar10(tmp_path / "files")
    for file in list((tmp_path / "files").iterdir()):
        file.rename(file.with_name(file.name.upper()))
    assert cifar10(data=tmp_path / "files").size == 45
    (tmp_path / "files" / "DATA_BATCH_1.BIN").unlink()
    with pytest.raises(WorkloadError, match=r"files has no data_batch_1\.bin; get the files again"):
        cifar10(data=tmp_path / "files")


def test_a_directory_in_place_of_a_file_is_refused(tmp_path):
    write_cifar100(tmp_path)
    (tmp_path / "test.bin").unlink()
    (tmp_path / "test.bin").mkdir()
    with pytest.raises(WorkloadError, match=r"has no test\.bin; get the files again"):
        cifar100(data=tmp_path)
