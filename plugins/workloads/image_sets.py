"""Classify a well-known set of images, by one of three small models."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from optcompare import Workload, WorkloadError, accuracy, hold_out

from .data_folders import Form, Found, Pixels, find

if TYPE_CHECKING:
    from torch import Tensor, nn

    from .data_folders import Bytes

Model = Literal["mlp", "cnn", "vit"]


@dataclass(frozen=True)
class ImageSet:
    """Describe a set of images in classes.

    Attributes:
        name: The name of the workload.
        shape: Channels and side of an image, (C, S).
        classes: The number of classes.
        images: The numbers of training and test images.
        mean: The mean of each channel over all training images, where white is 1.
        deviation: The standard deviation of each channel there.
        forms: The forms in which it may lie in a folder.
        hint: What to do if it is not there.
        begins: Its first training labels; empty: they are not checked.
        others: First labels of other sets with the same file names, by their names.
    """

    name: str
    shape: tuple[int, int]
    classes: int
    images: tuple[int, int]
    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    forms: tuple[Form, ...]
    hint: str
    begins: tuple[int, ...] = ()
    others: tuple[tuple[str, tuple[int, ...]], ...] = ()

    def error(self, text: str) -> WorkloadError:
        return WorkloadError(f"workload {self.name}: {text}")


def classify(images: ImageSet, model: Model, data: Path | None, train: int | None, valid: float) -> Workload:
    """Make the workload of a set of images.

    Args:
        images: The set.
        model: The model to train.
        data: The folder that holds the set; None looks in the usual ones.
        train: How many of the first training images are used, validation images included; None: all.
        valid: The share of them that is held out for validation, of each class.

    Raises:
        WorkloadError: The set is not there, its files are damaged, or an argument does not fit.
    """
    if model not in get_args(Model):
        raise images.error(f"model is one of {', '.join(get_args(Model))}; got {model}")
    if not 0 < valid < 1:
        raise images.error(f"valid is the share of images held out, between 0 and 1; got {valid}")
    found = find(images.name, images.forms, None if data is None else Path(data), images.hint)
    return _on_split(images, model, found, train, valid, 0)


def _on_split(
    images: ImageSet, model: Model, found: Found, train: int | None, valid: float, number: int
) -> Workload:
    from torch import nn

    pixels = _checked(images, found)
    available = len(pixels.train)
    used = available if train is None else train
    if available < 2:
        raise images.error(f"{found.folder} holds one training image; two are needed at least")
    if not 2 <= used <= available:
        raise images.error(f"train is a number of images, from 2 to the {available:,} there are; got {train}")
    labels = pixels.train_labels[:used]
    stay, held = hold_out(used, _held_out(images, used, valid), number, _stratified(labels, used, valid))
    return Workload(
        model=partial(build, model, *images.shape, images.classes),
        train=_tensors(images, pixels.train, labels, stay),
        valid=_tensors(images, pixels.train, labels, held),
        test=_tensors(images, pixels.test, pixels.test_labels, slice(None)),
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        lr=_rates(model, math.prod(pixels.train.shape[1:])),
        epochs=5,
        batch_size=64,
        notes=(
            f"{images.name}: {len(stay):,} training, {len(held):,} validation and {len(pixels.test):,} test "
            f"images from {found.folder}{_unusual(images, pixels)}",
        ),
        resplit=partial(_on_split, images, model, found, train, valid),
    )


def build(model: Model, channels: int, side: int, classes: int) -> nn.Module:
    """Return a network that maps images [B, C, S, S] to scores [B, classes].

    Args:
        model: ``mlp``: a hidden layer of 128 units with ReLU; ``cnn``: three convolutions with stride 2;
            ``vit``: a transformer over 4 × 4 patches.
        channels: C.
        side: S, in pixels.
        classes: The number of classes.
    """
    from torch import nn

    from .image_tensors import cnn
    from .transformer import VisionTransformer

    if model == "mlp":
        pixels = channels * side * side
        return nn.Sequential(nn.Flatten(), nn.Linear(pixels, 128), nn.ReLU(), nn.Linear(128, classes))
    if model == "cnn":
        return cnn(channels, side, classes, stride=2)
    return VisionTransformer(channels, side, classes, patch=side // 4, width=32, layers=2, heads=2)


def _checked(images: ImageSet, found: Found) -> Pixels:
    """Read a set, and check its sizes and labels."""
    again = "get the files again, or name another folder by data=PATH"
    try:
        pixels = found.read(found.folder)
    except ValueError as error:
        raise images.error(f"{error}; {again}") from error
    channels, side = images.shape
    for kind, pictures, labels in (("training", *pixels[:2]), ("test", *pixels[2:])):
        if len(pictures) != len(labels) or not len(labels):
            fault = f"holds {len(pictures):,} {kind} images and {len(labels):,} labels of them"
        elif pictures.shape[1:] != (channels, side, side):
            size = " × ".join(map(str, pictures.shape[1:]))
            fault = f"holds {kind} images of {size} bytes instead of {channels} × {side} × {side}"
        elif labels.max() >= images.classes:
            fault = f"has a {kind} label {labels.max()}; labels are 0 to {images.classes - 1}"
        else:
            continue
        raise images.error(f"{found.folder} {fault}; {again}")
    for name, begin in images.others:
        if tuple(pixels.train_labels[: len(begin)].tolist()) == begin:
            raise images.error(
                f"the labels in {found.folder} are those of {name}; write {name}:data=PATH to train on them"
            )
    return pixels


def _rates(model: Model, pixels: int) -> dict[str, float]:
    """Return rates at which batches of 64 trained well on Fashion-MNIST and single samples did not diverge.

    Of a perceptron, updates by single samples are stable up to a rate in proportion to 1/pixels.
    """
    if model == "mlp":
        return {"sgd": float(f"{16 / pixels:.1g}"), "adam": 0.001, "adamw": 0.001}
    return {"sgd": 0.05, "adam": 0.003, "adamw": 0.003}


def _held_out(images: ImageSet, used: int, valid: float) -> int:
    count = math.ceil(valid * used)
    if count == used:
        raise images.error(f"valid={valid} of {used:,} images leaves none to train on; make it smaller")
    return count


def _stratified(labels: Bytes, used: int, valid: float) -> Bytes | None:
    """Return the labels if each class can be held out in proportion; None if some is too rare."""
    import numpy as np

    held, sizes = math.ceil(valid * used), np.unique(labels, return_counts=True)[1]
    return labels if sizes.min() > 1 and min(held, used - held) >= len(sizes) else None


def _tensors(images: ImageSet, pictures: Bytes, labels: Bytes, rows: Any) -> tuple[Tensor, Tensor]:
    """Return normalised images, float32[N, C, S, S], and labels, int64[N]."""
    import torch

    mean, deviation = (torch.tensor(values).reshape(-1, 1, 1) for values in (images.mean, images.deviation))
    x = torch.from_numpy(pictures[rows]).float()
    return x.div_(255).sub_(mean).div_(deviation), torch.from_numpy(labels[rows]).long()


def _unusual(images: ImageSet, pixels: Pixels) -> str:
    """Say in which way images are not those that the name promises; empty if they seem to be."""
    found = len(pixels.train), len(pixels.test)
    if found == images.images:
        begins = tuple(pixels.train_labels[: len(images.begins)].tolist())
        listed = " ".join(map(str, begins))
        return (
            "" if begins == images.begins else f", whose first labels {listed} are not those of {images.name}"
        )
    own, usual = (f"{train:,} training and {test:,} test images" for train, test in (found, images.images))
    return f", which holds {own} instead of {usual}"
