"""A recurrent network that reads a series and predicts one value."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

_CELLS: dict[str, Callable[..., nn.Module]] = {"gru": nn.GRU, "lstm": nn.LSTM, "rnn": nn.RNN}


class Forecaster(nn.Module):
    """Read a window by recurrent units, and predict the change from its last value by their last state.

    Args:
        cell: ``gru``, ``lstm`` or ``rnn``.
        hidden: The number of units.
    """

    def __init__(self, cell: str, hidden: int) -> None:
        super().__init__()
        self.states = _CELLS[cell](1, hidden, batch_first=True)
        self.change = nn.Linear(hidden, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return predictions, [B, 1], from windows, [B, C]."""
        states, _ = self.states(x.unsqueeze(-1))  # (B, C, hidden)
        predicted: Tensor = x[:, -1:] + self.change(states[:, -1])
        return predicted
