"""Seconds to a first answer: every figure that is about users rather than engines, in one run.

``python tests/benchmarks/first_answer.py [PAIRS]`` prints, with goals met or missed: the default command
against a script by hand; the cost of measuring on data of the size of Fashion-MNIST; estimates of a dry run
against real seconds; and all cores against one. It lasts about a quarter of an hour on two idle cores.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import command
import estimates
import jobs
import measuring


def main(pairs: int = 3) -> None:
    """Print all figures.

    Args:
        pairs: The number of interleaved pairs of runs, of which medians are printed.
    """
    for title, figures in {
        "The default command, against a script by hand": lambda: command.main(pairs),
        "Measuring, against training": measuring.main,
        "Estimates, against real seconds": lambda: estimates.main(1, ["line", "digits"]),
        "All cores, against one": lambda: jobs.main(1),
    }.items():
        print(f"\n{title}", flush=True)
        figures()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
