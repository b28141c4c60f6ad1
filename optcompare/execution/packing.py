"""Pack a setup into bytes for other processes."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import sys
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch

from ..core.memmap import file_slice_of, open_file_slice
from ..errors import USER_CODE_ERRORS, ComparisonError, explain
from ..registry.plugin_files import PREFIX
from ..training.setup import Setup


def pack(setup: Setup) -> bytes:
    """Pack a setup with the code that other processes cannot import.

    Such code is that of lambdas, notebooks, plugin files and other modules that are not installed.

    Args:
        setup: The comparison with its live objects.

    Returns:
        Bytes for ``pickle.loads``.

    Raises:
        ComparisonError: Something in the setup cannot be pickled.
    """
    own = _own_modules()
    if setup.comparison.split_seeds == 1:  # Its resplit is not needed, and would pack all data again.
        setup = dataclasses.replace(setup, workload=dataclasses.replace(setup.workload, resplit=None))
    try:
        return _pickled(setup, own)
    except USER_CODE_ERRORS:
        try:
            return _pickled(setup, [module for module in own if module.__name__.startswith(PREFIX)])
        except USER_CODE_ERRORS as error:
            raise ComparisonError(
                f"workload {setup.workload.name} or its strategies cannot be sent to other processes: "
                f"{explain(error)}; leave out --jobs and --executor"
            ) from error


def _own_modules() -> list[types.ModuleType]:
    """Return the modules of the user's project, which belong to no installed package."""
    installed = {
        *sys.stdlib_module_names,
        *importlib.metadata.packages_distributions(),
        "__main__",
        "__mp_main__",
    }
    found = [module for name, module in list(sys.modules.items()) if name.partition(".")[0] not in installed]
    return [
        module for module in found if getattr(module, "__file__", None) and module.__name__ in sys.modules
    ]


def _pickled(setup: Setup, by_value: Sequence[types.ModuleType]) -> bytes:
    import cloudpickle

    class Pickler(cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, value: Any) -> Any:
            if isinstance(value, types.CodeType):
                make, values = self.dispatch_table[types.CodeType](value)[:2]
                return _code_of_file, (value.co_filename, make, values)
            file_slice = file_slice_of(value) if isinstance(value, torch.Tensor) else None
            return super().reducer_override(value) if file_slice is None else (open_file_slice, (file_slice,))

    packed = io.BytesIO()
    for module in by_value:
        cloudpickle.register_pickle_by_value(module)
    try:
        Pickler(packed).dump(setup)
        return packed.getvalue()
    finally:
        for module in by_value:
            cloudpickle.unregister_pickle_by_value(module)


def _code_of_file(name: str, make: Callable[..., types.CodeType], values: tuple[Any, ...]) -> types.CodeType:
    """Return code with the name of its file, which tracebacks show and cloudpickle leaves out."""
    return make(*values).replace(co_filename=name)
