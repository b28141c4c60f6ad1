"""Predict the ratings of MovieLens by a factorization of the matrix of users and items."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from optcompare import Workload, hookimpl

from .memory import check_model
from .rating_files import Ratings, file_of, rating_error, read_ratings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

Embeddings = Literal["dense", "sparse"]


def movielens(
    path: Path | None = None,
    *,
    factors: int = 32,
    embeddings: Embeddings = "dense",
    valid: float = 0.1,
    test: float = 0.1,
) -> Workload:
    """Predict ratings of MovieLens from user and item, by biases and a product of factors.

    PATH is the folder of a set as GroupLens publishes it: u.data (ml-100k), ratings.dat (ml-1m, ml-10m) or
    ratings.csv (ml-latest, 20m, 25m, 32m). Without it, folders of these names are looked for below
    $OPTCOMPARE_DATA, data, ../data and ~/data. The prediction is mean + b_u + b_i + p_u·q_i, where p_u and
    q_i have so many factors (Koren, Bell and Volinsky 2009), and the loss is the squared error; rmse is its
    root. Single ratings are held out at random, the shares valid and test. Users and items without a rating
    in training have no bias and no factors. With embeddings=sparse, gradients hold only the
    rows of a batch, which the optimizers sgd (without weight decay), adagrad and sparseadam take.
    """
    if factors < 1:
        raise rating_error(f"factors is a number of factors, at least 1; got {factors}")
    if embeddings not in get_args(Embeddings):
        raise rating_error(f"embeddings is dense or sparse; got {embeddings}")
    if not 0 < valid < 1 or not 0 <= test < 1:
        raise rating_error(
            "valid and test are shares of the ratings, from 0 to 1, and valid is not 0; "
            f"got {valid} and {test}"
        )
    file = file_of(None if path is None else Path(path))
    return _on_split(read_ratings(file), file.resolve(), factors, embeddings == "sparse", valid, test, 0)


def _on_split(
    ratings: Ratings, file: Path, factors: int, sparse: bool, valid: float, test: float, number: int
) -> Workload:
    import numpy as np
    from torch import nn

    from .factorization import Factorization

    check_model("movielens", (factors + 1) * sum(ratings.counts), f"factors={factors:,}")
    n = len(ratings.values)
    tested, held = math.ceil(test * n), math.ceil(valid * n)
    if tested + held >= n:
        raise rating_error(f"valid={valid} and test={test} of {n:,} ratings leave none to train on")
    order = np.random.RandomState(number).permutation(n)
    rows = dict(zip(("test", "valid", "train"), np.split(order, [tested, tested + held]), strict=True))
    users, unknown_users = _numbered(ratings.users, rows["train"], ratings.counts[0])
    items, unknown_items = _numbered(ratings.items, rows["train"], ratings.counts[1])
    mean = float(ratings.values[rows["train"]].mean(dtype=np.float64))
    sets = {name: _tensors(users, items, ratings.values, chosen) for name, chosen in rows.items()}
    return Workload(
        model=partial(Factorization, *ratings.counts, factors, mean, sparse),
        train=sets["train"],
        valid=sets["valid"],
        test=sets["test"] if tested else None,
        loss=nn.functional.mse_loss,
        metrics={"rmse": rmse},
        errors=("rmse",),
        lr={"sgd": 0.1, "adagrad": 0.1, "adam": 0.005, "adamw": 0.005, "sparseadam": 0.005},
        epochs=10,
        batch_size=max(2, min(32, len(rows["train"]) // 8)),
        notes=(
            f"movielens: {n:,} ratings of {ratings.counts[1]:,} items by {ratings.counts[0]:,} users from "
            f"{file}: {len(rows['train']):,} for training, {held:,} for validation, {tested:,} are the test "
            "set",
            f"movielens: users and items without a rating in training have no bias and no factors: "
            f"{unknown_users:,} and {unknown_items:,}",
        ),
        resplit=partial(_on_split, ratings, file, factors, sparse, valid, test),
    )


def _numbered(
    codes: NDArray[np.int64], train: NDArray[np.int64], count: int
) -> tuple[NDArray[np.int64], int]:
    """Give users or items numbers from 1; 0 stands for those without a rating in training, which are counted.

    Args:
        codes: The user or item of each rating, int64[N], from 0 to count - 1.
        train: The ratings of training.
        count: The number of users or items.

    Returns:
        The number of each rating's user or item, int64[N], and how many have no rating in training.
    """
    import numpy as np

    numbers = np.arange(1, count + 1)
    numbers[np.bincount(codes[train], minlength=count) == 0] = 0
    return numbers[codes], int((numbers == 0).sum())


def _tensors(
    users: NDArray[np.int64], items: NDArray[np.int64], values: NDArray[np.float32], rows: NDArray[np.int64]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return users, items (int64[N]) and ratings (float32[N]) of some rows."""
    import torch

    return torch.from_numpy(users[rows]), torch.from_numpy(items[rows]), torch.from_numpy(values[rows])


def rmse(output: Tensor, y: Tensor) -> float:
    """Return the root of the mean squared error over all rows."""
    return float((output - y).square().mean().sqrt())


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"movielens": movielens}
