"""The state of unfinished trials, as trainers return it and checkpoints store it.

All values are plain or tensors, so that ``torch.load(weights_only=True)`` reads them. The keys are the
format of ``checkpoint.pt`` and ``states/*.pt``: a key may be added as ``NotRequired``, none may be renamed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict, final

if TYPE_CHECKING:
    from torch import Tensor

Status = Literal["running", "finished", "diverged", "failed", "interrupted"]


@final
class ProgressState(TypedDict):
    """How far a trial has come; the fields of :class:`.Progress`.

    Files of version 0.1.0 lack some keys; :class:`.Progress` has a default for each.
    """

    status: Status
    reason: str
    """Why the trial ended, in words; empty where it ran or finished as planned."""
    updates: int
    samples: int
    """Training samples whose gradients were evaluated."""
    epoch: int
    """Complete epochs."""
    position: int
    """Updates made in the epoch under way."""
    batch_size: int
    """Samples of the last update."""
    measured_at: int
    """Update of the last record; -1 before the first."""
    train_seconds: float
    measure_seconds: float
    weights_sha256: str
    """Fingerprint of the weights at the start."""
    final_sha256: str
    """Fingerprint of the weights at the end; empty until the trial has ended."""
    batches: str
    """Chained SHA-256 of the batches yielded up to the start of this epoch; to the end once it has ended."""
    cut_at: str
    """SHA-256 of the batches made in an epoch that the end of a task cut."""
    checked: int
    """Epochs whose batches were checked."""
    rearranged: bool
    """Whether the batches left the shared order."""
    orders: list[str]
    """SHA-256 of the shared order of each epoch so far."""
    path: list[list[float]]
    """[update, w0, w1] at followed updates of a model with two weights."""
    snapshots: list[tuple[int, Tensor]]
    """(update, weights or a sketch of them) where the plane is asked for; a tensor here is never changed."""
    tested: dict[str, float]
    """Columns of the last record that are measured at the end: on all rows, and on the test set."""
    sampled: dict[str, float]
    """Columns of the last record that are over a sample of rows, as they were before the trial ended."""
    goal_points: list[list[float]]
    """[samples, update, distance, whether at an evaluation point], of late; see :class:`.GoalWatch`."""
    goal_near_until: int
    """Samples up to which every update is measured."""
    goal_dip: int
    """First measured update at which the distance was 0 or below; -1 if none."""
    goal_tried: list[int]
    """[samples, update] of the last point whose average was known."""
    goal_found: dict[str, int]
    """Where the goal was reached, by the column of the trials table."""
    engines: list[str]
    """The engines of lanes that made its updates, in the order of their first."""
    goal_reached: bool
    """Whether all rows showed that a goal is reached that is not smoothed."""


@final
class FlagsState(TypedDict, total=False):
    """What a model set of its parts since its start; see :class:`.Flags`."""

    trainable: dict[str, bool]
    """By the name of a weight, whether it is trainable."""
    training: dict[str, bool]
    """By the path of a module, whether it is in training mode."""
    functions: list[str]
    """Paths of attributes that hold another function, which no checkpoint can bring back."""


@final
class TrialState(TypedDict):
    """Everything that :meth:`.LoopTrainer.advance` needs to go on with one trial.

    A trial that failed before its model was made has ``progress`` alone. Tensors are on the
    device of the trial and in its dtype, if the model does not choose others.
    """

    progress: ProgressState
    model: NotRequired[dict[str, Any]]
    """``model.state_dict()`` of what the trial has reached, by name."""
    trained: NotRequired[list[Tensor]]
    """The weights that the optimizer trains, in the model's order, where it is measured by others."""
    buffers: NotRequired[dict[str, Tensor]]
    """All buffers by name, also those that the ``state_dict()`` leaves out."""
    optimizer: NotRequired[dict[str, Any]]
    """``optimizer.state_dict()``."""
    strategy: NotRequired[dict[str, Any]]
    """The state fields of the strategy, by name, at the start of the epoch under way."""
    rng: NotRequired[dict[str, Any]]
    """The states of all global generators; see :func:`.rng_state`."""
    attributes: NotRequired[dict[str, dict[str, Any]]]
    """Under ``model``, and ``loss`` if it is a module: plain attributes that training changed, by path."""
    flags: NotRequired[FlagsState]


@final
class LanesState(TypedDict):
    """Everything that :meth:`.LanesTrainer.advance` needs to go on with a group of trials."""

    lanes: list[TrialState]
    """One state for each trial of the group, in its order; the loop trainer can go on from each."""
    strayed: dict[str, str]
    """By the number of a lane as text: why its trial continues on the loop trainer."""
    again: NotRequired[bool]
    """Whether the trials in ``strayed`` restart from the shared start, since their states were lost."""


State = TrialState | LanesState
"""The state of a task: of one trial on the loop trainer, or of a group in lanes."""


def trial_states(state: State) -> Sequence[TrialState]:
    """Return the state of each trial of a task, in the order of its trials."""
    if "lanes" in state:
        return state["lanes"]
    return [state]


def trial_state(state: State | None) -> TrialState | None:
    """Return the state of a loop task as such.

    Raises:
        TypeError: It is the state of a group of lanes.
    """
    if state is not None and "lanes" in state:
        raise TypeError("the loop trainer cannot continue the state of a group of lanes")
    return state


def lanes_state(state: State | None) -> LanesState | None:
    """Return the state of a lanes task as such.

    Raises:
        TypeError: It is the state of a single trial.
    """
    if state is not None and "lanes" not in state:
        raise TypeError("the lanes trainer cannot continue the state of a single trial")
    return state


def can_continue(state: State) -> bool:
    """Return whether a checkpoint can hold a state.

    A trial that failed before its model was made has nothing to continue from, and one that was interrupted
    within an epoch has no complete state.
    """
    trials = trial_states(state)
    return all("model" in trial and trial["progress"]["status"] != "interrupted" for trial in trials)
