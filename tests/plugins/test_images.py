"""The user's own images: which are found, how they are read, and what is refused."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from optcompare_plugins.workloads import images as module
from optcompare_plugins.workloads.image_tensors import cnn
from optcompare_plugins.workloads.images import images
from PIL import Image

from optcompare import WorkloadError, compare


def paint(path, pixels):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(pixels, dtype=np.uint8)).save(path)


@pytest.fixture
def folder(tmp_path):
    """Ten images of each of two classes, 8×8: the class's colour, and in the first pixel the image's
    number.
    """
    for label, colour in (("red", (200, 0, 0)), ("blue", (0, 0, 200))):
        for number in range(10):
            pixels = np.full((8, 8, 3), colour)
            pixels[0, 0] = 20 * number
            paint(tmp_path / label / f"{number}.png", pixels)
    return tmp_path


def test_classes_are_folders_in_order_and_a_share_of_each_is_held_out(folder):
    workload = images(folder, size=8)
    assert [tuple(part.shape) for part in (*workload.train, *workload.valid)] == [
        (16, 3, 8, 8),
        (16,),
        (4, 3, 8, 8),
        (4,),
    ]
    assert workload.train[1].bincount().tolist() == [8, 8]
    assert workload.valid[1].bincount().tolist() == [2, 2]
    assert workload.notes == ("images: 16 training and 4 validation images of 2 classes: blue, red",)
    blue = workload.train[0][workload.train[1] == 0]
    assert (blue[:, 2, 4, 4] > blue[:, 0, 4, 4]).all()
    assert torch.equal(images(folder, size=8).valid[0], workload.valid[0])


def test_it_can_be_split_again_with_each_class_in_proportion(folder):
    workload = images(folder, size=8)
    other = workload.on_split(1)
    assert all(map(torch.equal, workload.on_split(0).valid, workload.valid))
    assert other.valid[1].bincount().tolist() == [2, 2]
    assert not torch.equal(other.valid[0], workload.valid[0])


def test_channels_are_normalised_by_the_training_images(folder):
    workload = images(folder, size=8)
    assert torch.allclose(workload.train[0].mean((0, 2, 3)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(workload.train[0].std((0, 2, 3), correction=0), torch.ones(3), atol=1e-5)


def test_folders_of_a_split_are_taken_as_they_are(tmp_path):
    for part, count in (("train", 3), ("valid", 2)):
        for label in ("a", "b"):
            for number in range(count):
                paint(tmp_path / part / label / f"{number}.png", np.full((4, 4), 50 * number))
    workload = images(tmp_path, size=4, gray=True)
    assert (workload.size, len(workload.valid[0])) == (6, 4)
    assert workload.train[0].shape[1:] == (1, 4, 4)
    paint(tmp_path / "valid" / "c" / "0.png", np.zeros((4, 4)))
    with pytest.raises(
        WorkloadError, match=r"valid holds classes that are not trained on: c; its folders must be those of"
    ):
        images(tmp_path, size=4)


def test_folders_of_a_split_cannot_be_split_again(tmp_path):
    for part in ("train", "valid"):
        for label in ("a", "b"):
            paint(tmp_path / part / label / "1.png", np.full((4, 4, 3), 9))
    with pytest.raises(WorkloadError, match="cannot be split again"):
        images(tmp_path, size=4).on_split(1)


def test_the_middle_square_is_cut_out(tmp_path):
    """Of 4×8 pixels, dark at both sides, the bright middle."""
    pixels = np.zeros((4, 8))
    pixels[:, 2:6] = 255
    for label in ("a", "b"):
        for number in range(2):
            paint(tmp_path / label / f"{number}.png", pixels if label == "a" else 255 - pixels)
    workload = images(tmp_path, size=4, gray=True, valid=0.5)
    found = {int(label): x.unique().tolist() for x, label in zip(*workload.train, strict=True)}
    assert len(found[0]) == len(found[1]) == 1
    assert found[0] > found[1]


def test_images_beyond_memory_are_read_when_asked_for_and_are_the_same(folder, monkeypatch):
    held = images(folder, size=8)
    monkeypatch.setattr(module, "machine_memory", lambda: 1)
    lazy = images(folder, size=8)
    assert "images: too many to hold in memory: each is read when it is used" in lazy.notes
    for data, tensors in ((lazy.train, held.train), (lazy.valid, held.valid)):
        assert len(data) == len(tensors[0])
        for index, (x, y) in enumerate(zip(*tensors, strict=True)):
            assert torch.equal(data[index][0], x)
            assert torch.equal(data[index][1], y)


def test_mirroring_is_drawn_for_each_image_and_only_in_training(folder):
    plain, mirrored = images(folder, size=8), images(folder, size=8, flip=True)
    torch.manual_seed(0)
    seen = {torch.equal(mirrored.train[1][0], plain.train[0][1]) for _ in range(20)}
    assert seen == {True, False}
    assert torch.equal(mirrored.valid[0], plain.valid[0])
    turned = next(
        image
        for image in (mirrored.train[1][0] for _ in range(20))
        if not torch.equal(image, plain.train[0][1])
    )
    assert torch.equal(turned.flip(-1), plain.train[0][1])


@pytest.mark.slow
def test_a_small_network_learns_colours(folder):
    result = compare(f"images:{folder}:size=8", ["mini:4"], seeds=2, epochs=8)
    assert (result.records.groupby("seed")["valid_accuracy"].last() == 1).all()
    mirrored = compare(f"images:{folder}:size=8:flip=true", ["mini:4", "full"], seeds=1, epochs=1)
    assert all(check.held for check in mirrored.certificate)


@pytest.mark.parametrize("size", [4, 5, 7, 32])
def test_the_network_takes_images_of_any_size(size):
    assert cnn(3, size, 5)(torch.zeros(2, 3, size, size)).shape == (2, 5)


def _nothing(root):
    return root / "nothing"


def _file(root):
    (root / "file").write_text("")
    return root / "file"


def _no_folders(root):
    return root


def _no_images(root):
    (root / "a").mkdir()
    (root / "a" / "notes.txt").write_text("")
    return root


def _one_class(root):
    paint(root / "a" / "0.png", np.zeros((4, 4)))
    return root


def _one_empty(root):
    (root / "b").mkdir()
    return _one_class(root)


def _broken(root):
    for label in "ab":
        for number in range(3):
            paint(root / label / f"{number}.png", np.zeros((4, 4)))
    (root / "b" / "1.png").write_bytes((root / "b" / "1.png").read_bytes()[:40])
    return root


def _no_image(root):
    _broken(root)
    (root / "b" / "1.png").write_text("hello")
    return root


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (_nothing, {}, "nothing does not exist; give a folder of folders of images"),
        (_file, {}, "file is a file; give a folder of folders of images"),
        (_no_folders, {}, "holds no folders; put the images of each class into a folder of its own"),
        (_no_images, {}, "there are no images in the folders of"),
        (_one_class, {}, "holds only one class, a; at least two are needed"),
        (_one_empty, {}, "there are no images of b in"),
        (_broken, {}, "1.png cannot be read as an image ("),
        (_no_image, {}, "1.png cannot be read as an image (cannot identify image file"),
        (_broken, {"size": 3}, "size is a number of pixels, at least 4; got 3"),
        (_broken, {"valid": 1.0}, "valid is the share of images held out, between 0 and 1; got 1.0"),
        (_broken, {"valid": 0.99}, "valid=0.99 of 6 images leaves none to train on; make it smaller"),
    ],
)
def test_images_that_cannot_be_used_are_refused_in_one_line(tmp_path, make, options, message):
    with pytest.raises(WorkloadError, match=re.escape(message)) as refusal:
        images(make(tmp_path), **options)
    assert str(refusal.value).startswith("workload images: ")
    assert "\n" not in str(refusal.value)
