"""The schema of ``comparison.json``, for all versions that wrote it."""

from __future__ import annotations

from ..core.schema import (
    any_number,
    anything,
    boolean,
    list_of,
    map_of,
    number,
    object_of,
    one_of,
    optional,
    text,
    whole,
)

_PART = object_of({"label": text, "reference": optional(text)}, closed=True)
_ARM = object_of(
    {
        "label": text,
        "strategy": _PART,
        "optimizer": _PART,
        "hyperparameters": map_of(anything),
        "lr": number,
        "chunk": whole(1),
    },
    {"lr_scaling": one_of("none", "linear", "sqrt"), "schedule": text, "clip": optional(number)},
    closed=True,
)
_REPEAT = object_of({"rates": map_of(list_of(number)), "seeds": list_of(whole()), "best": map_of(number)})
_TUNING = object_of(
    {"rates": map_of(list_of(number)), "seeds": whole(1)},
    {"closer": whole(), "repeats": list_of(_REPEAT)},
)
COMPARISON_SCHEMA = object_of(
    {
        "workload": _PART,
        "arms": list_of(_ARM),
        "seeds": list_of(whole()),
        "budget": object_of({"unit": text, "amount": number}, closed=True),
        "plugins": list_of(text),
    },
    {
        "device": text,
        "dtype": text,
        "autocast": optional(text),
        "threads": whole(1),
        "deterministic": boolean,
        "eval_chunk": whole(1),
        "measure": whole(),
        "measure_rows": optional(whole(1)),
        "trainer": text,
        "engine": text,
        "engine_named": boolean,
        "order": text,
        "goal": optional(text),
        "errors": list_of(text),
        "baseline": optional(text),
        "control": optional(text),
        "tuning": optional(_TUNING),
        "plane": boolean,
        "diagnostics": list_of(_PART),
        "diagnose_every": whole(1),
        "stop_at_goal": boolean,
        "goal_window": number,
        "margin": optional(number),
        "recalibrate": boolean,
        "split_seeds": whole(1),
        "masks": text,
    },
    closed=True,
)
"""The argument of :meth:`.Comparison.from_json`."""

_AGREEMENT = object_of({}, {"checked": whole(), "apart": any_number, "tolerance": any_number}, closed=True)
_REFERENCE = object_of(
    {}, {"updates": map_of(whole()), "remarks": list_of(text), "uncut": map_of(list_of(text))}, closed=True
)
_TRAITS = object_of(
    {},
    {
        **{"norm": text, "kept": number, "sample": text, "dataset": boolean},
        **dict.fromkeys(("drawing", "masked"), list_of(text)),
    },
    closed=True,
)
_PLUGIN = object_of({"source": text, "sha256": optional(text)}, {"name": text, "version": optional(text)})
_NOISE = object_of(
    {"update": whole(), "trace": any_number, "squared": any_number, "batch_size": whole(1)},
    {
        "traces": list_of(any_number),
        "squares": list_of(any_number),
        "arm": text,
        "seed": whole(),
        "rows": optional(whole()),
    },
)
_TIMED = object_of(
    {"arm": text, "batch_size": whole(1), "seconds": any_number}, {"round": whole(), "updates": whole()}
)
_ENVIRONMENT = object_of(
    {},
    {
        **dict.fromkeys(("optcompare", "python", "torch", "numpy", "platform", "device", "started"), text),
        **dict.fromkeys(("data_sha256", "workload_sha256", "code_sha256"), optional(text)),
        "cpus": optional(whole()),
        "threads": whole(1),
        "jobs": whole(1),
        "splits_sha256": list_of(optional(text)),
        "plugins": list_of(_PLUGIN),
        "trainers": list_of(text),
        "reference": optional(_REFERENCE),
        "traits": _TRAITS,
        "agreement": optional(_AGREEMENT),
        "earlier": list_of(map_of(anything)),
        "noise": list_of(_NOISE),
        "update_times": list_of(_TIMED),
        "moving_averages": map_of(map_of(any_number)),
    },
)
_CLAIM = object_of(
    {"arm": text, "baseline": text, "measure": text, "claims": text},
    {"p": optional(any_number), "p_holm": optional(any_number)},
)
_CHECK = object_of(
    {"name": text, "held": boolean, "detail": text}, {"data": optional(map_of(anything))}, closed=True
)
RUN_SCHEMA = object_of(
    {
        "status": one_of("running", "finished", "interrupted"),
        "comparison": COMPARISON_SCHEMA,
        "certificate": list_of(_CHECK),
        "notes": list_of(text),
        "environment": _ENVIRONMENT,
    },
    {
        "verdict": optional(list_of(text)),
        "claims": optional(list_of(_CLAIM)),
        "files": optional(map_of(text)),
        "looks": optional(object_of({"bytes": whole(), "sha256": text})),
        "process": object_of({"host": text, "pid": whole()}, {"began": optional(whole())}),
    },
)
"""The whole file; it may contain further names."""
CONFIG_SCHEMA = object_of({"comparison": COMPARISON_SCHEMA})
"""The part of the file that ``run --config`` needs."""

LOOK_SCHEMA = object_of(
    {
        "trials": text,
        "seeds": whole(),
        "counted": boolean,
        "shown": list_of(list_of(text)),
        "claims": list_of(list_of(text)),
    }
)
"""A line of ``looks.jsonl``."""
