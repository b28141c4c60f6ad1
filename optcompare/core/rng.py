"""Randomness by name: each stream is a function of (tag, seed, …) alone, so that nothing run before can shift
it.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

ORDER, TRAINING, STRATEGY, SAMPLE, DIAGNOSTIC, RECALIBRATION, SPLIT = 1, 2, 3, 4, 5, 6, 7
GRID_SHIFT, TUNING_SEEDS = 8, 9


def seed_sequence(tag: int, *parts: int) -> np.random.SeedSequence:
    """The entropy of one stream. Parts are hashed together, never added: sums of seeds collide."""
    return np.random.SeedSequence([tag, *parts])


def permutation(seed: int, epoch: int, n: int) -> torch.Tensor:
    """The shared order of an epoch: int64[n], a function of its three arguments."""
    generator = np.random.Generator(np.random.PCG64(seed_sequence(ORDER, seed, epoch)))
    return torch.from_numpy(generator.permutation(n))


@functools.cache
def _has_accelerator() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def seed_torch(value: int) -> None:
    """``torch.manual_seed``, without its notes for devices that are not there, which take a millisecond."""
    if _has_accelerator():
        torch.manual_seed(value)
    else:
        torch.default_generator.manual_seed(value)


def seed_everything(words: np.random.SeedSequence) -> None:
    """Seeds torch on all devices, NumPy's and Python's global generators."""
    state = words.generate_state(2, np.uint64)
    seed_torch(int(state[0] >> np.uint64(1)))
    seed_python(int(state[1]))


def seed_python(value: int) -> None:
    """Seeds the global generators of NumPy and Python."""
    np.random.seed(value % 2**32)
    random.seed(value)


def rng_state(device: torch.device | None = None) -> dict[str, Any]:
    """All global generators as plain values and tensors that ``torch.load(weights_only=True)`` reads."""
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
    """Puts back what :func:`rng_state` returned."""
    torch.set_rng_state(state["torch"])
    random.setstate(state["python"])
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))
    if "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device or "cuda")
    if "mps" in state:
        torch.mps.set_rng_state(state["mps"])


@contextmanager
def preserved_rng() -> Iterator[None]:
    """Leaves every global generator, those of all CUDA devices in use included, as it was."""
    on_cpu, python, numpy = torch.get_rng_state(), random.getstate(), np.random.get_state()
    in_use = torch.cuda.is_available() and torch.cuda.is_initialized()
    on_cuda = torch.cuda.get_rng_state_all() if in_use else []
    try:
        yield
    finally:
        torch.set_rng_state(on_cpu)
        random.setstate(python)
        np.random.set_state(numpy)
        if on_cuda:
            torch.cuda.set_rng_state_all(on_cuda)
