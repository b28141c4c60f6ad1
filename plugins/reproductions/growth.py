"""Batches that grow in place of a rate that decays (Smith et al. 2018)."""

import numpy as np

from optcompare import Attempt, Expected, Found, Reproduction, Result, figure

from .exact_moments import Phase, risk_of_phases

PHASES = {  # 3 epochs of 8,000 samples of the noisy quadratic
    "decay": [Phase(0.5, 8, 1000), Phase(0.1, 8, 1000), Phase(0.02, 8, 1000)],
    "growth": [Phase(0.5, 8, 1000), Phase(0.5, 40, 200), Phase(0.5, 200, 40)],
    "neither": [Phase(0.5, 8, 1000)] * 3,
}


def arms(size: int, third: int, sgd: str) -> list[str]:
    step = f'mini:{size}@{sgd}:schedule="step:gamma=0.2"'
    return [step, f"growth:{size}:factor=5:at=({third},{2 * third})@{sgd}", f"mini:{size}@{sgd}"]


def ends(result: Result, column: str) -> dict[str, float]:
    """Return the mean of the last values of each arm."""
    last = result.records.groupby(["arm", "seed"], sort=False)[column].last()
    return dict(zip(PHASES, last.groupby("arm", sort=False).mean(), strict=True))


def find(attempt: Attempt) -> Found:
    spec, seeds = "noisy-quadratic:n=8000:h=(1,0.1,0.01)", attempt.choose(quick=400, full=4000)
    quadratic = attempt.compare(
        "noisy-quadratic", spec, arms(8, 1, "sgd"), lr=0.5, seeds=seeds, epochs=3, measure=0
    )
    spec = attempt.choose(quick="fashion-mnist:train=12000", full="fashion-mnist")
    seeds, third = attempt.choose(quick=(3, 5), full=(10, 10))
    both = arms(32, third, "sgd:momentum=0.9")
    clothes = attempt.compare("fashion-mnist", spec, both, lr=0.02, seeds=seeds, epochs=3 * third)
    h = np.array([1.0, 0.1, 0.01])
    values = {
        f"quadratic {arm}": loss / risk_of_phases(h, h, PHASES[arm], n=8000)
        for arm, loss in ends(quadratic, "train_loss").items()
    }
    train, valid, right = (ends(clothes, each) for each in ("train_loss", "valid_loss", "valid_accuracy"))
    for name, result in (("quadratic updates", quadratic), ("updates", clothes)):
        decay, growth, _ = result.trials.groupby("arm", sort=False)["updates"].first()
        values[name] = growth / decay
    values |= {"train": train["growth"] / train["decay"], "valid": valid["growth"] / valid["decay"]}
    values |= {"neither": valid["neither"] / valid["decay"], "accuracy": right["growth"] - right["decay"]}
    labels = dict(zip((arm.label for arm in clothes.comparison.arms), PHASES, strict=True))
    return Found(values, figure("loss", clothes, metric="valid_loss", labels=labels))


def growth() -> Reproduction:
    """Reproduce that growing the batch in place of decaying the rate ends alike in fewer updates."""
    ratio, loss = 1240 / 3000, "noisy quadratic, mean final loss over the exact one:"
    return Reproduction(
        claim="“one can usually obtain the same learning curve on both training and test sets by instead "
        "increasing the batch size”, after as many epochs, “but with fewer parameter updates”.",
        source="Smith et al. 2018, arXiv 1711.00489, there on CIFAR-10 and ImageNet",
        setting="After each third of the epochs the rate ÷ 5, or the batch × 5, or neither. Noisy quadratic: "
        "h = c = (1, 0.1, 0.01), rate 0.5, B = 8, 3 epochs of 8,000 samples, 4,000 seeds. Fashion-MNIST, a "
        "perceptron: momentum 0.9, rate 0.02, B = 32, 30 epochs, 10 seeds.",
        expected={
            **{f"quadratic {arm}": Expected.about(f"{loss} {arm}", 1.0, 0.25) for arm in PHASES},
            "quadratic updates": Expected.about("its updates, growth over decay", ratio, 0.005),
            "train": Expected.about("clothes, final training loss: growth over decay", 1.0, 0.1),
            "valid": Expected.about("clothes, final validation loss: growth over decay", 1.0, 0.1),
            "accuracy": Expected.about("clothes, validation accuracy: growth less decay", 0.0, 0.01),
            "updates": Expected.about("clothes, updates: growth over decay", ratio, 0.005),
            "neither": Expected("clothes, final validation loss: neither over decay", 1.15),
        },
        find=find,
        quick="400 seeds of the quadratic; the first 12,000 clothes, 15 epochs, 3 seeds.",
    )
