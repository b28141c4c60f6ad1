"""Data sets of scikit-learn, read from its files, since importing scikit-learn takes longer than training."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from optcompare import WorkloadError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


def numbers_of(file: str, **form: Any) -> Floats:
    """Read a table of numbers that is installed with scikit-learn.

    Args:
        file: The name of the file, such as ``digits.csv.gz``.
        form: The form of the table, as ``numpy.loadtxt`` reads it: ``delimiter``, ``skiprows``.

    Returns:
        The numbers, [rows, columns].

    Raises:
        WorkloadError: scikit-learn is not installed, or has no such file.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise WorkloadError(
            f"{file} is a data set of scikit-learn, which is not installed; pip install scikit-learn"
        )
    path = Path(found.origin).parent / "datasets" / "data" / file
    if not path.is_file():
        raise WorkloadError(f"this scikit-learn has no {path}; install another version, such as 1.9")
    return np.loadtxt(path, **form)


class Standard:
    """Standardise columns as scikit-learn's ``StandardScaler`` does, to the same bits.

    Args:
        rows: The rows whose mean becomes 0 and whose standard deviation becomes 1, float64[N, D]; no column
            is constant.
    """

    def __init__(self, rows: Floats) -> None:
        self.mean = rows.sum(axis=0) / len(rows)
        apart = rows - self.mean
        correction = apart.sum(axis=0) ** 2 / len(rows)  # rounding of the mean: Chan, Golub, LeVeque
        self.deviation = np.sqrt(((apart**2).sum(axis=0) - correction) / len(rows))

    def __call__(self, rows: Floats) -> Floats:
        standard: Floats = (rows - self.mean) / self.deviation
        return standard
