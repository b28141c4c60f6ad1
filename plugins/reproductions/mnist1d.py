"""How far four networks get on MNIST-1D (Greydanus 2020)."""

from itertools import pairwise

from matplotlib.figure import Figure

from optcompare import Attempt, Expected, Found, Reproduction

PUBLISHED = {"linear": 0.32, "mlp": 0.68, "gru": 0.91, "cnn": 0.94}
QUICK = {"linear": (5, 150), "mlp": (5, 150), "gru": (2, 40), "cnn": (2, 100)}
"""Seeds and epochs of each network."""
PERHAPS = (
    "perhaps the published numbers are of one seed each, or not of the last update; quick attempts also "
    "train few seeds, for fewer epochs"
)


def find(attempt: Attempt) -> Found:
    tested = {}
    for model in PUBLISHED:
        seeds, epochs = attempt.choose(quick=QUICK[model], full=(10, 150))
        arm = "mini:100@adam:lr=0.01"
        result = attempt.compare(model, f"mnist1d:{model}", arm, seeds=seeds, epochs=epochs, measure=0)
        tested[model] = result.records.groupby("seed")["test_accuracy"].last()
    means = {model: float(each.mean()) for model, each in tested.items()}
    figure = Figure(figsize=(6, 4), layout="constrained")
    ax = figure.subplots()
    for place, model in enumerate(PUBLISHED):
        label = None if place else "here, each seed"
        ax.plot([place] * len(tested[model]), tested[model], "o", color="C0", label=label)
    ax.plot(list(PUBLISHED.values()), "_", color="black", markersize=30, label="published")
    ax.set_xticks(range(len(PUBLISHED)), list(PUBLISHED))
    ax.set(ylabel="test accuracy", ylim=(0, 1), title="MNIST-1D: four networks")
    ax.legend(loc="lower right", markerscale=0.6)
    steps = [after - before for before, after in pairwise(means.values())]
    notes = [f"{model}: {mean:.4f}, mean of {len(tested[model])} seeds" for model, mean in means.items()]
    return Found({**means, "order": min(steps)}, figure, notes)


def mnist1d() -> Reproduction:
    """Reproduce the published test accuracies of four networks on MNIST-1D, to two points."""
    return Reproduction(
        claim="Test accuracies: linear 32%, perceptron 68%, gated recurrent units 91%, convolutions 94%.",
        source="Greydanus and Kobak 2020, arXiv 2011.14439",
        setting="The published data and networks, 150 epochs (6,000 updates) of Adam at rate 0.01, batches "
        "of 100; mean of 10 seeds, on the 1,000 test samples after the last update.",
        expected={
            **{
                model: Expected.about(f"test accuracy, {model}", value, 0.02, if_not=PERHAPS)
                for model, value in PUBLISHED.items()
            },
            "order": Expected("smallest rise from linear to mlp, to gru, to cnn", low=0.0),
        },
        find=find,
        quick="5 seeds of linear and mlp; 2 seeds of gru for 40 epochs and of cnn for 100.",
    )
