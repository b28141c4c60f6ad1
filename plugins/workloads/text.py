"""Language models of the user's own text, of 10^5 to 10^7 weights and more."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from optcompare import Workload, hookimpl

from .memory import machine_memory
from .text_model import Unit, bits, blocks, check_sizes, cross_entropy, right, text_error

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from .text_files import Codes

_ROWS_OF_A_RUN = 30_000
_CODE_POINTS = 0x110000


def text(
    path: Path,
    *,
    unit: Unit = "characters",
    context: int = 64,
    width: int = 64,
    layers: int = 2,
    heads: int = 4,
    valid: float = 0.1,
    test: float = 0.1,
    length: int | None = 200_000,
    encoding: str = "utf-8",
    endings: tuple[str, ...] = (".txt", ".md", ".rst"),
) -> Workload:
    """Predict the next character (or byte) of your text, in a file or a folder, by a causal transformer.

    Of a folder, all files with these endings are read but hidden ones, in the order of their paths. Files
    may be compressed by gzip, bzip2 or xz. The text is cut into blocks of context symbols. They are split by
    position: the first ones are trained on, the next (the share valid) are for validation, and the last (the
    share test) are the test set. Each character of the training part is a symbol, and all others are one
    more; with unit=bytes there are 256. The loss is the cross-entropy in nats; bits is the loss in bits per
    symbol. The transformer has about 12·layers·width² weights and 2·width for each symbol: 10^5 by default,
    10^7 with width=384:layers=6; a note says how many. Only the first 200,000 symbols are read unless length
    says otherwise; length=none reads all.
    """
    from .text_files import files_of, read_text
    from .transformer import Transformer

    sizes = {"context": context, "width": width, "layers": layers, "heads": heads}
    check_sizes("text", sizes if length is None else {**sizes, "length": length})
    if unit not in get_args(Unit):
        raise text_error(f"unit is one of {', '.join(get_args(Unit))}; got {unit}")
    if not 0 < valid < 1 or not 0 <= test < 1:
        raise text_error(
            f"valid is a share of the text, above 0 and below 1, and test one from 0; got {valid} and {test}"
        )
    files = files_of(Path(path), endings)
    symbols = read_text(files, unit, encoding, length, machine_memory())
    rows = _rows(len(symbols), unit, context, valid, test)
    codes, vocabulary = _coded(symbols, unit, rows[0] * context + 1)
    x, y = blocks(codes, context)
    sets = list(zip(x.split(rows), y.split(rows), strict=True))
    read = _read(Path(path), files, symbols, unit, length)
    weights = _count_weights(vocabulary, context, width, layers, heads)
    return Workload(
        model=lambda: Transformer(vocabulary, context, width, layers, heads),
        train=sets[0],
        valid=sets[1],
        test=sets[2] if rows[2] else None,
        loss=cross_entropy,
        metrics={"accuracy": right, "bits": bits},
        errors=("bits",),
        lr={"sgd": 0.5, "adam": _adam_rate(width), "adamw": _adam_rate(width)},
        epochs=max(1, min(20, _ROWS_OF_A_RUN // rows[0])),
        batch_size=max(2, min(32, rows[0] // 8)),
        notes=(
            f"text: {read}, in blocks of {context}: {_split_of(rows)}",
            f"text: a transformer of {weights:,} weights and {vocabulary:,} symbols",
        ),
    )


def _adam_rate(width: int) -> float:
    """Return 0.01 for a width of 32, and inversely proportional to the width (Yang et al. 2022)."""
    return float(f"{0.32 / width:.1g}")


def _rows(length: int, unit: str, context: int, valid: float, test: float) -> list[int]:
    """Return the numbers of blocks for training, validation and test; shares are rounded up."""
    count = max(0, length - 1) // context
    held_out, tested = math.ceil(valid * count), math.ceil(test * count)
    rows = [count - held_out - tested, held_out, tested]
    if rows[0] < 1:
        raise text_error(
            f"{length:,} {unit} are {count} block{'s' if count != 1 else ''} of context={context}, of which "
            f"valid={valid} and test={test} leave none to train on; give a longer text, or a smaller context"
        )
    return rows


def _coded(symbols: Codes, unit: Unit, seen: int) -> tuple[Tensor, int]:
    """Replace the symbols of a text by their numbers in the vocabulary.

    Args:
        symbols: Code points or bytes, [N].
        unit: Which of these.
        seen: The number of first symbols that are seen in training, whose characters are numbered.

    Returns:
        The codes, int64[N], and the size of the vocabulary.
    """
    import numpy as np
    import torch

    if unit == "bytes":
        return torch.from_numpy(symbols.astype(np.int64)), 256
    known = np.unique(symbols[:seen])
    codes: NDArray[np.int64] = np.full(_CODE_POINTS, len(known), np.int64)
    codes[known] = np.arange(len(known))
    return torch.from_numpy(codes[symbols]), len(known) + 1


def _read(path: Path, files: list[Path], symbols: Codes, unit: str, length: int | None) -> str:
    """Describe what was read."""
    where = f"{len(files):,} file{'s' if len(files) > 1 else ''} of {path}" if path.is_dir() else path.name
    count = f"{len(symbols):,} {unit}"
    if len(symbols) == length:
        count = f"the first {count} (length=none: all)"
    return f"{count} of {where}, SHA-256 {hashlib.sha256(symbols.tobytes()).hexdigest()[:12]}"


def _split_of(rows: list[int]) -> str:
    """Describe how the blocks are split."""
    tested = f", the last {rows[2]:,} as the test set" if rows[2] else ""
    return f"the first {rows[0]:,} for training, the next {rows[1]:,} for validation{tested}"


def _count_weights(vocabulary: int, context: int, width: int, layers: int, heads: int) -> int:
    import torch

    from .transformer import Transformer

    with torch.device("meta"):  # without memory or random numbers
        model = Transformer(vocabulary, context, width, layers, heads)
    return sum(weight.numel() for weight in model.parameters())


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"text": text}
