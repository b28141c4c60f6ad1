"""A suite: fixed workloads, each with a budget and a goal, on which arms get a score."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from ..core.budget import Budget
from ..core.goal import VALID, Goal
from ..core.grammar import parse
from ..core.regular_files import read_regular
from ..core.schema import (
    Check,
    anything,
    find_fault,
    list_of,
    map_of,
    number,
    object_of,
    one_of,
    optional,
    text,
    whole,
)
from ..errors import ComparisonError, SpecError

UNITS = ("epochs", "updates", "samples")
"""Units of budgets that mean the same on every machine."""


@dataclass(frozen=True)
class GoalSearch:
    """Describe how goals are set: the best of many trials, repeated.

    Every strategy is crossed with every optimizer, and each of these arms tries ``tune`` learning rates on
    ``tune_seeds`` seeds. The arm and rate with the lowest median final validation loss is trained again on
    ``repeats`` other seeds, and the median of their final validation losses is the goal.

    Args:
        strategies: Specs of strategies, with their batch sizes.
        optimizers: Specs of optimizers, which may have a schedule.
        tune: Learning rates that each arm tries, as ``--tune`` does.
        tune_seeds: Seeds of each of these rates.
        repeats: Seeds of the best arm; an odd number has a median that is one of them.
        share: Part of the budget for which these trials train, so that others can reach the goal in the rest.
    """

    strategies: tuple[str, ...]
    optimizers: tuple[str, ...]
    tune: int = 8
    tune_seeds: int = 3
    repeats: int = 9
    share: float = 0.75

    def __post_init__(self) -> None:
        if not (self.strategies and self.optimizers):
            raise ComparisonError("the search of a suite needs a strategy and an optimizer at least")
        if self.repeats % 2 == 0:
            raise ComparisonError(
                f"repeats of a suite must be odd, so that the median is one of them, got {self.repeats}"
            )
        if not 0 < self.share <= 1:
            raise ComparisonError(f"share of a suite must be above 0 and at most 1, got {self.share:g}")

    def budget(self, whole_budget: Budget) -> Budget:
        """Return the budget of the trials that set a goal.

        Args:
            whole_budget: The budget of the trials that are scored.
        """
        return Budget(whole_budget.unit, max(1, int(self.share * whole_budget.amount)))


@dataclass(frozen=True)
class GoalReference:
    """State what the best arm needed when a goal was set.

    Args:
        arm: Its label.
        lr: Its learning rate.
        samples: The median over its seeds of the samples to the goal.
        updates: The same in updates.

    Raises:
        ComparisonError: Samples or updates are below 0, or not finite, so that no ratio to them is a score.
    """

    arm: str
    lr: float
    samples: float
    updates: float

    def __post_init__(self) -> None:
        for unit in ("samples", "updates"):
            cost = getattr(self, unit)
            if not (math.isfinite(cost) and cost >= 0):
                raise ComparisonError(
                    f"the {unit} of a reference must be finite and at least 0, got {cost:g}; leave the "
                    "reference out if it missed the goal"
                )


@dataclass(frozen=True, kw_only=True)
class SuiteWorkload:
    """Describe one workload of a suite.

    Args:
        workload: Its spec, such as ``mnist1d:cnn``: a registered name, no path of a Python file.
        budget: How long each trial trains: epochs, updates or samples.
        measure: Measurements per epoch, which decide how finely the time to the goal is known.
        goal: The goal, on the validation set; None: it is to be set.
        reference: What the best arm needed when the goal was set.
        data_sha256: The SHA-256 of the data on which it was set.
        set_by: How it was set: date, versions, what was tried, and the repeats.

    Raises:
        OptcompareError: The goal is not on the validation set, or a value is not in its range.
    """

    workload: str
    budget: Budget
    measure: int = 4
    goal: str | None = None
    reference: GoalReference | None = None
    data_sha256: str | None = None
    set_by: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "workload", str(parse(self.workload)))  # as runs name it
        if self.budget.unit not in UNITS:
            raise ComparisonError(
                f"{self.workload}: the budget of a suite is in {', '.join(UNITS)}, which mean the same on "
                f"every machine, not in {self.budget.unit}"
            )
        if self.goal is not None and not Goal.parse(self.goal).metric.startswith(VALID):
            raise ComparisonError(
                f"{self.workload}: the goal of a suite is on the validation set, such as valid_loss=0.2, got "
                f"{self.goal}"
            )


@dataclass(frozen=True)
class Suite:
    """Hold fixed workloads with their goals; arms that are trained on all of them get a score.

    Args:
        name: Its name, for messages and files.
        workloads: The workloads, at least one.
        about: What it is, in a sentence or two.
        search: How its goals are set; None: they were set in another way.

    Raises:
        ComparisonError: There is no name or workload, or a workload is listed twice.
    """

    name: str
    workloads: tuple[SuiteWorkload, ...]
    about: str = ""
    search: GoalSearch | None = None

    def __post_init__(self) -> None:
        names = [each.workload for each in self.workloads]
        if not self.name.strip():
            raise ComparisonError("a suite needs a name, for messages and files, got an empty one")
        if not names:
            raise ComparisonError(f"suite {self.name} has no workloads; list one at least")
        twice = [name for name in names if names.count(name) > 1]
        if twice:
            raise ComparisonError(f"suite {self.name} lists {twice[0]} twice; leave one out")

    def of(self, workload: str) -> SuiteWorkload | None:
        """Return the entry of a workload; None if the suite has none.

        Args:
            workload: Its spec.
        """
        return next((each for each in self.workloads if each.workload == workload), None)

    def check_goals(self) -> None:
        """Check that every workload has a goal.

        Raises:
            ComparisonError: One has none.
        """
        missing = [each.workload for each in self.workloads if each.goal is None]
        if missing:
            raise ComparisonError(
                f"suite {self.name} has no goal for {', '.join(missing)}; write one, such as "
                '"goal": "valid_loss=0.2", or set them with optcompare set-goals'
            )

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a suite from a JSON file.

        Args:
            path: The file.

        Raises:
            ComparisonError: It cannot be read, or holds no suite.
        """
        try:
            values = json.loads(read_regular(Path(path)).decode("utf-8-sig"))
        except OSError as error:
            raise ComparisonError(f"cannot read the suite {path}: {error.strerror or error}") from error
        except (ValueError, RecursionError) as error:
            raise ComparisonError(f"the suite {path} is no JSON: {error}") from error
        try:
            return cls.from_json(values)
        except (ComparisonError, SpecError) as error:
            raise ComparisonError(f"{path} holds no suite: {error}") from error

    @classmethod
    def from_json(cls, values: Any) -> Self:
        """Read a suite from plain values, the inverse of :meth:`to_json`.

        Args:
            values: The values, as ``json.loads`` returns them.

        Raises:
            ComparisonError: They are no suite.
        """
        fault = find_fault(_SUITE, values)
        if fault:
            raise ComparisonError(fault)
        search = values.get("search")
        return cls(
            name=values["name"],
            about=values.get("about", ""),
            search=None if search is None else GoalSearch(**{**search, **_tuples(search)}),
            workloads=tuple(map(_workload, values["workloads"])),
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values for ``json.dump``."""
        values = dataclasses.asdict(self)
        return {name: values[name] for name in ("name", "about", "search", "workloads")}


def _tuples(search: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    return {name: tuple(search[name]) for name in ("strategies", "optimizers")}


def _workload(values: Mapping[str, Any]) -> SuiteWorkload:
    reference = values.get("reference")
    made = {"budget": Budget(**values["budget"])}
    return SuiteWorkload(
        **{**values, **made, "reference": None if reference is None else GoalReference(**reference)}
    )


_REFERENCE = object_of({"arm": text, "lr": number, "samples": number, "updates": number}, closed=True)
_SEARCH = object_of(
    {"strategies": list_of(text), "optimizers": list_of(text)},
    {"tune": whole(2), "tune_seeds": whole(1), "repeats": whole(1), "share": number},
    closed=True,
)
_WORKLOAD = object_of(
    {"workload": text, "budget": object_of({"unit": one_of(*UNITS), "amount": number}, closed=True)},
    {
        "measure": whole(1),
        "goal": optional(text),
        "reference": optional(_REFERENCE),
        "data_sha256": optional(text),
        "set_by": map_of(anything),
    },
    closed=True,
)
_SUITE: Check = object_of(
    {"name": text, "workloads": list_of(_WORKLOAD)},
    {"about": text, "search": optional(_SEARCH)},
    closed=True,
)
