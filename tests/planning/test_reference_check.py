"""Every arm's first updates are those of a plain loop; an engine that is broken on purpose is found, each
time.
"""

from __future__ import annotations

import copy
import dataclasses
import itertools

import pytest
import torch
from torch import nn

from optcompare import ComparisonError, Workload, compare
from optcompare.analysis.certificate import Reference
from optcompare.analysis.start_checks import PlainLoopAgreement
from optcompare.core.comparison import Budget
from optcompare.planning.prepare import prepare
from optcompare.planning.question import Question
from optcompare.planning.reference_check import _ArmCheck
from optcompare.training.loop import gradient, trial
from optcompare.training.loop.trial import TrialRun
from optcompare.training.measurement import evaluation
from optcompare.training.shared_init import SharedStart
from tests.helpers.workloads import small_workload


def asked(registry, workload, strategies="mini:5", optimizers="sgd:momentum=0.9", **question):
    settings = {"lr": 0.05, "seeds": (0,), "device": "cpu", "budget": Budget("epochs", 2), **question}
    return prepare(
        registry, Question(workload=workload, strategies=[strategies], optimizers=[optimizers], **settings)
    ).reference


def network():
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 1))


class Closes(nn.Module):
    def __init__(self):
        super().__init__()
        self.out = nn.Linear(3, 1)
        self.apply_out = lambda x: self.out(x)

    def forward(self, x):
        return self.apply_out(x)


def wrong_weights_of_chunks(monkeypatch):
    monkeypatch.setattr(Workload, "weigh", lambda self, batch: float(len(batch[0]) ** 2))
    monkeypatch.setattr("optcompare.planning.workload_checks.check_loss", lambda *arguments: None)
    return {"chunk": 3}, {}


def a_chunk_is_left_out(monkeypatch):
    whole = gradient.in_chunks

    def fewer(batches, largest, arm, model):
        pieces, counts = whole(batches, largest, arm, model)
        return (pieces[:-1], [counts[0] - 1]) if len(pieces) > 1 else (pieces, counts)

    monkeypatch.setattr(trial, "in_chunks", fewer)
    return {"chunk": 2}, {}


def a_copied_module(monkeypatch):
    made = SharedStart._build

    def copied(self):
        self.prototype = getattr(self, "prototype", None) or made(self)
        return copy.deepcopy(self.prototype)

    monkeypatch.setattr(SharedStart, "_build", copied)
    monkeypatch.setattr("optcompare.planning.workload_checks.refuse_foreign_weights", lambda *arguments: None)
    return {}, {"model": Closes}


def a_buffer_that_is_dropped(monkeypatch):
    state = TrialRun.state

    def lacking(self):
        whole = state(self)
        for held in (whole["buffers"], whole["model"]):
            held |= {name: torch.zeros_like(value) for name, value in held.items() if "running_mean" in name}
        return whole

    monkeypatch.setattr(TrialRun, "state", lacking)
    return {}, {"model": network}


def a_stale_optimizer(monkeypatch):
    monkeypatch.setattr(trial, "load_state", lambda optimizer, saved: None)
    return {}, {}


def a_measured_batch_norm(monkeypatch):
    monkeypatch.setattr(evaluation, "evaluating", lambda model: torch.no_grad())
    return {}, {"model": network}


def gradients_that_add_up(monkeypatch):
    whole = gradient.mean_gradient

    def adding(workload, model, weights, stream, chunks):
        before = [None if weight.grad is None else weight.grad.clone() for weight in weights]
        loss = whole(workload, model, weights, stream, chunks)
        for weight, grad in zip(weights, before, strict=True):
            weight.grad = weight.grad if grad is None else weight.grad + grad
        return loss

    monkeypatch.setattr(gradient, "mean_gradient", adding)
    return {}, {}


def a_momentum_that_is_another(monkeypatch):
    build = trial.build

    def other(factory, model, values, name):
        return build(factory, model, {**values, "momentum": 0.5}, name)

    monkeypatch.setattr(trial, "build", other)
    return {}, {}


def generators_that_are_not_put_back(monkeypatch):
    monkeypatch.setattr(trial, "set_rng_state", lambda state, device=None: torch.manual_seed(5))
    return {}, {"model": lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))}


def a_mean_of_the_means_of_chunks(monkeypatch):
    whole = evaluation.averages_over

    def of_means(workload, *rest):
        alike = dataclasses.replace(workload, weight=lambda batch: 1.0)
        return whole(alike, *rest)

    monkeypatch.setattr(evaluation, "averages_over", of_means)
    return {"eval_chunk": 5}, {}


BROKEN = [
    a_mean_of_the_means_of_chunks,
    wrong_weights_of_chunks,
    a_chunk_is_left_out,
    a_copied_module,
    a_buffer_that_is_dropped,
    a_stale_optimizer,
    a_measured_batch_norm,
    gradients_that_add_up,
    a_momentum_that_is_another,
    generators_that_are_not_put_back,
]


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.__name__)
def test_a_broken_engine_is_found(registry, monkeypatch, fault):
    question, workload = fault(monkeypatch)
    with pytest.raises(ComparisonError, match=r"^arm mini:5: "):
        asked(registry, small_workload(n=12, **workload), **question)


@pytest.mark.parametrize("fault", BROKEN, ids=lambda fault: fault.__name__)
def test_the_same_question_passes_where_nothing_is_broken(registry, fault):
    with pytest.MonkeyPatch.context() as patch:
        question, workload = fault(patch)
    assert asked(registry, small_workload(n=12, **workload), **question).updates == {"mini:5": 3}


class OwnNorm(nn.Module):
    """A batch normalization that torch does not know."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(3))
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        if not self.training:
            return self.out(x - self.mean)
        mean = x.mean(0)
        with torch.no_grad():
            self.mean.mul_(0.9).add_(0.1 * mean)
        return self.out(x - mean)


class CountsPasses(nn.Module):
    def __init__(self):
        super().__init__()
        self.out, self.passes = nn.Linear(3, 1), 0

    def forward(self, x):
        self.passes += self.training
        return self.out(x) / (1 + 0.1 * self.passes)


class Codebook(nn.Module):
    """Moves its nearest code by every pass, as vector quantization with moving averages does."""

    def __init__(self):
        super().__init__()
        self.register_buffer("codes", torch.randn(4, 3))
        self.out = nn.Linear(3, 1)

    def forward(self, x):
        nearest = torch.cdist(x, self.codes).argmin(1)
        if self.training:
            with torch.no_grad():
                self.codes[nearest[0]] = 0.9 * self.codes[nearest[0]] + 0.1 * x.mean(0)
        return self.out(x + (self.codes[nearest] - x).detach())


def spectral():
    return nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(3, 8)), nn.Tanh(), nn.Linear(8, 1))


@pytest.mark.parametrize("model", [OwnNorm, CountsPasses, Codebook, spectral])
def test_what_makes_chunks_another_batch_is_refused_as_batch_norm_is(registry, model):
    workload = small_workload(n=24, model=model)
    assert asked(registry, workload, "full").updates == {"full": 3}
    message = (
        r"arm full: a batch of 24 rows would be computed in chunks of 7, and .* differs.*; give --chunk 24 "
        r"or more"
    )
    with pytest.raises(ComparisonError, match=message):
        asked(registry, workload, "full", chunk=7)


def test_random_masks_are_compared_over_the_same_chunks_which_is_said(registry):
    model = lambda: nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1))  # noqa: E731
    found = asked(registry, small_workload(n=24, model=model), "full", chunk=7)
    assert found == Reference({"full": 3}, ["random masks are drawn for each chunk of 7 rows (full)"])


class Outside(torch.optim.SGD):
    """Counts its steps in an attribute, which no state_dict holds, and steps further with each."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        self.made = 0

    @torch.no_grad()
    def step(self, closure=None):
        self.made += 1
        for group in self.param_groups:
            for weight in group["params"]:
                weight.sub_(group["lr"] * self.made * weight.grad)


def test_an_optimizer_with_state_outside_itself_is_found(registry):
    found = asked(registry, small_workload(n=24), optimizers=Outside)
    assert found.uncut == {"mini:5": ["optimizer.made"]}
    assert found.updates == {"mini:5": 3}


def test_something_outside_the_model_is_found(registry):
    calls = itertools.count(1)

    def loss(output, y):
        return (output - y).square().mean() * (1 + 1 / next(calls))

    with pytest.raises(
        ComparisonError, match=r"is not that of a plain loop|trained twice from the same start"
    ):
        asked(registry, small_workload(n=24, loss=loss))


def test_arms_that_differ_in_rates_alone_share_a_check(registry, monkeypatch):
    checked = []
    whole = _ArmCheck.first_update
    monkeypatch.setattr(
        _ArmCheck, "first_update", lambda self: checked.append(self._trial.arm.label) or whole(self)
    )
    found = asked(registry, small_workload(), optimizers="sgd:lr=0.1,sgd:lr=0.01,sgd:momentum=0.9")
    assert checked == ["mini:5@sgd:lr=0.1", "mini:5@sgd:momentum=0.9"]
    assert set(found.updates.values()) == {3}
    assert len(found.updates) == 3


@pytest.mark.slow
def test_the_certificate_says_what_was_checked_and_verify_finds_the_same(tmp_path):
    from optcompare.verification.verify import verify

    result = compare("line", "full,mini:2", seeds=2, epochs=2, trainer="loop", out=tmp_path / "run")
    assert result.certificate[0].name == "trained as a plain loop would"
    assert result.certificate[0].detail == "3 updates of full, mini:2"
    assert result.environment["reference"] == {
        "updates": {"full": 3, "mini:2": 3},
        "remarks": [],
        "uncut": {},
    }
    assert [finding.detail for finding in verify(tmp_path / "run") if finding.held is False] == []


def test_the_line_of_the_certificate_names_arms_by_their_updates():
    sentence = PlainLoopAgreement({"mini:32": 3, "single": 3, "full": 1}, ["masks"]).sentence()
    assert sentence == "3 updates of mini:32, single, 1 update of full; masks"


@pytest.mark.parametrize(
    "optimizer", ["sgd:lr=30", "adam:lr=1", "rmsprop:lr=3", "lbfgs", "sgd:lr=0.1:clip=0.1"]
)
@pytest.mark.parametrize("chunk", [None, 7])
def test_honest_arms_are_never_refused(registry, optimizer, chunk):
    model = lambda: nn.Sequential(  # noqa: E731
        nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 1)
    )
    found = asked(
        registry,
        small_workload(n=50, model=model),
        "full",
        optimizers=optimizer,
        lr=None,
        chunk=chunk,
        budget=Budget("epochs", 40),
    )
    assert all(count >= 1 for count in found.updates.values())


def test_recurrent_layers_whose_weights_stand_in_a_list_too_pass(registry):
    class Recurrent(nn.Module):
        def __init__(self):
            super().__init__()
            self.cells, self.out = nn.GRU(1, 4, batch_first=True), nn.Linear(4, 1)

        def forward(self, x):
            return self.out(self.cells(x[..., None])[0][:, -1])

    assert asked(registry, small_workload(model=Recurrent), optimizers="adam").updates == {"mini:5": 3}


def test_of_a_batch_that_does_not_fit_into_one_pass_the_rows_that_do_are_compared_which_is_said(
    registry, monkeypatch
):
    monkeypatch.setattr("optcompare.planning.first_updates._MOST_BYTES", 480)
    (remark,) = asked(registry, small_workload(n=24), "full", chunk=2).remarks
    assert remark == "of a batch of full, 8 rows, the most that one pass may take here", (
        "20 bytes a row, three times"
    )


class AttendsInTraining(nn.Module):
    """Rows look at each other in training, behind a dropout that is all but nothing."""

    def __init__(self):
        super().__init__()
        self.query, self.out = nn.Linear(3, 3), nn.Linear(3, 1)

    def forward(self, x):
        if self.training:
            x = nn.functional.dropout(x, 1e-12) + 0.5 * (self.query(x) @ x.T).softmax(1) @ x
        return self.out(x)


def test_what_random_masks_could_hide_is_found(registry):
    assert asked(registry, small_workload(n=24, model=AttendsInTraining), "full").updates == {"full": 3}
    with pytest.raises(ComparisonError, match="in chunks of 5, and its gradient differs"):
        asked(registry, small_workload(n=24, model=AttendsInTraining), "full", chunk=5)


class Lookahead(torch.optim.SGD):
    """Counts in an attribute, and does something else only at its fifth step."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        self.counted = 0

    def step(self, closure=None):
        self.counted += 1
        return super().step(closure)


def test_what_an_optimizer_counts_outside_its_state_is_named_before_it_matters(registry):
    assert asked(registry, small_workload(n=24), optimizers=Lookahead).uncut == {
        "mini:5": ["optimizer.counted"]
    }


def test_a_buffer_that_the_first_forward_pass_makes_is_trained_in_one_go(registry):
    class Late(nn.Module):
        def __init__(self):
            super().__init__()
            self.out = nn.Linear(3, 1)

        def forward(self, x):
            if not hasattr(self, "mean"):
                self.register_buffer("mean", x.mean(0).detach())
            return self.out(x - self.mean)

    found = asked(registry, small_workload(n=24, model=Late))
    assert (found.updates, found.uncut) == ({"mini:5": 3}, {"mini:5": ["the shapes in state_dict()"]})


def test_rates_that_a_hook_of_the_optimizer_changes_are_those_of_the_plain_loop(registry):
    def decaying(model, *, lr: float = 0.1):
        made = torch.optim.SGD(model.parameters(), lr)
        schedule = torch.optim.lr_scheduler.ExponentialLR(made, 0.5)
        made.register_step_post_hook(lambda *arguments: schedule.step())
        return made

    assert asked(registry, small_workload(n=24), optimizers=decaying).updates["mini:5"] >= 1


def test_embeddings_that_are_renormalized_in_every_pass_are_put_back(registry):
    data = torch.randint(9, (24, 2)), torch.randn(24, 1)
    model = lambda: nn.Sequential(  # noqa: E731
        nn.Embedding(9, 4, max_norm=0.5), nn.Flatten(), nn.Linear(8, 1)
    )
    assert asked(registry, small_workload(model=model, train=data)).updates == {"mini:5": 3}


class Counter:
    def __init__(self):
        self.made = 0


class CountsInAnObject(nn.Module):
    def __init__(self):
        super().__init__()
        self.out, self.counter = nn.Linear(3, 1), Counter()

    def forward(self, x):
        self.counter.made += 1
        return self.out(x) * (0.5 if self.counter.made > 6 else 1.0)


@pytest.mark.slow
def test_a_counter_in_an_object_goes_along_with_checkpoints_and_is_left_alone_by_measuring(tmp_path):
    workload = small_workload(n=24, model=CountsInAnObject)
    question = {"strategies": "mini:5", "optimizers": "sgd:lr=0.05", "seeds": 1, "trainer": "loop"}
    whole = compare(workload, **question, epochs=4, measure=4)
    compare(workload, **question, epochs=1, measure=0, out=tmp_path / "run")
    resumed = compare(workload, **question, epochs=4, measure=0, resume=tmp_path / "run")
    assert resumed.trials["final_sha256"].tolist() == whole.trials["final_sha256"].tolist()


def test_a_model_that_computes_a_part_in_float32_passes_in_float64(registry):
    class Halfway(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.out = nn.Linear(3, 8), nn.Linear(8, 1)

        def forward(self, x):
            return self.out(self.inner(x).float().softmax(-1).to(x.dtype))

    found = asked(registry, small_workload(n=24, model=Halfway), "full", chunk=5, dtype="float64")
    assert found.updates == {"full": 3}
