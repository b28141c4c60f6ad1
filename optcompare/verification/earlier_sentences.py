"""Parse the sentences of earlier versions, since their certificates contain no data."""

from __future__ import annotations

import re

RENAMED = {"same updates by either trainer": "fast and reference trainers agree"}
"""The present names of checks, by their names in earlier versions."""


def free_strategies(sentence: str) -> list[str]:
    """Return the strategies that may repeat samples, from the sentence of ``every sample once an epoch``."""
    found = re.search(r"but for (.*), which may repeat", sentence)
    return found[1].split(", ") if found else []


def numbers(sentence: str) -> list[str]:
    """Return all numbers of a sentence, sorted; versions differ in words, not in numbers."""
    return sorted(re.findall(r"\d[\d,]*(?:\.\d+)?(?:e-?\d+)?", sentence))
