"""The optimizers of ``torch.optim`` by lower-case name, imported when one is used."""

from optcompare import hookimpl

TRAINABLE = (
    "ASGD",
    "Adadelta",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rprop",
    "SGD",
)
SPECIAL = ("muon", "lbfgs", "sparseadam")
LANE_RULES = {
    "ASGD": "sgd.ASGD",
    "Adadelta": "adaptive.ADADELTA",
    "Adafactor": "matrices.ADAFACTOR",
    "Adagrad": "adaptive.ADAGRAD",
    "Adam": "adam.ADAM",
    "AdamW": "adam.ADAM",
    "Adamax": "adam.ADAMAX",
    "Muon": "matrices.MUON",
    "NAdam": "adam.NADAM",
    "RAdam": "adam.RADAM",
    "RMSprop": "adaptive.RMSPROP",
    "Rprop": "adaptive.RPROP",
    "SGD": "sgd.SGD",
}


@hookimpl
def optcompare_optimizers() -> dict[str, str]:
    paths = {name.lower(): f"torch.optim.{name}" for name in TRAINABLE}
    return paths | {name: f"optcompare_plugins.optimizers.torch_special.{name}" for name in SPECIAL}


@hookimpl
def optcompare_lane_rules() -> dict[str, str]:
    return {
        f"torch.optim.{name}": f"optcompare_plugins.lane_rules.{rule}" for name, rule in LANE_RULES.items()
    }
