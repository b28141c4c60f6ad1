"""What the command line's options mean: texts become the arguments of :mod:`optcompare.api.compare`."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..core.bounds import whole_of_text
from ..core.file_paths import comma_hints, list_items
from ..core.parameters import suggestion
from ..errors import ComparisonError
from ..storage.run_dir import refuse_occupied, safe_name

if TYPE_CHECKING:
    from ..planning.prepare import Prepared
    from ..storage.previous_run import PreviousRun

UNITS = ("epochs", "updates", "samples", "seconds")
_MACHINE = ("device", "dtype", "autocast", "threads", "deterministic", "trainer")
_AS_GIVEN = (
    *_MACHINE,
    "workload",
    "tune",
    "tune_seeds",
    "tune_repeats",
    "lr_scaling",
    "schedule",
    "clip",
    "goal",
    "baseline",
    "control",
    "margin",
    "measure",
    "plane",
    "chunk",
    "eval_chunk",
    "diagnose_every",
    "recalibrate",
    "split_seeds",
)
_FREE_WITH_CONFIG = {
    "config",
    "metric",
    "out",
    "formats",
    "plugin",
    "dry_run",
    "quiet",
    "as_json",
    "wide",
    "memory",
    "verbose",
    "checkpoint",
    "keep_states",
    "jobs",
    "executor",
    "track",
    "trust",
}


def prepare_all(options: dict[str, Any], given: Sequence[str]) -> list[Prepared]:
    """One rehearsed comparison for each workload, all before anything is trained; ``given``: options on the
    line.
    """
    if options["config"] is not None:
        return [_prepare_again(options, given)]
    items = list_items(options["workload"])
    names = [item.strip() for item in items]
    prepared = []
    for place, name in enumerate(names):
        with comma_hints(items, place):
            prepared.append(_prepare({**options, "workload": name}))
    arms = [", ".join(arm.label for arm in one.setup.comparison.arms) for one in prepared]
    for name, labels in zip(names, arms, strict=True):
        if labels != arms[0]:
            raise ComparisonError(
                f"several workloads need the same arms, and {names[0]} has {arms[0]}, but {name} {labels}; "
                "write batch "
                "sizes out, such as mini:32"
            )
    return prepared


_FREE_WITH_RESUME = {
    "resume",
    "force",
    "metric",
    "epochs",
    "updates",
    "samples",
    "seeds",
    "strategies",
    "optimizers",
    "formats",
    "plugin",
    "dry_run",
    "quiet",
    "as_json",
    "wide",
    "memory",
    "verbose",
    "checkpoint",
    "keep_states",
    "jobs",
    "executor",
    "track",
    "trust",
}


def prepare_resumed(options: dict[str, Any], given: Sequence[str]) -> tuple[Prepared, PreviousRun]:
    """An earlier run's comparison, extended by what the line asks for, and what that run left."""
    from ..api.compare import one_budget, seed_list
    from ..core.named_code import code_of_lists
    from ..planning.prepare import prepare, prepare_again
    from ..storage.previous_run import PreviousRun
    from ..storage.resume import extended
    from ..storage.trusted_code import load_registry

    fixed = [name for name in given if name not in _FREE_WITH_RESUME]
    if fixed:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        raise ComparisonError(f"--resume takes everything else from the run; leave out {names}")
    if "optimizers" in given and "strategies" not in given:
        raise ComparisonError("--optimizers adds arms to a run together with --strategies; give both")
    earlier = PreviousRun.read(options["resume"])
    before = earlier.comparison
    named = code_of_lists(options["strategies"], options["optimizers"]) if "strategies" in given else []
    registry = load_registry(before, options["resume"], options["plugin"], named, options["trust"])
    before = dataclasses.replace(before, plugins=registry.named)
    seeds = seed_list(options["seeds"], before.seeds[0]) if "seeds" in given else None
    asked = None
    if "strategies" in given:
        parts = dict.fromkeys(str(arm.optimizer.reference) for arm in before.arms)
        asked = prepare(
            registry,
            workload=str(before.workload.reference),
            strategies=[options["strategies"]],
            optimizers=[options["optimizers"]] if "optimizers" in given else list(parts),
            lr=None,
            budget=before.budget,
            seeds=before.seeds,
            chunk=before.arms[0].chunk,
            schedule=before.arms[0].schedule,
            clip=before.arms[0].clip,
            eval_chunk=before.eval_chunk,
            order=None,
            device=before.device,
            dtype=before.dtype,
        ).setup.comparison
    budget = one_budget({unit: options[unit] for unit in UNITS})
    return prepare_again(registry, extended(before, budget, seeds, asked)), earlier


def prepare_scaling(options: dict[str, Any]) -> Prepared:
    """The rehearsed comparison of a batch-size study."""
    from ..api.batch_size_study import prepare_study
    from ..api.compare import seed_list
    from ..registry.manager import Registry

    return prepare_study(
        Registry.load(options["plugin"]),
        batch_sizes=_batch_sizes(options["batch_sizes"]),
        optimizers=[options["optimizers"]],
        tune_range=_range(options["tune_range"]),
        seeds=seed_list(options["seeds"], options["first_seed"]),
        plugins=tuple(
            str(Path(name).resolve()) if name.endswith(".py") else name for name in options["plugin"]
        ),
        **{
            name: options[name]
            for name in (
                *_MACHINE,
                "workload",
                "goal",
                "tune",
                "tune_seeds",
                "max_epochs",
                "goal_window",
                "recalibrate",
            )
        },
    )


def _batch_sizes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    for part in parts:
        if not part.isdecimal() or part.strip("0") == "":
            raise ComparisonError(
                f"--batch-sizes takes whole numbers from 1 on, separated by commas, got '{part}'"
            )
    return [whole_of_text("--batch-sizes", part) for part in parts]


def tells_programs(options: dict[str, Any]) -> bool:
    """Whether a tracker has the standard output to itself; raises for one that is not there, or where --json
    wants it too.
    """
    if not options["track"]:
        return False
    from ..core.named_code import NamedCode, keys
    from ..registry.manager import Registry

    named = keys(NamedCode(name, "plugin") for name in options["plugin"])
    registry = Registry.load(
        options["plugin"], kind="trackers", hookless=named
    )  # a saved comparison may need them
    names = [text.partition(":")[0] for text in options["track"]]
    prints = [name for name in names if getattr(registry.find("trackers", name).factory, "prints", False)]
    if prints and options["as_json"]:
        raise ComparisonError(f"--json and --track {prints[0]} both write to standard output; leave one out")
    return bool(prints)


def check_known_metric(metric: str, prepared: Prepared) -> None:
    """Raises :class:`ComparisonError` unless the comparison will measure that column along its trials."""
    from ..report.paper import refuse_unknown

    workload = prepared.setup.workload
    parts = [part for part in workload.sets if part != "test"]
    measured = [f"{part}_{name}" for name in ("loss", *workload.metrics) for part in parts]
    diagnosed = [name for diagnostic in prepared.setup.diagnostics.values() for name in diagnostic.columns]
    refuse_unknown(metric, [*measured, *diagnosed])


def check_memory(text: str) -> None:
    """Raises :class:`ComparisonError` unless it is a size or a share."""
    import torch

    from ..training.lanes.memory import memory_limit

    memory_limit(text, torch.device("cpu"))


def state_bytes(text: str) -> float:
    """Bytes of ``2GB`` or ``0``; raises :class:`ComparisonError` for anything else."""
    import torch

    from ..training.lanes.memory import memory_limit

    if text.strip() == "0":
        return 0.0
    try:
        if "%" not in text:
            return memory_limit(text, torch.device("cpu"))
    except ComparisonError:
        pass
    raise ComparisonError(f"--keep-states takes a size, such as 2GB or 0, got {text!r}")


def sample_size(text: str) -> int | None:
    """How many trials ``verify`` trains again; None: all."""
    if text == "all":
        return None
    if not text.isdecimal():
        raise ComparisonError(f"--trials takes how many to train again, or all; got '{text}'")
    return whole_of_text("--trials", text, 0)


def directories(out: Path | None, prepared: Sequence[Prepared]) -> list[Path]:
    """Where each comparison is written: ``out``, or where there are several workloads, a directory for each
    in it.
    """
    labels = [one.setup.comparison.workload.label for one in prepared]
    whole = out or default_directory("+".join(labels))
    refuse_occupied(whole)
    if len(labels) == 1:
        return [whole]
    names = [safe_name(label) for label in labels]
    if len(set(names)) < len(names):
        raise ComparisonError(
            f"each workload needs a directory of its own; {', '.join(labels)} would share one"
        )
    return [whole / name for name in names]


def _prepare_again(options: dict[str, Any], given: Sequence[str]) -> Prepared:
    from ..core.comparison import Comparison
    from ..planning.prepare import prepare_again
    from ..storage.run_dir import read_config
    from ..storage.trusted_code import load_registry

    fixed = [name for name in given if name not in _FREE_WITH_CONFIG]
    if fixed:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in fixed)
        raise ComparisonError(
            f"--config fixes the whole comparison; leave out {names}, or leave out --config"
        )
    comparison = Comparison.from_json(read_config(options["config"]))
    registry = load_registry(comparison, options["config"], options["plugin"], trust=options["trust"])
    return prepare_again(registry, dataclasses.replace(comparison, plugins=registry.named))


def _prepare(options: dict[str, Any]) -> Prepared:
    from ..api.compare import one_budget, seed_list
    from ..planning.prepare import prepare
    from ..registry.manager import Registry

    return prepare(
        Registry.load(options["plugin"]),
        budget=one_budget({unit: options[unit] for unit in UNITS}),
        seeds=seed_list(options["seeds"], options["first_seed"]),
        order=None,
        plugins=tuple(
            str(Path(name).resolve()) if name.endswith(".py") else name for name in options["plugin"]
        ),
        strategies=[options["strategies"]],
        optimizers=[options["optimizers"]],
        diagnostics=[options["diagnostics"]] if options["diagnostics"] else [],
        lr=_rates(options["lr"]),
        tune_range=_range(options["tune_range"]),
        **{name: options[name] for name in _AS_GIVEN},
    )


def _rates(text: str | None) -> float | list[float] | None:
    if text is None:
        return None
    rates = [_float(part, "--lr") for part in text.split(",")]
    return rates[0] if len(rates) == 1 else rates


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    ends = [_float(part, "--tune-range") for part in text.split(",")]
    if len(ends) != 2:
        raise ComparisonError(f"--tune-range takes LO,HI, such as 0.001,1; got {text}")
    return ends[0], ends[1]


def _float(text: str, option: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ComparisonError(f"{option} takes numbers separated by commas, got '{text}'") from None


def plot_formats(text: str) -> list[str]:
    from ..report.result import FORMATS

    formats = [part.strip().lower() for part in text.split(",")]
    for name in formats:
        if name not in FORMATS:
            known = f"give {', '.join(FORMATS)}, separated by commas"
            raise ComparisonError(f"unknown plot format '{name}'{suggestion(name, FORMATS)}; {known}")
    return formats


def default_directory(workload: str) -> Path:
    path = Path("runs") / f"{time.strftime('%Y%m%d-%H%M%S')}-{safe_name(workload)}"
    number = 2
    while path.exists():
        path = path.with_name(f"{path.name.partition('~')[0]}~{number}")
        number += 1
    return path
