"""The suites that optcompare brings, by name: each is the JSON file of its name beside this module."""

from collections.abc import Callable
from pathlib import Path

from optcompare import Suite, hookimpl

FOLDER = Path(__file__).parent


def small() -> Suite:
    """Train six small workloads: digits, MNIST-1D, tumours, diabetes; minutes on two cores for one optimizer.

    The goals were set as in AlgoPerf (Dahl et al. 2023, arXiv 2306.07179): the best of many trials, repeated.
    """
    return Suite.read(FOLDER / "small.json")


def medium() -> Suite:
    """Train four workloads: a perceptron, a CNN and a ViT on Fashion-MNIST, a GRU on MNIST-1D.

    The goals were set as those of small. Minutes to an hour for one optimizer; the images come with Debian's
    package dataset-fashion-mnist, or as files.
    """
    return Suite.read(FOLDER / "medium.json")


@hookimpl
def optcompare_suites() -> dict[str, Callable[[], Suite]]:
    return {"small": small, "medium": medium}
