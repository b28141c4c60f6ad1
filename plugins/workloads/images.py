"""Classify the user's own images, with a folder for each class."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from optcompare import Workload, WorkloadError, accuracy, hold_out, hookimpl

ENDINGS = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
_SHARE_IN_MEMORY = 8
_LISTED = 5


class Files(NamedTuple):
    """Hold image files, and the number of the class of each."""

    paths: list[Path]
    labels: list[int]


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Read normalised images one by one.

    Args:
        files: The files.
        read: Reads a file as uint8[C, S, S].
        scale: Mean and standard deviation of each channel, float32[C, 1, 1] each.
        flip: Whether each image is mirrored with probability ½, drawn from torch's generator.
    """

    def __init__(
        self, files: Files, read: Callable[[Path], Tensor], scale: tuple[Tensor, Tensor], flip: bool
    ) -> None:
        self.files, self.read, self.scale, self.flip = files, read, scale, flip

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = _normalised(self.read(self.files.paths[index]), self.scale)
        if self.flip and torch.rand(()) < 0.5:
            image = image.flip(-1)
        return image, torch.tensor(self.files.labels[index])


def images(
    path: Path, *, size: int = 32, gray: bool = False, valid: float = 0.2, flip: bool = False
) -> Workload:
    """Classify your own images, PATH/class/*.png or *.jpg, by three convolutions and a linear layer.

    The loss is the cross-entropy. PATH/train and PATH/valid are used if they exist; otherwise the share valid
    of each class is held out. Images are cut to the middle square, scaled to size × size pixels, and
    normalised by the mean and standard deviation of each channel in training. They are held in memory if they
    take less than an eighth of it. With flip=true a training image is mirrored or not, drawn for each seed,
    epoch and image.
    """
    return _workload(path, size, gray, valid, flip, 0)


def _workload(path: Path, size: int, gray: bool, valid: float, flip: bool, number: int) -> Workload:
    root = Path(path)
    if size < 4:
        raise _error(f"size is a number of pixels, at least 4; got {size}")
    if not 0 < valid < 1:
        raise _error(f"valid is the share of images held out, between 0 and 1; got {valid}")
    if not root.is_dir():
        raise _error(
            f"{path} {'is a file' if root.exists() else 'does not exist'}; give a folder of folders of images"
        )
    notes: list[str] = []
    classes, train, held_out = _files(root, valid, number, notes)
    reader = _Reader(size, gray)
    scale = _scale(map(reader, train.paths))
    pixels = (len(train.paths) + len(held_out.paths)) * (1 if gray else 3) * size * size
    lazy = 4 * pixels * _SHARE_IN_MEMORY > _memory()
    notes.insert(
        0,
        f"images: {len(train.paths)} training and {len(held_out.paths)} validation images of {len(classes)} "
        f"classes: {_listed(classes)}",
    )
    if lazy:
        notes.append("images: too many to hold in memory: each is read when it is used")
    return Workload(
        model=lambda: cnn(1 if gray else 3, size, len(classes)),
        train=Images(train, reader, scale, flip) if lazy or flip else _tensors(train, reader, scale),
        valid=Images(held_out, reader, scale, False) if lazy else _tensors(held_out, reader, scale),
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        lr={"sgd": 0.05, "adam": 0.001, "adamw": 0.001},
        epochs=20,
        batch_size=max(2, min(32, len(train.paths) // 8)),
        notes=tuple(notes),
        resplit=None if _is_split(root) else partial(_workload, path, size, gray, valid, flip),
    )


def cnn(channels: int, size: int, classes: int) -> nn.Module:
    """Return a network that maps images [B, C, S, S] to scores [B, classes].

    Strides replace pooling, since the gradient of pooling is not deterministic on CUDA.

    Args:
        channels: The number C of channels.
        size: S, in pixels.
        classes: The number of classes.
    """
    side = math.ceil(size / 4)
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1),  # (B, 16, S, S)
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),  # (B, 32, S/2, S/2)
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2),  # (B, 64, S/4, S/4)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * side * side, classes),
    )


@dataclass(frozen=True)
class _Reader:
    """Read a file as uint8[C, size, size]."""

    size: int
    gray: bool

    def __call__(self, path: Path) -> Tensor:
        import numpy as np
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("L" if self.gray else "RGB")
                square = ImageOps.fit(upright, (self.size, self.size))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            cause = " ".join(str(error).split())
            raise _error(f"{path} cannot be read as an image ({cause}); repair or remove it") from error
        pixels = torch.from_numpy(np.array(square))
        return pixels.unsqueeze(0) if self.gray else pixels.permute(2, 0, 1).contiguous()


def _is_split(root: Path) -> bool:
    """Return whether there are folders for training and for validation."""
    return (root / "train").is_dir() and (root / "valid").is_dir()


def _files(root: Path, share: float, number: int, notes: list[str]) -> tuple[list[str], Files, Files]:
    """Return the names of the classes, the files to train on, and those held out."""
    train = root / "train"
    folder = train if train.is_dir() else root
    classes = [
        each.name for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith(".")
    ]
    if not classes:
        raise _error(f"{folder} holds no folders; put the images of each class into a folder of its own")
    files = _of_classes(folder, classes)
    if not files.paths:
        raise _error(
            f"there are no images in the folders of {folder}; images end in {', '.join(sorted(ENDINGS))}"
        )
    empty = [name for number, name in enumerate(classes) if number not in files.labels]
    if empty:
        raise _error(f"there are no images of {_listed(empty)} in {folder}; fill or remove these folders")
    if len(classes) < 2:
        raise _error(f"{folder} holds only one class, {classes[0]}; at least two are needed")
    if _is_split(root):
        held_out = _of_classes(root / "valid", classes)
        strange = sorted(
            each.name for each in (root / "valid").iterdir() if each.is_dir() and each.name not in classes
        )
        if strange or not held_out.paths:
            what = (
                f"holds classes that are not trained on: {_listed(strange)}" if strange else "holds no images"
            )
            raise _error(f"{root / 'valid'} {what}; its folders must be those of {train}")
        return classes, files, held_out
    return classes, *_split(files, share, classes, number, notes)


def _of_classes(folder: Path, classes: list[str]) -> Files:
    pairs = [
        (path, number)
        for number, name in enumerate(classes)
        for path in sorted((folder / name).rglob("*"))
        if path.suffix.lower() in ENDINGS and path.is_file()
    ]
    return Files([path for path, _ in pairs], [number for _, number in pairs])


def _split(
    files: Files, share: float, classes: list[str], number: int, notes: list[str]
) -> tuple[Files, Files]:
    """Split files by a seed, stratified by class if each class has at least two images."""
    count = math.ceil(share * len(files.paths))
    least = min(files.labels.count(number) for number in range(len(classes)))
    if count == len(files.paths):
        raise _error(f"valid={share} of {count} images leaves none to train on; make it smaller")
    alike = least > 1 and min(count, len(files.paths) - count) >= len(classes)
    if not alike:
        notes.append(
            "images: some classes are too rare to be held out in proportion: images are drawn at random"
        )
    labels = files.labels if alike else None
    parts = hold_out(len(files.paths), count, number, labels)
    train, held_out = (
        Files([files.paths[i] for i in rows], [files.labels[i] for i in rows]) for rows in map(sorted, parts)
    )
    return train, held_out


def _scale(pictures: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel, float32[C, 1, 1] each, where white is 1."""
    total = square = torch.zeros(1, dtype=torch.float64)
    count = 0
    for picture in pictures:
        bright = picture.double().flatten(1) / 255
        total, square = total + bright.sum(1), square + bright.square().sum(1)
        count += bright.shape[1]
    mean = total / count
    deviation = (square / count - mean.square()).clamp(min=0).sqrt()
    deviation[deviation < 1e-6] = 1.0
    return mean.float().reshape(-1, 1, 1), deviation.float().reshape(-1, 1, 1)


def _normalised(picture: Tensor, scale: tuple[Tensor, Tensor]) -> Tensor:
    mean, deviation = scale
    return (picture.float() / 255 - mean) / deviation


def _tensors(
    files: Files, read: Callable[[Path], Tensor], scale: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    return torch.stack([_normalised(read(path), scale) for path in files.paths]), torch.tensor(files.labels)


def _memory() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**33


def _listed(names: list[Any]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(str, names[:_LISTED])) + more


def _error(text: str) -> WorkloadError:
    return WorkloadError(f"workload images: {text}")


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"images": images}
