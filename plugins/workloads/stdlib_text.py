"""Real text on every machine: the source files of Python's standard library."""

from __future__ import annotations

import hashlib
import platform
import re
import string
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from optcompare import Workload, WorkloadError, hookimpl

if TYPE_CHECKING:
    from torch import Tensor

SYMBOLS = "\n" + string.printable[:95]
"""The symbols of the model: letters, digits, punctuation and the space; all others are one more symbol."""
VOCABULARY = len(SYMBOLS) + 1
_CODES = bytes.maketrans(
    bytes(range(256)), bytes(SYMBOLS.find(chr(byte)) % VOCABULARY for byte in range(256))
)
_VALID_EVERY = 10


def stdlib_text(
    *, characters: int = 50_000, context: int = 32, width: int = 32, layers: int = 2, heads: int = 4
) -> Workload:
    """Predict the next character of Python's standard library, by a small causal transformer.

    The loss is the cross-entropy in nats; bits is the loss in bits per character. The text is the first
    characters of the modules in alphabetical order, in blocks of context; every tenth block is held out. It
    depends on the version of your Python.
    """
    import torch

    from .transformer import Transformer

    settings = {
        "characters": characters,
        "context": context,
        "width": width,
        "layers": layers,
        "heads": heads,
    }
    for name, value in settings.items():
        if value < 1:
            raise WorkloadError(f"workload stdlib-text: {name} must be at least 1, got {value}")
    if width % heads:
        raise WorkloadError(f"workload stdlib-text: width={width} must be a multiple of heads={heads}")
    codes, text_sha256 = _text(characters)
    count = (len(codes) - 1) // context
    if count < 2:
        raise WorkloadError(
            f"workload stdlib-text: {len(codes)} characters are {count} block{'s' if count != 1 else ''} of "
            f"context={context}; two are needed at least, so give more characters"
        )
    x, y = (codes[shift : shift + count * context].reshape(count, context) for shift in (0, 1))
    held_out = torch.arange(count) % _VALID_EVERY == min(_VALID_EVERY, count) - 1
    return Workload(
        model=lambda: Transformer(VOCABULARY, context, width, layers, heads),
        train=(x[~held_out], y[~held_out]),
        valid=(x[held_out], y[held_out]),
        loss=cross_entropy,
        metrics={"accuracy": right, "bits": bits},
        errors=("bits",),
        lr={"sgd": 0.5, "adam": 0.01, "adamw": 0.01},
        epochs=5,
        batch_size=32,
        notes=(
            f"stdlib-text: {len(codes):,} characters of Python {platform.python_version()}'s standard "
            f"library, SHA-256 {text_sha256[:12]}; another version has another text",
        ),
    )


def cross_entropy(scores: Tensor, y: Tensor) -> Tensor:
    """Return the mean of -log p(y) over rows and positions, from scores [B, T, V] and y int64[B, T]."""
    from torch.nn import functional

    return functional.cross_entropy(scores.flatten(0, 1), y.flatten())


def right(scores: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """Return the number of correctly predicted characters, and of all."""
    return (scores.argmax(-1) == y).sum(), y.numel()


def bits(scores: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """Return the sum of -log2 p(y), and the number of characters."""
    import torch

    return cross_entropy(scores, y) / torch.log(torch.tensor(2.0)) * y.numel(), y.numel()


def _text(characters: int) -> tuple[Tensor, str]:
    """Return the first characters as codes, int64[N], and the SHA-256 of the text."""
    import torch

    root, parts, missing = Path(sysconfig.get_paths()["stdlib"]), list[bytes](), characters
    for path in sorted(root.glob("*.py")):
        if missing <= 0:
            break
        text = path.read_text(encoding="utf-8", errors="replace").expandtabs(4)
        parts.append(re.sub(r"[^\0-\x7f]", "\0", text[:missing]).encode("ascii"))
        missing -= len(parts[-1])
    data = b"".join(parts)
    if not data:
        raise WorkloadError(
            f"workload stdlib-text: there are no source files in {root}; this Python came without them"
        )
    codes = torch.frombuffer(bytearray(data.translate(_CODES)), dtype=torch.uint8).to(torch.int64)
    return codes, hashlib.sha256(data).hexdigest()


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"stdlib-text": stdlib_text}
