"""Find the files of images by class, and hold some out."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, NamedTuple

from optcompare import WorkloadError, hold_out

ENDINGS = {".png", ".jpg", ".jpeg", ".gif", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}
_LISTED = 5


class Files(NamedTuple):
    """Hold image files, and the number of the class of each."""

    paths: list[Path]
    labels: list[int]


def is_split(root: Path) -> bool:
    """Return whether there are folders for training and for validation."""
    return (root / "train").is_dir() and (root / "valid").is_dir()


def files_by_class(root: Path, share: float, number: int, notes: list[str]) -> tuple[list[str], Files, Files]:
    """Return the names of the classes, the files to train on, and those held out."""
    train = root / "train"
    folder = train if train.is_dir() else root
    classes = [
        each.name for each in sorted(folder.iterdir()) if each.is_dir() and not each.name.startswith(".")
    ]
    if not classes:
        raise image_error(f"{folder} holds no folders; put the images of each class into a folder of its own")
    files = _of_classes(folder, classes)
    if not files.paths:
        raise image_error(
            f"there are no images in the folders of {folder}; images end in {', '.join(sorted(ENDINGS))}"
        )
    empty = [name for number, name in enumerate(classes) if number not in files.labels]
    if empty:
        raise image_error(f"there are no images of {listed(empty)} in {folder}; fill or remove these folders")
    if len(classes) < 2:
        raise image_error(f"{folder} holds only one class, {classes[0]}; at least two are needed")
    if is_split(root):
        held_out = _of_classes(root / "valid", classes)
        strange = sorted(
            each.name for each in (root / "valid").iterdir() if each.is_dir() and each.name not in classes
        )
        if strange or not held_out.paths:
            what = (
                f"holds classes that are not trained on: {listed(strange)}" if strange else "holds no images"
            )
            raise image_error(f"{root / 'valid'} {what}; its folders must be those of {train}")
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
        raise image_error(f"valid={share} of {count} images leaves none to train on; make it smaller")
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


def listed(names: list[Any]) -> str:
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return ", ".join(map(str, names[:_LISTED])) + more


def image_error(text: str) -> WorkloadError:
    return WorkloadError(f"workload images: {text}")
