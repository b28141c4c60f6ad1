"""The fingerprint of a workload's code, so that a run is not continued with another loss or model."""

from __future__ import annotations

import functools
import hashlib
import types
from collections.abc import Mapping
from typing import Any

from torch import nn

from ..core.user_code import is_installed, names_used
from ..interfaces.workload import Workload

_PLAIN = (bool, int, float, complex, str, bytes, type(None))
_DEEPEST = 8


def workload_sha256(workload: Workload) -> str:
    """Return the SHA-256 of the code of a workload's functions.

    It covers their bytecode, and that of the user's functions and classes that they use. Comments, line
    numbers, data and weights do not count. Of installed packages, only names count.
    """
    parts = ("model", "loss", "forward", "objective", "weight", "collate", "metrics")
    text = _Described().of({name: getattr(workload, name) for name in parts}, 0)
    return hashlib.sha256(text.encode()).hexdigest()


class _Described:
    """Describe values without addresses; a value that occurs again is only named."""

    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}

    def of(self, value: Any, depth: int) -> str:
        if isinstance(value, _PLAIN):
            return repr(value)
        if depth > _DEEPEST or id(value) in self._seen:
            return type(value).__name__
        self._seen[id(value)] = value
        if isinstance(value, (list, tuple)):
            return f"[{', '.join(self.of(each, depth + 1) for each in value)}]"
        if isinstance(value, Mapping):
            return f"{{{', '.join(f'{key}: {self.of(each, depth + 1)}' for key, each in value.items())}}}"
        if isinstance(value, functools.partial):
            return self.of([value.func, value.args, value.keywords], depth)
        if isinstance(value, types.MethodType):
            return self.of([value.__func__, value.__self__], depth)
        if isinstance(value, types.FunctionType):
            return self._function(value, depth)
        if isinstance(value, type):
            return self._class(value, depth)
        if isinstance(value, nn.Module):
            return f"{self._class(type(value), depth)} {value!r}"
        kind = type(value)
        return f"{kind.__module__}.{kind.__qualname__} {self._plain_attributes(value, depth)}"

    def _function(self, function: types.FunctionType, depth: int) -> str:
        closure = {
            name: self._cell(cell, depth)
            for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False)
        }
        if is_installed(function.__module__):
            return f"{function.__module__}.{function.__qualname__} {closure}"
        used = {
            name: self.of(function.__globals__[name], depth + 1)
            for name in dict.fromkeys(names_used(function.__code__))
            if name in function.__globals__ and _is_code(function.__globals__[name])
        }
        defaults = self.of([function.__defaults__, function.__kwdefaults__], depth + 1)
        return f"{_bytecode(function.__code__)} {defaults} {closure} {used}"

    def _cell(self, cell: types.CellType, depth: int) -> str:
        try:
            return self.of(cell.cell_contents, depth + 1)
        except ValueError:  # The cell is empty.
            return ""

    def _class(self, kind: type, depth: int) -> str:
        name = f"{kind.__module__}.{kind.__qualname__}"
        if is_installed(kind.__module__):
            return name
        own = {
            key: value for key, value in vars(kind).items() if _is_code(value) or isinstance(value, _PLAIN)
        }
        own = {
            key: value
            for key, value in own.items()
            if key not in ("__module__", "__doc__", "__firstlineno__")
        }
        bases = [self._class(base, depth + 1) for base in kind.__bases__ if base is not object]
        return f"{kind.__qualname__} {bases} {self.of(own, depth + 1)}"

    def _plain_attributes(self, value: Any, depth: int) -> str:
        held = getattr(value, "__dict__", {})
        return self.of(
            {name: each for name, each in held.items() if isinstance(each, _PLAIN) or _is_code(each)},
            depth + 1,
        )


def _is_code(value: Any) -> bool:
    return isinstance(
        value, (types.FunctionType, types.MethodType, functools.partial, type, staticmethod, classmethod)
    )


def _bytecode(code: types.CodeType) -> str:
    constants = [
        _bytecode(each)
        if isinstance(each, types.CodeType)
        else repr(each)
        if isinstance(each, _PLAIN)
        else str(type(each))
        for each in code.co_consts
    ]
    return f"{code.co_code.hex()} {code.co_names} {code.co_varnames} {constants}"
