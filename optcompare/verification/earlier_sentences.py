"""Sentences of earlier versions, whose certificates hold no data: the one place where they are parsed."""

from __future__ import annotations

import re

RENAMED = {"same updates by either trainer": "fast and reference trainers agree"}
"""The names of checks by those that earlier versions gave them."""


def free_strategies(sentence: str) -> list[str]:
    """Return the strategies that may repeat samples, from the sentence of ``every sample once an epoch``."""
    found = re.search(r"but for (.*), which may repeat", sentence)
    return found[1].split(", ") if found else []


def numbers(sentence: str) -> list[str]:
    """Return all numbers of a sentence, sorted: another version words it otherwise and says the same ones."""
    return sorted(re.findall(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", sentence))
