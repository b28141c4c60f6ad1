"""Diagnostics against closed forms; what they may not change; what a model cannot have."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import nn

from optcompare import Diagnostic, Strategy, Workload, compare
from optcompare.cli.main import main
from optcompare.core.comparison import Comparison
from optcompare.errors import ComparisonError, DiagnosticError, OptcompareError, PluginError, SpecError
from optcompare.registry.manager import Registry
from optcompare.report.loading import load
from optcompare.training.measurement.evaluation import evaluation_number, next_evaluation
from optcompare.training.measurement.per_sample_grads import SampleNorms, sample_gradients
from tests.helpers.workloads import small_workload

ALL = [
    "grad_norm",
    "grad_cosine",
    "grad_variance",
    "noise_scale",
    "update_norm",
    "distance",
    "alpha",
    "sharpness",
]
SAME = ["arm", "seed", "update", "train_loss", *ALL]


class Regression:
    """L(w) = Σ(x_i·w + b - y_i)²/N on the data of ``small_workload``: its gradients g_i, and its Hessian
    2AᵀA/N.
    """

    def __init__(self, n: int = 10) -> None:
        x, y = small_workload(n).train
        self.a, self.y = torch.cat([x, torch.ones(n, 1)], 1).double(), y.double().reshape(-1)
        self.hessian = 2 * self.a.T @ self.a / n

    def gradients(self, w):
        return 2 * (self.a @ w - self.y)[:, None] * self.a


def weights_of(result, arm, seed=0):
    return torch.cat(
        [weight.detach().reshape(-1) for weight in result.model(arm, seed).parameters()]
    ).double()


def start_of(seed=0):
    torch.manual_seed(seed)
    model = nn.Linear(3, 1).double()
    torch.manual_seed(seed)
    model.load_state_dict(nn.Linear(3, 1).state_dict())
    return torch.cat([model.weight.detach().reshape(-1), model.bias.detach()])


def close(value, expected, tolerance=1e-12):
    return value == pytest.approx(float(expected), rel=tolerance, abs=tolerance)


def test_each_is_what_linear_regression_says():
    """Two full-batch updates at lr .05, followed by hand."""
    result = compare(small_workload(), ["full"], diagnostics=ALL, seeds=1, epochs=2, dtype="float64")
    problem, w = Regression(), start_of()
    path = [w]
    for _ in range(2):
        path.append(path[-1] - 0.05 * problem.gradients(path[-1]).mean(0))
    for row, (update, w) in zip(result.records.to_dict("records"), enumerate(path), strict=True):
        g = problem.gradients(w)
        mean, variance = g.mean(0), g.var(0).sum()
        assert row["update"] == update
        assert close(row["grad_norm"], mean.norm())
        assert close(row["grad_variance"], variance)
        square = mean.square().sum() - variance / 10
        assert close(row["noise_scale"], variance / square if square > 0 else math.inf)
        assert close(row["distance"], (w - path[0]).norm())
        assert close(row["sharpness"], torch.linalg.eigvalsh(problem.hessian)[-1])
        if update == 0:
            assert all(math.isnan(row[name]) for name in ("update_norm", "alpha", "grad_cosine"))
        else:
            step, before = w - path[update - 1], problem.gradients(path[update - 1]).mean(0)
            assert close(row["update_norm"], step.norm())
            assert close(row["grad_cosine"], 1)
            assert close(row["alpha"], -(mean @ step) / (before @ step))
    assert close((weights_of(result, "full") - path[-1]).norm(), 0)


def quadratic(lr, slope=3.0):
    """L(w) = (slope·w)², of one sample: curvature 2·slope²."""
    return Workload(
        model=lambda: nn.Linear(1, 1, bias=False),
        train=(torch.tensor([[slope]]), torch.zeros(1, 1)),
        lr=lr,
        loss=nn.functional.mse_loss,
        name="quadratic",
    )


@pytest.mark.parametrize(
    ("lr", "alpha"), [(1 / 36, -0.5), (1 / 18, 0.0), (1 / 12, 0.5), (1 / 9, 1.0), (1 / 6, 2.0)]
)
def test_alpha_and_sharpness_of_a_parabola(lr, alpha):
    """Curvature 18: alpha = 18·lr - 1, and lr = 1/9 = 2/sharpness is where gradient descent stops to
    converge.
    """
    records = compare(
        quadratic(lr), ["full"], diagnostics=["alpha", "sharpness"], seeds=1, epochs=1, dtype="float64"
    ).records
    assert records["alpha"].iloc[1] == pytest.approx(alpha, abs=1e-7)
    assert records["sharpness"].tolist() == pytest.approx([18.0, 18.0])


def test_cosine_of_a_batch_is_that_of_its_gradient_before_the_update():
    result = compare(
        small_workload(), ["mini:4"], diagnostics="grad_cosine", seeds=1, updates=1, dtype="float64"
    )
    problem, w = Regression(), start_of()
    batch = torch.from_numpy(order(0, 0, 10)[:4])
    g = problem.gradients(w)
    expected = torch.cosine_similarity(g[batch].mean(0), g.mean(0), dim=0)
    assert close(result.records["grad_cosine"].iloc[-1], expected)


def order(seed, epoch, n):
    from optcompare.core.rng import permutation

    return permutation(seed, epoch, n).numpy()


def test_sharpness_by_iteration_is_the_largest_eigenvalue_not_the_largest_in_magnitude():
    """A Hessian diag(-3, …, 2): 40 weights, so that Lanczos has to find it."""
    curvatures = torch.linspace(-3, 2, 40)

    def objective(model, batch):
        return (0.5 * curvatures.to(model.weight) * model.weight.square()).sum() + 0 * batch[0].sum()

    workload = Workload(
        model=lambda: nn.Linear(40, 1, bias=False),
        train=(torch.zeros(2, 1), torch.zeros(2, 1)),
        objective=objective,
        lr=1e-3,
    )
    records = compare(
        workload, ["full"], diagnostics=["sharpness:tol=1e-9"], seeds=1, updates=1, dtype="float64"
    ).records
    assert records["sharpness"].tolist() == pytest.approx([2.0, 2.0], rel=1e-8)


@pytest.mark.slow
def test_noise_scale_of_some_rows_is_unbiased_and_the_same_for_all_arms():
    """Over 300 draws of 8 rows, trΣ̂ has the mean of all rows' trΣ̂."""
    workload = small_workload(40)
    records = compare(
        workload,
        ["full", "mini:8"],
        diagnostics=["grad_variance:8"],
        seeds=300,
        updates=1,
        measure=0,
        dtype="float64",
    ).records
    first = records[records["update"] == 0].pivot(index="seed", columns="arm", values="grad_variance")
    assert (first["full"] == first["mini:8"]).all()
    whole = compare(
        workload, ["full"], diagnostics=["grad_variance"], seeds=300, updates=1, dtype="float64"
    ).records
    expected = whole[whole["update"] == 0].set_index("seed")["grad_variance"]
    ratio = first["full"] / expected
    assert abs(ratio.mean() - 1) < 4 * ratio.std() / math.sqrt(300)


@pytest.mark.slow
def test_noise_scale_is_infinite_where_noise_hides_the_gradient():
    x = torch.tensor([[1.0], [-1.0]])
    workload = Workload(
        model=lambda: nn.Linear(1, 1), train=(x, 5 * x), loss=lambda out, y: (out * y).mean(), lr=1e-9
    )
    records = compare(workload, ["full"], diagnostics="noise_scale", seeds=1, updates=1).records
    assert np.isfinite(records["noise_scale"]).all() or np.isinf(records["noise_scale"]).all()
    zero = Workload(model=lambda: nn.Linear(1, 1), train=(x, x), loss=lambda out, y: (out * 0).mean(), lr=0.1)
    assert (
        compare(zero, ["full"], diagnostics="noise_scale", seeds=1, updates=1)
        .records["noise_scale"]
        .isna()
        .all()
    )


def test_weighted_loss_counts_samples_by_their_weights():
    """Class weights 1 and 3: the mean of all shares is the gradient of the loss."""
    x, y = torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), torch.arange(12) % 2
    weights = torch.tensor([1.0, 3.0])

    def loss(output, target):
        return nn.functional.cross_entropy(output, target, weight=weights.to(output))

    workload = Workload(
        model=lambda: nn.Linear(3, 2),
        train=(x, y),
        loss=loss,
        lr=0.1,
        weight=lambda batch: float(weights[batch[1]].sum()),
    )
    result = compare(
        workload,
        ["full"],
        diagnostics=["grad_norm", "grad_variance"],
        seeds=1,
        updates=1,
        dtype="float64",
        eval_chunk=5,
    )
    torch.manual_seed(0)
    model = nn.Linear(3, 2).double()
    torch.manual_seed(0)
    model.load_state_dict(nn.Linear(3, 2).state_dict())
    shares = []
    for i in range(12):
        one = (
            nn.functional.cross_entropy(model(x[i : i + 1].double()), y[i : i + 1])
            * weights[y[i]]
            / weights[y].mean()
        )
        shares.append(torch.cat([g.reshape(-1) for g in torch.autograd.grad(one, list(model.parameters()))]))
    shares = torch.stack(shares)
    row = result.records.iloc[0]
    assert close(row["grad_norm"], shares.mean(0).norm())
    assert close(row["grad_variance"], shares.var(0).sum())


class Mixed(nn.Module):
    """Everything that norms have a short way for, and some that they have none for."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(2, 4, 3, padding=1, stride=2, groups=2)
        self.norm = nn.GroupNorm(2, 4)
        self.second = nn.Conv1d(4, 6, 3, dilation=2, bias=False)
        self.places = nn.Linear(12, 5)
        self.twice = nn.Linear(5, 5)
        self.last = nn.Linear(30, 3)
        self.scale = nn.Parameter(torch.ones(3))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.norm(self.relu(self.first(x))).flatten(2)  # (B, 4, 16)
        x = self.relu(self.places(self.second(x)))  # (B, 6, 5)
        return self.scale * self.last(self.twice(torch.tanh(self.twice(x))).flatten(1))


def mixed_workload(n=6):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(n, 2, 8, 8, generator=generator), torch.arange(n) % 3
    return Workload(model=Mixed, train=(x, y), loss=nn.functional.cross_entropy, lr=0.1)


def test_norms_of_single_samples_are_those_of_their_gradients():
    workload = mixed_workload()
    model = workload.model().double()
    batch = (workload.train[0].double(), workload.train[1])
    norms = SampleNorms(workload, model, tuple(part[:3] for part in batch))
    assert norms.layers == ("first", "second", "places", "last")
    names = [name for name, _ in model.named_parameters()]
    expected = sample_gradients(workload, model, batch, names).square().sum(1)
    torch.testing.assert_close(norms.squares(model, batch, names), expected, rtol=1e-12, atol=0)
    some = ["first.bias", "last.weight", "norm.weight"]
    expected = sample_gradients(workload, model, batch, some).square().sum(1)
    torch.testing.assert_close(norms.squares(model, batch, some), expected, rtol=1e-12, atol=0)


class Centred(nn.Linear):
    def forward(self, x):
        return super().forward(x - x.mean(0))


def test_the_short_way_is_not_taken_where_it_would_be_another():
    """Rows that see each other, weights in two places, losses of whole batches."""
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    tied = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    tied[1].weight = tied[0].weight

    class Across(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(3, 3)

        def forward(self, x):
            return self.layer(x - x.mean(0))

    def workload(model, **loss):
        return Workload(model=lambda: model, train=(x, y), **(loss or {"loss": nn.functional.mse_loss}))

    for model in (tied, Across(), Centred(3, 3)):
        assert SampleNorms(workload(model), model, (x[:3], y[:3])).layers == ()
    plain = nn.Linear(3, 3)
    objective = workload(
        plain, objective=lambda model, batch: nn.functional.mse_loss(model(batch[0]), batch[1])
    )
    assert SampleNorms(objective, plain, (x[:3], y[:3])).layers == ()


@pytest.mark.parametrize(("n", "measure"), [*itertools.product([1, 2, 7, 10, 64], [0, 1, 2, 3, 12])])
def test_marks_are_numbered_one_after_another(n, measure):
    mark, marks = next_evaluation(0, n, measure), []
    while mark is not None and mark <= 4 * n:
        marks.append(mark)
        mark = next_evaluation(mark, n, measure)
    assert [evaluation_number(mark, n, measure) for mark in marks] == list(range(1, len(marks) + 1))
    assert evaluation_number(0, n, measure) == 0


def dropout_workload():
    """Its training draws random numbers, and its buffers move."""

    def model():
        return nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.ReLU(), nn.Linear(8, 1))

    return small_workload(24, model=model)


@pytest.mark.slow
@pytest.mark.parametrize("budget", [{"epochs": 3}, {"updates": 11}, {"samples": 50}])
def test_training_is_the_same_with_and_without(budget):
    arms, few = (
        ["mini:4", "full", "replacement:4"],
        ["grad_norm", "grad_cosine", "update_norm", "distance", "sharpness"],
    )
    plain = compare(dropout_workload(), arms, seeds=2, trainer="loop", **budget)
    with_them = compare(dropout_workload(), arms, seeds=2, diagnostics=few, **budget)
    assert with_them.trials["final_sha256"].tolist() == plain.trials["final_sha256"].tolist()
    columns = [name for name in plain.records.columns if name != "seconds"]
    assert with_them.records[columns].equals(plain.records[columns])
    later = with_them.records[with_them.records["update"] > 0]
    assert later[few].notna().all().all()
    assert with_them.records.columns[-5:].tolist() == few


def test_an_adaptive_strategy_is_diagnosed_too():
    result = compare(
        small_workload(20), ["norm-test:4"], seeds=1, epochs=3, diagnostics=["update_norm", "grad_cosine"]
    )
    assert (
        result.records.loc[result.records["update"] > 0, ["update_norm", "grad_cosine"]].notna().all().all()
    )


def test_a_budget_of_seconds_has_them_at_its_end():
    result = compare(
        small_workload(), ["mini:2"], seeds=1, seconds=0.05, measure=0, diagnostics=["update_norm"]
    )
    assert result.records["update_norm"].notna().tolist() == [False, True]


def test_every_kth_mark(tmp_path):
    asked = {"diagnostics": ["distance"], "diagnose_every": 3, "seeds": 1, "epochs": 6}
    result = compare(small_workload(8), ["mini:2"], **asked)
    rows = result.records
    assert rows["mark"].tolist() == [0, 2, 4, 8, 16, 24, 32, 40, 48]
    numbers = {0: 0, 2: 2, 4: 3, 8: 4, 16: 5, 24: 6, 32: 7, 40: 8, 48: 9}
    assert rows["distance"].notna().tolist() == [numbers[mark] % 3 == 0 for mark in rows["mark"]]
    assert (result.trials["measure_seconds"] > 0).all()
    comparison = Comparison.from_json(result.comparison.to_json())
    assert comparison == result.comparison
    assert [part.label for part in comparison.diagnostics] == ["distance"]
    assert comparison.diagnose_every == 3


def same(one, other):
    return one.records[SAME].equals(other.records[SAME])


@pytest.mark.slow
def test_the_same_numbers_in_other_processes_and_after_an_interruption(tmp_path):
    asked = {"diagnostics": ALL, "seeds": 2, "epochs": 3}
    whole = compare("digits", ["mini:256", "full"], **asked)
    assert whole.records[ALL].notna().all(axis=0).sum() >= 5
    assert same(compare("digits", ["mini:256", "full"], jobs=2, **asked), whole)

    class Stopper:
        """Interrupts once some trials have ended."""

        count = 0

        def measured(self, trial, record):
            self.count += 1
            if self.count == 9:
                raise KeyboardInterrupt

        def trial_finished(self, trial, outcome):
            pass

        def advanced(self, done, of, fraction, seconds_left):
            pass

    out = tmp_path / "run"
    try:
        stopped = compare("digits", ["mini:256", "full"], out=out, observer=Stopper(), **asked)
        assert stopped.status == "interrupted"
    except KeyboardInterrupt:
        pass
    again = compare("digits", ["mini:256", "full"], resume=out, **asked)
    assert same(again, whole)
    assert same(load(out), whole)


@pytest.mark.slow
def test_resume_keeps_them_and_refuses_others(tmp_path):
    out = tmp_path / "run"
    compare("line", ["mini:2"], seeds=1, epochs=1, diagnostics=["grad_norm"], out=out)
    with pytest.raises(ComparisonError, match="different: diagnostics"):
        compare("line", ["mini:2"], seeds=1, epochs=2, diagnostics=["distance"], resume=out)
    with pytest.raises(SystemExit) as done:
        main(["run", "--resume", str(out), "--seeds", "2", "--quiet"])
    assert done.value.code == 0
    assert load(out).records["grad_norm"].notna().all()


@pytest.mark.slow
def test_lanes_are_left_and_the_run_says_why(capsys, tmp_path):
    args = ["run", "--strategies", "full", "--seeds", "2", "--epochs", "1", "--diagnostics", "distance", "-v"]
    with pytest.raises(SystemExit):
        main([*args, "--trainer", "lanes", "--out", str(tmp_path / "run")])
    assert "diagnostics need the weights" in capsys.readouterr().err
    assert set(load(tmp_path / "run").trials["trainer"]) == {"loop"}


STRANGER = """
from dataclasses import dataclass
from optcompare import Diagnostic, hookimpl

@dataclass
class WeightNorm(Diagnostic):
    order: float = 2.0
    columns = ("weight_norm", "largest")

    def measure(self, moment):
        largest = max(map(abs, moment.weights.tolist()))
        return {"weight_norm": moment.weights.norm(self.order), "largest": largest}

@hookimpl
def optcompare_diagnostics():
    return {"weight_norm": WeightNorm}
"""


@pytest.mark.slow
def test_a_strangers_diagnostic_by_plugin_file(tmp_path, capsys):
    plugin, out = tmp_path / "mine.py", tmp_path / "run"
    plugin.write_text(STRANGER)
    with pytest.raises(SystemExit) as done:
        main(
            [
                "run",
                "--plugin",
                str(plugin),
                "--diagnostics",
                "weight_norm:order=1,distance",
                "--seeds",
                "2",
                "--epochs",
                "2",
                "--strategies",
                "mini",
                "--jobs",
                "2",
                "--out",
                str(out),
                "--quiet",
            ]
        )
    assert done.value.code == 0
    result = load(out)
    assert [part.label for part in result.comparison.diagnostics] == ["weight_norm:1.0", "distance"]
    assert (result.records["weight_norm"] >= result.records["largest"]).all()
    with pytest.raises(SystemExit):
        main(["list", "diagnostics", "--plugin", str(plugin)])
    listed = capsys.readouterr().out
    assert "order=2.0" in listed
    assert "0 bottom, 1 as high on the other side" in listed, "a docstring's whole first paragraph"
    assert all(name in listed for name in ALL)


@dataclass
class Wrong(Diagnostic):
    columns = ("wrong",)

    def measure(self, moment):
        return {"other": 1.0}


@dataclass
class Taken(Diagnostic):
    columns = ("train_thing",)


@dataclass
class Greedy(Diagnostic):
    """Changes all that it can reach."""

    columns = ("greedy",)

    def measure(self, moment):
        for weight in moment.model.parameters():
            weight.data.fill_(7.0)
        moment.weights.zero_(), moment.start.zero_()
        torch.manual_seed(0)
        moment.model.train()
        return {"greedy": torch.rand(())}


def test_a_diagnostic_cannot_reach_the_training():
    plain = compare(dropout_workload(), ["mini:4"], seeds=1, epochs=2, trainer="loop")
    changed = compare(dropout_workload(), ["mini:4"], seeds=1, epochs=2, diagnostics=[Greedy()])
    assert changed.trials["final_sha256"].tolist() == plain.trials["final_sha256"].tolist()


class Slope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, grad):
        return 2 * x * grad

    @staticmethod
    def backward(ctx, grad):
        raise NotImplementedError("the derivative of this slope is not implemented")


class Once(torch.autograd.Function):
    """Can be differentiated once."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        return Slope.apply(ctx.saved_tensors[0], grad)


class Squares(nn.Module):
    def forward(self, x):
        if len(x) == 1:
            raise RuntimeError("wants several rows")
        return Once.apply(x)


def odd_workload():
    return small_workload(
        model=lambda: nn.Sequential(nn.Linear(3, 4), Squares(), nn.GroupNorm(2, 4), nn.Linear(4, 1))
    )


@pytest.mark.parametrize(
    ("workload", "diagnostics", "error", "message"),
    [
        (
            "line",
            ["grad_nrom"],
            PluginError,
            r"unknown diagnostic 'grad_nrom' \(did you mean 'grad_norm'\?\)",
        ),
        (
            "line",
            ["noise_scale:rows=many"],
            SpecError,
            "diagnostic noise_scale: rows must be an int, got 'many'",
        ),
        ("line", ["noise_scale:1"], SpecError, "diagnostic noise_scale: rows must be at least 2, got 1"),
        (
            "line",
            ["noise_scale,noise_scale:9"],
            ComparisonError,
            "noise_scale and noise_scale:9 both fill the column",
        ),
        ("line", [3], ComparisonError, "a diagnostic is a name or a Diagnostic object, got a int: 3"),
        ("line", [Wrong()], DiagnosticError, r"diagnostic wrong: measure\(\) must return wrong, got other"),
        ("line", [Taken()], PluginError, "diagnostic taken: columns must be a tuple of names of its own"),
        (
            dropout_workload,
            ["noise_scale"],
            DiagnosticError,
            r"noise_scale: layer 1 \(BatchNorm1d\) makes each sample's loss",
        ),
        (
            odd_workload,
            ["sharpness"],
            DiagnosticError,
            r"sharpness: layer 1 \(Squares\) has no Hessian-vector products: ",
        ),
        (
            odd_workload,
            ["grad_variance"],
            DiagnosticError,
            r"grad_variance: layer 1 \(Squares\) has no gradients of single ",
        ),
    ],
)
def test_what_cannot_be_is_said_in_a_line_before_training(workload, diagnostics, error, message, tmp_path):
    asked = workload() if callable(workload) else workload
    with pytest.raises(error, match=message) as caught:
        compare(asked, ["full"], seeds=1, epochs=1, diagnostics=diagnostics, out=tmp_path / "run")
    assert isinstance(caught.value, OptcompareError)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_diagnose_every_takes_whole_numbers():
    with pytest.raises(ComparisonError, match=r"^diagnose_every must be at least 1, got 0"):
        compare("line", ["full"], seeds=1, diagnostics=["distance"], diagnose_every=0)


def test_bundled_diagnostics_are_these():
    entries = Registry.load().entries("diagnostics")
    assert sorted(entries) == sorted(ALL)
    assert all(entry.factory.columns == (name,) for name, entry in entries.items())
    assert Strategy is not None
