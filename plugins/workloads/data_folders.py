"""Find data sets that are on this machine already, since nothing is downloaded."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from optcompare import WorkloadError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]

VARIABLE = "OPTCOMPARE_DATA"
"""The environment variable that names a folder of data sets."""


class Pixels(NamedTuple):
    """Hold images, uint8[N, C, S, S], and the number of the class of each, uint8[N]."""

    train: Bytes
    train_labels: Bytes
    test: Bytes
    test_labels: Bytes


@dataclass(frozen=True)
class Form:
    """Describe a form of a data set, and where it lies.

    Attributes:
        folder: The folder of its files, below one that holds data sets; ``.`` for that one itself.
        files: For each of its files the names that it may have, the usual one first.
        read: Reads the folder; raises ValueError with a sentence that names the file. None: it is not read.
        refusal: Why it is not read, and what to do, for the message.
    """

    folder: str
    files: tuple[tuple[str, ...], ...]
    read: Callable[[Path], Pixels] | None
    refusal: str = ""

    def count_in(self, folder: Path) -> int:
        """Return how many of the files are in a folder; none if the folder may not be read."""
        return sum(file_in(folder, *names) is not None for names in self.files)

    def folders_below(self, folder: Path) -> list[Path]:
        """Return where the files lie if a user named the folder, or one between it and the files."""
        parts = Path(self.folder).parts
        return [folder.joinpath(*parts[begin:]) for begin in range(len(parts) + 1)]


class Found(NamedTuple):
    """Hold where a data set was found, and how it is read."""

    folder: Path
    read: Callable[[Path], Pixels]


def find(name: str, forms: tuple[Form, ...], data: Path | None, hint: str) -> Found:
    """Find a data set: in the first folder that holds it in a form that is read.

    Args:
        name: The workload, for messages.
        forms: The forms, the preferred ones first.
        data: The folder of the data set, or of data sets; None looks in those of :func:`usual_folders`.
        hint: What brings the data set, for the message if it is not there.

    Returns:
        The absolute path of its folder, and its reader.

    Raises:
        WorkloadError: It is not there, or only in forms that are not read; or a folder that was named does
            not exist.
    """
    known = tuple(spelling for form in forms for file in form.files for spelling in file)
    if data is not None:
        _check_folder(name, data, f"data={data}", known)
    else:
        check_variable(name, known)
    there = [(form, folder) for form, folder in _places(forms, data) if form.count_in(folder)]
    complete = [(form, folder) for form, folder in there if form.count_in(folder) == len(form.files)]
    for form, folder in complete + there:  # of a folder that lacks files, the reader names one
        if form.read is not None:
            return Found(folder.resolve(), form.read)
    if there:
        form, folder = there[0]
        raise WorkloadError(f"workload {name}: {folder.resolve()} {form.refusal}")
    raise WorkloadError(f"workload {name}: {_nothing_there(forms, data)}; {hint}")


def check_variable(name: str, files: tuple[str, ...]) -> None:
    """Refuse ``$OPTCOMPARE_DATA`` if it is set and is no folder, before data from elsewhere are taken.

    Args:
        name: The workload, for messages.
        files: The names of the files that it reads.

    Raises:
        WorkloadError: The folder does not exist or may not be read.
    """
    if named := os.environ.get(VARIABLE):
        _check_folder(name, Path(os.path.expanduser(named)), f"{VARIABLE}={named}", files)


def file_in(folder: Path, *names: str) -> Path | None:
    """Return the first file of these names in a folder, in small letters or large ones; None: there is none.

    Args:
        folder: The folder, which need not exist.
        names: The names, the preferred ones first.
    """
    try:
        there = {each.lower(): each for each in sorted(os.listdir(folder))}
    except OSError:
        return None
    files = (
        folder / (name if os.path.isfile(folder / name) else there.get(name.lower(), name)) for name in names
    )
    return next((file for file in files if os.path.isfile(file)), None)


def usual_folders() -> list[Path]:
    """Return the folders that may hold data sets.

    Returns:
        The folder of ``$OPTCOMPARE_DATA`` if it is set, ``data``, ``../data`` and ``~/data``, as in the
        tutorials and examples of torchvision, the cache of Keras, and the folder of Debian's packages.
    """
    home, named = Path(os.path.expanduser("~")), os.environ.get(VARIABLE)
    keras = os.environ.get("KERAS_HOME") or home / ".keras"
    return [
        *([Path(os.path.expanduser(named))] if named else []),
        *(Path("data"), Path("../data"), home / "data"),
        Path(keras) / "datasets",
        Path("/usr/share/datasets"),
    ]


def _places(forms: tuple[Form, ...], data: Path | None) -> list[tuple[Form, Path]]:
    """Return the folders to look in; one that the user named may be that of the files itself."""
    if data is not None:
        return [(form, folder) for form in forms for folder in form.folders_below(data)]
    named = bool(os.environ.get(VARIABLE))
    first, *others = usual_folders()
    places = _places(forms, first) if named else [(form, first / form.folder) for form in forms]
    return places + [(form, root / form.folder) for root in others for form in forms]


def _nothing_there(forms: tuple[Form, ...], data: Path | None) -> str:
    known = [form for form in forms if form.read is not None]
    below = [form.files[0][0] if form.folder == "." else form.folder for form in known]
    if data is not None:
        names = dict.fromkeys([*(form.files[0][0] for form in known), *below])
        return f"data={data} holds none of {', '.join(names)}"
    return f"none of {', '.join(map(str, usual_folders()))} holds {' or '.join(below)}"


def _check_folder(name: str, folder: Path, given: str, files: tuple[str, ...]) -> None:
    if not os.path.isdir(folder):
        what = "does not exist; give"
        if os.path.exists(folder):
            archive = folder.name.lower() not in files
            what = f"is a file; {'unpack it if it is an archive, and ' if archive else ''}give"
        raise WorkloadError(f"workload {name}: {given} {what} the folder that holds the data set")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise WorkloadError(f"workload {name}: {given} may not be read; give a folder that you may read")
