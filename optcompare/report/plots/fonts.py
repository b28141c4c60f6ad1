"""Fonts for names in any script: DejaVu Sans, and behind it those that have what it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib.font_manager import FontEntry, fontManager, get_font

FIRST = "DejaVu Sans"
"""Comes with matplotlib, so that what is measured with it is the same everywhere."""
_PROBES = "价価あ한"
"""Characters of simplified Chinese, Japanese (two) and Korean, by which fonts for them are known."""
_PREFERRED = re.compile(
    r"Noto Sans|Source Han Sans|WenQuanYi|PingFang|Hiragino|YaHei|Yu Gothic|Meiryo|Malgun|Nanum|IPA"
)
_LIKELY = re.compile(
    r"CJK|Han\b|Hei|Song|Ming|Sun\b|Kai|Fang|Gothic|Mincho|Hiragino|Meiryo|Malgun|Nanum|Batang|Dotum|Gulim|IPA|Takao"
    r"|WenQuanYi|Unicode|Unifont|Fallback|Noto Sans (JP|KR|SC|TC|HK)\b|YaHei"
)


def families() -> list[str]:
    """DejaVu Sans, then the installed families that the user's settings name, then one for each script that
    it lacks.
    """
    return list(_families(tuple(_of_user()), len(fontManager.ttflist)))


def without_glyphs(texts: Iterable[str]) -> str:
    """The characters of these texts that no font in use has, each once."""
    fonts = [get_font(fontManager.findfont(name, fallback_to_default=True)) for name in families()]
    characters = dict.fromkeys(character for text in texts for character in text if not character.isspace())
    return "".join(each for each in characters if not any(font.get_char_index(ord(each)) for font in fonts))


def _of_user() -> Iterator[str]:
    """The families of ``font.family``, a generic one such as sans-serif standing for the list of its own
    setting.
    """
    settings: Any = matplotlib.rcParams
    for name in settings["font.family"]:
        yield from settings.get(f"font.{name}", [name])


@lru_cache(maxsize=16)
def _families(named: tuple[str, ...], count: int) -> tuple[str, ...]:
    """``count``: of all fonts, to which a script may add some."""
    installed = {entry.name for entry in fontManager.ttflist}
    there = [name for name in named if name in installed]
    return tuple(dict.fromkeys([FIRST, *there, *_for_scripts(there)]))


def _for_scripts(named: Sequence[str]) -> list[str]:
    """Further families with Chinese, Japanese and Korean characters, for those that these have not."""
    entries = [entry for entry in fontManager.ttflist if entry.style == "normal"]
    found = [min((each for each in entries if each.name == name), key=_apart, default=None) for name in named]
    used = [entry for entry in found if entry is not None]
    likely = [entry for entry in entries if _LIKELY.search(entry.name)]
    likely.sort(key=lambda entry: (not _PREFERRED.search(entry.name), entry.name, _apart(entry)))
    for probe in _PROBES:
        if not any(_has(entry, probe) for entry in used):
            used += [entry for entry in likely if _has(entry, probe)][:1]
    return [entry.name for entry in used]


def _apart(entry: FontEntry) -> int:
    """How far its weight is from the regular one."""
    return abs(entry.weight - 400) if isinstance(entry.weight, int) else 0


def _has(entry: FontEntry, character: str) -> bool:
    try:
        return bool(get_font(entry.fname).get_char_index(ord(character)))
    except (OSError, RuntimeError):  # a font that is gone, or in a form that cannot be read
        return False
