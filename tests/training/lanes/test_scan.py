"""The compiler's time: settings that torch knows, and files that are compiled at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch._inductor.config as config
from torch._inductor import cpp_builder
from torch._inductor.cpp_builder import CppBuilder

from optcompare.training.lanes.engines import scan

PATIENCE_SECONDS = 30


class Builder:
    """In place of torch's: it logs what it builds, and can wait for another build to begin."""

    def __init__(self, log, target, begun, waits_for=None, error=None):
        self.log, self.target, self.begun, self.waits_for, self.error = log, target, begun, waits_for, error

    def get_target_file_path(self):
        return f"/work/abc.{self.target}"

    def built(self):
        self.begun[self.target].set()
        if self.waits_for is not None:
            assert self.begun[self.waits_for].wait(PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error
        self.log.append(self.target)


@pytest.fixture
def builds(monkeypatch):
    """Return a function that builds as torch does, and what was built in which order."""
    monkeypatch.setattr(CppBuilder, "build", Builder.built)
    log, begun = (
        [],
        {name: threading.Event() for name in ("wrapper.o", "kernel.o", "weights.o", "wrapper.so")},
    )

    def build(**options):
        with ThreadPoolExecutor(1) as aside, scan._wrapper_built(aside):
            for target in begun:
                CppBuilder.build(Builder(log, target, begun, **options.get(target, {})))
        return log

    return build


def test_torch_knows_the_settings_with_which_the_compiler_is_fast():
    assert scan._FAST.keys() <= config.get_config_copy().keys()


def test_wrapper_and_kernels_are_compiled_at_the_same_time(builds):
    both = {"wrapper.o": {"waits_for": "kernel.o"}, "kernel.o": {"waits_for": "wrapper.o"}}
    assert {"kernel.o", "wrapper.o"} < set(builds(**both))


def test_the_linker_waits_for_the_wrapper(builds):
    assert builds(**{"wrapper.o": {"waits_for": "weights.o"}})[-1] == "wrapper.so"


def test_an_error_in_the_wrapper_ends_the_compilation(builds):
    with pytest.raises(RuntimeError, match="no such type"):
        builds(**{"wrapper.o": {"error": RuntimeError("no such type")}})


def test_torch_builds_as_before_after_the_context(builds):
    builds()
    assert CppBuilder.build is Builder.built


@pytest.mark.parametrize("missing", ["build", "get_target_file_path", "CppBuilder"])
def test_without_torchs_builder_files_are_built_as_usual(monkeypatch, missing):
    monkeypatch.delattr(cpp_builder if missing == "CppBuilder" else CppBuilder, missing)
    before = vars(CppBuilder).get("build")
    with ThreadPoolExecutor(1) as aside, scan._wrapper_built(aside):
        assert vars(CppBuilder).get("build") is before


def test_another_thread_compiles_with_the_settings_of_this_one():
    with config.patch({"cpp.vec_isa_ok": True}), ThreadPoolExecutor(1) as aside:
        assert scan._submit(aside, lambda: config.cpp.vec_isa_ok).result() is True
