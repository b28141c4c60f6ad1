"""Permission to execute the code of a saved comparison.

A run directory or a ``comparison.json`` may come from another person. Code that it names is imported only if
this user named it: on this command line, on a previous one with the same contents, or by ``--trust``. The
user's state directory has one file for each code that was named, so that commands at the same time lose none.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from importlib.metadata import entry_points
from pathlib import Path

from ..core.comparison import Comparison
from ..core.named_code import PYTHON_SUFFIX, NamedCode, code_key, code_keys, code_of
from ..errors import OptcompareError, RunDirectoryError, printable
from ..registry import hookspecs
from ..registry.fingerprints import code_exists, code_sha256
from ..registry.manager import Registry
from .user_state import is_only_mine, user_state


def load_registry(
    comparison: Comparison,
    where: Path,
    plugins: Sequence[str] = (),
    named: Iterable[NamedCode] = (),
    trust: bool = False,
) -> Registry:
    """Load the plugins of a saved comparison, and import no code that this user has not named.

    Args:
        comparison: The saved comparison.
        where: The run directory or file from which it was read.
        plugins: The plugins of the command line, which replace plugins of the comparison with the same file
            name. A file or package that the comparison names for something else needs no hook.
        named: Further code that the command line names.
        trust: Whether to execute all code.

    Returns:
        The registry, which imports only this code.

    Raises:
        RunDirectoryError: Some code was not named; the message lists it.
        PluginError: A plugin cannot be loaded.
    """
    own = [NamedCode(name, "plugin") for name in plugins]
    replaced = {Path(each.source).name for each in own}
    code = [
        each
        for each in code_of(comparison)
        if each.role != "plugin" or Path(each.source).name not in replaced
    ]
    named_now = [*own, *named]
    unknown = [each for each in code if not _is_allowed(each, code_keys(named_now))]
    if unknown and not trust:
        raise RunDirectoryError(_refusal(where, unknown))
    warnings = remember([*named_now, *unknown])
    others = code_keys(each for each in code if each.role != "plugin")
    loaded = [each.source for each in [*code, *own] if each.role == "plugin"]
    existing = [each for each in code if trust or code_exists(each.source)]
    registry = Registry.load(loaded, allowed=code_keys([*existing, *named_now]), without_hooks=others)
    registry.warnings += warnings
    return registry


def remember(code: Iterable[NamedCode]) -> list[str]:
    """Record that this user named this code, with its present contents.

    Args:
        code: Code that the user named.

    Returns:
        Warnings about code that cannot be recorded.
    """
    warnings = []
    for each in dict.fromkeys(code):
        sha256 = code_sha256(each.source) if code_exists(each.source) else None
        reason = (
            ""
            if sha256 is None
            else next(filter(None, (_note(name, sha256) for name in _names_of(each.source))), "")
        )
        if reason:
            warnings.append(
                f"{printable(each.source)} cannot be remembered as code that you named, so that --resume "
                f"will need --trust: {reason}"
            )
    return warnings


def _is_allowed(code: NamedCode, named: frozenset[str]) -> bool:
    """Return whether code was named, does not exist, or is an installed plugin, which is always loaded."""
    if code.key in named or not code_exists(code.source):
        return True
    if code.role == "plugin" and code.source in _installed():
        return True
    sha256 = code_sha256(code.source)
    return sha256 is not None and all(_is_noted(name, sha256) for name in _names_of(code.source))


def _installed() -> set[str]:
    return {point.value.partition(":")[0].strip() for point in entry_points(group=hookspecs.NAME)}


def _names_of(source: str) -> set[str]:
    """Return the names under which code is recorded; for a file, its real path and its path as written."""
    return {code_key(source), os.path.abspath(source) if source.endswith(PYTHON_SUFFIX) else code_key(source)}


def _entry(name: str, sha256: str) -> Path:
    digest = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return user_state() / "code" / f"{digest}-{sha256}.json"


def _note(name: str, sha256: str) -> str:
    """Record that code was named; return why that is not possible, empty if it is."""
    from .run_dir import write_atomically  # brings pandas, which most commands need later or never

    path = _entry(name, sha256)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _is_noted(name, sha256):
            text = json.dumps({"code": name, "sha256": sha256}) + "\n"
            write_atomically(path, lambda temporary: _write_private(temporary, text))
    except OSError as error:
        return f"cannot write {path.parent}: {error.strerror or error}"
    except OptcompareError as error:
        return str(error)
    return (
        ""
        if _is_noted(name, sha256)
        else f"{path.parent} is not yours alone; let nobody else own or write it"
    )


def _write_private(path: Path, text: str) -> None:
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")


def _is_noted(name: str, sha256: str) -> bool:
    path = _entry(name, sha256)
    return is_only_mine(path.parent) and is_only_mine(path)


def _refusal(where: Path, code: Sequence[NamedCode]) -> str:
    within = [each for each in code if _lies_in(each.source, where)]
    listed = ", ".join(map(_described, [*within, *(each for each in code if each not in within)]))
    return (
        f"{where} names code {'within itself, ' if within else 'that you have not named, '}{listed}, which "
        "is not executed: read it, then give --trust to execute all of it, or name each with --plugin"
    )


def _lies_in(source: str, where: Path) -> bool:
    """Return whether a file, or a link to it, lies in a run directory."""
    if not (source.endswith(PYTHON_SUFFIX) and where.is_dir()):
        return False
    folders = (os.path.abspath(where), where.resolve())
    return any(Path(name).is_relative_to(folder) for name in _names_of(source) for folder in folders)


def _described(code: NamedCode) -> str:
    if not code.source.endswith(PYTHON_SUFFIX):
        return printable(f"{code.role} module {code.source}{_whether_changed(code)}")
    written = os.path.abspath(code.source)
    linked = f" through {written}" if written != code.key else ""
    return printable(f"{code.role} {code.key}{linked}{_whether_changed(code)}")


def _whether_changed(code: NamedCode) -> str:
    """Return a remark if the same path was named with other contents; else nothing."""
    pattern = _entry(code.key, "*")
    return " (changed since you named it)" if any(pattern.parent.glob(pattern.name)) else ""
