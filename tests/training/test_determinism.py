"""Deterministic algorithms without torch's compiler."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from optcompare.training.determinism import algorithms, deterministic_algorithms, use_algorithms

LATER = """
import sys
from optcompare.training.determinism import deterministic_algorithms

with deterministic_algorithms({enabled}):
    assert "torch._inductor" not in sys.modules
    import torch._inductor.config as config

    print(config.deterministic)
print(config.deterministic)
"""


@pytest.fixture(autouse=True)
def restored():
    flags = algorithms()
    yield
    torch.use_deterministic_algorithms(flags[0], warn_only=flags[1])


@pytest.mark.parametrize("flags", [(False, False), (False, True), (True, False), (True, True)])
def test_both_flags_are_those_that_torch_sets_and_come_back(flags):
    torch.use_deterministic_algorithms(flags[0], warn_only=flags[1])
    expected = algorithms()
    use_algorithms(False, False)
    use_algorithms(*flags)
    assert algorithms() == expected == flags
    with deterministic_algorithms(True):
        assert algorithms() == (True, True)
    assert algorithms() == flags


@pytest.mark.slow
@pytest.mark.parametrize("enabled", [True, False])
def test_a_compiler_that_is_imported_later_has_the_same_option(enabled):
    environment = {name: value for name, value in os.environ.items() if "TORCHINDUCTOR" not in name}
    done = subprocess.run(
        [sys.executable, "-c", LATER.format(enabled=enabled)],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    assert done.stdout.split() == [str(enabled), "False"]


def test_the_option_of_an_imported_compiler_follows():
    import torch._inductor.config as config

    with deterministic_algorithms(True):
        assert config.deterministic
    assert config.deterministic is algorithms()[0]
