"""How a column writes its numbers: decided on all of its cells, then applied to any of them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from .number_cells import Form, Number, number

MISSING = frozenset(
    {
        "",
        "?",
        "-",
        "--",
        "–",
        "—",
        ".",
        "..",
        "...",
        "*",
        "**",
        "x",
        "X",
        "na",
        "n.a.",
        "n. a.",
        "N.A.",
        "n/a",
        "NA",
    }
    | {"nan", "NaN", "none", "None", "null", "NULL", "k.A.", "k. A.", "missing", "unknown"}
)
SHARE = 0.9
_MULTIPLES = frozenset({"k", "K", "M", "Mio", "Mrd", "Mn", "mn", "bn", "Bn", "B", "Tsd"})
"""Units that multiply, so that a number without one is not in it."""
_LOOKS = {
    "times such as 12:30": re.compile(r"\d{1,3}:\d\d(?::\d\d(?:[.,]\d+)?)?(?: ?[AaPp]\.?[Mm]\.?)?"),
    "ranges such as 10-20": re.compile(r"[\d.,]+ ?(?:-|–|to|bis) ?[\d.,]+"),
    "limits such as <5 or 10+": re.compile(r"[<>≤≥~] ?=? ?[\d.,]+|[\d.,]+ ?\+"),
    "months such as 3/2024": re.compile(r"\d{1,2}[/.]\d{4}"),
    "fractions such as 3/4": re.compile(r"\d+ ?/ ?\d+"),
    "lists such as 2;3": re.compile(r"[\[(]?[\d.]+(?:[;,|] ?[\d.]+)+[\])]?"),
}
_SAME_DIGITS = str.maketrans("123456789", "9" * 9)


@dataclass
class NumberEvidence:
    """What was seen in a column: how many cells are written in each form, and the first of each."""

    counts: Counter[Form | None] = field(default_factory=Counter)
    first: dict[Form | None, str] = field(default_factory=dict)
    missing: int = 0
    looks: Counter[str] = field(default_factory=Counter)
    _forms: dict[str, Form | None] = field(default_factory=dict)

    def add(self, texts: Sequence[str]) -> list[str]:
        """Counts cells by their form, which depends on where digits stand and hardly on which they are.

        Returns the cells that are no numbers.
        """
        shapes = [text.translate(_SAME_DIGITS) for text in texts]
        first = dict(zip(reversed(shapes), reversed(texts), strict=True))
        counts = Counter(shapes)
        for shape in dict.fromkeys(shapes):
            if first[shape].strip() in MISSING:
                self.missing += counts[shape]
                continue
            if shape not in self._forms:
                read = number(first[shape])
                self._forms[shape] = read.form if read else None
            form = self._forms[shape]
            if form and any(map(str.isdigit, form.affix)):  # m² written as m2 is no m3
                for text in [text for text, same in zip(texts, shapes, strict=True) if same == shape]:
                    self._count(number(text), text)
                continue
            self.counts[form] += counts[shape]
            self.first.setdefault(form, first[shape])
            if form is None:
                self.looks[_look(shape)] += counts[shape]
        others = {shape for shape in counts if self._forms.get(shape) is None}
        return [text for text, shape in zip(texts, shapes, strict=True) if shape in others] if others else []

    def _count(self, read: Number | None, text: str) -> None:
        form = read.form if read else None
        self.counts[form] += 1
        self.first.setdefault(form, text)

    @property
    def forms(self) -> list[Form]:
        return [form for form in self.counts if form is not None]

    @property
    def known(self) -> int:
        return sum(self.counts.values())

    @property
    def are_numbers(self) -> bool:
        """Whether nine of ten known cells are numbers in some notation."""
        return bool(self.forms) and self.known - self.counts[None] >= SHARE * self.known

    @property
    def decimals(self) -> set[str]:
        """The decimal signs that are sure; a sign that is sure to separate thousands leaves the other."""
        if not self.are_numbers:
            return set()
        other = {",": ".", ".": ","}
        sure = {form.decimal for form in self.forms if form.decimal}
        return sure | {
            other[form.thousands] for form in self.forms if form.thousands in other and not form.decimal
        }


@dataclass(frozen=True)
class NumberFormat:
    """The format of a column: ``decimals`` are the signs that are decimal where they could be thousands.

    ``bare``: whether each cell is digits and signs between them alone.
    """

    decimals: str
    thousands: str
    affix: str | None
    bare: bool
    complete: bool

    def plain(self, texts: Iterable[str]) -> list[str]:
        """The cells as programs write numbers; those that are none in this format as they are."""
        if self.bare and self.decimals == "," and not self.thousands:
            return [text.replace(",", ".") for text in texts]
        if self.bare and len(self.decimals) == 1:
            remove = str.maketrans(
                {**dict.fromkeys(self.thousands), ",": "." if self.decimals == "," else None}
            )
            return [text.translate(remove) for text in texts]
        return [self._plain(text) for text in texts]

    def _plain(self, text: str) -> str:
        read = number(text)
        if read is None or (read.form.affix and read.form.affix != self.affix):
            return text
        return read.plain(self.decimals)


@dataclass(frozen=True)
class Verdict:
    """What is to be done with a column: a format to read it in, a note, or why it is left as text."""

    format: NumberFormat | None = None
    note: str = ""
    reason: str = ""
    commas: str = ""


def decide(name: str, seen: NumberEvidence, elsewhere: set[str], separator: str) -> Verdict:
    """The format of a column; ``elsewhere``: decimal signs that are sure in the other columns of the file."""
    if not seen.are_numbers:
        return Verdict(reason=_what_text_holds(seen))
    affix, reason = _affix(seen)
    if reason:
        return Verdict(reason=reason)
    forms = [form for form in seen.forms if form.affix in ("", affix)]
    own, either = seen.decimals, {form.either for form in forms if form.either}
    grouped = {form.thousands for form in forms if form.thousands}
    if len(own) > 1 and (either or grouped):
        return Verdict(
            reason=f"it mixes decimal commas and decimal points ({_examples(seen, own)}); write one of them"
        )
    if not own and len(either) > 1:
        return Verdict(
            reason=f"it holds both {_two_ways(seen)}, and nothing says which sign is the decimal one"
        )
    decimals, open_question = _decimals(own, either, elsewhere, separator)
    if all(form.is_plain for form in forms) and (not either or decimals == "."):
        return Verdict(note=_note(name, seen, forms, affix, decimals, True) if open_question else "")
    used = grouped | {sign for sign in either if sign not in decimals}
    bare = not affix and not any(form.is_special for form in forms) and seen.missing + seen.counts[None] == 0
    complete = seen.missing + seen.counts[None] == 0 and len(forms) == len(seen.forms)
    found = NumberFormat(decimals, "".join(sorted(used)), affix, bare and complete, complete)
    telling = used or affix or open_question or len(own) > 1 or any(form.is_special for form in forms)
    example = _examples_of(seen, forms, decimals)[0]
    plain = found.plain([example])[0]
    if plain == example.strip():
        return Verdict(found)  # nothing but spaces is taken off
    if telling:
        return Verdict(found, _note(name, seen, forms, affix, decimals, open_question))
    return Verdict(found, commas=f"{example} is read as {plain}")


def _decimals(own: set[str], either: set[str], elsewhere: set[str], separator: str) -> tuple[str, bool]:
    """The decimal signs of a column, and whether that is a guess."""
    if own:
        return "".join(sorted(own)), False
    if not either:
        return ".", False
    (sign,) = either
    if len(elsewhere) == 1:
        return next(iter(elsewhere)), False
    # Semicolons come from spreadsheets with decimal commas; without any hint, a comma elsewhere is that of
    # 1,234.
    return ("," if sign == "," and separator == ";" else "."), True


def _affix(seen: NumberEvidence) -> tuple[str, str]:
    """The unit of a column, '' for none, or the reason why there is no such unit."""
    counts = Counter({form.affix: 0 for form in seen.forms})
    for form in seen.forms:
        counts[form.affix] += 0 if form.zero and not form.affix else seen.counts[form]
    counts = +counts
    units = [affix for affix, _ in counts.most_common() if affix]
    if not units:
        return "", ""
    most = units[0]
    examples = {form.affix: seen.first[form] for form in reversed(seen.forms)}
    if counts[most] + counts[""] < SHARE * counts.total() or (
        len(units) > 1 and counts[most] < SHARE * counts.total()
    ):
        return (
            "",
            f"it holds numbers with different units ({_quoted(examples[unit] for unit in units[:3])}); "
            "convert them to one",
        )
    if counts[""] >= SHARE * counts.total():
        return "", ""
    if counts[""] > counts[most]:
        return (
            "",
            f"it holds numbers with a unit and more without one ({examples[most]}, {examples['']}); write "
            "it or leave it out",
        )
    if most.strip(" $€£¥.") in _MULTIPLES and counts[""]:
        return (
            "",
            f"it mixes numbers in {most} and plain ones ({examples[most]}, {examples['']}); write all in "
            "the same way",
        )
    if most in ("%", "‰") and counts[""]:
        return (
            "",
            f"it mixes percentages and plain numbers ({examples[most]}, {examples['']}); write one of them",
        )
    return most, ""


def _note(
    name: str, seen: NumberEvidence, forms: list[Form], affix: str, decimals: str, guessed: bool
) -> str:
    examples = _examples_of(seen, forms, decimals)
    plain = [read.plain(decimals) for example in examples if (read := number(example))]
    margin = any(form.margin for form in forms)
    bare = sum(seen.counts[form] for form in forms if affix and not form.affix and not form.zero)
    note = (
        f"'{name}' holds {_noun(affix, margin)} such as {' and '.join(examples)}, read as "
        f"{' and '.join(plain)}"
    )
    if margin:
        note += " without the margin"
    if bare:
        note += f"; {bare} cells without '{affix}' are taken to be in it too"
    if len(decimals) > 1:
        note += "; both its commas and its points are taken for decimal signs"
    if guessed:
        sign = next(form.either for form in forms if form.either)
        word = "comma" if sign == "," else "point"
        note += (
            f"; if the {word} separates thousands, take it out"
            if sign in decimals
            else f"; if the {word} is a decimal sign, write a point"
        )
    return note


def _noun(affix: str, margin: bool) -> str:
    if affix in ("%", "‰"):
        word = "percentages"
    elif not affix:
        word = "numbers"
    else:
        word = "amounts" if number(f"{affix} 1") else "numbers with a unit"
    return word + ((" and a margin" if " with " in word else " with a margin") if margin else "")


def _examples_of(seen: NumberEvidence, forms: list[Form], decimals: str) -> list[str]:
    """The first cell of the most telling form, and one whose only sign is taken to separate thousands."""

    def telling(form: Form) -> tuple[int, ...]:
        signs = bool(form.thousands) + bool(form.decimal) + bool(form.either)
        return bool(form.negative), form.margin, form.unusual, bool(form.affix), signs, form.decimal == ","

    most = max(forms, key=telling)
    others = [form for form in forms if form.either and form.either not in decimals and not most.thousands]
    return [seen.first[form] for form in dict.fromkeys([most, *others[:1]])]


def _examples(seen: NumberEvidence, signs: set[str]) -> str:
    found = [
        next((seen.first[form] for form in seen.forms if form.decimal == sign), "") for sign in sorted(signs)
    ]
    return ", ".join(filter(None, found))


def _two_ways(seen: NumberEvidence) -> str:
    return " and ".join(next(seen.first[form] for form in seen.forms if form.either == sign) for sign in ",.")


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


def _look(shape: str) -> str:
    """What a cell holds that is no number, but has digits like one; '' for words."""
    return next((what for what, pattern in _LOOKS.items() if pattern.fullmatch(shape.strip())), "")


def _what_text_holds(seen: NumberEvidence) -> str:
    """Why a column that holds many numbers is text all the same; '' where it is plain text."""
    numbers = seen.known - seen.counts[None]
    for what, count in seen.looks.most_common():
        if what and count + numbers >= SHARE * seen.known:
            some = "" if count == seen.known else f"{numbers} numbers and "
            return f"it holds {some}{what}, which are not read as numbers"
    if 2 * numbers < seen.known or not numbers or any(form.affix for form in seen.forms):
        return ""
    return (
        f"{numbers} of its {seen.known} cells are numbers, and others such as '{seen.first[None]}' are none"
    )
