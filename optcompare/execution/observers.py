"""Notification of plugins, trackers and the caller's observers while a run goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.comparison import Trial
from ..registry.manager import Registry
from .runner import Observer


class Observers:
    """Pass the events of a run to plugins, trackers and the caller's observers.

    Args:
        registry: The registry of plugins.
        observers: Trackers and observers, notified in this order.
    """

    def __init__(self, registry: Registry, observers: Sequence[Observer]) -> None:
        self._registry, self._observers = registry, observers
        self._plugins_observe = registry.observes("measured")

    def measured(self, trial: Trial, record: Mapping[str, Any]) -> None:
        """Pass on one measurement.

        Args:
            trial: The trial that was measured.
            record: The new row of the records, by column.
        """
        if self._plugins_observe:
            self._registry.notify("measured", trial=trial, record=record)
        for observer in self._observers:
            observer.measured(trial, record)

    def trial_finished(self, trial: Trial, outcome: Mapping[str, Any]) -> None:
        """Pass on the end of a trial.

        Args:
            trial: The trial that ended.
            outcome: The row of the trial, by column.
        """
        self._registry.notify("trial_finished", trial=trial, outcome=outcome)
        for observer in self._observers:
            observer.trial_finished(trial, outcome)

    def advanced(self, done: int, of: int, fraction: float, seconds_left: float) -> None:
        """Pass on the progress of the whole run; plugins have no hook for it.

        Args:
            done: The number of trials that have ended.
            of: The number of all trials.
            fraction: The share of the work that is done, from 0 to 1.
            seconds_left: The expected seconds to the end.
        """
        for observer in self._observers:
            observer.advanced(done, of, fraction, seconds_left)
