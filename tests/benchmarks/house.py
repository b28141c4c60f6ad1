"""How the code reads, in numbers: sizes, signatures, untyped values, imports that run back, lines, README.

``python tests/benchmarks/house.py [CHECKOUT...]`` prints one column for each checkout (default: this one), so
that a version can be set beside an earlier one.
"""

from __future__ import annotations

import ast
import configparser
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

WIDTH = 110
"""The longest line that is allowed."""
LONG_MODULE = 300
LONG_FUNCTION = 50
Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Source:
    """A Python file of the package or of the plugins that come with it."""

    name: str
    text: str
    tree: ast.Module

    @property
    def functions(self) -> list[Function]:
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]

    @property
    def names(self) -> list[str]:
        return [node.id for node in ast.walk(self.tree) if isinstance(node, ast.Name)]


def sources(checkout: Path) -> list[Source]:
    """The files of ``optcompare/`` and ``plugins/``."""
    paths = sorted(path for room in ("optcompare", "plugins") for path in (checkout / room).rglob("*.py"))
    texts = [(path, path.read_text("utf-8")) for path in paths]
    return [Source(str(path.relative_to(checkout)), text, ast.parse(text)) for path, text in texts]


def parameters(function: Function) -> int:
    """How many parameters a function has, ``self`` and ``*args`` among them."""
    arguments = function.args
    variadic = [each for each in (arguments.vararg, arguments.kwarg) if each is not None]
    return len([*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *variadic])


def lines_of(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def statement_lines(function: Function) -> int:
    """The lines of a function without its signature and docstring."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def erased_keywords(files: list[Source]) -> int:
    """Functions that take any keyword of any type, and hand it on."""
    kwargs = [each.args.kwarg for file in files for each in file.functions if each.args.kwarg is not None]
    return sum(each.annotation is not None and ast.unparse(each.annotation) == "Any" for each in kwargs)


def imports_that_run_back(checkout: Path, files: list[Source]) -> int:
    """Imports of a room from one above it, in the order of setup.cfg; 0 where it names no order."""
    parser = configparser.ConfigParser()
    parser.read(checkout / "setup.cfg", encoding="utf-8")
    layers = parser.get("importlinter:contract:rooms", "layers", fallback="").split()
    height = {room: place for place, room in enumerate(layers)}
    found = 0
    for file in files:
        parts = Path(file.name).with_suffix("").parts
        if parts[0] != "optcompare" or parts[1] not in height:
            continue
        targets = [room for room in _imported_rooms(file.tree, parts) if room in height]
        found += sum(height[target] < height[parts[1]] for target in targets)
    return found


def _imported_rooms(tree: ast.Module, parts: tuple[str, ...]) -> Iterator[str]:
    """The rooms that a file imports from, those for annotations alone left out."""
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level and id(node) not in skipped:
            full = [*parts[: len(parts) - node.level], *(node.module or "").split(".")]
            full = [part for part in full if part]
            if len(full) > 1:
                yield full[1]
            elif full == ["optcompare"]:
                yield from (alias.name for alias in node.names)


def figures(checkout: Path) -> dict[str, str]:
    """What is printed of a checkout, by its name."""
    files = sources(checkout)
    functions = [(each, f"{file.name}:{each.name}") for file in files for each in file.functions]
    longest = max(functions, key=lambda one: lines_of(one[0]))
    fullest = max(functions, key=lambda one: statement_lines(one[0]))
    widest = max(functions, key=lambda one: parameters(one[0]))
    ranked = sorted((parameters(function) for function, _ in functions), reverse=True)
    every = [path for path in checkout.rglob("*.py") if not _is_hidden(path.relative_to(checkout))]
    lines = [line for path in every for line in path.read_text("utf-8").splitlines()]
    readme = checkout / "README.md"
    return {
        "modules": str(len(files)),
        f"modules over {LONG_MODULE} lines": str(_over(LONG_MODULE, _lengths(files))),
        "longest module": str(max(_lengths(files))),
        "longest function, with docstring": f"{lines_of(longest[0])} ({longest[1]})",
        "longest function, statements": f"{statement_lines(fullest[0])} ({fullest[1]})",
        f"functions over {LONG_FUNCTION} lines of statements": str(
            _over(LONG_FUNCTION, [statement_lines(each) for each, _ in functions])
        ),
        "widest signature": f"{parameters(widest[0])} ({widest[1]})",
        "next widest signatures": ", ".join(map(str, ranked[1:5])),
        "functions with **keywords: Any": str(erased_keywords(files)),
        "Any in annotations and calls": str(sum(file.names.count("Any") for file in files)),
        "imports that run back": str(imports_that_run_back(checkout, files)),
        f"lines over {WIDTH}, tests included": str(_over(WIDTH, map(width, lines))),
        "passages that the formatter skips": str(sum("# fmt: " + "skip" in line for line in lines)),
        "lines of README": str(len(readme.read_text("utf-8").splitlines()) if readme.exists() else 0),
    }


def _lengths(files: list[Source]) -> list[int]:
    return [len(file.text.splitlines()) for file in files]


def width(line: str) -> int:
    """Return how many places a line takes; combining characters take none."""
    return sum(not unicodedata.combining(character) for character in line)


def _over(limit: int, values: Iterable[int]) -> int:
    return sum(value > limit for value in values)


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") or part in ("build", "dist") for part in path.parts)


def main(checkouts: list[Path]) -> None:
    columns = [figures(checkout) for checkout in checkouts]
    for name in columns[0]:
        print(f"{name:45} {'  ->  '.join(column[name] for column in columns)}")


if __name__ == "__main__":
    main([Path(text) for text in sys.argv[1:]] or [Path(os.path.abspath(__file__)).parents[2]])
