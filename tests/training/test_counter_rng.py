"""Random words from a counter: the published function, and words that look random."""

from __future__ import annotations

import pytest
import torch

from optcompare.training.counter_rng import WORDS, random_words, seed_key, threefry, update_key

CPU = torch.device("cpu")
PUBLISHED = [
    ((0x00000000, 0x00000000), (0x00000000, 0x00000000), (0x9D1C5EC6, 0x8BD50731)),
    ((0xFFFFFFFF, 0xFFFFFFFF), (0xFFFFFFFF, 0xFFFFFFFF), (0xFD36D048, 0x2D17272C)),
    ((0x243F6A88, 0x85A308D3), (0x13198A2E, 0x03707344), (0xBA3E4725, 0xF27D669E)),
]
"""Counter, key and words of Threefry-2x32-13, the known answers that Salmon et al. published with it."""


@pytest.mark.parametrize(("counter", "key", "words"), PUBLISHED)
def test_the_words_are_the_published_ones(counter, key, words):
    assert threefry(key, counter) == words


def test_tensors_give_the_words_of_ints():
    keys, counters = (torch.tensor([each[place] for each in PUBLISHED]) for place in (1, 0))
    first, second = threefry((keys[:, 0], keys[:, 1]), (counters[:, 0], counters[:, 1]))
    assert [*zip(first.tolist(), second.tolist(), strict=True)] == [words for _, _, words in PUBLISHED]


def test_a_traced_and_vectorized_function_gives_the_same_words():
    from torch.fx.experimental.proxy_tensor import make_fx

    def both(first, second):
        return torch.vmap(lambda one, other: random_words((one, other), 3, 7, CPU))(first, second)

    keys = torch.tensor([seed_key(seed) for seed in range(5)])
    traced = make_fx(both)(torch.zeros(5, dtype=torch.int64), torch.zeros(5, dtype=torch.int64))
    for words in (both(keys[:, 0], keys[:, 1]), traced(keys[:, 0], keys[:, 1])):
        assert words.tolist() == [random_words(seed_key(seed), 3, 7, CPU).tolist() for seed in range(5)]


def test_words_are_spread_evenly():
    words = random_words(update_key(seed_key(0), 0), 0, 100_001, CPU)
    assert len(words) == 100_001
    assert int(words.min()) >= 0
    assert int(words.max()) < WORDS
    parts = torch.bincount(words // (WORDS // 16), minlength=16)
    chi_squared = float(((parts - 100_001 / 16) ** 2 / (100_001 / 16)).sum())
    assert chi_squared < 37.7, "exceeded by one of 1000 truly random samples"
    low_bits = (words & 1).double().mean()
    assert abs(float(low_bits) - 0.5) < 0.005


def test_seeds_updates_and_streams_have_words_of_their_own():
    found = {
        tuple(random_words(update_key(seed_key(seed), update), stream, 4, CPU).tolist())
        for seed in range(5)
        for update in (0, 1, 2, 2**32, 2**32 + 1)
        for stream in (0, 1, 2**20)
    }
    assert len(found) == 5 * 5 * 3
