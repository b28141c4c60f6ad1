"""Draw dropout masks from a counter, so that lanes and the loop trainer draw the same.

A mask depends only on the seed of the trial, the number of the update, the number of the layer and the number
of its call within the update. The probabilities and scales are those of ``torch.nn``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from ..errors import ComparisonError
from .counter_rng import WORDS, Words, random_words

if TYPE_CHECKING:
    from torch import Tensor

_MOST_CALLS = 2**20
_SELU_LIMIT = 1.7580993408473766
"""Alpha dropout replaces dropped inputs by minus this number, the lower limit of SELU."""
_CHANNELS: dict[type[nn.Module], dict[int, int]] = {
    nn.Dropout1d: {2: 1, 3: 2},
    nn.Dropout2d: {3: 2, 4: 2},
    nn.Dropout3d: {4: 1, 5: 2},
    nn.FeatureAlphaDropout: {2: 2, 3: 2, 4: 2, 5: 2},
}
"""For layers that drop whole channels: by the dimensions of the input, those that have masks of their own."""
_LAYERS = (nn.Dropout, nn.AlphaDropout, *_CHANNELS)


def dropout_layers(model: nn.Module) -> list[_DropoutNd]:
    """Return the layers of a model whose masks can come from a counter, in the order of its modules.

    Subclasses may draw in another way, and compiled modules contain the code of their layers; neither is
    returned.
    """
    modules = list(model.modules())
    if any(module._compiled_call_impl is not None or hasattr(module, "_orig_mod") for module in modules):
        return []
    return [module for module in modules if isinstance(module, _DropoutNd) and type(module) in _LAYERS]


class CounterMasks:
    """Draw the masks of a model's dropout layers from a counter.

    Args:
        model: Any module. It is changed only within the context of :meth:`drawn`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._layers = dropout_layers(model)
        self._calls: list[int] = []

    @contextmanager
    def drawn(self, key: Words) -> Iterator[None]:
        """Draw the masks of one update from a counter within the context.

        Args:
            key: The key of the update; see :func:`.update_key`.
        """
        self._calls = [0] * len(self._layers)
        try:
            for number, layer in enumerate(self._layers):
                layer.__dict__["forward"] = partial(self._forward, key, number)
            yield
        finally:
            for layer in self._layers:
                layer.__dict__.pop("forward", None)

    def _forward(self, key: Words, number: int, values: Tensor) -> Tensor:
        layer = self._layers[number]
        shape = _mask_shape(layer, values)
        if shape is None or not layer.training or layer.p == 0 or values.numel() == 0:
            return type(layer).forward(layer, values)  # type: ignore[no-any-return]
        if _in_backward():
            raise ComparisonError(
                f"{type(layer).__name__} is computed again in the backward pass, as by torch's checkpoint(), "
                "where a mask from a counter has no number; give --trainer loop"
            )
        stream = number * _MOST_CALLS + self._calls[number]
        self._calls[number] += 1
        words = random_words(key, stream, math.prod(shape), values.device).reshape(shape)
        kept = (words < round((1 - layer.p) * WORDS)).to(values.dtype)
        return _masked(layer, values, kept)


def _mask_shape(layer: _DropoutNd, values: Tensor) -> tuple[int, ...] | None:
    """Return the shape of the mask of an input; None for a shape that the layer does not support."""
    channels = _CHANNELS.get(type(layer))
    if channels is None:
        return tuple(values.shape)
    own = channels.get(values.dim())
    return None if own is None else (*values.shape[:own], *[1] * (values.dim() - own))


def _masked(layer: _DropoutNd, values: Tensor, kept: Tensor) -> Tensor:
    """Return the output of a layer, computed as ``torch.nn.functional`` does.

    Args:
        layer: The layer.
        values: Its input.
        kept: 1 where the input is kept, and 0 where it is dropped.
    """
    p = layer.p
    if isinstance(layer, (nn.AlphaDropout, nn.FeatureAlphaDropout)) and p < 1:
        scale = 1 / math.sqrt((_SELU_LIMIT**2 * p + 1) * (1 - p))
        return values * (kept * scale) + ((kept - 1) * (_SELU_LIMIT * scale) + _SELU_LIMIT * scale * p)
    noise = kept / (1 - p) if p < 1 else kept
    inplace = layer.inplace and not isinstance(layer, (nn.AlphaDropout, nn.FeatureAlphaDropout))
    return values.mul_(noise) if inplace else values * noise


def _in_backward() -> bool:
    """Return whether a backward pass is under way; False where torch does not say."""
    current = getattr(torch._C, "_current_graph_task_id", None)
    return current is not None and bool(current() != -1)
