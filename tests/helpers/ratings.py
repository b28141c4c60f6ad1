"""Files of ratings in the forms of MovieLens, generated: small, and of rank one."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

Rating = tuple[int, int, float, int]


def made_up(users: int = 30, items: int = 20, share: float = 0.5, seed: int = 0) -> list[Rating]:
    """Ratings from 1 to 5 with ids that have gaps, in random order: user, item, rating, time."""
    rng = np.random.default_rng(seed)
    pairs = rng.permutation(users * items)[: round(share * users * items)]
    likes, worth = rng.normal(size=users), rng.normal(size=items)
    return [
        (
            3 * int(user) + 1,
            7 * int(item) + 2,
            float(np.clip(np.rint(3.5 + likes[user] * worth[item]), 1, 5)),
            880_000_000 + number,
        )
        for number, (user, item) in enumerate(zip(pairs // items, pairs % items, strict=True))
    ]


def write_100k(path: Path, ratings: Iterable[Rating]) -> Path:
    """The form of ``u.data`` of ml-100k: tabs, whole ratings, no header."""
    return _write(path, (f"{u}\t{i}\t{int(r)}\t{t}\n" for u, i, r, t in ratings))


def write_1m(path: Path, ratings: Iterable[Rating]) -> Path:
    """The form of ``ratings.dat`` of ml-1m: ``::``, no header; ml-10m has halves too."""
    return _write(path, (f"{u}::{i}::{r:g}::{t}\n" for u, i, r, t in ratings))


def write_latest(path: Path, ratings: Iterable[Rating]) -> Path:
    """The form of ``ratings.csv`` of ml-latest, ml-20m, ml-25m and ml-32m: commas and a header."""
    lines = (f"{u},{i},{r:.1f},{t}\n" for u, i, r, t in ratings)
    return _write(path, ["userId,movieId,rating,timestamp\n", *lines])


def _write(path: Path, lines: Iterable[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines))
    return path
