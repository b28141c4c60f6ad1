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


@hookimpl
def optcompare_optimizers() -> dict[str, str]:
    paths = {name.lower(): f"torch.optim.{name}" for name in TRAINABLE}
    return paths | {name: f"optcompare_plugins.optimizers.torch_special.{name}" for name in SPECIAL}
