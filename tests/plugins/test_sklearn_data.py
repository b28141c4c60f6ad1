"""Data sets of scikit-learn without importing it: its values, to the bit."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from optcompare_plugins.workloads.breast_cancer import breast_cancer
from optcompare_plugins.workloads.diabetes import diabetes
from optcompare_plugins.workloads.digits import digits
from sklearn import datasets
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from optcompare import Workload, WorkloadError

if TYPE_CHECKING:
    from numpy.typing import NDArray


def split_by_scikit_learn(x: Any, y: Any, number: int, stratify: Any = None) -> list[NDArray[Any]]:
    return train_test_split(x, y, test_size=0.2, random_state=number, stratify=stratify)


def on_split(make: Any, number: int) -> Workload:
    workload = make()
    return workload.resplit(number) if number else workload


def tensors(workload: Workload) -> list[torch.Tensor]:
    (x, y), (x_valid, y_valid) = workload.train, workload.valid
    return [x, x_valid, y, y_valid]


def assert_same(workload: Workload, expected: list[torch.Tensor]) -> None:
    for ours, theirs in zip(tensors(workload), expected, strict=True):
        assert ours.dtype == theirs.dtype
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("number", [0, 1, 7])
def test_digits_are_those_of_scikit_learn(number):
    pixels, labels = datasets.load_digits(return_X_y=True)
    x, x_valid, y, y_valid = map(torch.from_numpy, split_by_scikit_learn(pixels / 16, labels, number, labels))
    assert_same(on_split(digits, number), [x.float(), x_valid.float(), y, y_valid])


@pytest.mark.parametrize("number", [0, 1, 7])
def test_tumours_are_those_of_scikit_learn(number):
    measured, benign = datasets.load_breast_cancer(return_X_y=True)
    parts = split_by_scikit_learn(measured, benign.reshape(-1, 1), number, benign)
    scaler = StandardScaler().fit(parts[0])
    expected = [*map(scaler.transform, parts[:2]), *parts[2:]]
    assert_same(on_split(breast_cancer, number), [torch.from_numpy(part).float() for part in expected])


@pytest.mark.parametrize("number", [0, 1, 7])
def test_patients_are_those_of_scikit_learn(number):
    measured, progress = datasets.load_diabetes(return_X_y=True, scaled=False)
    parts = split_by_scikit_learn(measured, progress.reshape(-1, 1), number)
    inputs, target = StandardScaler().fit(parts[0]), StandardScaler().fit(parts[2])
    expected = [*map(inputs.transform, parts[:2]), *map(target.transform, parts[2:])]
    workload = on_split(diabetes, number)
    assert_same(workload, [torch.from_numpy(part).float() for part in expected])
    one_point = workload.metrics["mae"](torch.ones(1, dtype=torch.float64), torch.zeros(1))[0]
    assert float(one_point) == float(target.scale_[0])


def test_data_sets_are_read_without_importing_scikit_learn_or_scipy():
    code = (
        "import sys\n"
        "from optcompare_plugins.workloads import breast_cancer, diabetes, digits\n"
        "digits.digits(), breast_cancer.breast_cancer(), diabetes.diabetes()\n"
        "print([name for name in ('sklearn', 'scipy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_without_scikit_learn_the_error_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    message = "digits.csv.gz is a data set of scikit-learn, which is not installed; pip install scikit-learn"
    with pytest.raises(WorkloadError, match=message):
        digits()


def test_a_scikit_learn_that_keeps_its_files_elsewhere_is_an_error(monkeypatch, tmp_path):
    elsewhere = SimpleNamespace(origin=str(tmp_path / "sklearn" / "__init__.py"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: elsewhere)
    with pytest.raises(WorkloadError, match=r"this scikit-learn has no .*breast_cancer.csv; install another"):
        breast_cancer()
