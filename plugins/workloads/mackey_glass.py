"""Forecast a chaotic series, that of Mackey and Glass, by a recurrent network."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Literal, get_args

from optcompare import Workload, WorkloadError, hookimpl

from .memory import check_model

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    Floats = NDArray[np.float64]

Cell = Literal["gru", "lstm", "rnn"]
_STEPS, _TRANSIENT = 10, 1000
"""Steps of integration in a unit of time, and the units after which the series is on its attractor."""
_MOST = 1_000_000
"""The largest length, and other whole number: such a series takes about seven seconds."""


def mackey_glass(
    cell: Cell = "gru",
    *,
    context: int = 20,
    horizon: int = 6,
    hidden: int = 16,
    length: int = 1500,
    tau: int = 17,
    noise: float = 0.0,
    valid: float = 0.2,
    test: float = 0.2,
    seed: int = 0,
) -> Workload:
    """Forecast the series of Mackey and Glass (1977) by a recurrent network: cell=gru, lstm or rnn.

    The series is dx/dt = 0.2·x(t - tau)/(1 + x(t - tau)^10) - 0.1·x(t), once a unit of time, from a history
    that is drawn for the seed; it is chaotic for tau=17 (Farmer 1982). From the last context values the
    network predicts the value after horizon more, 6 as in Lapedes and Farber (1987). The first values are
    trained on, the next (the share valid) are for validation, and the last (the share test) are the test
    set; no window crosses a border. Noise of deviation noise is added, and values are standardised by those
    of training. The loss is the squared error; a note states that of the naive forecast, which predicts the
    last value again.
    """
    if cell not in get_args(Cell):
        raise _error(f"cell is one of {', '.join(get_args(Cell))}; got {cell}")
    sizes = {"context": context, "horizon": horizon, "hidden": hidden, "length": length, "tau": tau}
    for name, value in sizes.items():
        if value < 1:
            raise _error(f"{name} must be at least 1, got {value}")
        if value > _MOST:
            raise _error(f"{name} must be at most {_MOST:,}, got {value:,}")
    if not 0 <= noise < 10:
        raise _error(f"noise is a deviation, 0 or more (the series has 0.2); got {noise}")
    if not 0 < valid < 1 or not 0 <= test < 1:
        raise _error(
            "valid and test are shares of the series, from 0 to 1, and valid is not 0; "
            f"got {valid} and {test}"
        )
    if not 0 <= seed < 2**32:
        raise _error(f"seed is a number from 0 to 2**32 - 1; got {seed}")
    check_model("mackey-glass", 4 * hidden * (hidden + 3), f"hidden={hidden:,}")
    return _on_split(cell, context, horizon, hidden, length, tau, noise, valid, test, seed, 0)


def _on_split(
    cell: Cell,
    context: int,
    horizon: int,
    hidden: int,
    length: int,
    tau: int,
    noise: float,
    valid: float,
    test: float,
    seed: int,
    number: int,
) -> Workload:
    """Return the workload with another series for each number."""
    import numpy as np
    from torch import nn

    from .recurrent import Forecaster

    rng = np.random.RandomState([seed, number])
    series = mackey_glass_series(length, tau, rng) + noise * rng.normal(size=length)
    held, tested = round(valid * length), round(test * length)
    begin = length - held - tested
    parts = dict(
        zip(("train", "valid", "test"), np.split(series, [max(0, begin), length - tested]), strict=True)
    )
    short = [
        name for name, part in parts.items() if len(part) < context + horizon and (tested or name != "test")
    ]
    if short:
        raise _error(
            f"{len(parts[short[0]]):,} values for {short[0]} are shorter than a window of context={context} "
            f"and horizon={horizon}; give a larger length, or other shares valid and test"
        )
    mean, deviation = parts["train"].mean(), parts["train"].std()
    sets = {name: windows((part - mean) / deviation, context, horizon) for name, part in parts.items()}
    naive = [
        f"{name}_loss of {float((x[:, -1:] - y).square().mean()):.3g}"
        for name, (x, y) in sets.items()
        if len(y)
    ]
    return Workload(
        model=partial(Forecaster, cell, hidden),
        train=sets["train"],
        valid=sets["valid"],
        test=sets["test"] if tested else None,
        loss=nn.functional.mse_loss,
        metrics={"mae": absolute_error},
        errors=("mae",),
        lr={"sgd": 0.05, "adam": 0.005, "adamw": 0.005},
        epochs=20,
        batch_size=32,
        notes=(f"mackey-glass: the naive forecast has a {', a '.join(naive)}",),
        resplit=partial(_on_split, cell, context, horizon, hidden, length, tau, noise, valid, test, seed),
    )


def mackey_glass_series(length: int, tau: int, rng: np.random.RandomState) -> Floats:
    """Return the series of Mackey and Glass, once a unit of time, after its transient.

    It is integrated by the method of Runge and Kutta of order 4, ten steps a unit of time; half-way between
    two steps, the delayed value is their mean.

    Args:
        length: The number of values.
        tau: The delay, in units of time.
        rng: Draws the history, values from 1.1 to 1.3 at each step.

    Returns:
        The values, float64[length].
    """
    import numpy as np

    delay, step = tau * _STEPS, 1 / _STEPS
    x = [*rng.uniform(1.1, 1.3, delay + 1).tolist()]
    for now in range(delay, delay + (_TRANSIENT + length) * _STEPS):
        begin, end = x[now - delay], x[now - delay + 1]
        drive = [0.2 * late / (1 + late**10) for late in (begin, (begin + end) / 2, end)]
        a = drive[0] - 0.1 * x[now]
        b = drive[1] - 0.1 * (x[now] + step / 2 * a)
        c = drive[1] - 0.1 * (x[now] + step / 2 * b)
        d = drive[2] - 0.1 * (x[now] + step * c)
        x.append(x[now] + step / 6 * (a + 2 * b + 2 * c + d))
    return np.array(x[delay + _TRANSIENT * _STEPS + _STEPS :: _STEPS][:length])


def windows(series: Floats, context: int, horizon: int) -> tuple[Tensor, Tensor]:
    """Return all windows of a series, and the value horizon steps after the last of each.

    Args:
        series: The values, float64[T].
        context: C, the values of a window.
        horizon: H.

    Returns:
        x, float32[T - C - H + 1, C], and y, float32[T - C - H + 1, 1]; none if the series is shorter.
    """
    import torch

    values = torch.from_numpy(series).float()
    count = max(0, len(values) - context - horizon + 1)
    rows = torch.arange(count).unsqueeze(1) + torch.arange(context)
    return values[rows], values[context + horizon - 1 :][:count].unsqueeze(1)


def absolute_error(output: Tensor, y: Tensor) -> tuple[Tensor, int]:
    """Return the sum of absolute errors, and their number."""
    return (output - y).abs().sum(), y.numel()


def _error(text: str) -> WorkloadError:
    return WorkloadError(f"workload mackey-glass: {text}")


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"mackey-glass": mackey_glass}
