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

from .text_model import bits, blocks, check_sizes, cross_entropy, right

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

    sizes = {
        "characters": characters,
        "context": context,
        "width": width,
        "layers": layers,
        "heads": heads,
    }
    check_sizes("stdlib-text", sizes)
    codes, text_sha256 = _text(characters)
    x, y = blocks(codes, context)
    count = len(x)
    if count < 2:
        raise WorkloadError(
            f"workload stdlib-text: {len(codes)} characters are {count} block{'s' if count != 1 else ''} of "
            f"context={context}; two are needed at least, so give more characters"
        )
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
