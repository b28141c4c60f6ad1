"""Seconds to a first answer: every figure that is about users rather than engines, in one run.

``python tests/benchmarks/first_answer.py [PAIRS]`` prints, with goals met or missed: the default command
against a script by hand; the cost of measuring on data of the size of Fashion-MNIST; estimates of a dry run
against real seconds; and all cores against one. It lasts about a quarter of an hour on two idle cores.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def main(pairs: int = 3) -> None:
    """Print all figures.

    Args:
        pairs: The number of interleaved pairs of runs, of which medians are printed.
    """
    for title, script, arguments in (
        ("The default command, against a script by hand", "command.py", [str(pairs)]),
        ("Measuring, against training", "measuring.py", []),
        ("Estimates, against real seconds", "estimates.py", ["1", "line", "digits"]),
        ("All cores, against one", "jobs.py", ["1"]),
    ):
        print(f"\n{title}", flush=True)
        subprocess.run([sys.executable, str(Path(__file__).with_name(script)), *arguments], check=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
