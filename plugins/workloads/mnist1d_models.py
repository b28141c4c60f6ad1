"""The four reference networks for MNIST-1D; they map signals [B, 40] to scores [B, 10].

Sizes are those of the notebooks of the data set's authors (Greydanus and Kobak, arXiv 2011.14439).
"""

from collections.abc import Callable

from torch import Tensor, nn

from .mnist1d_data import CLASSES, LENGTH


def linear() -> nn.Module:
    return nn.Linear(LENGTH, CLASSES)


class Perceptron(nn.Module):
    """Compute h = relu(W₁x), then h + relu(W₂h), then scores; h has 100 units."""

    def __init__(self, units: int = 100) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(LENGTH, units), nn.Linear(units, units)
        self.scores = nn.Linear(units, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        h = self.first(x).relu()
        scores: Tensor = self.scores(h + self.second(h).relu())
        return scores


def cnn(channels: int = 25) -> nn.Module:
    """Return three convolutions of stride 2, and a linear layer on all of their last five positions."""
    return nn.Sequential(
        nn.Unflatten(1, (1, LENGTH)),
        nn.Conv1d(1, channels, 5, stride=2, padding=1),  # (B, 25, 19)
        nn.ReLU(),
        nn.Conv1d(channels, channels, 3, stride=2, padding=1),  # (B, 25, 10)
        nn.ReLU(),
        nn.Conv1d(channels, channels, 3, stride=2, padding=1),  # (B, 25, 5)
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(5 * channels, CLASSES),
    )


class Recurrent(nn.Module):
    """Read a signal in both directions by gated recurrent units, and score all of their states.

    Args:
        units: The number of units in each direction.
    """

    def __init__(self, units: int = 6) -> None:
        super().__init__()
        self.states = nn.GRU(1, units, batch_first=True, bidirectional=True)
        self.scores = nn.Linear(2 * units * LENGTH, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.states(x.unsqueeze(-1))  # (B, 40, 12)
        scores: Tensor = self.scores(states.flatten(1))
        return scores


MODELS: dict[str, Callable[[], nn.Module]] = {
    "linear": linear,
    "mlp": Perceptron,
    "cnn": cnn,
    "gru": Recurrent,
}
