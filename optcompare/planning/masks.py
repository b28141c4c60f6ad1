"""Choose where dropout masks come from: the generator of each trial, or a counter."""

from __future__ import annotations

from torch import nn

from ..core.choices import MaskSource
from ..core.rng import preserved_rng
from ..training.dropout import dropout_layers
from ..training.loop.trainer import LoopTrainer


def choose_masks(trainer: LoopTrainer) -> MaskSource:
    """Return a counter if the user chose lanes and the model has dropout layers; else the generator.

    Lanes cannot draw from a generator as the loop does. With the loop, and by default, the generator stays,
    so that the same command gives the same result as in earlier versions.

    Args:
        trainer: The loop trainer of the comparison.
    """
    comparison = trainer.setup.comparison
    if comparison.trainer != "lanes":
        return "generator"
    with preserved_rng():
        model = trainer.start(comparison.seeds[0]).model()
    return "counter" if masked_layers(model) else "generator"


def masked_layers(model: nn.Module) -> list[str]:
    """Return the kinds of a model's layers whose masks can come from a counter, sorted.

    Args:
        model: The model in training mode.
    """
    return sorted({type(layer).__name__ for layer in dropout_layers(model) if layer.p > 0 and layer.training})
