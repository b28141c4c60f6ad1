"""Test error and sharpness of large batches (Keskar et al. 2017, Hoffer et al. 2017)."""

from math import nan, sqrt

import pandas as pd
from matplotlib.figure import Figure

from optcompare import Attempt, Expected, Found, Reproduction, Result

RATE, EPOCHS, SMALL = 0.03, 30, 16
RATIO = (
    "sharpness rises to about 2/rate and falls with the training loss, so that the ratio depends on both; "
    "nor is it invariant to the scale of weights (Dinh et al. 2017)"
)
UPDATES = "here as many updates close the gap at the same rate; Hoffer et al. raised the rate, too"


def ends(result: Result) -> pd.DataFrame:
    """Return the means at the end of training, one row for each arm in their order."""
    last = result.records.query("phase == 'report'").groupby(["arm", "seed"], sort=False).last()
    last["error"] = 1 - last["test_accuracy"]
    return last.groupby("arm", sort=False)[["lr", "error", "train_loss", "sharpness"]].mean()


def find(attempt: Attempt) -> Found:
    images, large, seeds, tune = attempt.choose(quick=(2223, 200, 3, (5, 1)), full=(5556, 500, 10, (8, 3)))
    spec, both, k = f"fashion-mnist:train={images}", [f"mini:{SMALL}", f"mini:{large}"], large / SMALL
    every = {"seeds": seeds, "measure": 0, "diagnostics": "sharpness:tol=0.01"}
    tuning = {"tune": tune[0], "tune_seeds": tune[1], "tune_range": (0.003, 1.0)}
    same = attempt.compare("same passes", spec, both, lr=RATE, epochs=EPOCHS, **every)
    tuned = attempt.compare("tuned", spec, both, epochs=EPOCHS, **tuning, **every)
    rates, epochs = [RATE, RATE * sqrt(k)], round(k * EPOCHS)
    longer = attempt.compare("same updates", spec, both[1], lr=rates, epochs=epochs, **every)
    names = ["small", "large", "small, tuned", "large, tuned", "large, longer", "large, adapted"]
    table = pd.concat(map(ends, (same, tuned, longer))).set_axis(names)
    less = 100 * (table["error"] - table["error"]["small"])
    over = table["sharpness"] / table["sharpness"]["small"]
    gap, tuned_gap = less["large"], less["large, tuned"] - less["small, tuned"]
    values = {"gap": gap, "tuned": tuned_gap / gap if gap > 0 else nan}
    values |= {"adapted": less["large, adapted"], "updates": less["large, longer"]}
    values |= {"sharper": over["large"], "sharper, updates": over["large, longer"]}
    notes = [
        f"{arm}: rate {lr:.3g}, training loss {loss:.2g}, sharpness {sharp:.3g} (2/rate {2 / lr:.3g})"
        for arm, lr, _, loss, sharp in table.itertuples()
    ]
    return Found(values, drawn(table[::-1]), notes)


def drawn(table: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    left.plot(100 * table["error"], table.index, "o")
    left.set(xlabel="test error in %, mean of seeds", title="Test error at the end")
    right.plot(table["sharpness"], table.index, "o", label="found")
    right.plot(2 / table["lr"], table.index, "|", color="grey", markersize=14, label="2/rate")
    right.set(xlabel="largest eigenvalue of the Hessian", xscale="log", title="Sharpness at the end")
    right.legend(loc="lower right")
    return figure


def large_batch_gap() -> Reproduction:
    """Reproduce that large batches end sharper and with more test errors, and that more updates help."""
    gap, sharp = "test error in points, less small batches:", "sharpness over that of small batches:"
    return Reproduction(
        claim="Large batches at the rate of small ones end in sharper minima, with a higher test error; the "
        "gap comes from few updates: a rate times √k and as many updates eliminate it.",
        source="Keskar et al. 2017, arXiv 1609.04836; Hoffer et al. 2017, arXiv 1705.08741, table 1",
        setting="5,000 clothes of Fashion-MNIST, a perceptron, SGD at rate 0.03, 30 epochs, 10 seeds. B = 16 "
        "or 500 (10%). Longer: 30·k epochs, k = 500/16. Adapted: also rate·√k. Tuned: 8 rates, 3 seeds.",
        expected={
            "gap": Expected(f"{gap} large, same rate and epochs", 1.0),
            "tuned": Expected("share of this gap that is left with tuned rates", high=0.6),
            "adapted": Expected(f"{gap} large, adapted", high=0.5),
            "updates": Expected(f"{gap} large, same rate, longer", 0.2, if_not=UPDATES),
            "sharper": Expected(f"{sharp} large, same rate and epochs", 1.5, if_not=RATIO),
            "sharper, updates": Expected(f"{sharp} large, same rate, longer", 1.5, if_not=RATIO),
        },
        find=find,
        quick="2,000 clothes, B = 16 or 200, 3 seeds; 5 rates, 1 tuning seed.",
    )
