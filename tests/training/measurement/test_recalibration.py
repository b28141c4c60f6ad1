"""Running averages from a sample of training rows: by hand, and without a trace in the model."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from optcompare import Workload
from optcompare.core.rng import rng_state
from optcompare.training.data import TensorSource
from optcompare.training.measurement.module_state import same
from optcompare.training.measurement.recalibration import (
    Sample,
    kept_by_update,
    recalibrate,
    recalibrated,
    updating,
)

X = torch.tensor([[0.0, 4.0], [2.0, 4.0], [4.0, 0.0], [6.0, 0.0]], dtype=torch.float64)
"""Means 3 and 2; unbiased variances 20/3 and 16/3."""


def on_data(model, x=X):
    """A workload whose model sees the rows as they are, and its source."""
    workload = Workload(model=lambda: model, train=(x, x), loss=lambda output, y: output.sum() * 0.0, lr=0.1)
    return workload, model.double(), TensorSource((x, x))


class Swapped(nn.BatchNorm1d):
    """Counts in a plain attribute, and takes a new tensor for its mean at each pass."""

    def __init__(self, *sizes, **settings):
        super().__init__(*sizes, **settings)
        self.calls, self.seen = 0, []

    def forward(self, x):
        self.calls += 1
        self.seen.append(len(x))
        output = super().forward(x)
        self.running_mean = self.running_mean.clone()
        return output


class Twice(nn.Module):
    """One BatchNorm on the rows, and again on the rows plus 10."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(2, affine=False)

    def forward(self, x):
        return self.norm(x) + self.norm(x + 10)


class TestSample:
    @pytest.mark.parametrize(
        ("n", "most", "passes", "size"),
        [
            (4, 16, 1, 4),
            (4, 2, 2, 2),
            (5, 2, 2, 2),
            (4, 1, 2, 2),
            (1, 1, 1, 1),
            (3000, 16384, 1, 2048),
            (2048, 1000, 3, 682),
            (3000, 512, 4, 512),
        ],
    )
    def test_passes_are_few_and_all_of_one_size(self, n, most, passes, size):
        assert Sample.of(n, most) == Sample(n, passes, size)

    def test_no_row_comes_twice_and_the_rows_are_always_the_same(self):
        first, again = (torch.cat(list(Sample.of(3000, 512).indices())) for _ in range(2))
        assert len(first.unique()) == 2048
        assert int(first.max()) < 3000
        assert torch.equal(first, again)

    @pytest.mark.parametrize(
        ("n", "most", "words"),
        [
            (4, 16, "all 4 training rows, in one forward pass"),
            (4, 2, "all 4 training rows, drawn by a fixed seed, in 2 forward passes of 2 rows"),
            (3000, 4096, "2,048 of 3,000 training rows, drawn by a fixed seed, in one forward pass"),
        ],
    )
    def test_it_says_which_rows_they_are(self, n, most, words):
        assert str(Sample.of(n, most)) == words


class TestByHand:
    @pytest.mark.parametrize("momentum", [0.1, 0.0, None])
    @pytest.mark.parametrize("kind", [nn.BatchNorm1d, nn.SyncBatchNorm, Swapped])
    def test_one_pass_gives_mean_and_variance_of_the_rows(self, kind, momentum):
        workload, model, source = on_data(kind(2, momentum=momentum))
        recalibrate(workload, model, source, Sample.of(4, 16))
        torch.testing.assert_close(model.running_mean, torch.tensor([3.0, 2.0]).double())
        torch.testing.assert_close(model.running_var, torch.tensor([20 / 3, 16 / 3]).double())

    def test_several_passes_give_the_means_of_their_means_and_variances(self):
        workload, model, source = on_data(nn.BatchNorm1d(2))
        sample = Sample.of(4, 2)
        recalibrate(workload, model, source, sample)
        parts = [X[rows] for rows in sample.indices()]
        torch.testing.assert_close(model.running_mean, X.mean(0))
        torch.testing.assert_close(model.running_var, torch.stack([part.var(0) for part in parts]).mean(0))

    def test_of_many_rows_the_mean_is_that_of_the_sample(self):
        x = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0)).double()
        workload, model, source = on_data(nn.BatchNorm1d(2), x)
        sample = Sample.of(3000, 512)
        recalibrate(workload, model, source, sample)
        torch.testing.assert_close(model.running_mean, x[torch.cat(list(sample.indices()))].mean(0))

    @pytest.mark.parametrize("momentum", [0.1, None])
    def test_instance_norm_takes_the_mean_over_rows_of_each_rows_own(self, momentum):
        """Three positions of one channel a row; their means are 1, 2, 3 and 6, their unbiased variances 1, 1,
        1 and 4.
        """
        x = torch.tensor([[[0.0, 1, 2]], [[1, 2, 3]], [[2, 3, 4]], [[4, 6, 8]]]).double()
        workload, model, source = on_data(
            nn.InstanceNorm1d(1, track_running_stats=True, momentum=momentum), x
        )
        recalibrate(workload, model, source, Sample.of(4, 2))
        torch.testing.assert_close(model.running_mean, torch.tensor([3.0]).double())
        torch.testing.assert_close(model.running_var, torch.tensor([7 / 4]).double())

    def test_a_module_that_is_called_twice_takes_both_calls_alike(self):
        workload, model, source = on_data(Twice())
        recalibrate(workload, model, source, Sample.of(4, 2))
        torch.testing.assert_close(
            model.norm.running_mean, torch.tensor([8.0, 7.0]).double(), msg="3, 2 and 13, 12"
        )

    def test_a_compiled_model_is_not_compiled_anew_for_each_pass(self):
        compiled = []

        def backend(graph, inputs):
            compiled.append(graph)
            return graph.forward

        norm = nn.BatchNorm1d(2)
        workload, model, source = on_data(torch.compile(nn.Sequential(norm), backend=backend))
        recalibrate(workload, model, source, Sample.of(4, 2))
        torch.testing.assert_close(norm.running_mean, X.mean(0))
        assert compiled == []

    def test_what_was_not_finite_in_training_is_forgotten(self):
        workload, model, source = on_data(nn.BatchNorm1d(2))
        model.running_mean.fill_(torch.nan)
        recalibrate(workload, model, source, Sample.of(4, 16))
        assert model.running_mean.tolist() == [3.0, 2.0]


class TestWhatIsLeftAlone:
    def test_what_is_in_eval_mode_stays_frozen(self):
        model = nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(2))
        model[0].eval()
        workload, model, source = on_data(model)
        recalibrate(workload, model, source, Sample.of(4, 16))
        assert model[0].running_mean.tolist() == [0, 0]
        assert model[1].running_mean.tolist() == pytest.approx([3, 2], rel=1e-4), (
            "the first divides by √(1 + ε)"
        )
        assert [part.training for part in model] == [False, True]

    def test_dropout_is_off(self):
        workload, model, source = on_data(nn.Sequential(nn.Dropout(0.9), nn.BatchNorm1d(2)))
        recalibrate(workload, model, source, Sample.of(4, 16))
        torch.testing.assert_close(model[1].running_mean, X.mean(0))

    def test_a_module_that_is_never_called_keeps_what_it_has(self):
        model = nn.Sequential(nn.BatchNorm1d(2))
        model.unused = nn.BatchNorm1d(2)
        model.forward = lambda x: model[0](x)
        workload, model, source = on_data(model)
        model.unused.running_mean.fill_(5)
        recalibrate(workload, model, source, Sample.of(4, 16))
        assert model.unused.running_mean.tolist() == [5, 5]

    @pytest.mark.parametrize("momentum", [0.25, None])
    def test_afterwards_all_is_as_it_was_to_the_last_bit(self, momentum):
        norm = Swapped(2, momentum=momentum)
        workload, model, source = on_data(nn.Sequential(nn.Dropout(0.5), norm))
        model(X)
        tensors = dict(model.named_buffers())
        values = {name: buffer.clone() for name, buffer in tensors.items()}
        begun = rng_state()
        with recalibrated(workload, model, source, Sample.of(4, 16)):
            assert norm.running_mean.tolist() == [3, 2]
            assert all(part.training for part in model.modules())
        assert all(buffer is tensors[name] for name, buffer in model.named_buffers())
        assert same(dict(model.named_buffers()), values)
        assert (norm.momentum, norm.calls, norm.seen) == (momentum, 1, [4])
        assert not norm._forward_pre_hooks
        assert same(rng_state(), begun)

    def test_without_a_sample_nothing_is_done(self):
        workload, model, source = on_data(nn.BatchNorm1d(2))
        with recalibrated(workload, model, source, None):
            assert model.running_mean.tolist() == [0, 0]

    def test_a_failure_leaves_the_model_as_it_was(self):
        workload, model, source = on_data(nn.Sequential(nn.BatchNorm1d(2), nn.BatchNorm1d(3)))
        with (
            pytest.raises((RuntimeError, ValueError)),
            recalibrated(workload, model, source, Sample.of(4, 16)),
        ):
            pass
        assert model[0].running_mean.tolist() == [0, 0]
        assert [part.momentum for part in model] == [0.1, 0.1]
        assert not model[0]._forward_pre_hooks


@pytest.mark.parametrize(
    ("module", "kept"),
    [
        (nn.BatchNorm1d(2), 0.9),
        (nn.BatchNorm2d(2, momentum=0.25), 0.75),
        (nn.BatchNorm1d(2, momentum=None), 0.0),
        (nn.InstanceNorm1d(2, track_running_stats=True), 0.9),
        (nn.InstanceNorm1d(2, track_running_stats=True, momentum=None), 1.0),
    ],
)
def test_a_pass_keeps_one_minus_the_momentum(module, kept):
    """What torch itself leaves of averages that begin at 0, where each pass brings a mean of 1."""
    assert kept_by_update(module) == kept
    for _ in range(2):
        module(torch.ones((3, 2, 3, 2)[: 4 if isinstance(module, nn.BatchNorm2d) else 3]))
    assert module.running_mean.tolist() == pytest.approx([1 - kept**2] * 2)


def test_modules_without_running_averages_or_in_eval_mode_are_none():
    model = nn.Sequential(
        nn.LayerNorm(2),
        nn.InstanceNorm1d(2),
        nn.BatchNorm1d(2, track_running_stats=False),
        nn.BatchNorm1d(2).eval(),
    )
    assert updating(model) == []
