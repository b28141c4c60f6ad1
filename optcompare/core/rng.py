"""Randomness by name: each stream is a function of (tag, seed, …) alone.

Nothing that was run before can change a stream.
"""

from __future__ import annotations

import ctypes
import functools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch

ORDER, TRAINING, STRATEGY, SAMPLE, DIAGNOSTIC, RECALIBRATION, SPLIT = 1, 2, 3, 4, 5, 6, 7
GRID_SHIFT, TUNING_SEEDS, EVALUATION_ROWS, MASKS = 8, 9, 10, 11

_WORD = 2**32
_MT19937_BYTES = 4 * (624 + 1)
"""The state of NumPy's Mersenne Twister: 624 words and the position among them, four bytes each."""


def seed_sequence(tag: int, *parts: int) -> np.random.SeedSequence:
    """Return the entropy of one stream.

    Args:
        tag: The purpose of the stream, such as :data:`ORDER`.
        *parts: Seed, epoch and so on. They are hashed together and never added, since sums of seeds collide.

    Returns:
        A ``SeedSequence`` of tag and parts.
    """
    words = [tag, *parts]
    if all(0 <= word < _WORD for word in words):  # the same entropy as the list's, in a fifth of the time
        return np.random.SeedSequence(np.array(words, dtype=np.uint32))
    return np.random.SeedSequence(words)


def permutation(seed: int, epoch: int, n: int) -> torch.Tensor:
    """Return the shared order of an epoch, a function of its three arguments alone.

    Args:
        seed: The seed of the trial.
        epoch: The number of the epoch, from 0 on.
        n: The number of training samples.

    Returns:
        A permutation of 0 to n - 1, int64[n].
    """
    import torch

    generator = np.random.Generator(np.random.PCG64(seed_sequence(ORDER, seed, epoch)))
    return torch.from_numpy(generator.permutation(n))


@functools.cache
def _has_accelerator() -> bool:
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()


def seed_torch(value: int) -> None:
    """Seed torch's generators as ``torch.manual_seed`` does, faster where there is no accelerator.

    Args:
        value: The seed.
    """
    import torch

    if _has_accelerator():
        torch.manual_seed(value)
    else:
        torch.default_generator.manual_seed(value)


def seed_everything(words: np.random.SeedSequence) -> None:
    """Seed the global generators of torch (on all devices), NumPy and Python.

    Args:
        words: The entropy, as of :func:`seed_sequence`.
    """
    state = words.generate_state(2, np.uint64)
    seed_torch(int(state[0] >> np.uint64(1)))
    seed_python(int(state[1]))


def seed_python(value: int) -> None:
    """Seed the global generators of NumPy and Python.

    Args:
        value: The seed; NumPy gets its lowest 32 bits.
    """
    np.random.seed(value % 2**32)
    random.seed(value)


def rng_state(device: torch.device | None = None) -> dict[str, Any]:
    """Return the states of the global generators of torch, NumPy and Python.

    Args:
        device: The device whose generator is added; None for the CPU alone.

    Returns:
        Plain values and tensors, which ``torch.load(weights_only=True)`` reads.
    """
    import torch

    name, keys, position, has_gauss, cached = np.random.get_state()
    state: dict[str, Any] = {
        "torch": torch.get_rng_state(),
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys).astype(np.int64)), position, has_gauss, cached),
    }
    if device is not None and device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    if device is not None and device.type == "mps":
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_rng_state(state: dict[str, Any], device: torch.device | None = None) -> None:
    """Restore the states that :func:`rng_state` returned.

    Args:
        state: The states of the generators.
        device: The device whose generator is restored where the state has one.
    """
    import torch

    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device or "cuda")
    if "mps" in state:
        torch.mps.set_rng_state(state["mps"])


def _numpy_words() -> bytes | None:
    """Return the memory of NumPy's global generator, which is read much faster than its state is set.

    None stands for another bit generator than NumPy's own, whose memory has another size.
    """
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]
    if type(generator) is not np.random.MT19937:
        return None
    return ctypes.string_at(generator.ctypes.state_address, _MT19937_BYTES)


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Restore all global generators, those of all CUDA devices in use included, after the block."""
    import torch

    on_cpu, python, numpy = torch.get_rng_state(), random.getstate(), np.random.get_state(legacy=False)
    words = _numpy_words()
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()
    on_cuda = torch.cuda.get_rng_state_all() if in_use else []
    try:
        yield
    finally:
        torch.set_rng_state(on_cpu)
        random.setstate(python)
        # The words stay the same if nothing was drawn, or only a normal number that was drawn before.
        if words is None or words != _numpy_words() or numpy["has_gauss"]:
            np.random.set_state(numpy)
        if on_cuda:
            torch.cuda.set_rng_state_all(on_cuda)
