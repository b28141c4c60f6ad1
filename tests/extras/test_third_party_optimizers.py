"""The optimizers of pytorch_optimizer and schedulefree: which train here as they are, and what the others
need.
"""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from optcompare import OptcompareError, compare
from optcompare.core.comparison import Budget, Trial
from optcompare.training.device import torch_settings
from optcompare.verification.lane_rule_check import through_a_file
from tests.helpers.trials import make_trainer
from tests.helpers.workloads import small_workload

pytestmark = [getattr(pytest.mark, "models-test"), pytest.mark.filterwarnings("ignore")]

WORKS = """
ADOPT APOLLO ASGD AccSGD AdEMAMix AdaBelief AdaBound AdaDelta AdaFactor AdaGC AdaMax AdaMod AdaNorm
AdaPNM AdaSmooth AdaTAM Adai Adalite Adam AdamC AdamG AdamMini AdamP AdamS AdamW AdamWSN Adan AggMo Aida
Alice Amos Ano ApolloDQN AvaGrad BCOS CAME DASH DAdaptAdaGrad DAdaptAdam DAdaptAdan DAdaptLion DAdaptSGD
DiffGrad DualAdam EXAdam EmoFact EmoLynx EmoNavi FAdam FOCUS FTRL Fira FlashAdamW Fromage GaLore Grams
Gravity GrokFastAdamW Kate Kron LARS LBFGS LaProp Lamb Lion LoRARite MADGRAD MARS MSVAG NAdam Nero
NovoGrad PAdam PID PNM Prodigy QHAdam QHM RACS RAdam RMSprop ROSE Ranger SGD SGDP SGDSaI SGDW SM3 SOAP
SPAM SPlus SRMM SWATS SaRA ScheduleFreeAdamW ScheduleFreeRAdam ScheduleFreeSGD Shampoo SignSGD
SimplifiedAdEMAMix StableAdamW StableSPAM TAM Tiger VSGD Yogi
""".split()  # noqa: SIM905
WRAPS = "wraps another optimizer; write a function build"
UNREADABLE = "in its state, which no checkpoint could bring back"
GROUPS = "where it wants parameter groups, write a function build"
NO_TEXT = "which no text can give; write a function build"
NEEDS = {
    "A2Grad": "has no learning rate: a parameter group of it has no lr",
    "AliG": "takes no lr, which every arm has",
    "AdaHessian": "its step\\(\\) fails, given gradients in .grad, and no closure, loss or graph",
    "SophiaH": "its step\\(\\) fails, given gradients in .grad, and no closure, loss or graph",
    "SpectralSphere": "its step\\(\\) fails, .*only supports 2D parameters",
    "DeMo": "You need to install `einops`",
    "AdaShift": f"keeps a collections.deque {UNREADABLE}",
    "Conda": f"GaLoreProjector {UNREADABLE}",
    "SCION": f"LMONorm {UNREADABLE}",
    "SCIONLight": f"LMONorm {UNREADABLE}",
    "ScalableShampoo": f"PreConditioner {UNREADABLE}",
    "BSAM": "needs num_data; write pytorch_optimizer.BSAM:num_data=…",
    "Ranger21": "needs num_iterations; write pytorch_optimizer.Ranger21:num_iterations=…",
    "FriendlySAM": f"needs base_optimizer, {NO_TEXT}",
    "GSAM": f"needs base_optimizer, {NO_TEXT}",
    "LookSAM": f"needs base_optimizer, {NO_TEXT}",
    "SAM": f"needs base_optimizer, {NO_TEXT}",
    "WSAM": f"needs params, {NO_TEXT}",
    **dict.fromkeys(("LOMO", "AdaLOMO"), "changes weights or gradients while they are computed"),
    **dict.fromkeys(("AdaGO", "AdaMuon", "DistributedMuon", "Muon", "MuonClip", "NorMuon"), GROUPS),
    **dict.fromkeys(
        ("Lookahead", "Magma", "OrthoGrad", "PCGrad", "SafeFP16Optimizer", "ScheduleFreeWrapper", "TRAC"),
        WRAPS,
    ),
}
STILL = {
    "SaRA": "trains weights below a threshold alone, and the least of these are above it",
    "LoRARite": "0.bias",
}


@pytest.fixture(autouse=True)
def package():
    return pytest.importorskip("pytorch_optimizer")


def network() -> nn.Module:
    """Matrices and vectors."""
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))


def trainer_of(registry, optimizer, **question):
    settings = {"lr": 0.01, "dtype": "float64", "budget": Budget("updates", 12), **question}
    settings |= (
        {"dtype": "float32"} if "FAdam" in str(optimizer) else {}
    )  # its moments have that precision in any case
    strategy = "full" if "LBFGS" in str(optimizer) else "mini:4"
    return make_trainer(
        registry, small_workload(12, model=network), [strategy], optimizers=[optimizer], **settings
    )


def ended(trainer, cut=False):
    """The last state of the first trial; ``cut``: after every update its state goes through a file."""
    trial, state = Trial(trainer.setup.comparison.arms[0], 0), None
    with torch_settings(1):
        while state is None or state["progress"]["status"] == "running":
            sent = through_a_file(state) if cut and state is not None else state
            _, state = trainer.advance([trial], sent, lambda: cut)
    assert state["progress"]["status"] == "finished", state["progress"]["reason"]
    return state


def test_the_table_holds_all_that_the_package_has(package):
    kinds = [value for value in vars(package).values() if inspect.isclass(value)]
    names = {kind.__name__ for kind in kinds if issubclass(kind, torch.optim.Optimizer)}
    assert names == {*WORKS, *NEEDS}
    assert not {*WORKS} & {*NEEDS}


@pytest.mark.slow
@pytest.mark.parametrize("name", WORKS)
def test_it_trains_and_goes_on_from_a_file_to_the_same_bits(registry, name):
    """Twelve updates move each tensor of weights to finite values; cut after each, they end in the same
    bits.
    """
    trainer = trainer_of(registry, f"pytorch_optimizer.{name}")
    whole, start = ended(trainer), trainer.start(0).model().double().state_dict()
    assert all(value.isfinite().all() for value in whole["model"].values())
    if name not in STILL:
        assert not [key for key, value in start.items() if torch.equal(value, whole["model"][key])]
    assert whole["progress"]["final_sha256"] == ended(trainer, cut=True)["progress"]["final_sha256"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NEEDS)
def test_what_needs_more_says_so_in_one_line(name):
    with pytest.raises(OptcompareError, match=f"optimizer pytorch_optimizer.{name}.*{NEEDS[name]}") as error:
        compare(
            small_workload(12, model=network),
            "mini:4",
            f"pytorch_optimizer.{name}",
            lr=0.01,
            seeds=1,
            updates=2,
        )
    assert "\n" not in str(error.value)


def muon(model, *, lr: float = 0.02):
    from pytorch_optimizer.optimizer.muon import prepare_muon_parameters

    return prepare_muon_parameters(model, "muon", lr=lr, weight_decay=0.0)


def lookahead(model, *, lr: float = 0.05):
    from pytorch_optimizer import Lookahead

    return Lookahead(torch.optim.SGD(model.parameters(), lr=lr), k=3)


def averaged(model, *, lr: float = 0.05):
    from pytorch_optimizer import ScheduleFreeWrapper

    return ScheduleFreeWrapper(torch.optim.SGD(model.parameters(), lr=lr))


@pytest.mark.parametrize(
    "build",
    [muon, lookahead, averaged, "pytorch_optimizer.Ranger21:num_iterations=12:num_warm_up_iterations=2"],
)
def test_what_is_given_what_it_needs_trains_too(registry, build):
    trainer = trainer_of(registry, build)
    assert ended(trainer)["progress"]["final_sha256"] == ended(trainer, cut=True)["progress"]["final_sha256"]


@pytest.mark.slow
def test_sharpness_aware_minimisation_takes_two_passes_an_update(registry):
    """SAM by hand: the gradient at w + ρ·g/|g|, taken at w."""
    from pytorch_optimizer import SAM

    class TwoPasses(SAM):
        def step(self, closure):
            closure()
            super().step(closure)

    def sam(model, *, lr: float = 0.05):
        return TwoPasses(model.parameters(), torch.optim.SGD, rho=0.1, lr=lr)

    workload = small_workload(12)
    result = compare(workload, "full", [sam], seeds=1, epochs=6, dtype="float64")
    assert result.trials[["updates", "samples"]].values.tolist() == [[3, 72]]
    model = make_trainer(registry, workload, ["full"]).start(0).model().double()
    x, y = (part.double() for part in workload.train)
    weights = list(model.parameters())
    for _ in range(3):
        first = torch.autograd.grad(nn.functional.mse_loss(model(x), y), weights)
        norm = torch.cat([part.flatten() for part in first]).norm()
        moves = [0.1 * part / norm for part in first]
        with torch.no_grad():
            for weight, move in zip(weights, moves, strict=True):
                weight += move
        second = torch.autograd.grad(nn.functional.mse_loss(model(x), y), weights)
        with torch.no_grad():
            for weight, move, part in zip(weights, moves, second, strict=True):
                weight -= move + 0.05 * part
    for ours, theirs in zip(result.model("full", 0).parameters(), weights, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer", ["schedulefree.SGDScheduleFree:lr=0.1", "schedulefree.AdamWScheduleFree"]
)
@pytest.mark.parametrize("strategy", ["mini:4", "norm-test:4"])
def test_schedule_free_is_measured_at_its_average_and_trains_as_if_it_were_not(registry, optimizer, strategy):
    pytest.importorskip("schedulefree")

    def after(measure):
        settings = {"lr": None, "measure": measure, "budget": Budget("epochs", 3)}
        return ended(trainer_of_strategy(registry, strategy, optimizer, **settings))

    often, never = after(4), after(0)
    for one, other in zip(often["trained"], never["trained"], strict=True):
        assert torch.equal(one, other)
    assert often["progress"]["final_sha256"] == never["progress"]["final_sha256"]
    trained = dict(zip(often["model"], often["trained"], strict=True))
    assert any(not torch.equal(trained[name], value) for name, value in often["model"].items())


def trainer_of_strategy(registry, strategy, optimizer, **settings):
    workload = small_workload(12, model=network)
    return make_trainer(registry, workload, [strategy], optimizers=[optimizer], dtype="float64", **settings)


def test_a_package_by_its_path_is_noted_with_its_version_and_sources(tmp_path):
    result = compare(small_workload(), "mini:4", "pytorch_optimizer.Lion:lr=0.01", seeds=1, epochs=1)
    (noted,) = [each for each in result.environment["plugins"] if each["name"] == "pytorch_optimizer"]
    assert noted["version"] == "4.1.0"
    assert len(noted["sha256"]) == 64
