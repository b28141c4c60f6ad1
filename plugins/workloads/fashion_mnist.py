"""Clothes and handwritten digits, 28×28 pixels each, from files that are on this machine already."""

from __future__ import annotations

from pathlib import Path

from optcompare import Workload, hookimpl

from .data_folders import VARIABLE
from .idx_files import idx_form, keras_form
from .image_sets import ImageSet, Model, classify

_FIRST_LABELS = {
    "fashion-mnist": (9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
    "mnist": (5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
}

FASHION_MNIST = ImageSet(
    name="fashion-mnist",
    shape=(1, 28),
    classes=10,
    images=(60_000, 10_000),
    mean=(0.2860,),
    deviation=(0.3530,),
    forms=(idx_form("FashionMNIST/raw"), idx_form("fashion-mnist")),
    hint="install Debian's package dataset-fashion-mnist, or name the folder of its four IDX files by "
    f"data=PATH, or the one above fashion-mnist by {VARIABLE}",
    begins=_FIRST_LABELS["fashion-mnist"],
    others=(("mnist", _FIRST_LABELS["mnist"]),),
)
MNIST = ImageSet(
    name="mnist",
    shape=(1, 28),
    classes=10,
    images=(60_000, 10_000),
    mean=(0.1307,),
    deviation=(0.3081,),
    forms=(idx_form("MNIST/raw"), idx_form("mnist"), keras_form()),
    hint="name the folder of its four IDX files, or of Keras's mnist.npz, by data=PATH, or the one above "
    f"mnist by {VARIABLE}",
    begins=_FIRST_LABELS["mnist"],
    others=(("fashion-mnist", _FIRST_LABELS["fashion-mnist"]),),
)


def fashion_mnist(
    model: Model = "mlp", *, data: Path | None = None, train: int | None = None, valid: float = 0.1
) -> Workload:
    """Classify 70,000 pictures of clothes of 28×28 pixels, by model=mlp, cnn or vit.

    The files are looked for in data=PATH, or else in $OPTCOMPARE_DATA, where torchvision and Keras keep them
    (data, ../data, ~/data; ~/.keras/datasets), and in /usr/share/datasets, where Debian's package
    dataset-fashion-mnist puts them. Pixels p from 0 to 255 become (p/255 - 0.2860) / 0.3530. train=N uses
    only the first N of the 60,000 training images; the share valid of them is held out, of each class. The
    10,000 test images are the test set. The models have 101,770 (mlp), 33,546 (cnn) and 27,914 (vit) weights.
    """
    return classify(FASHION_MNIST, model, data, train, valid)


def mnist(
    model: Model = "mlp", *, data: Path | None = None, train: int | None = None, valid: float = 0.1
) -> Workload:
    """Classify 70,000 handwritten digits of 28×28 pixels, by model=mlp, cnn or vit.

    Files, arguments and models are those of fashion-mnist. Keras's mnist.npz is read, too; no package of
    Debian brings the files. Pixels p from 0 to 255 become (p/255 - 0.1307) / 0.3081.
    """
    return classify(MNIST, model, data, train, valid)


@hookimpl
def optcompare_workloads() -> dict[str, object]:
    return {"fashion-mnist": fashion_mnist, "mnist": mnist}
