"""The texts of plugins that tests load."""

from __future__ import annotations

LOUD = """
from optcompare import hookimpl

@hookimpl
def optcompare_trial_finished(trial, outcome):
    print("ended", trial.arm.label, trial.seed, flush=True)
"""

SIGNS = '''
import torch
from optcompare import LaneRule, hookimpl


class Signs(torch.optim.Optimizer):
    """Steps by the sign of the gradient."""

    def __init__(self, params, lr: float = 0.01):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                weight.sub_(group["lr"] * weight.grad.sign())


def update(weight, grad, state, rates, flags):
    return weight - FACTOR * rates["lr"] * grad.sign(), state


@hookimpl
def optcompare_optimizers():
    return {"signs": Signs}


@hookimpl
def optcompare_lane_rules():
    return {Signs: LaneRule(update=update)}
'''
"""An optimizer with a lane rule; FACTOR is 1.0 in the right one."""
