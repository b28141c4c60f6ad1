"""Small transformers: a causal one over characters, and one over the patches of an image."""

import torch
from torch import Tensor, nn


class Transformer(nn.Module):
    """Map character codes int64[B, T] to scores [B, T, V] of the next ones.

    Layer norms precede the parts of a block (Radford et al. 2019); position embeddings are learned. The names
    of the attributes are part of checkpoints and fingerprints, so they stay as they are.
    """

    def __init__(self, vocabulary: int, context: int, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.characters = nn.Embedding(vocabulary, width)
        self.places = nn.Parameter(0.02 * torch.randn(context, width))
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(layers)))
        self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, vocabulary)

    def forward(self, codes: Tensor) -> Tensor:
        x: Tensor = self.characters(codes) + self.places[: codes.shape[1]]
        scores: Tensor = self.scores(self.norm(self.blocks(x)))
        return scores


class VisionTransformer(nn.Module):
    """Map images [B, C, S, S] to scores [B, classes], by attention between square patches.

    Scores are those of the mean over patches; position embeddings are learned (Dosovitskiy et al. 2021).

    Args:
        channels: C.
        side: S, in pixels; a multiple of ``patch``.
        classes: The number of classes.
        patch: The side of a patch, in pixels.
        width: The size of the vector of a patch, a multiple of ``heads``.
        layers: The number of blocks.
        heads: The heads of attention in each block.
    """

    def __init__(
        self, channels: int, side: int, classes: int, *, patch: int, width: int, layers: int, heads: int
    ) -> None:
        super().__init__()
        self.patch = patch
        self.patches = nn.Linear(channels * patch * patch, width)
        self.places = nn.Parameter(0.02 * torch.randn((side // patch) ** 2, width))
        self.blocks = nn.Sequential(*(Block(width, heads, causal=False) for _ in range(layers)))
        self.norm, self.scores = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        rows, channels, side, _ = images.shape
        count = side // self.patch
        cut = images.reshape(rows, channels, count, self.patch, count, self.patch)
        flat = cut.permute(0, 2, 4, 1, 3, 5).reshape(rows, count * count, -1)  # (B, patches, C·patch²)
        x: Tensor = self.patches(flat) + self.places
        scores: Tensor = self.scores(self.norm(self.blocks(x)).mean(1))
        return scores


class Block(nn.Module):
    """Compute x + attention(norm(x)), then x + perceptron(norm(x)).

    ``asked`` projects to queries, keys and values, ``given`` projects the output of the heads. If ``causal``,
    a position attends to none after it.
    """

    def __init__(self, width: int, heads: int, causal: bool = True) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.before, self.between = nn.LayerNorm(width), nn.LayerNorm(width)
        self.asked, self.given = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.perceptron = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor) -> Tensor:
        x = x + self._attention(self.before(x))
        out: Tensor = x + self.perceptron(self.between(x))
        return out

    def _attention(self, x: Tensor) -> Tensor:
        """Compute softmax(q·k/√d) v, written out so that lanes can run it."""
        rows, positions, width = x.shape
        split = self.asked(x).reshape(rows, positions, 3, self.heads, width // self.heads)
        q, k, v = split.permute(2, 0, 3, 1, 4).unbind(0)  # (B, heads, T, d)
        match = q @ k.transpose(-1, -2) / (width // self.heads) ** 0.5
        if self.causal:
            later = torch.ones(positions, positions, dtype=torch.bool, device=x.device).triu(1)
            match = match.masked_fill(later, -torch.inf)
        mixed = (match.softmax(-1) @ v).transpose(1, 2).reshape(rows, positions, width)
        projected: Tensor = self.given(mixed)
        return projected
