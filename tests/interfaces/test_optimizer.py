"""Optimizers of one's own: by path, clipped, with modes, and with closures."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, OptcompareError, PluginError, compare, load
from optcompare.core.comparison import Budget, Comparison, Trial
from optcompare.core.grammar import parse
from optcompare.core.parameters import bind
from optcompare.interfaces.optimizer import hyperparameters
from optcompare.training.device import torch_settings
from optcompare.verification.verify import verify
from tests.helpers.both_trainers import agree, both, trainers
from tests.helpers.strategies import Listener
from tests.helpers.trials import make_trainer, train
from tests.helpers.workloads import small_workload

MINE = '''
import torch

class Halved(torch.optim.SGD):
    """Half of each step."""
    def __init__(self, params, lr=0.1, momentum=0, betas=(0.9, 0.99), turned: "Unknown" = False, name=None):
        super().__init__(params, lr=lr / 2, momentum=momentum)

def no_decay_on_biases(model, *, lr: float = 0.1, weight_decay: float = 0.5):
    decayed = [weight for weight in model.parameters() if weight.ndim > 1]
    free = [weight for weight in model.parameters() if weight.ndim < 2]
    return torch.optim.SGD([{"params": decayed, "weight_decay": weight_decay}, {"params": free}], lr=lr)

def nothing(model, *, lr: float = 0.1):
    return None

class Wraps(torch.optim.SGD):
    def __init__(self, optimizer, lr=0.1): ...

class Rateless(torch.optim.SGD):
    def __init__(self, params, rate=0.1): ...

class Wants(torch.optim.SGD):
    def __init__(self, params, base: type, lr=0.1): ...

class Stops(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
    def step(self, closure=None):
        raise RuntimeError("not today")

class Keeps(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
    def step(self, closure=None):
        self.state[self.param_groups[0]["params"][0]]["seen"] = __import__("collections").deque([1])

class Fused(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
        for weight in self.param_groups[0]["params"]:
            weight.register_post_accumulate_grad_hook(lambda weight: None)

class Idle(torch.optim.SGD):
    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
    def step(self, closure):
        pass
'''


@pytest.fixture
def mine(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(MINE)
    return path


def by_hand(registry, workload, update, updates):
    """The weights after so many ``update(weights, gradients)`` on all samples, in float64, from the shared
    start of seed 0.
    """
    model = make_trainer(registry, workload, ["full"]).start(0).model().double()
    x, y = (part.double() for part in workload.train)
    weights = list(model.parameters())
    for _ in range(updates):
        gradients = torch.autograd.grad(nn.functional.mse_loss(model(x), y), weights)
        with torch.no_grad():
            update(weights, gradients)
    return weights


def close(result, arm, weights):
    for ours, theirs in zip(result.model(arm, 0).parameters(), weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_an_optimizer_by_its_path_is_that_class(tmp_path):
    settings = {"seeds": 1, "epochs": 3, "trainer": "loop", "lr": 0.01}
    named = compare(small_workload(), "mini:4", "adam:betas=(0.8,0.9)", **settings)
    by_path = compare(small_workload(), "mini:4", "torch.optim.Adam:betas=(0.8,0.9)", **settings)
    deep = compare(small_workload(), "mini:4", "torch.optim.adam.Adam:betas=(0.8,0.9)", **settings)
    assert by_path.comparison == named.comparison == deep.comparison


@pytest.mark.slow
def test_an_optimizer_of_a_file_is_saved_run_again_resumed_and_verified(mine, tmp_path):
    from optcompare.cli.main import main

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            main([*arguments])
        assert ended.value.code == 0

    one, two = tmp_path / "one", tmp_path / "two"
    run(
        "run",
        "--optimizers",
        f"{mine}:Halved:momentum=0.5,sgd",
        "--seeds",
        "2",
        "--epochs",
        "2",
        "--out",
        str(one),
    )
    assert [arm.label for arm in load(one).comparison.arms][:2] == ["full@Halved:momentum=0.5", "full@sgd"]
    assert load(one).comparison.arms[0].optimizer.reference == f"{mine}:Halved:momentum=0.5"
    run("run", "--config", str(one / "comparison.json"), "--out", str(two))
    assert load(one).trials["final_sha256"].equals(load(two).trials["final_sha256"])
    run("run", "--resume", str(one), "--seeds", "3", "--quiet")
    assert [finding for finding in verify(one, None) if finding.held is False] == []
    mine.write_text(MINE + "\n")
    with pytest.raises(
        OptcompareError, match=r"mine\.py \(changed since you named it\), which is not executed"
    ):
        list(verify(one, 0))
    (changed,) = [finding for finding in verify(one, 0, trust=True) if finding.held is False]
    assert changed.detail.startswith("the source files of plugin mine.py changed")


@pytest.mark.slow
def test_code_within_a_run_is_not_executed(mine, tmp_path):
    compare("line", "mini:4", f"{mine}:Halved", seeds=1, epochs=1, out=tmp_path / "run")
    mine.rename(tmp_path / "run" / "mine.py")
    text = (tmp_path / "run" / "comparison.json").read_text()
    (tmp_path / "run" / "comparison.json").write_text(
        text.replace(str(mine), str(tmp_path / "run" / "mine.py"))
    )
    with pytest.raises(OptcompareError, match=r"names code within itself, .*mine\.py, which is not executed"):
        list(verify(tmp_path / "run"))


def test_where_an_annotation_says_nothing_the_default_says_the_type(registry, mine):
    known = hyperparameters(registry.import_object(f"{mine}:Halved"))
    text = "Halved:lr=1:momentum=0.5:betas=(1,2):turned=true:name=x"
    values = bind(known, parse(text), kind="optimizer")
    assert values == {"lr": 1.0, "momentum": 0.5, "betas": (1, 2), "turned": True, "name": "x"}
    assert isinstance(values["lr"], float)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Halvd", r"has no 'Halvd' \(did you mean 'Halved'\?\)"),
        ("nothing", "optimizer nothing: its function must return a torch.optim.Optimizer, got a NoneType"),
        ("Wraps", r"wraps another optimizer; write a function build\(model, \*, lr: float\)"),
        ("Rateless", "takes no lr, which every arm has"),
        ("Wants", "needs base, which no text can give"),
        (
            "Stops",
            r"its step\(\) fails, given gradients in \.grad, and .*: RuntimeError: not today "
            r"\(mine\.py:\d+\)",
        ),
        ("Keeps", "keeps a collections.deque in its state, which no checkpoint could bring back"),
        ("Fused", "changes weights or gradients while they are computed"),
        ("Idle", r"its step\(\) did not call the closure"),
        ("torch", "torch is a module and no optimizer"),
    ],
)
def test_what_cannot_train_says_why(mine, name, message):
    with pytest.raises((PluginError, ComparisonError), match=message):
        compare(small_workload(), "full", f"{mine}:{name}", seeds=1, epochs=1)


def test_parameter_groups_keep_weight_decay_off_the_biases(registry, mine):
    workload = small_workload(8)
    result = compare(
        workload, "full", f"{mine}:no_decay_on_biases", lr=0.1, seeds=1, updates=3, dtype="float64"
    )

    def update(weights, gradients):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= 0.1 * (gradient + (0.5 if weight.ndim > 1 else 0.0) * weight)

    close(result, "full", by_hand(registry, workload, update, 3))


def test_the_norm_of_the_whole_gradient_is_clipped_of_chunks_together(registry):
    """Clip 0.1 is far below the gradient's norm here, 100 far above it."""
    workload, norms = small_workload(12), []

    def update(weights, gradients):
        norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
        norms.append(float(norm))
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= 0.05 * gradient * min(1.0, 0.1 / (norm + 1e-6))

    settings = {"seeds": 1, "updates": 4, "dtype": "float64", "chunk": 5, "trainer": "loop"}
    small = compare(workload, "full", clip=0.1, **settings)
    close(small, "full", by_hand(registry, workload, update, 4))
    assert min(norms) > 0.1
    large, none = (compare(workload, "full", clip=clip, **settings) for clip in (100.0, None))
    assert large.trials["final_sha256"].equals(none.trials["final_sha256"])


@pytest.mark.parametrize("optimizer", ["sgd:momentum=0.9", "adamw:weight_decay=0.1"])
def test_lanes_clip_each_its_own_gradient(optimizer):
    model = lambda: nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))  # noqa: E731
    arms = [optimizer, f"{optimizer}:clip=0.3"]
    lanes, loop = both(small_workload(10, model=model), ["mini:4"], arms, lr=[0.01, 0.2], epochs=5, chunk=3)
    assert trainers(lanes) == {"lanes"}
    agree(lanes, loop)
    ends = loop.trials.groupby("arm")["final_sha256"].first()
    assert ends.nunique() == 4


def test_an_adaptive_strategy_sees_the_gradient_before_it_is_clipped(registry):
    def told(clip):
        strategy = Listener(4)
        trainer = make_trainer(
            registry, small_workload(16), [strategy], clip=clip, budget=Budget("updates", 3)
        )
        _, state = train(trainer, Trial(trainer.setup.comparison.arms[0], 0))
        return state["strategy"]["told"], state["progress"]["final_sha256"]

    (clipped, one), (whole, other) = told(1e-3), told(None)
    assert torch.equal(clipped[0]["grad"], whole[0]["grad"])
    assert not torch.equal(clipped[1]["grad"], whole[1]["grad"])
    assert one != other


def test_labels_tell_arms_apart_by_clip_where_they_differ_and_old_comparisons_load():
    def arms(*optimizers, **question):
        return compare(small_workload(), "mini:4", list(optimizers), seeds=1, epochs=1, **question).comparison

    assert [arm.label for arm in arms("sgd", clip=1.0).arms] == ["mini:4"]
    found = arms("sgd", "sgd:clip=none", "sgd:clip=0.5", clip=1.0)
    assert [arm.label for arm in found.arms] == ["mini:4@sgd:clip=1", "mini:4@sgd", "mini:4@sgd:clip=0.5"]
    assert Comparison.from_json(found.to_json()) == found
    with pytest.raises(ComparisonError, match="are the same"):
        arms("sgd", "sgd:clip=1", clip=1.0)
    old = found.to_json()
    for arm in old["arms"]:
        del arm["clip"]
    with pytest.raises(ComparisonError, match="are the same"):
        Comparison.from_json(old)
    old["arms"] = old["arms"][:1]
    assert Comparison.from_json(old).arms[0].clip is None


class Averaged(torch.optim.SGD):
    """Judged by the mean of all weights that it had; its way back is inexact on purpose."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr=lr)
        self.training = False

    def step(self, closure=None):
        assert self.training
        super().step()
        for weight in self.param_groups[0]["params"]:
            state = self.state[weight]
            state["made"] = state.get("made", 0) + 1
            state["sum"] = state.get("sum", torch.zeros_like(weight)) + weight.detach()

    def eval(self):
        self.training = False
        for weight in self.param_groups[0]["params"]:
            self.state[weight]["kept"] = weight.detach().clone()
            weight.data.copy_(self.state[weight]["sum"] / self.state[weight]["made"])

    def train(self):
        self.training = True
        for weight in self.param_groups[0]["params"]:
            if "kept" in self.state.get(weight, {}):
                weight.data.copy_(self.state[weight].pop("kept") * 1.0000001)


def test_what_has_modes_is_measured_in_eval_mode_and_goes_on_from_the_very_weights(registry):
    workload = small_workload(8)
    result = compare(workload, "full", Averaged, lr=0.1, seeds=1, epochs=4, dtype="float64", trainer="lanes")
    path = []

    def update(weights, gradients):
        for weight, gradient in zip(weights, gradients, strict=True):
            weight -= 0.1 * gradient
        path.append([weight.clone() for weight in weights])

    by_hand(registry, workload, update, 4)
    means = [torch.stack(each).mean(0) for each in zip(*path, strict=True)]
    close(result, "full", means)
    x, y = (part.double() for part in workload.train)
    last = float(nn.functional.mse_loss(x @ means[0].T + means[1], y))
    assert result.records["train_loss"].iloc[-1] == pytest.approx(last, rel=1e-12)
    assert "there is no lane rule for the optimizer Averaged" in " ".join(result.notes)


def test_what_has_modes_ends_in_the_same_bits_measured_or_not_cut_or_not(registry):
    def ended(cut=False, **settings):
        trainer = make_trainer(
            registry,
            small_workload(17),
            ["mini:4"],
            optimizers=[Averaged],
            budget=Budget("epochs", 3),
            **settings,
        )
        return train(trainer, Trial(trainer.setup.comparison.arms[0], 0), lambda: cut)[1]

    whole = ended(measure=0)
    for other in (ended(measure=8), ended(cut=True), ended(cut=True, diagnostics="grad_norm,update_norm")):
        assert other["progress"]["final_sha256"] == whole["progress"]["final_sha256"]
        assert all(map(torch.equal, other["trained"], whole["trained"]))


@pytest.mark.slow
def test_more_epochs_go_on_from_the_weights_in_training(tmp_path):
    settings = {"strategies": ["mini:4"], "optimizers": [Averaged], "lr": 0.1, "seeds": 2, "trainer": "loop"}
    compare(small_workload(), **settings, epochs=2, out=tmp_path / "run")
    longer = compare(small_workload(), **settings, epochs=4, resume=tmp_path / "run")
    whole = compare(small_workload(), **settings, epochs=4)
    assert longer.trials["final_sha256"].equals(whole.trials["final_sha256"])


def quadratic(dimensions, n=64):
    """Least squares with d weights, of which the curvatures span a factor of 100."""
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(n, dimensions, generator=generator) * torch.logspace(-1, 0, dimensions)
    y = x @ torch.randn(dimensions, 1, generator=generator)
    return small_workload(model=lambda: nn.Linear(dimensions, 1, bias=False), train=(x, y))


def lbfgs_by_hand(registry, workload, updates, **settings):
    """Torch's own loop over the batches of each pass's epoch; the weights, and how many passes were made."""
    trainer = make_trainer(registry, workload, ["full"])
    model, passes = trainer.start(0).model(), 0
    optimizer = torch.optim.LBFGS(model.parameters(), lr=1.0, **settings)
    x, y = workload.train
    for _ in range(updates):
        order = trainer.start(0).order(passes).indices

        def closure(order=order):
            nonlocal passes
            passes += 1
            optimizer.zero_grad()
            loss = nn.functional.mse_loss(model(x[order]), y[order])
            loss.backward()
            return loss

        optimizer.step(closure)
    return list(model.parameters()), passes


@pytest.mark.parametrize("search", ["strong_wolfe", "none"])
def test_lbfgs_is_torchs_own_loop_to_the_last_bit(registry, search):
    workload = quadratic(6)
    spec = f"lbfgs:max_iter=3:history_size=4:line_search_fn={search}"
    result = compare(workload, "full", f"{spec}:lr=1", seeds=1, updates=5)
    with torch_settings(1):
        function = None if search == "none" else search
        weights, passes = lbfgs_by_hand(
            registry, workload, 5, max_iter=3, history_size=4, line_search_fn=function
        )
    assert result.trials[["updates", "samples", "epochs"]].values.tolist() == [[5, 64 * passes, passes]]
    for ours, theirs in zip(result.model("full", 0).parameters(), weights, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("dimensions", [2, 5, 10, 20])
def test_lbfgs_minimises_a_quadratic_of_d_dimensions_within_about_d_iterations(dimensions):
    spec = "lbfgs:lr=1:max_iter=1:max_eval=20:tolerance_grad=0:tolerance_change=0"
    result = compare(
        quadratic(dimensions), "full", spec, seeds=1, updates=3 * dimensions + 5, dtype="float64"
    )
    losses = result.records.set_index("update")["train_loss"]
    assert losses[dimensions + 5] < 1e-3 * losses[0]
    assert losses[3 * dimensions + 5] < 1e-9 * losses[0]


@pytest.mark.slow
@pytest.mark.parametrize("budget", [{"epochs": 17}, {"samples": 17 * 64 + 5}])
def test_an_update_that_would_exceed_the_budget_is_undone(registry, budget):
    """Passes are counted as samples, and what was undone leaves no trace: it ends as with that many
    updates.
    """
    settings = {"seeds": 1, "chunk": 50}
    result = compare(quadratic(6), "full", "lbfgs:lr=1", **settings, **budget)
    (row,) = result.trials.to_dict("records")
    assert 10 <= row["epochs"] < 17
    assert row["samples"] == row["epochs"] * 64
    asked = compare(quadratic(6), "full", "lbfgs:lr=1", **settings, updates=row["updates"])
    more = compare(quadratic(6), "full", "lbfgs:lr=1", **settings, updates=row["updates"] + 1)
    assert asked.trials["final_sha256"].tolist() == [row["final_sha256"]]
    assert more.trials["epochs"].tolist()[0] > 17
    assert all(check.held for check in result.certificate)


@pytest.mark.slow
def test_lbfgs_goes_on_beside_others_cut_resumed_with_jobs_and_verified(registry, tmp_path):
    settings = {"seeds": 2, "lr": None, "optimizers": ["sgd:lr=0.1", "lbfgs"], "trainer": "loop"}
    run = {"workload": "digits", "strategies": ["full"], **settings}
    compare(**run, epochs=12, out=tmp_path / "run")
    longer = compare(**run, epochs=20, resume=tmp_path / "run")
    whole = compare(**run, epochs=20, jobs=2)
    assert (
        longer.trials.set_index(["arm", "seed"])["final_sha256"]
        .sort_index()
        .equals(whole.trials.set_index(["arm", "seed"])["final_sha256"].sort_index())
    )
    assert all(check.held for check in longer.certificate), longer.certificate
    assert [finding for finding in verify(tmp_path / "run", None) if finding.held is False] == []
    trainer = make_trainer(
        registry, quadratic(4), ["full"], optimizers=["lbfgs"], budget=Budget("epochs", 20)
    )
    trial = Trial(trainer.setup.comparison.arms[0], 0)
    _, one = train(trainer, trial)
    _, cut = train(trainer, trial, until=lambda: True)
    assert one["progress"]["final_sha256"] == cut["progress"]["final_sha256"]


class Wandering(nn.Module):
    """Dropout and BatchNorm."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))

    def forward(self, x):
        return self.layers(x)


def test_all_passes_of_an_update_evaluate_one_function(registry):
    """The buffers end as after one forward pass an update, and an update's passes draw the same numbers."""
    seen = []

    class Watches(torch.optim.SGD):
        def step(self, closure):
            seen.append([float(closure()) for _ in range(3)])
            super().step()

    def watches(model, *, lr: float = 0.1):
        return Watches(model.parameters(), lr=lr)

    workload = small_workload(20, model=Wandering)
    result = compare(workload, "full", [watches], lr=0.1, seeds=1, epochs=12)
    assert all(len(set(passes)) == 1 for passes in seen)
    assert len({passes[0] for passes in seen}) > 3
    assert result.trials[["updates", "epochs"]].values.tolist() == [[4, 12]]
    assert int(result.model("full", 0).layers[1].num_batches_tracked) == 4


def test_a_schedule_goes_by_the_passes_that_were_made():
    """Step at half of the budget of 24 passes, three an update: four updates at the full rate, four at a
    tenth.
    """
    rates = []

    class Watches(torch.optim.SGD):
        def step(self, closure):
            rates.append(self.param_groups[0]["lr"])
            for _ in range(3):
                closure()
            super().step()

    def watches(model, *, lr: float = 0.1):
        return Watches(model.parameters(), lr=lr)

    compare(small_workload(20), "full", [watches], lr=0.1, seeds=1, epochs=24, schedule="step:parts=2")
    assert rates[-8:] == pytest.approx([0.1] * 4 + [0.01] * 4)


def test_trials_that_could_not_make_an_update_within_the_budget_are_said():
    result = compare("digits", "full", "lbfgs", seeds=4, epochs=6)
    idle = int((result.trials["updates"] == 0).sum())
    assert 0 < idle < 4
    assert [note for note in result.notes if "made no update" in note] == [
        f"full: {idle} of 4 trials made no update: the first would exceed the budget of 6 epochs; give more"
    ]
