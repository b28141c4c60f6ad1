"""Optimizers of other packages in lanes: they train as in the loop."""

from __future__ import annotations

import functools

import pytest
import torch

from optcompare import PluginError, check_lane_rule, compare
from optcompare.registry.manager import Registry
from tests.helpers.both_trainers import agree, trainers

pytestmark = [getattr(pytest.mark, "models-test"), pytest.mark.filterwarnings("ignore")]
RULES = Registry.load().lane_rules()


def shown(value):
    return ",".join(f"{name}={each}" for name, each in value.items()) if isinstance(value, dict) else None


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["none", "warmup-cosine:warmup=0.05"])
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"weight_decay": 0.1},
        {"weight_decay": 0.1, "fixed_decay": True},
        {"weight_decay": 0.1, "weight_decouple": False, "maximize": True},
    ],
    ids=shown,
)
def test_lion_trains_in_lanes_as_in_the_loop(settings, schedule):
    lion = pytest.importorskip("pytorch_optimizer").Lion
    check_lane_rule(RULES.of(lion), functools.partial(lion, **settings), schedule=schedule)


@pytest.mark.slow
@pytest.mark.parametrize("schedule", ["none", "warmup-cosine:warmup=0.05"])
@pytest.mark.parametrize("settings", [{}, {"weight_decay": 0.1, "warmup_steps": 5, "r": 1.0}], ids=shown)
@pytest.mark.parametrize("name", ["SGDScheduleFree", "AdamWScheduleFree"])
def test_schedule_free_trains_in_lanes_as_in_the_loop(name, settings, schedule):
    kind = getattr(pytest.importorskip("schedulefree"), name)
    check_lane_rule(RULES.of(kind), functools.partial(kind, **settings), schedule=schedule)


def test_a_setting_of_another_version_is_refused():
    lion = pytest.importorskip("pytorch_optimizer").Lion
    with pytest.raises(PluginError, match="is refused: it does not name the setting use_gc"):
        check_lane_rule(RULES.of(lion), functools.partial(lion, use_gc=True))


@pytest.mark.slow
def test_schedule_free_is_measured_in_lanes_by_its_average(tmp_path):
    """The workload has two weights, whose path is followed, too."""
    pytest.importorskip("schedulefree")
    question = {"seeds": 3, "epochs": 4, "dtype": "float64", "plane": True}
    lanes, loop = (
        compare(
            "line",
            "mini",
            "schedulefree.SGDScheduleFree:lr=0.1",
            trainer=trainer,
            out=tmp_path / trainer,
            **question,
        )
        for trainer in ("lanes", "loop")
    )
    assert trainers(lanes) == {"lanes"}
    agree(lanes, loop)
    torch.testing.assert_close(
        torch.tensor(lanes.paths[["x", "y"]].to_numpy()), torch.tensor(loop.paths[["x", "y"]].to_numpy())
    )
