"""
A figure for a paper, from three runs
=====================================

Which share of the workloads does each arm solve within which multiple of the best arm's cost?

Run it with ``python examples/paper_figure.py [FIGURE.pdf]``. From run directories:
``optcompare report runs/A runs/B runs/C --figure profile``
"""

import sys

import optcompare

GOALS = {"digits": "train_loss=0.5", "breast-cancer": "train_loss=0.2", "diabetes": "train_loss=0.5"}
runs = [
    optcompare.compare(
        workload, ["full", "mini:16", "mini:64", "single"], goal=goal, tune=3, seeds=10, epochs=20
    )
    for workload, goal in GOALS.items()
]
for run in runs:
    print("\n".join(run.verdict()), end="\n\n")
figure = optcompare.figure("profile", runs, x="samples", width=3.4)  # inches: a column of most journals
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "paper_figure.pdf")
