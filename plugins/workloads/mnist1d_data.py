"""Generate MNIST-1D: ten digits as signals of 40 numbers, moved, stretched and covered with noise.

The data set is that of Greydanus and Kobak, "Scaling down deep learning with MNIST-1D", arXiv 2011.14439. The
random numbers are drawn in the order of its package ``mnist1d`` (0.0.2), so that seed 42 gives the published
numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Whole = NDArray[np.int64]

LENGTH = 40
CLASSES = 10
_TEMPLATES = """
5 6    6.5  6.75 7   7   7   7   6.75 6.5 6   5
5 3    3    3.4  3.8 4.2 4.6 5   5.4  5.8 5   5
5 6    6.5  6.5  6   5.25 4.75 4 3.5  3.5 4   5
5 6    6.5  6.5  6   5   5   6   6.5  6.5 6   5
5 4.4  3.8  3.2  2.6 2.6 5   5   5    5   5   5
5 3    3    3    3   5   6   6.5 6.5  6   4.5 5
5 4    3.5  3.25 3   3   3   3   3.25 3.5 4   5
5 7    7    6.6  6.2 5.8 5.4 5   4.6  4.2 5   5
5 4    3.5  3.5  4   5   5   4   3.5  3.5 4   5
5 4    3.5  3.5  4   5   5   5   5    4.7 4.3 5
"""
"""The digits 0 to 9 as heights at twelve points, from the data set's package (Apache License 2.0)."""
_FEWEST_ZEROS, _MOST_ZEROS = 36, 60
_LONG = 12 + _MOST_ZEROS
_SHIFTS = 48
_NOT_ZERO = 1e-8
_SCALE, _SHEAR = 0.4, 0.75
_SMOOTH_NOISE, _NOISE, _SMOOTH_OVER = 0.25, 0.02, 2


class Standardised(NamedTuple):
    """Hold signals float64[N, 40] of mean 0 and standard deviation 1, and their digits int64[N]."""

    x: Floats
    y: Whole
    mean: float
    deviation: float


def published(seed: int = 42, samples: int = 5000) -> Standardised:
    """Generate a data set as the package does: of its 5,000 samples the first 4,000 are for training.

    Mean and standard deviation are those of all samples, of training and test, as in the package.

    Args:
        seed: The seed; 42 gives the published data set.
        samples: Their number, a multiple of ten.
    """
    x, y = generate(np.random.RandomState(seed), samples)
    mean, deviation = float(x.mean()), float(x.std())
    return Standardised((x - mean) / deviation, y, mean, deviation)


def generate(draws: np.random.RandomState, samples: int) -> tuple[Floats, Whole]:
    """Generate signals of all digits in equal numbers, in random order.

    A signal is a template with zeros behind it, stretched to 72 points, scaled and shifted round. Smooth
    noise takes the place of the zeros; white noise and a slope are added, and it is resampled at 40 points.

    Args:
        draws: The generator, of NumPy's legacy kind, whose streams never change.
        samples: Their number, a multiple of ten.

    Returns:
        The signals, float64[samples, 40], and their digits.
    """
    from scipy.ndimage import gaussian_filter1d

    templates, each = _templates(), samples // CLASSES
    y = np.repeat(np.arange(CLASSES), each)
    x, noise, white = (np.empty((len(y), _LONG)) for _ in range(3))
    slopes = np.empty((len(y), 1))
    for row, digit in enumerate(y):  # the generator draws these numbers in turn for each signal
        zeros = _FEWEST_ZEROS + int(draws.rand() * (_MOST_ZEROS - _FEWEST_ZEROS + 1))
        padded = np.concatenate([templates[digit] + _NOT_ZERO, np.zeros(zeros)])
        scale = 1 + _SCALE * (draws.rand() - 0.5)
        x[row] = np.roll(_resampled(padded, _LONG) * scale, draws.choice(_SHIFTS))
        noise[row], white[row] = draws.randn(_LONG), draws.randn(_LONG)
        slopes[row] = _SHEAR * (draws.rand() - 0.5)
    smooth = gaussian_filter1d(_SMOOTH_NOISE * noise, _SMOOTH_OVER, axis=1)
    x = np.where(x != 0, x, smooth) + _NOISE * white
    x = x - slopes * np.linspace(-0.5, 0.5, _LONG)
    order = draws.permutation(len(y))
    return np.stack([_resampled(signal, LENGTH) for signal in x[order]]), y[order]


def _templates() -> Floats:
    """Return the ten templates, each of standard deviation 1/6 and beginning at 0: float64[10, 12]."""
    x = np.array([line.split() for line in _TEMPLATES.strip().splitlines()], dtype=float)
    x -= x.mean(axis=1, keepdims=True)
    x /= x.std(axis=1, keepdims=True)
    x -= x[:, :1]
    return x / 6


def _resampled(signal: Floats, length: int) -> Floats:
    """Interpolate a signal linearly at ``length`` points from its beginning to its end."""
    resampled: Floats = np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(signal)), signal)
    return resampled
