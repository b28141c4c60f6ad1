"""Read ratings from the files of MovieLens, in each of the forms in which GroupLens publishes them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from optcompare import WorkloadError

from .data_folders import VARIABLE, check_variable, usual_folders

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Codes = NDArray[np.int64]

_FILES = ("u.data", "ratings.dat", "ratings.csv")
_FOLDERS = ("ml-100k", "ml-latest-small", "ml-1m", "ml-10M100K", "ml-20m", "ml-25m", "ml-32m", "ml-latest")
_HEADER = ("userId", "movieId", "rating")
_FORMS = {
    "::": (":", ["user", "", "item", "", "rating", "", "time"]),
    "\t": ("\t", ["user", "item", "rating", "time"]),
}
"""Separators of files without a header: how the file is cut, and into which columns."""
_MEMORY_A_BYTE = 5
"""Bytes of memory for each byte of a file: 1.3 GB were measured for 270 MB."""


class Ratings(NamedTuple):
    """Hold ratings.

    Attributes:
        users: The number of each rating's user, int64[N], 0 to U - 1 in the order of their ids.
        items: The same for items, int64[N], 0 to I - 1.
        values: The ratings, float32[N].
        counts: U and I.
    """

    users: Codes
    items: Codes
    values: NDArray[np.float32]
    counts: tuple[int, int]


def rating_error(text: str) -> WorkloadError:
    return WorkloadError(f"workload movielens: {text}")


def file_of(path: Path | None) -> Path:
    """Find the file of ratings.

    Args:
        path: The file, the folder that holds it, or one that holds such folders; None looks in those of
            :func:`.usual_folders`.

    Raises:
        WorkloadError: There is none.
    """
    if path is not None and path.is_file():
        return path
    if path is not None and not path.is_dir():
        raise rating_error(f"{path} does not exist; give the folder that GroupLens's archive unpacks to")
    if path is None:
        check_variable("movielens", _FILES)
    for root in usual_folders() if path is None else [path]:
        for folder in (root, *(root / name for name in _FOLDERS)):
            for name in _FILES:
                if (folder / name).is_file():
                    return folder / name
    if path is None:
        raise rating_error(
            f"none of {', '.join(map(str, usual_folders()))} holds {', '.join(_FOLDERS[:3])} or another set "
            f"of MovieLens; write movielens:PATH, or name the folder above it by {VARIABLE}"
        )
    raise rating_error(f"{path} holds none of {', '.join(_FILES)}; give the folder that has one of them")


def read_ratings(file: Path) -> Ratings:
    """Read a file of ratings, in portions.

    Args:
        file: ``u.data`` (separated by tabs), ``ratings.dat`` (by ``::``), or ``ratings.csv`` (with a header),
            of any name.

    Raises:
        WorkloadError: It is no such file, or its ratings cannot be used.
    """
    import numpy as np
    import pandas as pd
    import pyarrow as pa

    from .memory import machine_memory

    try:
        if file.stat().st_size * _MEMORY_A_BYTE > machine_memory():
            raise rating_error(f"{file} does not fit into memory; use a smaller set, such as ml-1m")
        columns = _columns(file)
    except pa.ArrowInvalid as error:
        raise rating_error(
            f"{file} is no file of ratings: {' '.join(str(error).split())}; correct or remove its line"
        ) from error
    except OSError as error:
        raise rating_error(f"{file} cannot be read ({error.strerror or error})") from error
    values = columns["rating"]
    if not np.isfinite(values).all():
        line = int(np.flatnonzero(~np.isfinite(values))[0]) + 1
        raise rating_error(f"{file}: rating {line:,} is {values[line - 1]}; ratings must be finite numbers")
    (users, known), (items, rated) = (pd.factorize(columns[name], sort=True) for name in ("user", "item"))
    if min(len(known), len(rated)) < 2:
        counts = f"ratings: {len(values):,}, users: {len(known):,}, items: {len(rated):,}"
        raise rating_error(f"{file} holds too little ({counts}); a factorization needs two users and items")
    pairs = np.sort(users * len(rated) + items)
    if (twice := pairs[1:][pairs[1:] == pairs[:-1]]).size:
        user, item = known[twice[0] // len(rated)], rated[twice[0] % len(rated)]
        raise rating_error(
            f"{file}: user {user} rates item {item} twice (repeated ratings: {len(twice):,}), so that the "
            "same pair could be in training and test; keep one rating for each pair"
        )
    return Ratings(users, items, values, (len(known), len(rated)))


def _columns(file: Path) -> dict[str, Any]:
    """Return the ids, int64[N], and the ratings, float32[N], by ``user``, ``item`` and ``rating``."""
    import numpy as np
    import pyarrow as pa
    from pyarrow import csv

    separator, names, header = _form(file)
    kinds = {"user": pa.int64(), "item": pa.int64(), "rating": pa.float32(), "": pa.null()}
    indexed = [name or f"empty {place}" for place, name in enumerate(names)]
    wanted = [name for name in indexed if name in kinds or name.startswith("empty")]
    reader = csv.open_csv(
        file,
        csv.ReadOptions(column_names=indexed, skip_rows=int(header)),
        csv.ParseOptions(delimiter=separator, quote_char=False),
        csv.ConvertOptions(
            include_columns=wanted,
            column_types={name: kinds.get(name, pa.null()) for name in wanted},
            null_values=[""],
        ),
    )
    portions: dict[str, list[Any]] = {"user": [], "item": [], "rating": []}
    for batch in reader:
        for name, parts in portions.items():
            column = batch.column(name)
            if column.null_count:
                line = sum(map(len, parts)) + int(np.flatnonzero(column.is_null())[0]) + 1
                raise rating_error(f"{file}: rating {line:,} has no {name}; complete or remove its line")
            parts.append(column.to_numpy())
    if not portions["rating"]:
        raise rating_error(f"{file} has a header line and no ratings below it; get it again")
    return {name: np.concatenate(parts) for name, parts in portions.items()}


def _form(file: Path) -> tuple[str, list[str], bool]:
    """Return separator, names of columns, and whether there is a header, from the first line of a file."""
    with file.open("rb") as stream:
        first = stream.readline(1000)
    if first.startswith(b"PK"):
        raise rating_error(f"{file} is a zip archive; unpack it, and give the folder")
    line = first.decode("utf-8-sig", "replace").strip("\r\n")
    if not line.strip():
        raise rating_error(f"{file} is empty, or begins with an empty line; get it again")
    if not line.replace("\t", "").isprintable() or "\ufffd" in line:
        raise rating_error(f"{file} is no text, as files of ratings are; unpack it if it is an archive")
    for mark, (separator, names) in _FORMS.items():
        if mark in line:
            return separator, names, False
    names = [name.strip().strip('"') for name in line.split(",")]
    missing = [name for name in _HEADER if name not in names]
    if twice := [name for name in _HEADER if names.count(name) > 1]:
        raise rating_error(f"{file} has {names.count(twice[0])} columns {twice[0]}; keep one of them")
    if missing:
        raise rating_error(
            f"{file} is no file of ratings: its first line, {line[:60]!r}, has no column {missing[0]}; files "
            "of MovieLens are separated by tabs or '::', or have the header userId,movieId,rating,timestamp"
        )
    known = dict(zip(_HEADER, ("user", "item", "rating"), strict=True))
    return ",", [known.get(name, f"other {place}") for place, name in enumerate(names)], True
