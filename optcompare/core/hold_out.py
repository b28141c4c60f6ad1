"""Draw rows to hold out, as scikit-learn's ``train_test_split`` does, without its slow import."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import WorkloadError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    Rows = NDArray[np.int64]


def hold_out(n: int, count: int, seed: int = 0, classes: ArrayLike | None = None) -> tuple[Rows, Rows]:
    """Draw rows to hold out, of each class in proportion if classes are given.

    These are the rows of scikit-learn's ``train_test_split(range(n), test_size=count, random_state=seed,
    stratify=classes)``, in the same order.

    Args:
        n: The number of rows.
        count: The number of rows to hold out.
        seed: The seed of the draw.
        classes: The class of each row, [n], any type that sorts; None draws from all rows alike.

    Returns:
        The rows that stay, int64[n - count], and those that are held out, int64[count]; both in random order.

    Raises:
        WorkloadError: No row would remain on one side, or classes are too rare to be held out in proportion.
    """
    if not 0 < count < n:
        raise WorkloadError(f"holding {count} of {n} rows out leaves none on one side; hold out 1 to n - 1")
    rng = np.random.RandomState(seed)
    if classes is None:
        order = rng.permutation(n)
        return order[count:], order[:count]
    codes, sizes = np.unique(np.asarray(classes), return_inverse=True, return_counts=True)[1:]
    if len(codes) != n:
        raise WorkloadError(f"there are classes of {len(codes)} rows, but {n} rows; give one for each row")
    if sizes.min() < 2 or min(count, n - count) < len(sizes):
        raise WorkloadError(
            f"{len(sizes)} classes, the smallest of {sizes.min()} rows, are too rare to hold {count} of {n} "
            "rows out in proportion; leave classes out"
        )
    of_class = np.split(np.argsort(codes, kind="stable"), np.cumsum(sizes)[:-1])
    stays = _in_proportion(sizes, n - count, rng)
    held = _in_proportion(sizes - stays, count, rng)
    orders = [rows[rng.permutation(len(rows))] for rows in of_class]
    parts = list(zip(orders, stays, held, strict=True))
    return (
        rng.permutation(np.concatenate([rows[:stay] for rows, stay, _ in parts])),
        rng.permutation(np.concatenate([rows[stay : stay + out] for rows, stay, out in parts])),
    )


def _in_proportion(sizes: Rows, count: int, rng: np.random.RandomState) -> Any:
    """Return how many of ``count`` draws each class gets; the largest remainders are rounded up.

    Ties are drawn at random, from all classes with the same remainder.
    """
    exact = sizes / sizes.sum() * count
    drawn = np.floor(exact)
    remainder, missing = exact - drawn, int(count - drawn.sum())
    for value in np.unique(remainder)[::-1]:
        if missing == 0:
            break
        (tied,) = np.where(remainder == value)
        more = min(len(tied), missing)
        drawn[rng.choice(tied, size=more, replace=False)] += 1
        missing -= more
    return drawn.astype(np.int64)
