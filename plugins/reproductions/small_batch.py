"""Small batches, down to one sequence, in training a language model (Marek et al. 2025)."""

import pandas as pd
from matplotlib.figure import Figure

from optcompare import Attempt, Expected, Found, Reproduction

BETA, REFERENCE = 0.95, 32
"""The usual β₂ of language models, and the batch size at which it is taken for right here."""
QUICK = ("stdlib-text:context=64:characters=120000:layers=1", (1, 8, 64), {"tune": 5, "seeds": 2})
FULL = ("stdlib-text:context=64:characters=2000000", (1, 16, 256), {"tune": 6, "tune_seeds": 2, "seeds": 5})
NEAR = "SGD comes near Adam by many small updates: 1.8 million characters here, 600 million tokens there"
ADAM, FIXED, SGD = "Adam, half-life kept", f"Adam, β₂ = {BETA}", "SGD"


def kept(size: int, reference: int = REFERENCE) -> float:
    """Return the β₂ whose half-life in samples is that of BETA at the reference batch size."""
    return float(BETA ** (size / reference))


def find(attempt: Attempt) -> Found:
    workload, sizes, question = attempt.choose(quick=QUICK, full=FULL)
    every = {"epochs": 1, "measure": 0, "schedule": "warmup-cosine", "tune_seeds": 1, **question}
    adam = {
        (kind, size): f"mini:{size}@adam:betas=(0.9,{beta:.6g})"
        for size in sizes
        for kind, beta in ((ADAM, kept(size)), (FIXED, BETA))
    }
    sgd = {(SGD, size): f"mini:{size}@sgd" for size in sizes}
    loss: dict[tuple[str, int], float] = {}
    for part, arms, rates in (("adam", adam, (0.0005, 0.08)), ("sgd", sgd, (0.25, 4.0))):
        records = attempt.compare(part, workload, list(arms.values()), tune_range=rates, **every).records
        last = records.query("phase == 'report'").groupby(["arm", "seed"], sort=False)["valid_loss"].last()
        loss |= dict(zip(arms, last.groupby("arm", sort=False).mean(), strict=True))
    table = pd.Series(loss).unstack(0)
    few, many = table.iloc[0], table.iloc[-1]
    values = {
        "small": few[ADAM] - table[ADAM].iloc[1:].min(),
        "fixed": few[FIXED] - few[ADAM],
        "sgd": few[SGD] - few[ADAM],
        "grows": (many[SGD] - many[ADAM]) - (few[SGD] - few[ADAM]),
    }
    return Found({key: float(value) for key, value in values.items()}, drawn(table))


def drawn(table: pd.DataFrame) -> Figure:
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    ax = figure.subplots()
    for name, style in ((ADAM, "o-"), (FIXED, "s--"), (SGD, "^-")):
        ax.semilogx(table[name], style, base=2, label=name)
    ax.set_xticks(table.index, [str(size) for size in table.index])
    ax.set(xlabel="batch size in sequences", ylabel="validation loss in nats, mean of seeds")
    ax.set_title("A transformer after one pass over its text")
    ax.legend()
    return figure


def small_batch() -> Reproduction:
    """Reproduce that batches of one sequence train a language model as well, even by plain SGD."""
    return Reproduction(
        claim="Batches down to one sequence “train stably” and “achieve equal or better per-FLOP "
        "performance” if the half-life of β₂ in tokens is kept; at such sizes “vanilla SGD, even without "
        "momentum” is near Adam.",
        source="Marek et al. 2025, arXiv 2507.07101, figure 1, there 30 million weights, 600 million tokens",
        setting="The next character of Python's standard library: 28,000 sequences of 64, one pass, "
        f"34,000 weights, warm-up and cosine. B = 1, 16, 256; β₁ = 0.9; β₂ = {BETA}^(B/{REFERENCE}), or "
        f"{BETA} at each B. 6 rates for each arm on 2 seeds, 5 further seeds.",
        expected={
            "small": Expected("Adam, half-life kept: loss at B = 1 less the best other", high=0.03),
            "fixed": Expected(
                f"Adam at B = 1: loss with β₂ = {BETA} less half-life kept",
                0.02,
                if_not="a short memory costs little in few updates at tuned rates: 28,000 showed 0.05",
            ),
            "sgd": Expected("B = 1: loss of SGD less Adam", high=0.05, if_not=NEAR),
            "grows": Expected("the same at the largest B, less that at B = 1", 0.1),
        },
        find=find,
        quick="1,700 sequences, one layer, B = 1, 8, 64; 5 rates on one seed, 2 further seeds.",
    )
