"""Read images as tensors, and classify them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from .image_files import Files, image_error


class Images(Dataset[tuple[Tensor, Tensor]]):
    """Read normalised images one by one.

    Args:
        files: The files.
        read: Reads a file as uint8[C, S, S].
        scale: Mean and standard deviation of each channel, float32[C, 1, 1] each.
        flip: Whether each image is mirrored with probability ½, drawn from torch's generator.
    """

    def __init__(
        self, files: Files, read: Callable[[Path], Tensor], scale: tuple[Tensor, Tensor], flip: bool
    ) -> None:
        self.files, self.read, self.scale, self.flip = files, read, scale, flip

    def __len__(self) -> int:
        return len(self.files.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        image = normalised(self.read(self.files.paths[index]), self.scale)
        if self.flip and torch.rand(()) < 0.5:
            image = image.flip(-1)
        return image, torch.tensor(self.files.labels[index])


@dataclass(frozen=True)
class Reader:
    """Read a file as uint8[C, size, size]."""

    size: int
    gray: bool

    def __call__(self, path: Path) -> Tensor:
        import numpy as np
        from PIL import Image, ImageOps

        try:
            with Image.open(path) as image:
                upright = ImageOps.exif_transpose(image).convert("L" if self.gray else "RGB")
                square = ImageOps.fit(upright, (self.size, self.size))
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            cause = " ".join(str(error).split())
            raise image_error(f"{path} cannot be read as an image ({cause}); repair or remove it") from error
        pixels = torch.from_numpy(np.array(square))
        return pixels.unsqueeze(0) if self.gray else pixels.permute(2, 0, 1).contiguous()


def scale_of(pictures: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation of each channel, float32[C, 1, 1] each, where white is 1."""
    total = square = torch.zeros(1, dtype=torch.float64)
    count = 0
    for picture in pictures:
        bright = picture.double().flatten(1) / 255
        total, square = total + bright.sum(1), square + bright.square().sum(1)
        count += bright.shape[1]
    mean = total / count
    deviation = (square / count - mean.square()).clamp(min=0).sqrt()
    deviation[deviation < 1e-6] = 1.0
    return mean.float().reshape(-1, 1, 1), deviation.float().reshape(-1, 1, 1)


def normalised(picture: Tensor, scale: tuple[Tensor, Tensor]) -> Tensor:
    mean, deviation = scale
    return (picture.float() / 255 - mean) / deviation


def tensors_of(
    files: Files, read: Callable[[Path], Tensor], scale: tuple[Tensor, Tensor]
) -> tuple[Tensor, Tensor]:
    return torch.stack([normalised(read(path), scale) for path in files.paths]), torch.tensor(files.labels)


def cnn(channels: int, size: int, classes: int, stride: int = 1) -> nn.Module:
    """Return a network that maps images [B, C, S, S] to scores [B, classes].

    Strides replace pooling, since the gradient of pooling is not deterministic on CUDA.

    Args:
        channels: The number C of channels.
        size: S, in pixels.
        classes: The number of classes.
        stride: The stride of the first of three convolutions; the others have 2.
    """
    side = math.ceil(size / (4 * stride))
    return nn.Sequential(
        nn.Conv2d(channels, 16, 3, padding=1, stride=stride),  # (B, 16, S', S') for S' = S/stride
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1, stride=2),  # (B, 32, S'/2, S'/2)
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1, stride=2),  # (B, 64, S'/4, S'/4)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * side * side, classes),
    )
