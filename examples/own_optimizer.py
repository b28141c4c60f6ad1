"""
Your own optimizer
==================

An optimizer that steps by the sign of the gradient alone, against sgd and adam, tuned alike.

Run it with ``python examples/own_optimizer.py [FIGURE.png]``.
"""

import sys

import torch

import optcompare


class SignDescent(torch.optim.Optimizer):
    """w ← w - lr·sign(g)."""

    def __init__(self, params, lr=0.001):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for weight in group["params"]:
                if weight.grad is not None:
                    weight.sub_(weight.grad.sign(), alpha=group["lr"])


result = optcompare.compare(
    "digits", "mini:32", [torch.optim.SGD, "adam", SignDescent], tune=5, seeds=8, epochs=10, schedule="cosine"
)
print("\n".join(result.verdict()))
figure = optcompare.figure("pairs", result)
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "own_optimizer.png")
