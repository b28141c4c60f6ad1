"""Find fonts for names in any script: DejaVu Sans, then fonts with the characters that it lacks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import matplotlib
from matplotlib.font_manager import FontEntry, fontManager, get_font

FIRST = "DejaVu Sans"
"""The first family. It comes with matplotlib, so that widths measured with it are the same everywhere."""
_PROBES = "价価あ한"
"""Characters of simplified Chinese, Japanese (two) and Korean, to find fonts for these scripts."""
_PREFERRED = re.compile(
    r"Noto Sans|Source Han Sans|WenQuanYi|PingFang|Hiragino|YaHei|Yu Gothic|Meiryo|Malgun|Nanum|IPA"
)
_LIKELY = re.compile(
    r"CJK|Han\b|Hei|Song|Ming|Sun\b|Kai|Fang|Gothic|Mincho|Hiragino|Meiryo|Malgun|Nanum|Batang|Dotum|Gulim"
    r"|IPA|Takao"
    r"|WenQuanYi|Unicode|Unifont|Fallback|Noto Sans (JP|KR|SC|TC|HK)\b|YaHei"
)


def families() -> list[str]:
    """Return the font families in order of preference.

    DejaVu Sans is first, then the installed families of the user's settings, then one for each script they
    lack.
    """
    return list(_families(tuple(_of_user()), len(fontManager.ttflist)))


def without_glyphs(texts: Iterable[str]) -> str:
    """Return the characters of these texts that no font in use has, each once.

    Args:
        texts: Any texts.
    """
    fonts = [get_font(fontManager.findfont(name, fallback_to_default=True)) for name in families()]
    characters = dict.fromkeys(character for text in texts for character in text if not character.isspace())
    return "".join(each for each in characters if not any(font.get_char_index(ord(each)) for font in fonts))


def _of_user() -> Iterator[str]:
    """Yield the families of ``font.family``; a generic one such as sans-serif stands for its own list."""
    settings: Any = matplotlib.rcParams
    for name in settings["font.family"]:
        yield from settings.get(f"font.{name}", [name])


@lru_cache(maxsize=16)
def _families(named: tuple[str, ...], count: int) -> tuple[str, ...]:
    """Return the families; ``count``, the number of all fonts, makes the cache notice fonts added later."""
    installed = {entry.name for entry in fontManager.ttflist}
    available = [name for name in named if name in installed]
    return tuple(dict.fromkeys([FIRST, *available, *_for_scripts(available)]))


def _for_scripts(named: Sequence[str]) -> list[str]:
    """Return further families with Chinese, Japanese and Korean characters, if these families lack them."""
    entries = [entry for entry in fontManager.ttflist if entry.style == "normal"]
    by_name = [[entry for entry in entries if entry.name == name] for name in named]
    used = [min(fonts, key=_apart) for fonts in by_name if fonts]
    likely = [entry for entry in entries if _LIKELY.search(entry.name)]
    likely.sort(key=lambda entry: (not _PREFERRED.search(entry.name), entry.name, _apart(entry)))
    for probe in _PROBES:
        if not any(_has(entry, probe) for entry in used):
            used += [entry for entry in likely if _has(entry, probe)][:1]
    return [entry.name for entry in used]


def _apart(entry: FontEntry) -> int:
    """Return the distance of a font's weight from the regular weight."""
    return abs(entry.weight - 400) if isinstance(entry.weight, int) else 0


def _has(entry: FontEntry, character: str) -> bool:
    try:
        return bool(get_font(entry.fname).get_char_index(ord(character)))
    except (OSError, RuntimeError):  # the font file is gone, or its format is not supported
        return False
