"""Plugins register lane rules, by class or by path."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
import torch

from optcompare import LaneRule, PluginError, compare
from tests.helpers.both_trainers import agree, trainers
from tests.helpers.plugins import SIGNS
from tests.helpers.workloads import small_workload
from tests.registry.test_manager import loaded, plugin

RULE = LaneRule(update=lambda weight, grad, state, rates, flags: (weight, state))
OTHER = LaneRule(update=lambda weight, grad, state, rates, flags: (weight, state))


def rules(**plugins):
    return loaded(
        **{name: plugin(lane_rules=lambda value=value: value) for name, value in plugins.items()}
    ).lane_rules()


def test_a_rule_is_found_by_its_class_and_by_any_path_of_it():
    sgd = torch.optim.SGD
    for key in (sgd, "torch.optim.SGD", "torch.optim.sgd.SGD"):
        assert rules(mine={key: RULE}).of(sgd) is RULE
        assert rules(mine={key: RULE}).of(torch.optim.Adam) is None


def test_a_rule_of_a_base_class_does_not_apply():
    class Own(torch.optim.SGD):
        pass

    assert rules(mine={torch.optim.SGD: RULE}).of(Own) is None


def test_a_rule_by_its_path_is_imported_when_it_is_used():
    name = "optcompare_plugins.lane_rules.lion"
    before = sys.modules.pop(name, None)
    try:
        registered = rules(mine={"nowhere.Lion": f"{name}.LION", "torch.optim.SGD": f"{name}.LION"})
        assert registered.of(torch.optim.Adam) is None
        assert name not in sys.modules
        assert registered.of(torch.optim.SGD) is sys.modules[name].LION
    finally:
        if before is not None:
            sys.modules[name] = before


@pytest.mark.slow
def test_our_rules_import_nothing_that_is_not_used():
    code = (
        "import sys; from optcompare.registry.manager import Registry; Registry.load().lane_rules();"
        "print({'torch', 'pytorch_optimizer', 'schedulefree'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "keys",
    [(torch.optim.SGD, torch.optim.SGD), ("torch.optim.SGD", torch.optim.SGD)],
    ids=["same", "other path"],
)
def test_two_plugins_with_a_rule_for_one_class_are_both_named(keys):
    message = (
        r"plugins (one and two|two and one) both register a lane rule for torch\.optim\.sgd\.SGD; uninstall"
    )
    with pytest.raises(PluginError, match=message):
        rules(one={keys[0]: RULE}, two={keys[1]: OTHER}).of(torch.optim.SGD)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "must return a mapping of optimizer class to LaneRule, got a list"),
        ({"sgd": RULE}, r"must map .* to LaneRules \(or dotted paths\); the key 'sgd' is neither$"),
        ({RULE: RULE}, "the key of type LaneRule is neither$"),
        ({torch.optim.SGD: print}, "the value for SGD is of type builtin_function_or_method$"),
        ({"torch.optim.SGD": "rule"}, "the value for torch.optim.SGD is 'rule'$"),
    ],
)
def test_what_is_no_rule_is_refused_with_the_plugin(value, message):
    with pytest.raises(PluginError, match=r"plugin mine: optcompare_lane_rules\(\).*" + message):
        rules(mine=value)


def test_a_hook_that_fails_is_refused_with_its_cause():
    def fails():
        raise RuntimeError("no")

    with pytest.raises(PluginError, match=r"plugin mine: optcompare_lane_rules\(\) failed: RuntimeError: no"):
        loaded(mine=plugin(lane_rules=fails)).lane_rules()


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.RULE", "is nowhere.RULE, which cannot be imported: ModuleNotFoundError"),
        ("math.pi", "is math.pi, a float; give the path of a LaneRule"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_when_it_is_used(path, message):
    registered = rules(mine={"torch.optim.SGD": path})
    with pytest.raises(
        PluginError, match=f"plugin mine: the lane rule of torch.optim.SGD {re.escape(message)}"
    ):
        registered.of(torch.optim.SGD)


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_rule_of_a_plugin_file_trains_in_lanes_in_every_process(tmp_path, jobs):
    path = tmp_path / "signs.py"
    path.write_text(SIGNS.replace("FACTOR", "1.0"), encoding="utf-8")
    question = {"seeds": 4, "updates": 20, "dtype": "float64", "plugins": [str(path)], "jobs": jobs}
    for spec in ("signs", f"{path}:Signs"):
        lanes, loop = (
            compare(small_workload(), "mini:4", spec, trainer=trainer, **question)
            for trainer in ("lanes", "loop")
        )
        assert trainers(lanes) == {"lanes"}, lanes.notes
        agree(lanes, loop)


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_wrong_rule_of_a_plugin_file_is_refused_with_the_reason(tmp_path, jobs):
    path = tmp_path / "signs.py"
    path.write_text(SIGNS.replace("FACTOR", "1.001"), encoding="utf-8")
    question = {"seeds": 4, "updates": 20, "plugins": [str(path)], "jobs": jobs}
    result = compare(small_workload(), "mini:4", "signs", trainer="lanes", **question)
    assert trainers(result) == {"loop"}
    assert re.search(r"an update differs from the loop's by .* of the weights' norm", result.notes[0])
