"""Which moving averages an optimizer keeps, read from its parameter groups."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from optcompare.interfaces.moving_averages import moving_averages


@pytest.mark.parametrize(
    ("make", "found"),
    [
        (torch.optim.SGD, {}),
        (partial(torch.optim.SGD, momentum=0.9), {"momentum": 0.9}),
        (torch.optim.Adam, {"beta1": 0.9, "beta2": 0.999}),
        (partial(torch.optim.AdamW, betas=(0.0, 0.95)), {"beta1": 0.0, "beta2": 0.95}),
        (torch.optim.RMSprop, {"alpha": 0.99}),
        (partial(torch.optim.RMSprop, momentum=0.5), {"alpha": 0.99, "momentum": 0.5}),
        (torch.optim.Adadelta, {"rho": 0.9}),
        (torch.optim.ASGD, {}),  # its alpha is a power of time
        (torch.optim.Rprop, {}),
        (torch.optim.Adagrad, {}),
        (torch.optim.LBFGS, {}),
    ],
)
def test_defaults_count_and_settings_of_other_meanings_do_not(make, found):
    assert moving_averages(make(nn.Linear(2, 1).parameters(), lr=0.1)) == found


class Settings(torch.optim.Optimizer):
    """Of any settings."""

    def __init__(self, *groups, **defaults):
        weights = [nn.Parameter(torch.zeros(1)) for _ in groups or [{}]]
        made = [{"params": [weight], **group} for weight, group in zip(weights, groups or [{}], strict=True)]
        super().__init__(made, defaults)


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"beta": 0.9}, {"beta": 0.9}),
        ({"beta1": 0.9, "beta2": torch.tensor(0.5)}, {"beta1": 0.9, "beta2": 0.5}),
        ({"betas": (0.98, 0.92, 0.99)}, {"beta1": 0.98, "beta2": 0.92, "beta3": 0.99}),
        ({"rho": 0.05, "adaptive": False, "eps": 1e-8}, {}),
        ({"rho": 0.05}, {}),
        ({"beta1": None, "beta2": "0.9", "betas": 0.9, "beta3": 1.5}, {}),
        ({"beta2_decay": -0.8, "momentum": 0}, {}),
    ],
)
def test_other_optimizers_are_read_by_the_names_of_their_settings(settings, found):
    assert moving_averages(Settings(**settings)) == pytest.approx(found)


def test_of_groups_that_differ_the_longest_memory_counts():
    groups = [{"momentum": decay} for decay in (0.5, 0.9, 0.0)]
    assert moving_averages(Settings(*groups)) == {"momentum": 0.9}
