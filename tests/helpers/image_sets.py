"""Files of well-known sets of images, generated: of the same form, small, with a pattern for each class."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]

IDX = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def made_up(n: int, shape: tuple[int, ...], classes: int = 10, seed: int = 0) -> tuple[Bytes, Bytes]:
    """Noisy images uint8[n, *shape] and labels 0, 1, …, classes - 1, 0, …"""
    labels = (np.arange(n) % classes).astype(np.uint8)
    patterns = np.random.default_rng(9).integers(0, 200, (classes, *shape))
    noise = np.random.default_rng(seed).integers(0, 56, (n, *shape))
    return (patterns[labels] + noise).astype(np.uint8), labels


def idx(values: Bytes) -> bytes:
    """The bytes of an IDX file."""
    return struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()


def write_idx(
    folder: Path, train: int = 60, test: int = 20, side: int = 28, packed: bool = False
) -> list[Bytes]:
    """Write the four files, and return what they hold: images and labels of both sets."""
    parts = [*made_up(train, (side, side)), *made_up(test, (side, side), seed=1)]
    folder.mkdir(parents=True, exist_ok=True)
    for name, values in zip(IDX, parts, strict=True):
        if packed:
            (folder / f"{name}.gz").write_bytes(gzip.compress(idx(values), 1))
        else:
            (folder / name).write_bytes(idx(values))
    return parts


def records(n: int, labels: int = 1, classes: int = 10, seed: int = 0) -> Bytes:
    """Records of CIFAR, uint8[n, labels + 3072]; of two labels the first is a group of five classes."""
    images, fine = made_up(n, (3, 32, 32), classes, seed)
    columns = [fine // 5, fine] if labels == 2 else [fine]
    return np.column_stack([*columns, images.reshape(n, -1)])


def write_cifar10(folder: Path, train: int = 50, test: int = 20) -> tuple[Bytes, Bytes]:
    """Write five binary files and that of the test set; return the records of both sets."""
    whole, held = records(train), records(test, seed=1)
    folder.mkdir(parents=True, exist_ok=True)
    for number, part in enumerate(np.split(whole, 5), 1):
        part.tofile(folder / f"data_batch_{number}.bin")
    held.tofile(folder / "test_batch.bin")
    return whole, held


def write_cifar100(folder: Path, train: int = 300, test: int = 100) -> tuple[Bytes, Bytes]:
    """Write the binary files of both sets, and return their records."""
    whole, held = records(train, 2, 100), records(test, 2, 100, seed=1)
    folder.mkdir(parents=True, exist_ok=True)
    whole.tofile(folder / "train.bin")
    held.tofile(folder / "test.bin")
    return whole, held


def write_image_sets(root: Path, train: int = 200) -> None:
    """Write every well-known set into one folder, as torchvision and the authors name their folders."""
    write_idx(root / "FashionMNIST" / "raw", train)
    write_idx(root / "MNIST" / "raw", train)
    write_cifar10(root / "cifar-10-batches-bin", train)
    write_cifar100(root / "cifar-100-binary")
