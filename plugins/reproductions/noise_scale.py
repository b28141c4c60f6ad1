"""The gradient noise scale as a forecast of the critical batch size (McCandlish et al. 2018)."""

import math

from optcompare import Attempt, Expected, Found, Reproduction, figure

QUICK = {"batch_sizes": (4, 16, 64, 256), "seeds": 3, "tune": 5, "tune_seeds": 1, "max_epochs": 30}
FULL = {"batch_sizes": (2, 8, 32, 128, 512, 2048), "seeds": 10, "tune": 8, "tune_seeds": 3, "max_epochs": 40}


def find(attempt: Attempt) -> Found:
    workload, goal = attempt.choose(
        quick=("fashion-mnist:train=4552", "train_loss=0.6"), full=("fashion-mnist", "train_loss=0.45")
    )
    study = attempt.study("study", workload, goal, optimizers="sgd", **attempt.choose(quick=QUICK, full=FULL))
    (curve,) = study.scaling()
    noise = math.nan if curve.noise is None else curve.noise.value
    knee = math.nan if curve.fit is None else curve.fit.critical.value
    notes = [f"noise scale {noise:.3g}, knee E_min/S_min {knee:.3g} samples"]
    return Found({"factor": noise / knee}, figure("scaling", study), notes)


def noise_scale() -> Reproduction:
    """Reproduce that the gradient noise scale forecasts the critical batch size within a factor of three."""
    return Reproduction(
        claim="The simple noise scale tr(Σ)/|G|², averaged over a training run, predicts the critical batch "
        "size E_min/S_min of SGD: the two are of the same order.",
        source="McCandlish et al. 2018, arXiv 1812.06162, figure 4; the factor of three is ours",
        setting="A perceptron on Fashion-MNIST to a training loss of 0.45 by SGD, six batch sizes, "
        "rates tuned at each, 10 seeds. The noise scale is averaged over one of these trials, numerator and "
        "denominator apart, and the critical size is the knee of the fit S = S_min + E_min/B.",
        expected={
            "factor": Expected(
                "noise scale over critical batch size",
                1 / 3,
                3.0,
                if_not="the knee rests on few batch sizes, each at a rate from a grid, and the noise scale "
                "grows during training, so that its average depends on the goal",
            )
        },
        find=find,
        quick="4,096 images (and 456 for validation) to a loss of 0.6, four batch sizes, 3 seeds, 5 rates "
        "on 1 tuning seed.",
    )
