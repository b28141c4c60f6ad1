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
        signs: The names of files of which one is in the folder if the data set is.
        read: Reads the folder; raises ValueError with a sentence that names the file. None: it is not read.
        refusal: Why it is not read, and what to do, for the message.
    """

    folder: str
    signs: tuple[str, ...]
    read: Callable[[Path], Pixels] | None
    refusal: str = ""

    def lies_in(self, folder: Path) -> bool:
        """Return whether one of the signs is in a folder; not if the folder may not be read."""
        return any(os.path.isfile(folder / sign) for sign in self.signs)


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
    named = os.environ.get(VARIABLE)
    if data is not None:
        _check_folder(name, data, f"data={data}")
    elif named:
        _check_folder(name, Path(named).expanduser(), f"{VARIABLE}={named}")
    places = [] if data is None else [(form, data) for form in forms]
    for root in usual_folders() if data is None else [data]:
        places += [(form, root / form.folder) for form in forms]
    there = [(form, folder) for form, folder in places if form.lies_in(folder)]
    for form, folder in there:
        if form.read is not None:
            return Found(folder.resolve(), form.read)
    if there:
        form, folder = there[0]
        raise WorkloadError(f"workload {name}: {folder.resolve()} {form.refusal}")
    raise WorkloadError(f"workload {name}: {_nothing_there(forms, data)}; {hint}")


def usual_folders() -> list[Path]:
    """Return the folders that may hold data sets.

    Returns:
        The folder of ``$OPTCOMPARE_DATA`` if it is set, ``data``, ``../data`` and ``~/data``, as in the
        tutorials and examples of torchvision, the cache of Keras, and the folder of Debian's packages.
    """
    home, named = Path(os.path.expanduser("~")), os.environ.get(VARIABLE)
    keras = os.environ.get("KERAS_HOME") or home / ".keras"
    return [
        *([Path(named).expanduser()] if named else []),
        *(Path("data"), Path("../data"), home / "data"),
        Path(keras) / "datasets",
        Path("/usr/share/datasets"),
    ]


def _nothing_there(forms: tuple[Form, ...], data: Path | None) -> str:
    known = [form for form in forms if form.read is not None]
    below = [form.signs[0] if form.folder == "." else form.folder for form in known]
    if data is not None:
        names = dict.fromkeys([*(form.signs[0] for form in known), *below])
        return f"data={data} holds none of {', '.join(names)}"
    return f"none of {', '.join(map(str, usual_folders()))} holds {' or '.join(below)}"


def _check_folder(name: str, folder: Path, given: str) -> None:
    if not os.path.isdir(folder):
        what = "is a file" if os.path.exists(folder) else "does not exist"
        raise WorkloadError(f"workload {name}: {given} {what}; give the folder that holds the data set")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise WorkloadError(f"workload {name}: {given} may not be read; give a folder that you may read")
