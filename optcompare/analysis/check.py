"""Make a check of the certificate from its data, and read a saved one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Self

from .check_data import CheckData
from .start_checks import (
    Coverage,
    DataSplit,
    EqualMeasurements,
    FirstMeasurement,
    InitialWeights,
    PlainLoopAgreement,
    SampleOrder,
)
from .training_checks import (
    DropoutMasks,
    EqualBudgets,
    EqualTuning,
    OtherRandomNumbers,
    RandomNumbers,
    RunningAverages,
    TrainersAgree,
)

KINDS: Mapping[str, type[CheckData]] = {
    kind.name: kind
    for kind in (
        *(PlainLoopAgreement, InitialWeights, SampleOrder, DataSplit, FirstMeasurement, EqualMeasurements),
        *(Coverage, EqualBudgets, EqualTuning, TrainersAgree, RunningAverages, RandomNumbers),
        *(OtherRandomNumbers, DropoutMasks),
    )
}
"""The kind of data of each check, by the name of the check."""


@dataclass(frozen=True)
class Check:
    """Hold the result of one rule of fairness.

    Attributes:
        name: The rule in a few words.
        held: Whether the rule was kept.
        detail: The evidence in a sentence, made from ``data``.
        data: The evidence; None in runs of earlier versions, which saved the sentence alone.
    """

    name: str
    held: bool
    detail: str
    data: CheckData | None = None

    @classmethod
    def of(cls, data: CheckData) -> Self:
        """Make the check from its data."""
        return cls(data.name, data.held, data.sentence(), data)

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """Make the check from a saved one, without data that this version does not define.

        Args:
            values: The check as ``dataclasses.asdict`` returned it.

        Raises:
            TypeError: The fields are not those of a check.
        """
        kind, saved = KINDS.get(values["name"]), values.get("data")
        known = kind is not None and saved is not None and {each.name for each in fields(kind)} == set(saved)
        return cls(**{**values, "data": kind(**saved) if kind is not None and saved and known else None})
