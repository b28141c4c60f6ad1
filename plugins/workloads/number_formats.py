"""Find the notation of numbers in a column from all its cells, and rewrite them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from .cell_kinds import SHARE
from .number_cells import Form, number
from .number_evidence import NumberEvidence

_MULTIPLES = frozenset({"k", "K", "M", "Mio", "Mrd", "Mn", "mn", "bn", "Bn", "B", "Tsd"})
"""Units that multiply: a number without the unit has another size."""


@dataclass(frozen=True)
class NumberFormat:
    """Describe the notation of numbers in a column.

    Attributes:
        decimals: The signs that are decimal signs where they could also separate thousands.
        thousands: The signs that separate thousands.
        affix: The unit, currency or percent sign; None or empty: there is none.
        bare: Whether each cell consists of digits and signs between them.
        complete: Whether each cell is a number in this notation.
    """

    decimals: str
    thousands: str
    affix: str | None
    bare: bool
    complete: bool

    def plain(self, texts: Iterable[str]) -> list[str]:
        """Rewrite cells as numbers for programs; cells in another notation stay unchanged."""
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
class NumberDecision:
    """Hold the decision on a column: its notation and a note, or the reason why it stays text."""

    format: NumberFormat | None = None
    note: str = ""
    reason: str = ""
    commas: str = ""


def decide(name: str, seen: NumberEvidence, other_signs: set[str], separator: str) -> NumberDecision:
    """Find the notation of numbers in a column.

    Args:
        name: The column.
        seen: What was counted in its cells.
        other_signs: The certain decimal signs of the other columns in the file.
        separator: The separator of the file.
    """
    if not seen.are_numbers:
        return NumberDecision(reason=_why_text(seen))
    affix, reason = _affix(seen)
    if reason:
        return NumberDecision(reason=reason)
    forms = [form for form in seen.forms if form.affix in ("", affix)]
    own, either = seen.decimals, {form.either for form in forms if form.either}
    grouped = {form.thousands for form in forms if form.thousands}
    if len(own) > 1 and (either or grouped):
        return NumberDecision(
            reason=f"it mixes decimal commas and decimal points ({_examples(seen, own)}); write one of them"
        )
    if not own and len(either) > 1:
        return NumberDecision(
            reason=f"it holds both {_both_examples(seen)}, and nothing says which sign is the decimal one"
        )
    decimals, open_question = _decimals(own, either, other_signs, separator)
    if all(form.is_plain for form in forms) and (not either or decimals == "."):
        return NumberDecision(note=_note(name, seen, forms, affix, decimals, True) if open_question else "")
    used = grouped | {sign for sign in either if sign not in decimals}
    bare = not affix and not any(form.is_special for form in forms) and seen.missing + seen.counts[None] == 0
    complete = seen.missing + seen.counts[None] == 0 and len(forms) == len(seen.forms)
    notation = NumberFormat(decimals, "".join(sorted(used)), affix, bare and complete, complete)
    notable = used or affix or open_question or len(own) > 1 or any(form.is_special for form in forms)
    example = _examples_of(seen, forms, decimals)[0]
    plain = notation.plain([example])[0]
    if plain == example.strip():
        return NumberDecision(notation)  # only spaces are removed
    if notable:
        return NumberDecision(notation, _note(name, seen, forms, affix, decimals, open_question))
    return NumberDecision(notation, commas=f"{example} is read as {plain}")


def _decimals(own: set[str], either: set[str], other_signs: set[str], separator: str) -> tuple[str, bool]:
    """Return the decimal signs of a column, and whether they are a guess."""
    if own:
        return "".join(sorted(own)), False
    if not either:
        return ".", False
    (sign,) = either
    if len(other_signs) == 1:
        return next(iter(other_signs)), False
    # Spreadsheets with decimal commas write semicolons. Otherwise a comma is read as in 1,234.
    return ("," if sign == "," and separator == ";" else "."), True


def _affix(seen: NumberEvidence) -> tuple[str, str]:
    """Return the unit of a column (empty for none) and the reason why it cannot be read, if any."""
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
    """Return the first cell of the most notable form, and one whose sign is read as thousands separator."""

    def notable(form: Form) -> tuple[int, ...]:
        signs = bool(form.thousands) + bool(form.decimal) + bool(form.either)
        return bool(form.negative), form.margin, form.unusual, bool(form.affix), signs, form.decimal == ","

    most = max(forms, key=notable)
    others = [form for form in forms if form.either and form.either not in decimals and not most.thousands]
    return [seen.first[form] for form in dict.fromkeys([most, *others[:1]])]


def _examples(seen: NumberEvidence, signs: set[str]) -> str:
    examples = [
        next((seen.first[form] for form in seen.forms if form.decimal == sign), "") for sign in sorted(signs)
    ]
    return ", ".join(filter(None, examples))


def _both_examples(seen: NumberEvidence) -> str:
    return " and ".join(next(seen.first[form] for form in seen.forms if form.either == sign) for sign in ",.")


def _quoted(texts: Iterable[str]) -> str:
    return ", ".join(f"'{text}'" for text in texts)


def _why_text(seen: NumberEvidence) -> str:
    """Return the reason why a column with many numbers stays text; empty if it is plain text."""
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
