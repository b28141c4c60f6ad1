"""Lists of what is registered, and of the plugins that add it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from ..core.parameters import Parameter, parameters
from ..errors import PluginError
from ..interfaces.optimizer import hyperparameters
from .docstrings import docstring_of
from .torch_sources import described

if TYPE_CHECKING:
    from ..registry.entries import Entry, PluginInfo

_IMPLEMENTATION = {
    "foreach",
    "fused",
    "capturable",
    "differentiable",
    "maximize",
}  # arguments of torch.optim that are no hyperparameters


def print_entries(kind: str, entries: Mapping[str, Entry], *, title: bool) -> None:
    """Print each registered thing: its name, what it is, and its parameters with their defaults.

    Args:
        kind: "strategies", "optimizers" and so on.
        entries: What is registered, by name.
        title: Whether the kind is printed first.
    """
    out = Console(highlight=False)
    if title:
        out.print(Text(kind, style="bold underline"))
    for entry in entries.values():
        try:
            doc, known = _described(kind, entry)
        except PluginError as error:  # Its path leads nowhere; the others are listed nevertheless.
            out.print(Text.assemble((entry.name, "bold"), f"  {error}"), soft_wrap=not out.is_terminal)
            continue
        doc = " ".join(inspect.cleandoc(doc).partition("\n\n")[0].split())
        doc = doc.replace("``", "")  # marks of web pages, not of a terminal
        out.print(Text.assemble((entry.name, "bold"), f"  {doc}"), soft_wrap=not out.is_terminal)
        shown = " ".join(str(parameter) for parameter in known if parameter.name not in _IMPLEMENTATION)
        if shown:
            out.print(Text(f"    {shown}", style="dim"), soft_wrap=not out.is_terminal)
    if kind == "optimizers":
        hint = "any other by its path, such as pytorch_optimizer.Lion:lr=0.0001, or FILE.py:NAME"
        out.print(Text(hint, style="dim"), soft_wrap=not out.is_terminal)


def _described(kind: str, entry: Entry) -> tuple[str, Sequence[Parameter]]:
    """Return the docstring of what is registered, or its beginning, and the parameters."""
    if kind == "optimizers" and isinstance(entry.registered, str):
        found = described(entry.registered)
        if found is not None:
            return found.paragraph, found.hyperparameters
    if kind == "reproductions" and isinstance(entry.registered, str):
        docstring = docstring_of(entry.registered)
        if docstring is not None:
            return docstring, ()
    return inspect.getdoc(entry.factory) or "", _parameters(kind, entry.factory)


def _parameters(kind: str, factory: Callable[..., Any]) -> Sequence[Parameter]:
    """List the parameters of a factory; some kinds have none, or an address instead."""
    if kind in ("executors", "panels", "trackers", "reproductions", "suites"):
        return ()  # executors and trackers take an address, not a spec
    return hyperparameters(factory) if kind == "optimizers" else parameters(factory)


def print_plugins(plugins: Sequence[PluginInfo], entries: Mapping[str, Mapping[str, Entry]]) -> None:
    """Print a line for each plugin: its name, version and module, and what it adds.

    Args:
        plugins: All that were found.
        entries: What is registered, by kind and name.
    """
    out = Console(highlight=False, soft_wrap=True)
    for plugin in plugins:
        adds = [
            f"{kind}: {', '.join(names)}"
            for kind, all_ in entries.items()
            if (names := [entry.name for entry in all_.values() if entry.plugin == plugin.name])
        ]
        version = f" {plugin.version}" if plugin.version else ""
        out.print(
            Text.assemble(
                (plugin.name, "bold"), f"{version}  {plugin.source}  {'; '.join(adds) or 'observer'}"
            )
        )
