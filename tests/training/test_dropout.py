"""Dropout masks from a counter: what torch's layers compute, with other masks."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from optcompare.errors import ComparisonError
from optcompare.training.dropout import CounterMasks, dropout_layers

KEY = (123, 456)
CASES = {
    "Dropout": (nn.Dropout(0.3), (50, 40)),
    "Dropout1d": (nn.Dropout1d(0.3), (50, 40, 3)),
    "Dropout1d without a batch": (nn.Dropout1d(0.3), (2000, 3)),
    "Dropout2d": (nn.Dropout2d(0.3), (50, 40, 3, 2)),
    "Dropout3d": (nn.Dropout3d(0.3), (50, 40, 2, 2, 2)),
    "Dropout3d without a batch": (nn.Dropout3d(0.3), (2000, 2, 2, 2)),
    "AlphaDropout": (nn.AlphaDropout(0.3), (50, 40)),
    "FeatureAlphaDropout": (nn.FeatureAlphaDropout(0.3), (50, 40, 3)),
}


def drawn(layer, values, key=KEY):
    with CounterMasks(nn.Sequential(layer)).drawn(key):
        return layer(values)


@pytest.mark.parametrize("case", CASES)
def test_outputs_take_the_two_values_of_torch(case):
    layer, shape = CASES[case]
    values = torch.ones(shape, dtype=torch.float64)
    torch.testing.assert_close(drawn(layer, values).unique(), layer(values).unique(), rtol=1e-12, atol=0.0)


@pytest.mark.parametrize("case", CASES)
def test_the_share_of_dropped_inputs_is_p(case):
    layer, shape = CASES[case]
    output = drawn(layer, torch.ones(shape))
    assert abs(float((output < output.max()).double().mean()) - 0.3) < 0.05


@pytest.mark.parametrize("case", [name for name in CASES if name not in ("Dropout", "AlphaDropout")])
def test_whole_channels_are_dropped(case):
    layer, shape = CASES[case]
    channels = 1 if "without" in case else 2
    output = drawn(layer, torch.ones(shape)).flatten(channels)
    assert (output == output[..., :1]).all()


def test_gradients_are_masked_as_outputs_are():
    values = torch.ones(100, requires_grad=True)
    output = drawn(nn.Dropout(0.5), values)
    output.sum().backward()
    assert torch.equal(values.grad, output.detach())


@pytest.mark.parametrize(("p", "output"), [(0.0, 1.0), (1.0, 0.0)])
@pytest.mark.parametrize("kind", [nn.Dropout, nn.AlphaDropout])
def test_nothing_or_everything_may_be_dropped(kind, p, output):
    assert (drawn(kind(p), torch.ones(100)) == output).all()


def test_a_layer_in_place_changes_its_input():
    values = torch.ones(100)
    output = drawn(nn.Dropout(0.5, inplace=True), values)
    assert output is values
    assert (values == 0).any()


def test_masks_differ_between_keys_layers_and_calls_and_repeat_otherwise():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Dropout(0.5), nn.Dropout(0.5)

        def forward(self, values):
            return torch.stack([self.one(values), self.one(values), self.other(values)])

    model, values = Twice(), torch.ones(64)
    masks = CounterMasks(model)
    outputs = []
    for key in (KEY, KEY, (124, 456), (123, 457)):
        with masks.drawn(key):
            outputs.append(model(values))
    assert torch.equal(outputs[0], outputs[1])
    rows = torch.cat([outputs[0], outputs[2], outputs[3]])
    assert len(rows.unique(dim=0)) == 9


def test_no_generator_is_used_and_nothing_stays_behind():
    layer = nn.Dropout(0.5)
    before, attributes = torch.get_rng_state(), dict(vars(layer))
    drawn(layer, torch.ones(10))
    assert torch.equal(torch.get_rng_state(), before)
    assert vars(layer) == attributes


def test_evaluation_mode_drops_nothing():
    assert (drawn(nn.Dropout(0.5).eval(), torch.ones(10)) == 1).all()


def test_subclasses_and_compiled_models_keep_their_own_masks():
    class Own(nn.Dropout):
        pass

    compiled = nn.Sequential(nn.Dropout(0.5))
    compiled._compiled_call_impl = compiled._call_impl  # as compile() sets it
    assert dropout_layers(nn.Sequential(Own(0.5))) == []
    assert dropout_layers(compiled) == []


def test_a_layer_that_is_computed_again_in_the_backward_pass_is_refused():
    layer, values = nn.Dropout(0.5), torch.ones(10, requires_grad=True)
    with CounterMasks(layer).drawn(KEY):
        output = checkpoint(lambda x: layer(x).square(), values, use_reentrant=False)
        with pytest.raises(
            ComparisonError, match=r"computed again in the backward pass.* give --trainer loop"
        ):
            output.sum().backward()
