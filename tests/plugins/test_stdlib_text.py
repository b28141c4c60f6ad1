"""Characters of the standard library: what the text is, what the model may see, and what its loss is."""

from __future__ import annotations

import math
import sysconfig
from pathlib import Path

import pytest
import torch
from optcompare_plugins.workloads import text_model as module
from optcompare_plugins.workloads.stdlib_text import SYMBOLS, VOCABULARY, stdlib_text
from optcompare_plugins.workloads.transformer import Block, Transformer

from optcompare import WorkloadError, compare


def characters(codes: torch.Tensor) -> str:
    return "".join(SYMBOLS[code] for code in codes.flatten().tolist())


def test_the_text_is_that_of_the_first_modules_and_targets_are_one_character_on():
    workload = stdlib_text(characters=3301, context=33)
    first = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))[0].read_text(encoding="utf-8")
    x, y = workload.train
    assert [len(part) for part in (*workload.train, *workload.valid)] == [90, 90, 10, 10]
    assert characters(x[0]) + characters(y[0, -1]) == first[:34]
    assert torch.equal(x[:, 1:], y[:, :-1])
    assert torch.equal(workload.valid[0][0, :1], workload.train[1][8, -1:])


def test_what_is_not_known_is_one_symbol(monkeypatch, tmp_path):
    (tmp_path / "a.py").write_text("x\té\u2264\f~ ")
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"stdlib": str(tmp_path)})
    (tmp_path / "b.py").write_text("b" * 100)
    workload = stdlib_text(characters=12, context=4, width=4)
    unknown = VOCABULARY - 1
    assert len(SYMBOLS) == unknown == 96
    expected = [SYMBOLS.index(c) for c in "x   "], [unknown] * 3 + [SYMBOLS.index("~")]
    assert torch.cat([workload.train[0], workload.valid[0]]).tolist() == [*map(list, expected)]
    (tmp_path / "a.py").unlink()
    (tmp_path / "b.py").unlink()
    with pytest.raises(
        WorkloadError, match=r"there are no source files in .*; this Python came without them"
    ):
        stdlib_text()


def test_the_model_sees_no_later_character():
    torch.manual_seed(0)
    model = Transformer(VOCABULARY, context=8, width=8, layers=2, heads=2)
    codes = torch.randint(VOCABULARY, (3, 8))
    other = codes.clone()
    other[:, 5] = (other[:, 5] + 1) % VOCABULARY
    before, after = model(codes), model(other)
    assert torch.equal(before[:, :5], after[:, :5])
    assert (before[:, 5:] != after[:, 5:]).any(2).all()


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    block = Block(8, 2).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    q, k, v = (part.reshape(3, 5, 2, 4).transpose(1, 2) for part in block.asked(x).chunk(3, -1))
    mixed = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert torch.allclose(
        block._attention(x), block.given(mixed.transpose(1, 2).reshape(3, 5, 8)), atol=1e-14
    )


def test_scores_that_know_nothing_cost_the_logarithm_of_the_vocabulary():
    y = torch.randint(VOCABULARY, (4, 6))
    scores = torch.zeros(4, 6, VOCABULARY)
    assert float(module.cross_entropy(scores, y)) == pytest.approx(math.log(97))
    total, weight = module.bits(scores, y)
    assert (float(total) / weight, weight) == (pytest.approx(math.log2(97)), 24)
    scores[0, 0, y[0, 0]] = 1.0
    assert module.right(scores, y)[0] >= 1


@pytest.mark.slow
def test_it_learns_and_says_which_text_it_was():
    result = compare(
        "stdlib-text:characters=4000:context=16:width=16:layers=1", "mini:16@adam", seeds=1, epochs=5
    )
    losses = result.records["valid_loss"]
    assert losses.iloc[-1] < 0.8 * losses.iloc[0]
    assert losses.iloc[0] == pytest.approx(math.log(97), abs=0.5)
    assert any("4,000 characters of Python 3." in note and "SHA-256 " in note for note in result.notes)


@pytest.mark.slow
def test_attention_trains_in_lanes():
    small = "stdlib-text:characters=2000:context=8:width=8:layers=1:heads=2"
    result = compare(small, "mini:16", seeds=2, epochs=1, trainer="lanes")
    assert set(result.trials["trainer"]) == {"lanes"}, result.notes


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"context": 0}, "context must be at least 1, got 0"),
        ({"characters": -3}, "characters must be at least 1, got -3"),
        ({"width": 30}, "width=30 must be a multiple of heads=4"),
        (
            {"characters": 64},
            "64 characters are 1 block of context=32; two are needed at least, so give more characters",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused(options, message):
    with pytest.raises(WorkloadError, match=f"^workload stdlib-text: {message}"):
        stdlib_text(**options)
