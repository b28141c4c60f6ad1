"""Real models of transformers, lightning and skorch: trained by optcompare as their own loops would train
them.
"""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from optcompare import WorkloadError, compare, workload_from
from tests.helpers.both_trainers import agree, both, trainers

pytestmark = [
    getattr(pytest.mark, "models-test"),
    pytest.mark.filterwarnings("ignore"),  # these packages warn of much that is theirs
]

X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
SIGNS = (X[:, 0] > 0).long()
IDS = torch.randint(2, 20, (12, 6), generator=torch.Generator().manual_seed(1))
MASK = (torch.arange(6) < 6 - (torch.arange(12) % 4)[:, None]).long()
TOKENS = {"input_ids": IDS, "attention_mask": MASK, "labels": IDS.masked_fill(MASK == 0, -100)}


def gpt2(dropout=0.0, **changes):
    transformers = pytest.importorskip("transformers")
    rates = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), dropout)
    sizes = {"vocab_size": 20, "n_positions": 6, "n_embd": 8, "n_layer": 1, "n_head": 2}
    config = transformers.GPT2Config(**sizes, **rates, bos_token_id=0, eos_token_id=0, **changes)
    return lambda: transformers.GPT2LMHeadModel(config)


def bert(head, **changes):
    transformers = pytest.importorskip("transformers")
    sizes = {
        "vocab_size": 20,
        "hidden_size": 8,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
    }
    config = transformers.BertConfig(**sizes, max_position_embeddings=6, **changes)
    return lambda: getattr(transformers, head)(config)


def trained_by(step, workload, updates):
    """The weights after plain gradient descent on ``step(model)`` from the shared start of seed 0."""
    torch.manual_seed(0)
    model = workload.model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(updates):
        optimizer.zero_grad()
        step(model).backward()
        optimizer.step()
    return model.state_dict()


def close(found, expected, tolerance=1e-5):
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance)


class TestTransformers:
    def test_a_language_model_trains_as_by_hand_on_its_own_loss(self):
        workload = workload_from(gpt2(), TOKENS)
        (found,) = compare(workload, "full@sgd:lr=0.1", seeds=1, updates=4, trainer="loop").weights.values()
        close(found, trained_by(lambda model: model(**TOKENS).loss, workload, 4))

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("model", "weight"),
        [
            (gpt2, int(MASK[:, 1:].sum())),
            (lambda: bert("BertForMaskedLM"), int(MASK.sum())),
            (lambda: bert("BertForTokenClassification", num_labels=20), int(MASK.sum())),
        ],
    )
    def test_unequal_chunks_count_their_tokens(self, model, weight):
        """As closely as a loss in float32 can be had, which is what causal models compute."""
        workload = workload_from(model(), TOKENS)
        assert workload.weigh(workload.train) == weight
        question = {"strategies": "full", "seeds": 1, "updates": 2, "dtype": "float64", "trainer": "loop"}
        question["optimizers"] = "sgd:lr=0.1"
        whole, pieces = (
            compare(with_own_dropout_off(workload), **question, **chunks)
            for chunks in ({}, {"chunk": 5, "eval_chunk": 7})
        )
        for name in ("train_loss", "train_accuracy"):
            assert pieces.records[name].tolist() == pytest.approx(whole.records[name].tolist(), rel=1e-6)

    @pytest.mark.slow
    def test_a_classifier_with_dropout_goes_to_the_loop_and_repeats_itself(self):
        data = {"input_ids": IDS, "attention_mask": MASK, "labels": IDS[:, 0] % 2}
        workload = workload_from(bert("BertForSequenceClassification"), data, valid=0.25)
        once, again = (compare(workload, ["full", "mini:4"], seeds=2, epochs=2) for _ in range(2))
        assert trainers(once) == {"loop"}
        assert once.trials["final_sha256"].tolist() == again.trials["final_sha256"].tolist()
        assert once.records["valid_accuracy"].between(0, 1).all()
        assert workload.weight is None

    @pytest.mark.slow
    def test_tied_weights_stay_tied_and_lanes_agree_with_the_loop(self):
        workload = workload_from(gpt2(attn_implementation="eager"), TOKENS)
        lanes, loop = both(workload, "mini:4", "sgd:momentum=0.9", dtype="float32")
        assert trainers(lanes) == {"lanes"}
        agree(lanes, loop, rtol=1e-4)
        model = loop.model("mini:4", 0)
        assert model.lm_head.weight is model.transformer.wte.weight

    @pytest.mark.slow
    def test_what_a_tokenizer_returns_and_what_a_collate_function_makes_are_alike(self):
        transformers = pytest.importorskip("transformers")
        samples = [{name: part[row].tolist() for name, part in TOKENS.items()} for row in range(12)]

        def collate(rows):
            return transformers.BatchEncoding(
                {name: torch.tensor([row[name] for row in rows]) for name in rows[0]}
            )

        question = {"strategies": "mini:4", "seeds": 1, "epochs": 1, "trainer": "loop"}
        one = compare(workload_from(gpt2(), transformers.BatchEncoding(TOKENS)), **question)
        other = compare(workload_from(gpt2(), samples, collate=collate), **question)
        assert one.trials["final_sha256"].tolist() == other.trials["final_sha256"].tolist()

    @pytest.mark.slow
    def test_pretrained_weights_are_copied_for_each_seed_and_their_dropout_is_on(self):
        pretrained = gpt2(dropout=0.5)().eval()
        before = copy.deepcopy(pretrained.state_dict())
        workload = workload_from(lambda: copy.deepcopy(pretrained), TOKENS)
        result = compare(workload, "full", seeds=2, updates=2)
        assert result.trials["weights_sha256"].nunique() == 1
        assert result.trials["final_sha256"].nunique() == 2, "dropout draws by the seed"
        close(pretrained.state_dict(), before, 0)

    @pytest.mark.slow
    def test_it_travels_to_other_processes(self):
        workload = workload_from(gpt2(dropout=0.1), TOKENS)
        question = {"strategies": "mini:4", "seeds": 2, "epochs": 1}
        here, there = compare(workload, **question), compare(workload, **question, jobs=2)
        ends = [sorted(result.trials["final_sha256"]) for result in (here, there)]
        assert ends[0] == ends[1]


def with_own_dropout_off(workload):
    """The same workload, its model without dropout, in parts that would otherwise draw."""
    from dataclasses import replace

    def model():
        made = workload.model()
        for module in made.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        return made

    return replace(workload, model=model)


def lightning_module(**methods):
    lightning = pytest.importorskip("lightning")

    class Classifier(lightning.LightningModule):
        def __init__(self, hidden=8):
            super().__init__()
            self.save_hyperparameters()
            self.net = nn.Sequential(
                nn.Linear(3, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, 2)
            )

        def training_step(self, batch, batch_idx):
            x, y = batch
            output = self.net(x)
            loss = nn.functional.cross_entropy(output, y)
            self.log("train_loss", loss, prog_bar=True)
            self.log_dict({"train/acc": (output.argmax(1) == y).float().mean()})
            return {"loss": loss}

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), lr=0.1)

    return type("Classifier", (Classifier,), methods)


class TestLightning:
    def test_a_module_trains_as_its_trainer_trains_it(self, tmp_path):
        lightning = pytest.importorskip("lightning")
        workload = workload_from(lightning_module(), DataLoader(TensorDataset(X, SIGNS), batch_size=40))
        (found,) = compare(workload, "full@sgd:lr=0.1", seeds=1, epochs=3, trainer="loop").weights.values()
        torch.manual_seed(0)
        module = workload.model()
        quiet = dict.fromkeys(
            ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
        )
        trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", default_root_dir=tmp_path, **quiet)
        trainer.fit(module, DataLoader(TensorDataset(X, SIGNS), batch_size=40))
        close(found, module.state_dict())

    @pytest.mark.slow
    def test_what_it_logs_is_a_metric(self):
        workload = workload_from(lightning_module(), (X, SIGNS), valid=0.25)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            result = compare(workload, "mini:8", seeds=1, epochs=2, eval_chunk=7)
        model = result.model("mini:8", 0).eval()
        right = (model.net(workload.valid[0]).argmax(1) == workload.valid[1]).float().mean()
        assert result.records["valid_acc"].iloc[-1] == pytest.approx(float(right))
        assert "train_acc" in result.records
        assert "log" not in vars(model)
        assert "configure_optimizers (SGD with lr 0.1), validation_step and other hooks are not" in " ".join(
            workload.notes
        )

    @pytest.mark.slow
    def test_gradients_of_single_samples_and_lanes(self):
        def plain(self):
            super(type(self), self).__init__()
            self.net = nn.Linear(3, 2)

        module = lightning_module(__init__=plain)
        lanes, loop = both(workload_from(module, (X, SIGNS)), "mini:8")
        agree(lanes, loop)
        result = compare(workload_from(module, (X, SIGNS)), "norm-test:4", seeds=1, epochs=2)
        assert result.trials["status"].tolist() == ["finished"]

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("methods", "message"),
        [
            (
                {"training_step": lambda self, batch: None},
                "training_step must return a loss, or a dictionary with 'loss'",
            ),
            ({"automatic_optimization": False}, "automatic_optimization = False and makes its own updates"),
            (
                {"training_step": lambda self, batch, i: self.trainer.world_size},
                r"uses self\.trainer\.world_size, and there is no Trainer",
            ),
        ],
    )
    def test_what_cannot_be_compared_is_refused(self, methods, message):
        with pytest.raises(WorkloadError, match=message):
            workload_from(lightning_module(**methods), (X, SIGNS))


class TestProgress:
    """A Lightning module that asks how far training has come is told."""

    def plain(self, factor, updates, n=40, batch=8):
        """Gradient descent by hand on factor(epoch, update, batch index) times the loss, in the order of the
        samples.
        """
        torch.manual_seed(0)
        module = lightning_module(__init__=simple)()
        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        for update in range(updates):
            epoch, index = divmod(update, n // batch)
            rows = slice(index * batch, (index + 1) * batch)
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(module.net(X[rows]), SIGNS[rows])
            (loss * factor(epoch, update, index)).backward()
            optimizer.step()
        return module.state_dict()

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("of_module", "factor"),
        [
            (
                lambda self, index: 1.0 / (1 + self.current_epoch),
                lambda epoch, update, index: 1.0 / (1 + epoch),
            ),
            (
                lambda self, index: 1.0 + 0.1 * self.global_step,
                lambda epoch, update, index: 1.0 + 0.1 * update,
            ),
            (lambda self, index: 1.0 + 0.1 * index, lambda epoch, update, index: 1.0 + 0.1 * index),
        ],
        ids=["current_epoch", "global_step", "batch_idx"],
    )
    def test_it_trains_as_by_hand_also_where_lanes_were_asked_for(self, of_module, factor):
        def training_step(self, batch, batch_idx):
            x, y = batch
            return nn.functional.cross_entropy(self.net(x), y) * of_module(self, batch_idx)

        module = lightning_module(__init__=simple, training_step=training_step)
        asked = {
            "seeds": 1,
            "updates": 12,
            "order": lambda seed, epoch, n: torch.arange(n),
            "trainer": "lanes",
        }
        result = compare(workload_from(module, (X, SIGNS)), "mini:8@sgd:lr=0.1", **asked)
        (found,) = result.weights.values()
        close(found, self.plain(factor, 12))
        assert set(result.trials["trainer"]) == {"loop"}

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("methods", "message"),
        [
            (
                {"training_step": lambda self, batch, batch_idx, optimizer_idx: self.net(batch[0]).sum()},
                "has the parameter optimizer_idx of several optimizers, and an arm has one",
            ),
            (
                {
                    "configure_optimizers": lambda self: [
                        torch.optim.SGD(self.parameters(), 0.1),
                        torch.optim.Adam(self.parameters()),
                    ]
                },
                "configure_optimizers returns 2 optimizers, and an arm has one",
            ),
            (
                {
                    "configure_optimizers": lambda self: (
                        {"optimizer": torch.optim.SGD(self.parameters(), 0.1), "frequency": 1},
                        {"optimizer": torch.optim.Adam(self.parameters()), "frequency": 5},
                    )
                },
                "configure_optimizers returns 2 optimizers, and an arm has one",
            ),
        ],
    )
    def test_several_optimizers_are_refused(self, methods, message):
        with pytest.raises(WorkloadError, match=message):
            workload_from(lightning_module(**methods), (X, SIGNS))

    @pytest.mark.slow
    def test_what_it_logs_in_no_single_number_and_hooks_that_change_training_are_said(self):
        def training_step(self, batch, batch_idx):
            x, y = batch
            output = self.net(x)
            self.log_dict({"acc": (output.argmax(1) == y).float().mean(), "scores": output})
            return nn.functional.cross_entropy(output, y)

        methods = {"training_step": training_step, "on_after_backward": lambda self: None}
        workload = workload_from(lightning_module(__init__=simple, **methods), (X, SIGNS))
        said = " ".join(workload.notes)
        assert "scores that it logs is left out" in said
        assert "its on_after_backward would change what a Trainer trains, and is not called" in said
        assert list(workload.metrics) == ["acc"]


def simple(self):
    super(type(self), self).__init__()
    self.net = nn.Linear(3, 2)


class Probabilities(nn.Module):
    def __init__(self, hidden=4):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(3, hidden), nn.ReLU(), nn.Linear(hidden, 2), nn.Softmax(-1))

    def forward(self, X):
        return self.net(X)


class TestSkorch:
    def test_a_net_trains_as_it_trains_itself(self):
        skorch = pytest.importorskip("skorch")
        settings = {"lr": 0.1, "max_epochs": 3, "batch_size": -1, "train_split": None, "verbose": 0}
        net = skorch.NeuralNetClassifier(Probabilities, module__hidden=6, **settings)
        workload = workload_from(net, (X.numpy(), SIGNS.numpy()))
        assert (workload.lr, workload.epochs, workload.batch_size) == (0.1, 3, None)
        (found,) = compare(workload, "full", seeds=1, trainer="loop").weights.values()
        torch.manual_seed(0)
        net.fit(X.numpy(), SIGNS.numpy())
        close(found, net.module_.state_dict())

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("kind", "settings", "y"),
        [
            (
                "NeuralNetClassifier",
                {"criterion": nn.CrossEntropyLoss, "criterion__label_smoothing": 0.1},
                SIGNS,
            ),
            ("NeuralNetRegressor", {}, X[:, :2]),
        ],
    )
    def test_its_criterion_is_the_loss(self, kind, settings, y):
        skorch = pytest.importorskip("skorch")
        workload = workload_from(
            getattr(skorch, kind)(Probabilities, batch_size=8, **settings), (X, y), valid=0.25
        )
        result = compare(workload, ["full", "mini"], seeds=1, epochs=1)
        assert {"full", "mini:8"} == set(result.trials["arm"])
        assert "its optimizer (SGD), callbacks and train_split are not" in " ".join(workload.notes)

    @pytest.mark.slow
    def test_one_around_a_module_that_exists_is_refused(self):
        skorch = pytest.importorskip("skorch")
        with pytest.raises(
            WorkloadError, match=r"the net's module is a Probabilities that exists already; give the class"
        ):
            workload_from(skorch.NeuralNetClassifier(Probabilities()), (X, SIGNS))

    @pytest.mark.slow
    def test_a_loss_of_its_own_is_trained_on(self):
        skorch = pytest.importorskip("skorch")

        class Lasso(skorch.NeuralNetRegressor):
            def get_loss(self, y_pred, y_true, X=None, training=False):
                plain = super().get_loss(y_pred, y_true, X=X, training=training)
                return plain + 0.5 * sum(weight.abs().sum() for weight in self.module_.parameters())

        y = X[:, :1] * 2
        net = Lasso(nn.Linear, module__in_features=3, module__out_features=1, lr=0.05)
        workload = workload_from(net, (X, y))
        assert any("the loss is that of its own get_loss" in note for note in workload.notes)
        (found,) = compare(workload, "full@sgd:lr=0.1", seeds=1, epochs=3, trainer="loop").weights.values()

        def step(model):
            penalty = 0.5 * sum(weight.abs().sum() for weight in model.parameters())
            return nn.functional.mse_loss(model(X), y) + penalty

        close(found, trained_by(step, workload, 3))

    @pytest.mark.slow
    @pytest.mark.parametrize("method", ["train_step", "infer", "initialize_module"])
    def test_one_that_decides_itself_what_is_trained_is_refused(self, method):
        skorch = pytest.importorskip("skorch")
        kind = type("Own", (skorch.NeuralNetRegressor,), {method: lambda self, *arguments, **named: None})
        with pytest.raises(WorkloadError, match=f"Own overrides {method}, which decides what is trained"):
            workload_from(kind(nn.Linear, module__in_features=3, module__out_features=1), (X, X[:, :1]))


@pytest.mark.parametrize("passes", [40, 7])
def test_metrics_of_torchmetrics_are_computed_of_all_rows(passes):
    torchmetrics = pytest.importorskip("torchmetrics")
    metric = torchmetrics.classification.MulticlassF1Score(num_classes=2, average="macro")
    workload = workload_from(lambda: nn.Linear(3, 2), (X, SIGNS), metrics={"f1": metric})
    result = compare(workload, "mini:8", seeds=1, epochs=2, eval_chunk=passes)
    with torch.no_grad():
        expected = metric(result.model("mini:8", 0)(X), SIGNS)
    assert result.records["train_f1"].iloc[-1] == pytest.approx(float(expected))
