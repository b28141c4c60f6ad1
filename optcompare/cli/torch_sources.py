"""Read what a list says of ``torch.optim``'s optimizers from their source files, without importing torch.

Only what a source file says in plain literals is read; anything else is left to the import.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from ..core.parameters import REQUIRED, Parameter

_PACKAGE = "torch.optim"


@dataclass(frozen=True)
class Description:
    """What a list says of an optimizer.

    Attributes:
        paragraph: The beginning of its docstring, with the first paragraph at least.
        hyperparameters: Its parameters without the weights; the types are those of the defaults.
    """

    paragraph: str
    hyperparameters: list[Parameter]


def described(path: str) -> Description | None:
    """Describe an optimizer by its dotted path, such as ``torch.optim.SGD``.

    Args:
        path: The path under which a plugin registered the optimizer.

    Returns:
        The description; None if torch is imported already, if the path is not directly in ``torch.optim``,
        or if the sources do not say everything in literals.
    """
    package, _, name = path.rpartition(".")
    if package != _PACKAGE or "torch" in sys.modules:
        return None
    try:
        spec = find_spec("torch")
        for directory in (spec.submodule_search_locations or ()) if spec is not None else ():
            return _description(Path(directory) / "optim", name)
    except (OSError, ValueError, LookupError, SyntaxError):  # no sources, or none that can be read so simply
        return None
    return None


def _description(package: Path, name: str) -> Description:
    names = (package / "__init__.py").read_text("utf-8")
    module = ast.parse((package / f"{_defining_module(ast.parse(names), name)}.py").read_text("utf-8"))
    (defined,) = (node for node in module.body if isinstance(node, ast.ClassDef) and node.name == name)
    (init,) = (node for node in defined.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")
    if defined.decorator_list or defined.keywords or init.decorator_list:
        raise ValueError("a decorator or a metaclass may change the signature")
    return Description(_paragraph(module, defined), list(_parameters(init.args))[2:])  # without self, params


def _defining_module(package: ast.Module, name: str) -> str:
    """Return the name of the module in ``torch.optim`` from which its ``__init__`` imports a name."""
    (module,) = (
        (node.module or "").removeprefix(f"{_PACKAGE}.")
        for node in package.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (alias.asname or alias.name) == name == alias.name
    )
    if not module.isidentifier():
        raise ValueError(module)
    return module


def _paragraph(module: ast.Module, defined: ast.ClassDef) -> str:
    """Return the literal beginning of a docstring, which some modules assign to ``__doc__``."""
    own = ast.get_docstring(defined, clean=False)
    assigned = [
        node.value
        for node in module.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == f"{defined.name}.__doc__"
    ]
    if not assigned and own is not None:
        return own
    (text,) = assigned
    while not isinstance(text, ast.Constant):
        if isinstance(text, ast.JoinedStr):
            text = text.values[0]
        elif isinstance(text, ast.BinOp):
            text = text.left
        else:
            raise ValueError("the docstring begins with no literal")
    if not isinstance(text.value, str) or "\n\n" not in text.value:
        raise ValueError("the first paragraph is no literal")
    return text.value


def _parameters(arguments: ast.arguments) -> Iterator[Parameter]:
    if arguments.posonlyargs:
        raise ValueError("positional-only parameters")
    required = [None] * (len(arguments.args) - len(arguments.defaults))
    defaults = [*required, *arguments.defaults, *arguments.kw_defaults]
    for argument, default in zip([*arguments.args, *arguments.kwonlyargs], defaults, strict=True):
        value = REQUIRED if default is None else ast.literal_eval(default)
        yield Parameter(argument.arg, type(value), value)
