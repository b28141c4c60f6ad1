"""
Which batch size?
=================

Updates and samples to a goal, each batch size at its own best learning rate.

Run it with ``python examples/which_batch_size.py [FIGURE.png]``. The command line asks the same with
``optcompare scaling``.
"""

import sys

import optcompare

study = optcompare.batch_size_study(
    "digits",
    "train_loss=0.3",
    batch_sizes=[8, 32, 128, 512],
    tune=6,
    seeds=3,
    max_epochs=30,
)
print("\n".join(study.recommendation()))
figure = optcompare.figure("scaling", study, width=7)
figure.savefig(sys.argv[1] if len(sys.argv) > 1 else "which_batch_size.png")
