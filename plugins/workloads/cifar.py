"""Small photographs, 32×32 pixels each, from binary files that are on this machine already."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optcompare import Workload, hookimpl

from .data_folders import VARIABLE, Form, Pixels, file_in
from .idx_files import one_line_errors
from .image_sets import ImageSet, Model, classify

if TYPE_CHECKING:
    from .data_folders import Bytes

_SHAPE = (3, 32, 32)
_TRAIN_10 = tuple(f"data_batch_{number}.bin" for number in range(1, 6))
_TEST_10, _TRAIN_100, _TEST_100 = "test_batch.bin", "train.bin", "test.bin"


def read_records(folder: Path, names: Sequence[str], labels: int) -> tuple[Bytes, Bytes]:
    """Read the records of binary files: labels of one byte each, and then the pixels, channel by channel.

    Args:
        folder: The folder of the files.
        names: Their names, in order.
        labels: How many labels a record has, of which the last is used.

    Returns:
        Images, uint8[N, 3, 32, 32], and labels, uint8[N].

    Raises:
        ValueError: A file is missing, cannot be read, or does not consist of whole records.
    """
    import numpy as np

    size, parts = labels + 3 * 32 * 32, []
    for name in names:
        file = file_in(folder, name)
        if file is None:
            raise ValueError(f"{folder} has no {name}")
        with one_line_errors(file):
            content = np.fromfile(file, np.uint8)
        if not len(content) or len(content) % size:
            raise ValueError(
                f"{file} has {len(content):,} bytes, which is no number of whole records of {size:,}"
            )
        parts.append(content.reshape(-1, size))
    records = np.concatenate(parts)
    return records[:, labels:].reshape(-1, *_SHAPE), records[:, labels - 1].copy()


def _read_10(folder: Path) -> Pixels:
    return Pixels(*read_records(folder, _TRAIN_10, 1), *read_records(folder, [_TEST_10], 1))


def _read_100(folder: Path) -> Pixels:
    """Read images with the second of two labels, that of 100 classes; the first is that of 20 groups."""
    return Pixels(*read_records(folder, [_TRAIN_100], 2), *read_records(folder, [_TEST_100], 2))


def _pickled(folder: str, file: str, binary: str) -> Form:
    return Form(
        folder,
        ((file,),),
        None,
        "holds pickled files, which could run any code when they are loaded; convert them once if you trust "
        f"them, by the script in docs/how-to/data.md, or unpack {binary} instead",
    )


def _hint(binary: str, folder: str) -> str:
    return (
        f"unpack {binary} of its authors, and name its folder by data=PATH, or the one above {folder} by "
        f"{VARIABLE}"
    )


_ARCHIVE_10, _ARCHIVE_100 = "cifar-10-binary.tar.gz", "cifar-100-binary.tar.gz"
_FOLDER_10, _FOLDER_100 = "cifar-10-batches-bin", "cifar-100-binary"
_PICKLED_10, _PICKLED_100 = "cifar-10-batches-py", "cifar-100-python"

CIFAR10 = ImageSet(
    name="cifar10",
    shape=(3, 32),
    classes=10,
    images=(50_000, 10_000),
    mean=(0.4914, 0.4822, 0.4465),
    deviation=(0.2470, 0.2435, 0.2616),
    forms=(
        Form(_FOLDER_10, tuple((name,) for name in (*_TRAIN_10, _TEST_10)), _read_10),
        _pickled(_PICKLED_10, "data_batch_1", _ARCHIVE_10),
        _pickled(f"{_PICKLED_10}-target/{_PICKLED_10}", "data_batch_1", _ARCHIVE_10),
    ),
    hint=_hint(_ARCHIVE_10, _FOLDER_10),
)
CIFAR100 = ImageSet(
    name="cifar100",
    shape=(3, 32),
    classes=100,
    images=(50_000, 10_000),
    mean=(0.5071, 0.4865, 0.4409),
    deviation=(0.2673, 0.2564, 0.2762),
    forms=(
        Form(_FOLDER_100, ((_TRAIN_100,), (_TEST_100,)), _read_100),
        _pickled(_PICKLED_100, "train", _ARCHIVE_100),
        _pickled(f"{_PICKLED_100}-target/{_PICKLED_100}", "train", _ARCHIVE_100),
    ),
    hint=_hint(_ARCHIVE_100, _FOLDER_100),
)


def cifar10(
    model: Model = "cnn", *, data: Path | None = None, train: int | None = None, valid: float = 0.1
) -> Workload:
    """Classify 60,000 small photographs of 10 kinds of things, by model=mlp, cnn or vit.

    The binary files are looked for in data=PATH, or else in $OPTCOMPARE_DATA and the folders that
    fashion-mnist names; pickled files are refused. Pixels p from 0 to 255 become (p/255 - mean) / deviation,
    with mean 0.4914, 0.4822, 0.4465 and deviation 0.2470, 0.2435, 0.2616 of red, green and blue. train=N uses
    only the first N of the 50,000 training images; the share valid of them is held out, of each class. The
    10,000 test images are the test set. The models have 394,634 (mlp), 33,834 (cnn) and 32,490 (vit) weights.
    """
    return classify(CIFAR10, model, data, train, valid)


def cifar100(
    model: Model = "cnn", *, data: Path | None = None, train: int | None = None, valid: float = 0.1
) -> Workload:
    """Classify 60,000 small photographs of 100 kinds of things, by model=mlp, cnn or vit.

    Files, arguments and models are like those of cifar10, with 100 outputs. The mean of red, green and blue
    is 0.5071, 0.4865, 0.4409, the deviation 0.2673, 0.2564, 0.2762.
    """
    return classify(CIFAR100, model, data, train, valid)


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"cifar10": cifar10, "cifar100": cifar100}
