"""Classify the user's own images, with a folder for each class."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from optcompare import Workload, accuracy, hookimpl

from .image_files import files_by_class, image_error, is_split, listed
from .memory import check_fits, machine_memory

_SHARE_IN_MEMORY = 8
_BATCH = 32


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
    from torch import nn

    from .image_tensors import Images, Reader, cnn, scale_of, tensors_of

    root, channels = Path(path), 1 if gray else 3
    if size < 4:
        raise image_error(f"size is a number of pixels, at least 4; got {size}")
    numbers = _BATCH * (channels + 16) * size * size  # of a batch and of the first convolution's output
    check_fits("images", f"a batch of {_BATCH} images (size={size})", 4 * numbers)
    if not 0 < valid < 1:
        raise image_error(f"valid is the share of images held out, between 0 and 1; got {valid}")
    if not root.is_dir():
        raise image_error(
            f"{path} {'is a file' if root.exists() else 'does not exist'}; give a folder of folders of images"
        )
    notes: list[str] = []
    classes, train, held_out = files_by_class(root, valid, number, notes)
    reader = Reader(size, gray)
    scale = scale_of(map(reader, train.paths))
    pixels = (len(train.paths) + len(held_out.paths)) * channels * size * size
    lazy = 4 * pixels * _SHARE_IN_MEMORY > machine_memory()
    notes.insert(
        0,
        f"images: {len(train.paths)} training and {len(held_out.paths)} validation images of {len(classes)} "
        f"classes: {listed(classes)}",
    )
    if lazy:
        notes.append("images: too many to hold in memory: each is read when it is used")
    return Workload(
        model=lambda: cnn(channels, size, len(classes)),
        train=Images(train, reader, scale, flip) if lazy or flip else tensors_of(train, reader, scale),
        valid=Images(held_out, reader, scale, False) if lazy else tensors_of(held_out, reader, scale),
        loss=nn.functional.cross_entropy,
        metrics={"accuracy": accuracy},
        lr={"sgd": 0.05, "adam": 0.001, "adamw": 0.001},
        epochs=20,
        batch_size=max(2, min(_BATCH, len(train.paths) // 8)),
        notes=tuple(notes),
        resplit=None if is_split(root) else partial(_workload, path, size, gray, valid, flip),
    )


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"images": images}
