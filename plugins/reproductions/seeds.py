"""How far test accuracy spreads over seeds (Jordan 2023)."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from scipy import stats

from optcompare import Attempt, Expected, Found, Reproduction, Workload

from ..workloads.fashion_mnist import fashion_mnist
from ..workloads.mnist1d import mnist1d
from .independent_errors import Spread, drawn

ARM = "mini:50@sgd:momentum=0.9"
ALIKE = "perceptrons on many pixels err alike at every seed, so that their ensembles are not calibrated"


def two_scores(model: torch.nn.Module, batch: Any) -> tuple[torch.Tensor, torch.Tensor]:
    return model(batch[0])[:, :2], batch[1]


def trained(attempt: Attempt, part: str, ax: Any, workload: Workload, **asked: Any) -> Spread:
    """Tell the first five classes from the others with each seed, and draw the test accuracies."""
    sets: dict[str, Any] = {name: (x, (y >= 5).long()) for name, (x, y) in workload.sets.items()}
    workload = replace(workload, **sets, forward=two_scores, resplit=None)
    result = attempt.compare(part, workload, ARM, schedule="cosine", measure=0, **asked)
    trials = result.trials[["arm", "seed"]].itertuples(index=False)
    with torch.no_grad():
        scores = [two_scores(result.model(*each).eval(), sets["test"])[0] for each in trials]
    spread = Spread((torch.stack(scores).argmax(2) == sets["test"][1]).double().numpy())
    drawn(spread, ax).set_title(part)
    return spread


def find(attempt: Attempt) -> Found:
    seeds, columns = attempt.choose(quick=(40, 2), full=(200, 3))
    figure = Figure(figsize=(4.5 * columns, 4.2), layout="constrained")
    axes = figure.subplots(1, columns)
    long = trained(attempt, "MNIST-1D, 60 epochs", axes[0], mnist1d("mlp"), lr=0.05, epochs=60, seeds=seeds)
    clothes, asked = fashion_mnist(train=6000), {"lr": 0.02, "seeds": seeds}
    short = trained(attempt, "Fashion-MNIST, 1 epoch of 5,400", axes[1], clothes, epochs=1, **asked)
    values = {"calibrated": long.disagreement / long.error, "short": short.ratios[0]}
    values |= {"independent": long.ratios[0], "formula": long.ratios[1], "share": long.ratios[2] ** 2}
    if attempt.full:
        asked |= {"seeds": 100, "epochs": 20}
        many = trained(attempt, "Fashion-MNIST, 20 epochs of 54,000", axes[2], fashion_mnist(), **asked)
        values |= {"clothes D": many.ratios[0], "clothes err": many.ratios[1]}
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    low, high = np.sqrt((seeds - 1) / stats.chi2.ppf([0.975, 0.025], seeds - 1))
    return Found(
        values, figure, [f"chance in a deviation of {seeds} seeds: × {low:.2f} to × {high:.2f} (95%)"]
    )


def seeds() -> Reproduction:
    """Reproduce that test accuracy spreads over seeds as independent errors on test rows predict."""
    return Reproduction(
        claim="Errors of long trainings on test rows are independent, and their ensembles calibrated: over "
        "seeds, the variance of test accuracy is err/(2n), about half of p(1-p)/n. Short ones vary more.",
        source="Jordan 2023, arXiv 2304.01910, there on CIFAR-10 and ImageNet",
        setting="Perceptrons tell the first 5 classes from the others. Long: 60 epochs of MNIST-1D (n = "
        "1,000), 20 of clothes, Fashion-MNIST (n = 10,000). Short: 1 epoch of 5,400 clothes. D: the share of "
        "rows on which two seeds differ; err: the error rate; p = 1 - err.",
        expected={
            "independent": Expected("MNIST-1D: deviation over that of independent errors, √(D/2n)", 0.7, 1.4),
            "calibrated": Expected.about("MNIST-1D: D over err, which is 1 if calibrated", 1.0, 0.3),
            "formula": Expected("MNIST-1D: deviation over √(err/2n)", 0.7, 1.4),
            "share": Expected("MNIST-1D: variance over p(1-p)/n", 0.25, 1.0),
            "short": Expected("clothes, short: deviation over √(D/2n)", 1.4),
            "clothes D": Expected("clothes, long: deviation over √(D/2n)", 0.7, 1.4, full_only=True),
            "clothes err": Expected("clothes, long: deviation over √(err/2n)", 0.7, 1.4, ALIKE, True),
        },
        find=find,
        quick="MNIST-1D and the short training, 40 seeds instead of 200.",
    )
