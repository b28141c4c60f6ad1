"""
Full, mini or single?
=====================

Handwritten digits, trained from full batches, mini-batches and single samples: each arm at its own best
learning rate, with a verdict.

Run it with ``python examples/full_mini_single.py [FIGURE.png]``.
"""

import sys

import optcompare

result = optcompare.compare(
    "digits",
    ["mini:32", "full", "single"],  # the first is the baseline that the others are compared with
    tune=5,  # learning rates for each, on seeds of their own
    goal="valid_loss=0.4",
    seeds=8,
    epochs=10,
)
columns = ["arm", "lr", "final_valid_loss", "final_valid_accuracy", "updates"]
print(result.summary(wide=True)[columns].to_string(index=False))
print("\n".join(result.verdict()))
result.plot().savefig(sys.argv[1] if len(sys.argv) > 1 else "full_mini_single.png")
