"""
Your own strategy
=================

Batches that grow within each epoch, against batches of one size.

Run it with ``python examples/own_strategy.py [FIGURE.png]``. It is a plugin too:
``optcompare run --plugin examples/own_strategy.py --workload digits --strategies mini:32,ramp:8:64``
"""

import sys
from dataclasses import dataclass

import optcompare


@dataclass
class Ramp(optcompare.Strategy):
    """Batches of ``first`` samples, then twice as many, and so on up to ``last``; anew in each epoch."""

    first: int = 8
    last: int = 64

    def batches(self, epoch):
        rest, size = epoch.order, self.first
        while len(rest):
            batch, rest = rest[:size], rest[size:]
            yield batch  # one yield is one update
            size = min(2 * size, self.last)


@optcompare.hookimpl
def optcompare_strategies():
    return {"ramp": Ramp}


if __name__ == "__main__":
    result = optcompare.compare("digits", ["mini:32", Ramp(), Ramp(4, 256)], seeds=8, epochs=15)
    print("\n".join(result.verdict()))
    result.plot().savefig(sys.argv[1] if len(sys.argv) > 1 else "own_strategy.png")
