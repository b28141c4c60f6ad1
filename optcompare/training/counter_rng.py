"""Random words as a function of key and counter, with the same bits on every device and in lanes.

The function is Threefry-2x32 with 13 rounds, the fewest that pass all tests of BigCrush (Salmon et al.,
"Parallel random numbers: as easy as 1, 2, 3", SC 2011). Words are whole numbers from 0 to 2**32 - 1, as ints
of Python or int64 tensors of any shape. No operation overflows, so that eager and compiled code compute the
same.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Union, cast

import numpy as np
import torch

from ..core.rng import MASKS, seed_sequence

if TYPE_CHECKING:
    from torch import Tensor

Word = Union[int, "Tensor"]
Words = tuple[Word, Word]

WORDS = 2**32
"""The number of different words."""
_MOST = WORDS - 1
_PARITY = 0x1BD11BDA
_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_ROUNDS, _ROUNDS_PER_KEY = 13, 4


def threefry(key: Words, counter: Words) -> Words:
    """Return the two random words of a key and a counter.

    Args:
        key: The two words of the key.
        counter: The two words of the counter; shapes broadcast.
    """
    keys = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    first, second = counter[0] + key[0], (counter[1] + key[1]) & _MOST
    for done in range(_ROUNDS):
        rotation = _ROTATIONS[done % len(_ROTATIONS)]
        first = first + second  # stays below 2**37; higher bits are removed at the end
        second = ((second << rotation | second >> (32 - rotation)) ^ first) & _MOST
        if (done + 1) % _ROUNDS_PER_KEY == 0:
            turn = (done + 1) // _ROUNDS_PER_KEY
            first = first + keys[turn % 3]
            second = (second + (keys[(turn + 1) % 3] + turn)) & _MOST
    return first & _MOST, second


@functools.lru_cache(maxsize=4096)
def seed_key(seed: int) -> tuple[int, int]:
    """Return the key of a trial.

    Args:
        seed: The seed of the trial.
    """
    first, second = seed_sequence(MASKS, seed).generate_state(2, np.uint32).tolist()
    return first, second


def update_key(key: Words, update: Word) -> Words:
    """Return the key of one update.

    Args:
        key: The key of the trial.
        update: The number of updates made before, at most 2**63.
    """
    return threefry(key, (update & _MOST, update >> 32))


def random_words(key: Words, stream: int, count: int, device: torch.device) -> Tensor:
    """Return random words, int64[count].

    Args:
        key: The key of the update, as ints or as int64 tensors without dimensions.
        stream: The number of the stream, below 2**32; other streams of the update have other words.
        count: The number of words.
        device: The device of the words.
    """
    counter = torch.arange((count + 1) // 2, dtype=torch.int64, device=device)
    first, second = threefry(key, (counter, stream))
    return torch.cat([cast(torch.Tensor, first), cast(torch.Tensor, second)])[:count]
