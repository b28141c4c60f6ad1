"""Count the forms in which the cells of a column write numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .cell_kinds import MISSING, SHARE, describe_cell
from .number_cells import Form, Number, number

_SAME_DIGITS = str.maketrans("123456789", "9" * 9)


@dataclass
class NumberEvidence:
    """Count the cells of a column by their form, and keep the first cell of each form."""

    counts: Counter[Form | None] = field(default_factory=Counter)
    first: dict[Form | None, str] = field(default_factory=dict)
    missing: int = 0
    looks: Counter[str] = field(default_factory=Counter)
    _forms: dict[str, Form | None] = field(default_factory=dict)

    def add(self, texts: Sequence[str]) -> list[str]:
        """Count cells by their form, which depends on the positions of digits rather than on their values.

        Args:
            texts: Cells of the column.

        Returns:
            The cells that are no numbers.
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
            if form and any(map(str.isdigit, form.affix)):  # m2 and m3 are different units
                for text in [text for text, same in zip(texts, shapes, strict=True) if same == shape]:
                    self._count(number(text), text)
                continue
            self.counts[form] += counts[shape]
            self.first.setdefault(form, first[shape])
            if form is None:
                self.looks[describe_cell(shape)] += counts[shape]
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
        """Return whether nine of ten known cells are numbers in some notation."""
        return bool(self.forms) and self.known - self.counts[None] >= SHARE * self.known

    @property
    def decimals(self) -> set[str]:
        """Return the certain decimal signs; a certain thousands separator implies the other sign."""
        if not self.are_numbers:
            return set()
        other = {",": ".", ".": ","}
        sure = {form.decimal for form in self.forms if form.decimal}
        return sure | {
            other[form.thousands] for form in self.forms if form.thousands in other and not form.decimal
        }
