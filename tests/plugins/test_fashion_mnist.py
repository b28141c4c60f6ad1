"""Fashion-MNIST and MNIST: where files are looked for, how they are read, and what is refused.

Most tests read generated files of the same form; those of the real data need Debian's package
dataset-fashion-mnist.
"""

from __future__ import annotations

import gzip
import os
import pickle
import re
import socket
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from optcompare_plugins.workloads import data_folders
from optcompare_plugins.workloads import fashion_mnist as fashion_mnist_module
from optcompare_plugins.workloads.fashion_mnist import fashion_mnist, mnist
from optcompare_plugins.workloads.idx_files import read_idx

from optcompare import WorkloadError, compare
from tests.helpers.commands import run
from tests.helpers.image_sets import IDX, idx, write_idx

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
needs_data = pytest.mark.skipif(
    not (DEBIAN / f"{IDX[0]}.gz").exists(), reason="Debian's package dataset-fashion-mnist is not installed"
)


@pytest.fixture(autouse=True)
def nothing_installed(monkeypatch, tmp_path):
    """Look only in directories of the test: no data set of this machine is found."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path / "home"))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.delenv("OPTCOMPARE_DATA", raising=False)
    folders = data_folders.usual_folders
    monkeypatch.setattr(data_folders, "usual_folders", lambda: folders()[:-1])


@pytest.fixture
def folder(tmp_path):
    write_idx(tmp_path / "files")
    return tmp_path / "files"


def expected(pixels, mean, deviation):
    return (torch.from_numpy(pixels)[:, None].double() / 255 - mean) / deviation


def rows_of(part, whole):
    """The row of ``whole`` that each row of ``part`` is."""
    return [next(i for i, row in enumerate(whole) if torch.equal(row, each)) for each in part]


@pytest.mark.parametrize(
    ("make", "mean", "deviation"), [(fashion_mnist, 0.2860, 0.3530), (mnist, 0.1307, 0.3081)]
)
def test_images_are_normalised_by_fixed_constants_and_validation_is_cut_from_the_training_set(
    tmp_path, make, mean, deviation
):
    pixels, labels, test_pixels, test_labels = write_idx(tmp_path / "files")
    workload = make(data=tmp_path / "files")
    (x, y), (x_valid, y_valid), (x_test, y_test) = workload.train, workload.valid, workload.test
    assert [tuple(part.shape) for part in (x, x_valid, x_test)] == [(n, 1, 28, 28) for n in (54, 6, 20)]
    assert (x.dtype, y.dtype) == (torch.float32, torch.int64)
    assert torch.allclose(x_test.double(), expected(test_pixels, mean, deviation), atol=1e-6)
    assert y_test.tolist() == test_labels.tolist()
    whole = expected(pixels, mean, deviation).float()
    rows = rows_of(torch.cat([x, x_valid]).round(decimals=3), whole.round(decimals=3))
    assert sorted(rows) == list(range(60))
    assert torch.cat([y, y_valid]).tolist() == labels[rows].tolist()


def test_classes_are_held_out_in_proportion_and_the_share_can_be_chosen(folder):
    workload = fashion_mnist(data=folder, valid=1 / 3)
    assert workload.train[1].bincount().tolist() == [4] * 10
    assert workload.valid[1].bincount().tolist() == [2] * 10


def test_it_can_be_split_again_and_the_test_set_stays(folder):
    workload = fashion_mnist(data=folder)
    own, other = workload.on_split(0), workload.on_split(1)
    assert all(map(torch.equal, own.valid, workload.valid))
    assert not torch.equal(other.valid[0], workload.valid[0])
    assert all(map(torch.equal, other.test, workload.test))


def test_only_the_first_images_can_be_used(folder):
    few = fashion_mnist(data=folder, train=20)
    assert (few.size, len(few.valid[0]), len(few.test[0])) == (18, 2, 20)
    whole = fashion_mnist(data=folder)
    rows = rows_of(torch.cat([few.train[0], few.valid[0]]), torch.cat([whole.train[0], whole.valid[0]]))
    labels = torch.cat([whole.train[1], whole.valid[1]])[rows]
    assert sorted(labels.tolist()) == sorted([*range(10)] * 2)


@pytest.mark.parametrize("model", ["mlp", "cnn", "vit"])
def test_each_model_learns(folder, model):
    """From chance, a loss of log 10, down to half of it in a few updates."""
    workload = fashion_mnist(model, data=folder)
    result = compare(workload, "mini:6", "adam", seeds=1, epochs=8, measure=0, jobs=1)
    losses = result.records["train_loss"]
    assert losses.iloc[0] == pytest.approx(np.log(10), abs=0.6)
    assert losses.iloc[-1] < losses.iloc[0] / 2


@pytest.mark.parametrize(("model", "weights"), [("mlp", 101_770), ("cnn", 33_546), ("vit", 27_914)])
def test_models_have_the_weights_that_the_help_says(folder, model, weights):
    module = fashion_mnist(model, data=folder).model()
    assert sum(parameter.numel() for parameter in module.parameters()) == weights
    assert f"{weights:,} ({model})" in " ".join(fashion_mnist.__doc__.split())


def test_the_vision_transformer_attends_in_both_directions(folder):
    """What a block computes of its first patch depends on every patch; none is masked."""
    torch.manual_seed(0)
    block = fashion_mnist("vit", data=folder).model().blocks[0]
    patches = torch.randn(1, 16, 32, requires_grad=True)
    block(patches)[0, 0].sum().backward()
    assert (patches.grad.abs().sum(2) > 0).all()


def test_patches_are_squares_of_neighbouring_pixels(folder):
    """The linear layer sees row 7·i to 7·i + 6 and column 7·j to 7·j + 6 as patch 4·i + j."""
    model = fashion_mnist("vit", data=folder).model()
    seen = []
    model.patches.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    image = torch.arange(784.0).reshape(1, 1, 28, 28)
    model(image)
    assert torch.equal(seen[0][0, 6].reshape(7, 7), image[0, 0, 7:14, 14:21])


@pytest.mark.parametrize("place", ["FashionMNIST/raw", "fashion-mnist"])
@pytest.mark.parametrize("root", ["data", "../data", "../home/data", "../home/.keras/datasets"])
@pytest.mark.parametrize("packed", [False, True])
def test_files_are_found_where_other_libraries_keep_them(tmp_path, root, place, packed):
    where = tmp_path / "here" / root / place
    write_idx(where, packed=packed)
    assert f"images from {where.resolve()}, which holds 60 training" in fashion_mnist().notes[0]


def test_the_folder_of_the_environment_comes_first_and_a_given_one_before_it(tmp_path, monkeypatch):
    for name, rows in (("one/fashion-mnist", 20), ("here/data/fashion-mnist", 30), ("given", 40)):
        write_idx(tmp_path / name, train=rows)
    assert fashion_mnist().size == 27
    monkeypatch.setenv("OPTCOMPARE_DATA", str(tmp_path / "one"))
    assert fashion_mnist().size == 18
    assert fashion_mnist(data=tmp_path / "given").size == 36


def test_a_given_folder_may_hold_data_sets(tmp_path):
    write_idx(tmp_path / "FashionMNIST" / "raw", train=20)
    write_idx(tmp_path / "MNIST" / "raw", train=30)
    assert (fashion_mnist(data=tmp_path).size, mnist(data=tmp_path).size) == (18, 27)


@pytest.mark.parametrize("named", ["", "FashionMNIST", "FashionMNIST/raw"])
@pytest.mark.parametrize("by", ["data", "environment"])
def test_any_folder_on_the_way_to_the_files_may_be_named(tmp_path, monkeypatch, named, by):
    write_idx(tmp_path / "FashionMNIST" / "raw", train=20)
    if by == "data":
        assert fashion_mnist(data=tmp_path / named).size == 18
    else:
        monkeypatch.setenv("OPTCOMPARE_DATA", str(tmp_path / named))
        assert fashion_mnist().size == 18


@pytest.mark.parametrize(
    "renamed", [str.upper, lambda name: name.replace("-idx", ".idx"), lambda name: name.replace(".gz", ".GZ")]
)
@pytest.mark.parametrize("packed", [False, True])
def test_other_spellings_of_the_names_are_read(tmp_path, renamed, packed):
    write_idx(tmp_path / "files", packed=packed)
    for file in list((tmp_path / "files").iterdir()):
        file.rename(tmp_path / "files" / renamed(file.name))
    assert fashion_mnist(data=tmp_path / "files").size == 54


def test_a_folder_that_lacks_a_file_comes_after_a_complete_one(tmp_path):
    write_idx(tmp_path / "here" / "data" / "fashion-mnist", train=20)
    (tmp_path / "here" / "data" / "fashion-mnist" / IDX[2]).unlink()
    with pytest.raises(WorkloadError, match=r"data/fashion-mnist has no t10k-images-idx3-ubyte nor t10k-im"):
        fashion_mnist()
    write_idx(tmp_path / "home" / "data" / "fashion-mnist", train=30)
    assert fashion_mnist().size == 27


@pytest.mark.parametrize("number", range(4))
def test_whichever_file_is_missing_is_named(folder, number):
    (folder / IDX[number]).unlink()
    with pytest.raises(WorkloadError, match=f"files has no {IDX[number]} nor "):
        fashion_mnist(data=folder)


def test_a_whole_set_with_other_labels_is_noted(tmp_path, monkeypatch):
    """Kuzushiji-MNIST, for example, has 60,000 images in files of the same names."""
    write_idx(tmp_path)
    whole = replace(fashion_mnist_module.MNIST, images=(60, 20))
    monkeypatch.setattr(fashion_mnist_module, "MNIST", whole)
    assert "whose first labels 0 1 2 3 4 5 6 7 8 9 are not those of mnist" in mnist(data=tmp_path).notes[0]
    monkeypatch.setattr(fashion_mnist_module, "MNIST", replace(whole, begins=tuple(range(10))))
    assert mnist(data=tmp_path).notes[0].endswith(str(tmp_path.resolve()))


def test_the_archive_of_keras_is_read(tmp_path):
    parts = write_idx(tmp_path / "files")
    where = tmp_path / "home" / ".keras" / "datasets"
    where.mkdir(parents=True)
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(where / "mnist.npz", **dict(zip(names, parts, strict=True)))
    from_archive, from_files = mnist(), mnist(data=tmp_path / "files")
    for kind in ("train", "valid", "test"):
        assert all(map(torch.equal, from_archive.sets[kind], from_files.sets[kind]))


def test_what_is_missing_is_said_in_one_line_with_exit_code_2(capsys):
    assert run("run", "--workload", "fashion-mnist", "--dry-run") == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "holds FashionMNIST/raw or fashion-mnist; install Debian's package dataset-fashion-mnist" in line
    with pytest.raises(
        WorkloadError, match=r"holds MNIST/raw or mnist or mnist\.npz; name the folder of its"
    ):
        mnist()


def test_nothing_is_fetched(monkeypatch, folder):
    def refuse(*arguments, **options):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert fashion_mnist(data=folder).size == 54
    with pytest.raises(WorkloadError, match="none of"):
        fashion_mnist()


def test_folders_that_are_named_must_exist(tmp_path, folder, monkeypatch):
    gone = tmp_path / "gone"
    with pytest.raises(WorkloadError, match=rf"data={re.escape(str(gone))} does not exist; give the folder"):
        fashion_mnist(data=gone)
    with pytest.raises(WorkloadError, match=r"ubyte is a file; give the folder that holds the data set"):
        fashion_mnist(data=folder / IDX[0])
    (tmp_path / "clothes.tar").touch()
    with pytest.raises(
        WorkloadError, match=r"tar is a file; unpack it if it is an archive, and give the folder"
    ):
        fashion_mnist(data=tmp_path / "clothes.tar")
    with pytest.raises(
        WorkloadError, match=r"here holds none of train-images-idx3-ubyte, FashionMNIST/raw, f"
    ):
        fashion_mnist(data=tmp_path / "here")
    monkeypatch.setenv("OPTCOMPARE_DATA", str(gone))
    with pytest.raises(WorkloadError, match=rf"OPTCOMPARE_DATA={re.escape(str(gone))} does not exist"):
        fashion_mnist()


def test_a_folder_without_permission_is_refused(folder, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may read everything
    with pytest.raises(WorkloadError, match="files may not be read; give a folder that you may read"):
        fashion_mnist(data=folder)


def test_a_file_without_permission_is_refused(folder, monkeypatch):
    def refuse(file, *arguments):
        raise PermissionError(13, "Permission denied", str(file))

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(
        WorkloadError, match=r"ubyte cannot be read \(Permission denied\); get the files again"
    ):
        fashion_mnist(data=folder)


IMAGES, LABELS = np.zeros((4, 28, 28), np.uint8), np.array([1, 2, 3, 4], np.uint8)


@pytest.mark.parametrize(
    ("number", "content", "message"),
    [
        (0, b"", "ubyte is empty, and an IDX file of bytes in 3 dimensions begins with 00 00 08 03"),
        (0, b"\0\0\x08", "ubyte is cut within its header"),
        (0, idx(LABELS), "ubyte begins with the bytes 00 00 08 01, and an IDX file of bytes in 3"),
        (1, idx(IMAGES), "ubyte begins with the bytes 00 00 08 03, and an IDX file of bytes in 1"),
        (0, b"\0\0\x0d\x03" + idx(IMAGES)[4:], "begins with the bytes 00 00 0d 03"),
        (0, b"<!DOCTYPE html><html>", "begins with the bytes 3c 21 44 4f"),
        (
            0,
            idx(IMAGES)[:20],
            "should hold 3,136 bytes after its header, by its sizes 4 × 28 × 28, and holds",
        ),
        (0, idx(IMAGES)[:20], "and holds only 4"),
        (0, idx(IMAGES) + b"x", "by its sizes 4 × 28 × 28, and holds more"),
        (0, b"\0\0\x08\x03" + b"\xff" * 12, "and holds only 0"),
        (0, gzip.compress(idx(IMAGES), mtime=0)[:-9], "cannot be unpacked to its end"),
        (0, b"\x1f\x8b" + b"\0" * 40, "cannot be read"),
        (0, idx(IMAGES[:0]), "ubyte holds nothing: its sizes are 0 × 28 × 28"),
        (0, b"\0\0\x08\x03" + b"\0" * 4 + b"\xff" * 8, "ubyte holds nothing: its sizes are 0 × 4294967295"),
        (0, idx(IMAGES), "files holds 4 training images and 60 labels of them"),
        (2, idx(IMAGES), "files holds 4 test images and 20 labels of them"),
        (2, idx(np.zeros((20, 32, 30), np.uint8)), "images of 1 × 32 × 30 bytes instead of 1 × 28 × 28"),
        (3, idx(np.full(20, 10, np.uint8)), "has a test label 10; labels are 0 to 9"),
    ],
)
def test_a_damaged_file_is_refused_in_one_line(folder, number, content, message):
    (folder / IDX[number]).write_bytes(content)
    with pytest.raises(WorkloadError, match=re.escape(message)) as refusal:
        fashion_mnist(data=folder)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith("workload fashion-mnist: ")


def test_a_missing_or_odd_file_is_named(folder):
    (folder / IDX[3]).unlink()
    (folder / IDX[3]).mkdir()
    with pytest.raises(WorkloadError, match=r"files has no t10k-labels-idx1-ubyte nor .*\.gz; get the files"):
        fashion_mnist(data=folder)


def test_empty_sets_are_refused(folder):
    (folder / IDX[2]).write_bytes(idx(IMAGES[:0]))
    (folder / IDX[3]).write_bytes(idx(LABELS[:0]))
    with pytest.raises(WorkloadError, match="ubyte holds nothing: its sizes are 0 × 28 × 28"):
        fashion_mnist(data=folder)


def test_a_single_training_image_is_too_few(folder):
    (folder / IDX[0]).write_bytes(idx(IMAGES[:1]))
    (folder / IDX[1]).write_bytes(idx(LABELS[:1]))
    with pytest.raises(WorkloadError, match="holds one training image; two are needed at least"):
        fashion_mnist(data=folder)


class Runs:
    """Creates a file where it is unpickled."""

    def __reduce__(self):
        return (Path.touch, (Path("unpickled"),))


@pytest.mark.parametrize("kind", ["pickle", "objects", "text", "names", "shapes", "members"])
def test_no_pickle_is_loaded_and_other_archives_are_refused(tmp_path, kind):
    file = tmp_path / "mnist.npz"
    parts = dict(zip(("x_train", "y_train", "x_test", "y_test"), [IMAGES, LABELS] * 2, strict=True))
    if kind == "pickle":
        file.write_bytes(pickle.dumps(Runs()))
    elif kind == "objects":
        np.savez(file, allow_pickle=True, **{**parts, "x_train": np.array([Runs()], dtype=object)})
    elif kind == "text":
        file.write_text("x_train")
    elif kind == "names":
        np.savez(file, x_train=IMAGES)
    elif kind == "members":
        with zipfile.ZipFile(file, "w") as archive:
            for name in parts:
                archive.writestr(f"{name}.npy", b"no array")
    else:
        np.savez(file, **{**parts, "y_train": LABELS.astype(float)})
    message = {
        "objects": "holds no arrays x_train, y_train, x_test, y_test of numbers (Object arrays cannot be",
        "names": "holds no arrays x_train, y_train, x_test, y_test of numbers ('y_train is not a file",
        "shapes": "should hold images uint8[N, S, S] and labels uint8[N], and holds uint8[4, 28, 28], float6",
        "members": "should hold images uint8[N, S, S] and labels uint8[N], and holds |S8[], |S8[], |S8[]",
    }.get(kind, "cannot be unpacked to its end (File is not a zip file)")
    with pytest.raises(WorkloadError, match=re.escape(f"{file} {message}")):
        mnist(data=tmp_path)
    assert not Path("unpickled").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "cnm"}, "model is one of mlp, cnn, vit; got cnm"),
        ({"valid": 0.0}, "valid is the share of images held out, between 0 and 1; got 0.0"),
        ({"valid": float("nan")}, "between 0 and 1; got nan"),
        ({"valid": 0.999}, "valid=0.999 of 60 images leaves none to train on; make it smaller"),
        ({"train": 61}, "train is a number of images, from 2 to the 60 there are; got 61"),
        ({"train": 1}, "train is a number of images, from 2 to the 60 there are; got 1"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(folder, options, message):
    with pytest.raises(WorkloadError, match=re.escape(message)):
        fashion_mnist(data=folder, **options)


def test_one_set_is_not_taken_for_the_other_which_has_the_same_file_names(folder):
    begins = {"mnist": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "fashion-mnist": [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]}
    makers = {"mnist": mnist, "fashion-mnist": fashion_mnist}
    labels = np.frombuffer((folder / IDX[1]).read_bytes()[8:], np.uint8).copy()
    for name, begin in begins.items():
        labels[:10] = begin
        (folder / IDX[1]).write_bytes(idx(labels))
        (other,) = begins.keys() - {name}
        assert makers[name](data=folder).size == 54
        with pytest.raises(WorkloadError, match=f"are those of {name}; write {name}:data=PATH to train on"):
            makers[other](data=folder)


def test_a_spec_names_model_folder_and_rows(folder, tmp_path):
    spec = f"fashion-mnist:cnn:data={folder}:train=30:valid=0.2"
    brief = ["--strategies", "mini", "--updates", 2, "--seeds", 1, "--quiet"]
    assert run("run", "--workload", spec, *brief, "--out", tmp_path / "out") == 0
    assert run("verify", tmp_path / "out") == 0


@needs_data
def test_the_real_files_hold_what_is_known_of_them():
    labels = read_idx(DEBIAN / f"{IDX[1]}.gz", 1)
    images = read_idx(DEBIAN / f"{IDX[0]}.gz", 3)
    assert np.bincount(labels).tolist() == [6000] * 10
    assert images.shape == (60_000, 28, 28)
    assert images.mean() / 255 == pytest.approx(0.2860, abs=5e-5)
    assert images.std() / 255 == pytest.approx(0.3530, abs=5e-5)


@needs_data
def test_the_package_of_debian_is_found_and_trains(monkeypatch, tmp_path):
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    monkeypatch.delenv("OPTCOMPARE_DATA", raising=False)
    workload = fashion_mnist(train=3000)
    assert str(DEBIAN) in workload.notes[0]
    assert "instead of" not in workload.notes[0]
    assert (workload.size, len(workload.valid[0]), len(workload.test[0])) == (2700, 300, 10_000)
    result = compare(workload, "mini:64", "adam", seeds=1, epochs=1, measure=0, jobs=1)
    assert result.records["valid_accuracy"].iloc[-1] > 0.6


@needs_data
def test_mnist_does_not_train_on_clothes():
    with pytest.raises(WorkloadError, match="are those of fashion-mnist"):
        mnist(data=DEBIAN)
