"""Read a cell that holds a number as people write it: sign, unit, points and commas."""

from __future__ import annotations

import re
from dataclasses import dataclass

# Characters that look alike become one: spaces, minus signs, apostrophes, and full-width digits and signs.
_ALIKE: dict[int, str] = {0xFF01 + place: chr(0x21 + place) for place in range(94)}
_ALIKE |= dict.fromkeys(map(ord, "\u00a0\u2007\u2009\u202f\u3000\u200a\t"), " ")
_ALIKE |= dict.fromkeys(map(ord, "\u2212\u2013\u2012\u2010\u2011\ufe63"), "-")
_ALIKE |= dict.fromkeys(map(ord, "\u2019\u2018\u02bc\u00b4`"), "'")
_ALIKE |= dict.fromkeys(map(ord, "\u200b\ufeff"), "")
_CODES = (
    "USD|EUR|GBP|CHF|JPY|CNY|RMB|INR|BRL|CAD|AUD|NZD|SEK|NOK|DKK|PLN|CZK|HUF|RUB|TRY|ZAR|KRW|MXN|SGD|HKD|THB|"
    "ILS|AED|SAR|IDR|MYR|PHP|TWD|CLP|COP|ARS|NGN|KES|EGP|UAH|RON|BGN|ISK|Rs|Fr|kr|zł|Kč|Ft|TL|RM|Rp"
)
_MONEY = rf"(?:(?:US|AU|CA|NZ|HK|S|C|A|R|NT)?[$€£¥₹₽₩₺₫₴₦₱฿₪₵₡]|(?:{_CODES})(?![^\W\d_])\.?)"
_UNIT = r"""[^\d\s.,;:()<>=?!'"/|+*&#@_~\[\]{}\\-][^\s,;:()<>=?!"]{0,11}(?:[ ][^\s\d,;:()<>=?!"]{1,8})?"""
_NO_UNIT = re.compile(r"^(?:st|nd|rd|th|am|pm|a\.m\.|p\.m\.)$|\d\d", re.IGNORECASE)
_NUMBER = re.compile(
    rf"""(?P<opens>\()?[ ]?
    (?P<sign>[+-])?[ ]?(?P<before>{_MONEY})?[ ]?(?P<opens2>\()?(?P<inner>[+-])?
    (?P<body>\d(?:[\d.,' ]*\d)?|[.,]\d+)(?:[.,](?=$|[ ])|[.,]--?)?
    (?P<power>[eE][+-]?\d+)?
    (?P<minus>-)?
    (?P<margin>[ ]?(?:±|\+/-|\+-)[ ]?[\d.,]+)?
    [ ]?(?P<after>{_UNIT})?[ ]?
    (?P<closes>\))?""",
    re.VERBOSE,
)
_GROUPED = re.compile(r"[1-9]\d{0,2}(?:(?P<mark>[.,' ])\d{3})(?:(?P=mark)\d{3})*|[1-9]\d?(?:,\d\d)+,\d{3}")


@dataclass(frozen=True)
class Form:
    """Describe how a number is written.

    Attributes:
        decimal: The certain decimal sign; empty: none.
        thousands: The certain thousands separator; empty: none.
        either: A sign that can be both, as in 1,234; empty: none.
        affix: A unit, a currency or a percent sign; empty: none.
        zero: Whether the number is zero, which may lack the unit.
        margin: Whether a margin follows, as in 3 ± 1.
        negative: How a negative number is marked: ``()``, a ``-`` at the end, or empty for the usual sign.
        unusual: Whether programs would not read its characters.
    """

    decimal: str = ""
    thousands: str = ""
    either: str = ""
    affix: str = ""
    zero: bool = False
    margin: bool = False
    negative: str = ""
    unusual: bool = False

    @property
    def is_plain(self) -> bool:
        """Return whether programs read it as a number with a decimal point."""
        return not (
            self.decimal == "," or self.thousands or self.either == "," or self.affix or self.is_special
        )

    @property
    def is_special(self) -> bool:
        return self.margin or bool(self.negative) or self.unusual


@dataclass(frozen=True)
class Number:
    """Hold a number as written; ``body`` has the digits and the signs between them."""

    form: Form
    minus: bool
    body: str
    power: str

    def plain(self, decimals: str) -> str:
        """Return the number as programs write it.

        Args:
            decimals: The signs that are decimal signs where they could also separate thousands.
        """
        form, body = self.form, self.body
        mark = form.decimal or (form.either if form.either in decimals else "")
        whole, _, rest = body.rpartition(mark) if mark else (body, "", "")
        digits = "".join(character for character in whole if character.isdigit())
        return ("-" if self.minus else "") + (digits or "0") + (f".{rest}" if mark else "") + self.power


def number(text: str) -> Number | None:
    """Return the number in a cell; None if it holds anything else."""
    if not any(map(str.isdigit, text)):
        return None
    alike = text.translate(_ALIKE).strip()
    match = _NUMBER.fullmatch(alike)
    opens = [match["opens"], match["opens2"]] if match else []
    if match is None or sum(map(bool, opens)) != bool(match["closes"]):
        return None
    signs = [match["sign"], match["inner"], match["minus"]]
    unit = (match["after"] or "").strip()
    if sum(map(bool, signs)) > 1 or (any(opens) and any(signs)):
        return None
    if _NO_UNIT.search(unit) or (match["minus"] and unit):
        return None
    marks = _marks(match["body"])
    if marks is None:
        return None
    negative = "()" if any(opens) else "-" if match["minus"] else ""
    affix = " ".join(filter(None, (match["before"], unit)))
    unusual = (
        alike != text.strip(" ") or bool(match["sign"] and alike[1] == " ") or alike.endswith(("-", ","))
    )
    form = Form(
        *marks,
        affix=affix,
        zero=not any(digit in "123456789" for digit in match["body"]),
        margin=bool(match["margin"]),
        negative=negative,
        unusual=unusual,
    )
    return Number(form, bool(negative) or "-" in signs, match["body"], match["power"] or "")


def _marks(body: str) -> tuple[str, str, str] | None:
    """Return the certain decimal sign, the certain thousands sign, and a sign that can be either.

    The result is None if the digits and signs are no number.
    """
    signs = [character for character in body if not character.isdigit()]
    kinds = list(dict.fromkeys(signs))
    if not kinds:
        return "", "", ""
    if len(kinds) == 1:
        mark, grouped = kinds[0], bool(_GROUPED.fullmatch(body))
        if mark in ".," and len(signs) == 1:
            return ("", "", mark) if grouped else (mark, "", "")
        return ("", mark, "") if grouped else None
    if len(kinds) > 2 or signs[-1] not in ".," or signs.count(signs[-1]) > 1:
        return None
    whole = body.rpartition(signs[-1])[0]
    return (signs[-1], kinds[0], "") if _GROUPED.fullmatch(whole) else None
