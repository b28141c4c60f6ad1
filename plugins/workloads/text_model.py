"""What workloads of text share: their settings, blocks of symbols, loss and metrics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from optcompare import WorkloadError

from .memory import check_model

if TYPE_CHECKING:
    from torch import Tensor

Unit = Literal["characters", "bytes"]
_MOST_LAYERS = 1_000


def text_error(text: str) -> WorkloadError:
    return WorkloadError(f"workload text: {text}")


def check_sizes(name: str, settings: Mapping[str, int]) -> None:
    """Refuse sizes below 1, a ``width`` that is no multiple of ``heads``, and models that are too large.

    Args:
        name: The name of the workload, for messages.
        settings: The sizes by name, ``context``, ``width``, ``layers`` and ``heads`` among them.
    """
    for setting, value in settings.items():
        if value < 1:
            raise WorkloadError(f"workload {name}: {setting} must be at least 1, got {value}")
    width, heads, layers = settings["width"], settings["heads"], settings["layers"]
    if width % heads:
        raise WorkloadError(f"workload {name}: width={width} must be a multiple of heads={heads}")
    if layers > _MOST_LAYERS:
        raise WorkloadError(f"workload {name}: layers must be at most {_MOST_LAYERS:,}, got {layers:,}")
    weights = 12 * layers * width**2 + settings["context"] * width
    check_model(name, weights, f"width={width}, layers={layers}, context={settings['context']}")


def blocks(codes: Tensor, context: int) -> tuple[Tensor, Tensor]:
    """Cut a text into blocks, without copying it.

    Args:
        codes: The symbols of the text, int64[N].
        context: T, the symbols of a block.

    Returns:
        x and y, int64[(N - 1) // T, T] each; y is one symbol ahead of x.
    """
    count = max(0, len(codes) - 1) // context
    x, y = (codes[shift : shift + count * context].reshape(count, context) for shift in (0, 1))
    return x, y


def cross_entropy(scores: Tensor, y: Tensor) -> Tensor:
    """Return the mean of -log p(y) over rows and positions, from scores [B, T, V] and y int64[B, T]."""
    from torch.nn import functional

    return functional.cross_entropy(scores.flatten(0, 1), y.flatten())


def right(scores: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """Return the number of correctly predicted symbols, and of all."""
    return (scores.argmax(-1) == y).sum(), y.numel()


vars(right)["upper_bound"] = 1.0


def bits(scores: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """Return the sum of -log2 p(y), and the number of symbols."""
    import torch

    return cross_entropy(scores, y) / torch.log(torch.tensor(2.0)) * y.numel(), y.numel()
