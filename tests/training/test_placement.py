"""Modules in the dtype of a comparison: complex numbers stay complex, and what the factory chose is kept or
said.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import compare
from optcompare.training.placement import cast_note, main_dtype, place
from tests.helpers.workloads import small_workload

CPU = torch.device("cpu")


class Spectral(nn.Module):
    """Weights and a buffer of complex numbers, as in Fourier neural operators and rotary tables."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(0.5 * torch.randn(2, dtype=torch.cfloat))
        self.register_buffer("turn", torch.exp(1j * torch.arange(2.0)))
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        return self.out(torch.fft.irfft(torch.fft.rfft(x) * self.gain * self.turn, n=3))


class WideHead(nn.Module):
    def __init__(self):
        super().__init__()
        self.body, self.head = nn.Linear(3, 4), nn.Linear(4, 1).double()

    def forward(self, x):
        return self.head(self.body(x).double()).float()


def dtypes(module):
    values = [*module.named_parameters(), *module.named_buffers()]
    return {name: str(value.dtype).removeprefix("torch.") for name, value in values}


@pytest.mark.parametrize(
    ("factory", "dtype", "expected"),
    [
        (
            Spectral,
            torch.float32,
            {"gain": "complex64", "turn": "complex64", "out.weight": "float32", "out.bias": "float32"},
        ),
        (
            Spectral,
            torch.float64,
            {"gain": "complex128", "turn": "complex128", "out.weight": "float64", "out.bias": "float64"},
        ),
        (lambda: nn.Linear(1, 1).bfloat16(), torch.float32, {"weight": "float32", "bias": "float32"}),
        (lambda: nn.Linear(1, 1).double(), torch.float32, {"weight": "float32", "bias": "float32"}),
        (
            WideHead,
            torch.float32,
            {
                "body.weight": "float32",
                "body.bias": "float32",
                "head.weight": "float64",
                "head.bias": "float64",
            },
        ),
        (
            lambda: nn.BatchNorm1d(1, affine=False),
            torch.float64,
            {"running_mean": "float64", "running_var": "float64", "num_batches_tracked": "int64"},
        ),
    ],
)
def test_a_module_is_cast_by_the_dtype_of_most_of_its_numbers(factory, dtype, expected):
    assert dtypes(place(factory(), CPU, dtype)) == expected


def test_the_main_dtype_is_that_of_most_numbers():
    assert main_dtype(WideHead()) == torch.float32
    assert main_dtype(nn.Sequential(nn.Linear(9, 9).bfloat16(), nn.Linear(9, 1))) == torch.bfloat16
    assert main_dtype(nn.Flatten()) == torch.float32


@pytest.mark.parametrize("trainer", ["loop", "lanes"])
def test_complex_weights_are_trained_as_a_plain_loop_trains_them(trainer):
    workload = small_workload(model=Spectral)
    result = compare(workload, "full", "sgd:lr=0.1", seeds=2, epochs=3, trainer=trainer)
    for seed in (0, 1):
        torch.manual_seed(seed)
        model = Spectral()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(3):
            optimizer.zero_grad()
            workload.loss(model(workload.train[0]), workload.train[1]).backward()
            optimizer.step()
        trained = result.model("full", seed)
        assert trained.gain.is_complex()
        assert trained.gain.imag.abs().min() > 0
        for name, value in model.state_dict().items():
            torch.testing.assert_close(trained.state_dict()[name], value, rtol=1e-5, atol=1e-6)


def test_complex_data_go_with_the_weights():
    x = torch.randn(10, 3, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))

    class Modulus(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(3, 1, dtype=torch.cfloat)

        def forward(self, x):
            return self.out(x).abs()

    workload = small_workload(model=Modulus, train=(x, x.abs().sum(1, keepdim=True)))
    for dtype in ("float32", "float64"):
        losses = compare(workload, "full", "sgd:lr=0.01", seeds=1, epochs=3, dtype=dtype).records[
            "train_loss"
        ]
        assert losses.is_monotonic_decreasing


def test_a_dtype_that_is_changed_is_said():
    result = compare(small_workload(model=lambda: nn.Linear(3, 1).bfloat16()), "full", seeds=1, epochs=1)
    assert (
        "the model's weights are made in bfloat16 and trained in float32 (--dtype, --autocast)"
        in result.notes
    )
    assert cast_note(nn.Linear(1, 1), torch.float64) is None, "it was asked for"
    assert cast_note(WideHead(), torch.float32) is None, "nothing is changed"


def test_a_head_in_another_dtype_trains():
    result = compare(small_workload(model=WideHead), "full", "sgd:lr=0.1", seeds=1, epochs=3)
    assert result.records["train_loss"].is_monotonic_decreasing
    assert result.model("full", 0).head.weight.dtype == torch.float64
